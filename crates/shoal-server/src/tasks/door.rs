//! `POST /v1/tasks`: which encoding an envelope has, and which one its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::lines::Lines;
use super::room::Room;
use super::run::{Run, run};
use super::{Caller, Done, Envelope, Merged, arrow, json, protobuf};
use crate::bodies::Holding;
use crate::catalog::Catalog;
use crate::compression::off_the_loop;
use crate::connections::Watch;
use crate::fault::Outcome;
use crate::reply::{Content, Reply};

pub(crate) const JSON: &str = "application/json";
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const LINES: &str = "application/x-ndjson";

/// So much is read or written in about a millisecond.
pub(super) const LARGE_BYTES: usize = 256 << 10;

/// How an envelope or its answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Arrow,
    Protobuf,
    /// JSON, as tasks end; answers only.
    Lines,
}

impl Encoding {
    fn named(media_type: &str) -> Option<Self> {
        let known = [(JSON, Self::Json), (ARROW, Self::Arrow), (PROTOBUF, Self::Protobuf), (LINES, Self::Lines)];
        known.into_iter().find(|(name, _)| media_type.trim().eq_ignore_ascii_case(name)).map(|(_, encoding)| encoding)
    }

    const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => JSON,
            Self::Arrow => ARROW,
            Self::Protobuf => PROTOBUF,
            Self::Lines => LINES,
        })
    }

    /// That of a body; what is not known is JSON, as everywhere else.
    fn of_request(headers: &HeaderMap) -> Self {
        let named = value(headers, &CONTENT_TYPE).and_then(|value| Self::named(value.split(';').next().unwrap_or_default()));
        named.filter(|encoding| *encoding != Self::Lines).unwrap_or(Self::Json)
    }

    /// The first one that the caller accepts, or the one of its request.
    fn of_answer(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let mut known = accepted.filter_map(|entry| {
            let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
            let is_refused =
                weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).is_some_and(|weight: f32| weight <= 0.0);
            Self::named(name).filter(|_| !is_refused)
        });
        known.next().unwrap_or_else(|| Self::of_request(headers))
    }

    fn read(self, body: &Bytes, room: Room) -> Outcome<Envelope> {
        match self {
            Self::Json | Self::Lines => json::read(body, room),
            Self::Arrow => arrow::read(body, room),
            Self::Protobuf => protobuf::read(body, room),
        }
    }

    fn write(self, results: &[Done], merged: Option<&Merged>) -> Outcome<Vec<u8>> {
        match self {
            Self::Json | Self::Lines => Ok(json::write(results, merged)),
            Self::Arrow => arrow::write(results, merged),
            Self::Protobuf => Ok(protobuf::write(results, merged)),
        }
    }
}

fn value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Who asks over HTTP, and what its connection needs while lines are sent.
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) watch: Arc<Watch>,
    pub(crate) held: Holding,
}

/// Answers an envelope.
///
/// # Errors
/// Those of an envelope that cannot be read.
pub(crate) async fn answer(catalog: &Arc<Catalog>, headers: &HeaderMap, body: Bytes, mut asked: Asked) -> Outcome<Reply> {
    let (arrived, body_bytes) = (Instant::now(), body.len());
    let (from, room) = (Encoding::of_request(headers), Room::of_body(catalog.options.body_limit_bytes));
    let mut envelope = Envelope { arrived, ..by_size(body_bytes, move || from.read(&body, room)).await?? };
    asked.held.add(envelope.bytes.saturating_sub(body_bytes))?;
    let (tasks, merge) = (envelope.tasks.len(), envelope.merge.take());
    catalog.metrics.envelope(tasks);
    let encoding = Encoding::of_answer(headers);
    if encoding == Encoding::Lines {
        let begun = (Run::begin(catalog, envelope, asked.caller), merge.map(|merge| (merge, tasks)));
        let lines = Lines::new(catalog, begun, asked.watch, asked.held);
        return Ok(reply(encoding, Content::Lines(Box::new(lines))));
    }
    let results = run(catalog, envelope, asked.caller).await;
    let size = results.iter().map(Done::size_bytes).sum();
    let body = by_size(size, move || encoding.write(&results, merge.map(|merge| merge.join(&results)).as_ref())).await??;
    Ok(reply(encoding, body.into()))
}

/// Reads or writes so many bytes: many of them on a thread of its own, so that nobody else waits for them.
pub(crate) async fn by_size<T: Send + 'static>(bytes: usize, body: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    if bytes < LARGE_BYTES { Ok(body()) } else { off_the_loop(body).await }
}

fn reply(encoding: Encoding, content: Content) -> Reply {
    let mut reply = Reply::new(content);
    reply.headers_mut().insert(CONTENT_TYPE, encoding.media_type());
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: Option<&'static str>, accept: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.extend(content_type.map(|name| (CONTENT_TYPE, HeaderValue::from_static(name))));
        for name in accept {
            headers.append(ACCEPT, HeaderValue::from_static(name));
        }
        headers
    }

    #[test]
    fn an_answer_has_the_encoding_of_its_request_unless_another_is_accepted() {
        let chosen = |content_type, accept: &[&'static str]| Encoding::of_answer(&headers(content_type, accept));
        assert_eq!(chosen(None, &["*/*"]), Encoding::Json);
        assert_eq!(chosen(Some(ARROW), &["*/*"]), Encoding::Arrow);
        assert_eq!(chosen(Some("Application/JSON; charset=utf-8"), &[ARROW]), Encoding::Arrow);
        assert_eq!(chosen(Some(ARROW), &["text/html, application/json;q=0, application/x-protobuf;q=0.5"]), Encoding::Protobuf);
        assert_eq!(chosen(Some(PROTOBUF), &["text/html", LINES]), Encoding::Lines);
        assert_eq!(chosen(Some("application/x-www-form-urlencoded"), &[]), Encoding::Json);
    }
}

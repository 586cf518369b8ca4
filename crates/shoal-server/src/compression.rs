//! Bodies that travel compressed: `Content-Encoding` of a request, `Accept-Encoding` for its answer.
//!
//! `gzip` and `deflate` (a zlib stream, RFC 9110) are known. What a request becomes counts against the limit of a
//! body, and among the bodies in flight, and is never made larger than that limit, so that a short request cannot stand for a
//! large one. Only little is done on the event loop; whatever is larger, on a thread of its own, and two at once.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use tokio::sync::Semaphore;

use crate::bodies::Held;
use crate::fault::{Code, Fault, Outcome};
use crate::reply::Reply;

/// A smaller answer fits into one or two packets anyway.
const SMALLEST: u64 = 2 << 10;
/// So much is expanded or compressed on the event loop: well under a millisecond.
const INLINE: usize = 64 << 10;
/// So many larger bodies at once: a short request costs little to send and much to expand.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// A way in which a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            name if name.eq_ignore_ascii_case("deflate") => Some(Self::Deflate),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// How the body of a request is compressed; None is not at all.
///
/// # Errors
/// `InvalidRequest` for a way that is not known, or for several.
pub(crate) fn of_request(headers: &HeaderMap) -> Outcome<Option<Encoding>> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(None) };
    let name = value.to_str().unwrap_or_default();
    if name.trim().eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    let refused = || Fault::new(Code::InvalidRequest, format!("content encoding {value:?} is not supported; gzip and deflate are"));
    Encoding::named(name).map(Some).ok_or_else(refused)
}

/// A body as it was before it was compressed: at most `limit` bytes, which are held from here on.
///
/// # Errors
/// `BodyTooLarge` when it would be larger, `ServerBusy` when too much is held already, `InvalidRequest` when it is not
/// compressed as it says.
pub(crate) async fn expand(encoding: Encoding, body: Bytes, limit: usize, held: &mut Held<'_>) -> Outcome<Bytes> {
    // Counted first, so that nothing is made of what is too large, and no more than it takes of what is not.
    let length = measure(encoding, body.clone(), limit).await?.ok_or_else(|| {
        let message = format!("the body is over the limit of {limit} bytes when it is expanded");
        Fault::new(Code::BodyTooLarge, message).hint("send fewer records in one request")
    })?;
    held.add(length.saturating_sub(body.len()))?;
    if length <= INLINE {
        return unpack(encoding, &body, length);
    }
    off_the_loop(move || unpack(encoding, &body, length)).await?
}

/// How long a body is when it is expanded; None when that is over the limit.
async fn measure(encoding: Encoding, body: Bytes, limit: usize) -> Outcome<Option<usize>> {
    let length = copy(encoding, &body, limit.min(INLINE), &mut std::io::sink())?;
    if length.is_some() || limit <= INLINE {
        return Ok(length);
    }
    off_the_loop(move || copy(encoding, &body, limit, &mut std::io::sink())).await?
}

/// Runs what takes long on a thread of its own, when it is its turn.
///
/// # Errors
/// `Internal` when it panicked, or the server ends.
pub(crate) async fn off_the_loop<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    let failed = |error: &dyn std::fmt::Display| Fault::new(Code::Internal, format!("a large body was given up: {error}"));
    let _turn = AT_ONCE.acquire().await.map_err(|error| failed(&error))?;
    tokio::task::spawn_blocking(body).await.map_err(|error| failed(&error))
}

/// A body whose expanded length is known.
fn unpack(encoding: Encoding, body: &[u8], length: usize) -> Outcome<Bytes> {
    let mut expanded = Vec::with_capacity(length);
    copy(encoding, body, length, &mut expanded)?;
    Ok(expanded.into())
}

/// Writes what a body was, and says how long that is; None when it would be over the limit.
fn copy(encoding: Encoding, body: &[u8], limit: usize, out: &mut impl Write) -> Outcome<Option<usize>> {
    let broken = |error: &dyn std::fmt::Display| {
        Fault::new(Code::InvalidRequest, format!("the body is not {}, as its Content-Encoding says: {error}", encoding.name()))
    };
    let bound = limit as u64 + 1;
    let (length, left) = match encoding {
        Encoding::Gzip => (std::io::copy(&mut MultiGzDecoder::new(body).take(bound), out).map_err(|error| broken(&error))?, 0),
        Encoding::Deflate => {
            let mut decoder = ZlibDecoder::new(body);
            let length = std::io::copy(&mut decoder.by_ref().take(bound), out).map_err(|error| broken(&error))?;
            (length, decoder.into_inner().len())
        }
    };
    if length == bound {
        return Ok(None);
    }
    if left > 0 {
        return Err(broken(&format!("{left} bytes are left over")));
    }
    Ok(usize::try_from(length).ok())
}

/// How the caller would have the answer, if that is worth while.
pub(crate) fn of_answer(headers: &HeaderMap, reply: &Reply) -> Option<Encoding> {
    if reply.body().size_hint().lower() < SMALLEST {
        return None;
    }
    let mut accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let deflate_or_better = |best: Option<Encoding>, entry: &str| match (best, accepts(entry)) {
        (Some(Encoding::Gzip), _) | (_, Some(Encoding::Gzip)) => Some(Encoding::Gzip),
        (best, found) => best.or(found),
    };
    accepted.by_ref().fold(None, deflate_or_better)
}

/// The encoding of one entry such as `gzip;q=0.8`, unless its weight is 0.
fn accepts(entry: &str) -> Option<Encoding> {
    let (name, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
    Encoding::named(name).filter(|_| weight > 0.0)
}

/// The answer, compressed; as it is if that would not make it smaller.
pub(crate) async fn compressed(encoding: Encoding, reply: Reply) -> Reply {
    let (mut head, body) = reply.into_parts();
    let Ok(plain) = body.collect().await.map(http_body_util::Collected::to_bytes);
    let packed = if plain.len() <= INLINE {
        pack(encoding, &plain)
    } else {
        let copy = plain.clone();
        off_the_loop(move || pack(encoding, &copy)).await.unwrap_or_else(|_| plain.to_vec())
    };
    head.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if packed.len() >= plain.len() {
        return Reply::from_parts(head, plain.into());
    }
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    Reply::from_parts(head, packed.into())
}

fn pack(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(plain.len() / 2);
    // The fastest level: numbers hardly get smaller by more effort. Writing to a Vec does not fail.
    let packed = match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(out, Compression::fast());
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(out, Compression::fast());
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
    };
    packed.unwrap_or_else(|_| plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Deflate];

    #[test]
    fn what_was_packed_comes_back() {
        for encoding in BOTH {
            let packed = pack(encoding, &b"abc".repeat(1000));
            assert!(packed.len() < 100);
            assert_eq!(copy(encoding, &packed, 3000, &mut std::io::sink()).unwrap(), Some(3000));
            assert_eq!(unpack(encoding, &packed, 3000).unwrap(), b"abc".repeat(1000));
        }
    }

    #[test]
    fn nothing_grows_over_its_limit() {
        for encoding in BOTH {
            let bomb = pack(encoding, &vec![0; 10 << 20]);
            assert!(bomb.len() < 100 << 10);
            assert_eq!(copy(encoding, &bomb, 1000, &mut std::io::sink()).unwrap(), None);
        }
    }

    #[test]
    fn what_is_broken_or_has_a_tail_is_refused() {
        for encoding in BOTH {
            let packed = pack(encoding, &b"abc".repeat(1000));
            for broken in [&packed[..packed.len() - 1], &packed[1..], b"", &[packed.as_slice(), b"tail"].concat()] {
                assert_eq!(copy(encoding, broken, 4000, &mut std::io::sink()).unwrap_err().code, Code::InvalidRequest, "{broken:?}");
            }
        }
    }

    #[test]
    fn only_what_is_accepted_is_sent() {
        let chosen = |accepted: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            of_answer(&headers, &Reply::new(vec![0; 4096].into()))
        };
        assert_eq!(chosen("deflate, gzip;q=0.5, br"), Some(Encoding::Gzip));
        assert_eq!(chosen("gzip;q=0, deflate"), Some(Encoding::Deflate));
        assert_eq!(chosen("br, identity, *"), None);
    }
}

//! Envelopes and answers in Arrow: a head, whose JSON has `{"arrow": N}` in the place of each table, and then one stream for each.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;

use super::check::too_many_tasks;
use super::json::Tables;
use super::room::Room;
use super::{Done, Envelope, Merged, json};
use crate::fault::{Code, Fault, Outcome};
use crate::tables::stack::{Span, by_itself};
use crate::tables::{self, Typed};

/// What stands in the place of a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    arrow: usize,
}

/// Reads an envelope.
///
/// # Errors
/// `InvalidArrow` where the streams are not those that the head announces, `TooManyTasks`, and those of an envelope in JSON.
pub(crate) fn read(body: &Bytes, room: Room) -> Outcome<Envelope> {
    let (head, start) = tables::arrow::head(body)?;
    let mut rest = body.slice(start..);
    let frame = json::frame(&head, room, Tables::Left)?;
    // Where the streams of those that were passed over end nobody knows.
    if frame.has_too_many() {
        return Err(too_many_tasks());
    }
    // By the address of the text that stands for them.
    let mut streams = HashMap::new();
    for source in frame.left() {
        let Ok(Place { arrow }) = serde_json::from_slice(source) else { continue };
        if arrow > rest.len() {
            return Err(Fault::new(Code::InvalidArrow, format!("the head announces a stream of {arrow} bytes, {} are left", rest.len())));
        }
        streams.insert(source.as_ptr().addr(), rest.split_to(arrow));
    }
    if !rest.is_empty() {
        return Err(Fault::new(Code::InvalidArrow, format!("{} bytes are left over after the last stream", rest.len())));
    }
    frame.envelope(|source| match streams.get(&source.as_ptr().addr()) {
        Some(stream) => tables::arrow::read(stream.clone()),
        None => tables::json::read(source),
    })
}

/// Writes an answer.
///
/// # Errors
/// `Internal` for a table that has no form in Arrow.
pub(crate) fn write(results: &[Done], merged: Option<&Merged>) -> Outcome<Vec<u8>> {
    let (mut head, mut streams, mut failed) = (Vec::new(), Vec::new(), None);
    let mut place = |head: &mut Vec<u8>, (table, span): (&Typed, Span)| {
        let before = streams.len();
        failed = failed.take().or(tables::arrow::write(&mut streams, &by_itself(table, span)).err());
        head.extend_from_slice(b"{\"arrow\":");
        crate::json::answer::number(head, streams.len() - before);
        head.push(b'}');
    };
    json::write_with(&mut head, results, merged, &mut place);
    if let Some(fault) = failed {
        return Err(fault);
    }
    let mut out = Vec::with_capacity(head.len() + streams.len() + 512);
    tables::arrow::write_head(&mut out, &head);
    out.extend_from_slice(&streams);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::TASKS_LIMIT;
    use super::*;

    #[test]
    fn too_many_tasks_are_told_whatever_streams_follow() {
        let tasks = vec![r#"{"model":"m","table":{"arrow":8}}"#; TASKS_LIMIT + 2];
        let mut body = Vec::new();
        tables::arrow::write_head(&mut body, format!(r#"{{"tasks":[{}]}}"#, tasks.join(",")).as_bytes());
        body.extend(b"\xff\xff\xff\xff\0\0\0\0".repeat(tasks.len()));
        assert_eq!(read(&body.into(), Room::of_body(1 << 20)).unwrap_err().code, Code::TooManyTasks);
    }
}

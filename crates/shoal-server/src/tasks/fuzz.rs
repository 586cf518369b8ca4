//! Envelopes as targets of [`crate::fuzz`]: golden bodies, changed, are read the same however tasks that are written alike are.

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use serde_json::Value;

use super::room::Room;
use super::vectors::told;
use super::{Envelope, json, protobuf};
use crate::fault::Outcome;
use crate::fuzz::Input;
use crate::tasks_v1 as v1;

/// The limit of a body.
const BODY_BYTES: usize = 1 << 16;
/// How often the tasks of a golden envelope stand there.
const TIMES: usize = 3;

/// Golden bodies, and those of envelopes again with more tasks, without their ids.
fn corpus(extension: &str, more: fn(&[u8]) -> Option<Vec<u8>>) -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/tasks/bodies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    let bodies = files.iter().map(|path| std::fs::read(path).unwrap()).filter(|body| body.len() <= 4096);
    bodies.flat_map(|body| [more(&body), Some(body)]).flatten().map(Input::from).collect()
}

pub(crate) fn json_corpus() -> Vec<Input> {
    corpus("json", |body| {
        let mut envelope: Value = serde_json::from_slice(body).ok()?;
        let tasks = envelope.get_mut("tasks")?.as_array_mut()?;
        tasks.iter_mut().filter_map(Value::as_object_mut).for_each(|task| drop(task.remove("id")));
        *tasks = vec![tasks.clone(); TIMES].concat();
        Some(envelope.to_string().into_bytes())
    })
}

pub(crate) fn protobuf_corpus() -> Vec<Input> {
    corpus("pb", |body| {
        let mut envelope = v1::RunRequest::decode(body).ok()?;
        envelope.tasks.iter_mut().for_each(|task| task.id.clear());
        envelope.tasks = vec![envelope.tasks.clone(); TIMES].concat();
        Some(envelope.encode_to_vec())
    })
}

pub(crate) fn run_json(input: &Input) -> String {
    both(|is_alike| json::read_either(&input.body, Room::of_body(BODY_BYTES), is_alike))
}

pub(crate) fn run_protobuf(input: &Input) -> String {
    let body = Bytes::copy_from_slice(&input.body);
    both(|is_alike| protobuf::read_either(&body, Room::of_body(BODY_BYTES), is_alike))
}

/// How an envelope is read, whether those that are alike are compared or read.
fn both(read: impl Fn(bool) -> Outcome<Envelope>) -> String {
    let (alike, alone) = (told(read(true)), told(read(false)));
    assert_eq!(alike, alone);
    // What is wrong with it, or with each of its tasks, and what the columns of the others are.
    let is_told = |line: &&str| ["code:", "kind:", "Err(", "Fault"].iter().any(|word| line.starts_with(word));
    alone.lines().map(str::trim).filter(is_told).collect::<Vec<_>>().join(" ")
}

//! The codecs of tables as targets of [`crate::fuzz`]: golden bodies, changed.

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::admit::{Extra, admit};
use super::{Typed, arrow, json, protobuf};
use crate::description::Description;
use crate::fault::{Fault, Outcome};
use crate::fuzz::Input;
use crate::tasks_v1 as v1;

/// Memory for each byte of a body, at most: a number of two characters becomes a record of any type.
const GROWTH: usize = 32;
/// What nulls, or entries of dictionaries, may stand for beyond that.
const EXPANDED: usize = 64 << 20;
/// Golden bodies that are not larger are changed.
const BODY_BYTES: usize = 4096;

const DESCRIPTIONS: [&str; 3] = [
    r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"x","dtype":"FP32","shape":[2]}],"outputs":[]},
        "binding":{"inputs":[{"column":"x","tensor":"x","rank":2,"missing":"NaN","features":["a","b"]}]}}"#,
    r#"{"name":"m","version":"1","runtime":"python","signature":{"inputs":[{"name":"x","dtype":"INT64","nullable":true,"moment":true}],"outputs":[]}}"#,
    r#"{"name":"m","version":"1","runtime":"python","signature":{"inputs":[{"name":"x","dtype":"BYTES","shape":[-1],"nullable":true}],"outputs":[]}}"#,
];

fn corpus(extension: &str) -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/tasks/bodies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).filter(|body| body.len() <= BODY_BYTES).map(Input::from).collect()
}

pub(crate) fn json_corpus() -> Vec<Input> {
    corpus("json")
}

pub(crate) fn arrow_corpus() -> Vec<Input> {
    corpus("arrow")
}

pub(crate) fn protobuf_corpus() -> Vec<Input> {
    corpus("pb")
}

pub(crate) fn run_json(input: &Input) -> String {
    told(json::read(&input.body), input)
}

pub(crate) fn run_arrow(input: &Input) -> String {
    let body = Bytes::copy_from_slice(&input.body);
    let head = arrow::head(&body).map_or_else(|fault| fault.to_string(), |(envelope, _)| format!("{} bytes", envelope.len()));
    format!("{head} | {}", told(arrow::read(body), input))
}

pub(crate) fn run_protobuf(input: &Input) -> String {
    match v1::Table::decode(&*input.body) {
        Err(error) => error.to_string(),
        Ok(message) => told(protobuf::read(message), input),
    }
}

/// How a table was read, and what became of it.
fn told(table: Outcome<Typed>, input: &Input) -> String {
    // What was found there is not a kind of its own.
    let said = |fault: &Fault| format!("{} {}", fault.code.name(), fault.message.split(" is ").next().unwrap_or_default());
    let table = match table {
        Ok(table) => table,
        Err(fault) => return said(&fault),
    };
    let (bytes, limit) = (table.size_bytes(), GROWTH * input.body.len() + EXPANDED);
    assert!(bytes <= limit, "{bytes} bytes of memory from a body of {}", input.body.len());
    let models = DESCRIPTIONS.map(|text| {
        let description = Description::from_json(text).unwrap();
        admit(&description, table.clone(), Extra::Dropped).map_or_else(|fault| said(&fault), |_| "ok".into())
    });
    format!("{} | {}", models.join(" | "), table.into_mixed().map_or_else(|fault| said(&fault), |table| written(&table)))
}

/// A table that was read can be written, and is read back.
fn written(table: &Typed) -> String {
    let rows: Vec<usize> = (0..table.rows.min(3)).rev().collect();
    drop(table.take_rows(&rows));
    let (mut text, mut stream) = (Vec::new(), Vec::new());
    json::write(&mut text, table.all());
    assert_eq!(json::read(&text).map(|found| found.rows), Ok(table.rows), "{}", String::from_utf8_lossy(&text));
    match arrow::write(&mut stream, table) {
        Ok(()) => assert_eq!(arrow::read(stream.into()).map(|found| found.rows), Ok(table.rows)),
        Err(fault) => return fault.to_string(),
    }
    protobuf::written(table).encoded_len().to_string()
}

//! The golden vectors of the protocol, decoded by this server: every request gives the expected columns, or
//! the expected code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::answer::{chosen, write};
use crate::binary;
use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::intake::admit;
use crate::json::infer::{InferRequest, decode};
use crate::values::{Payload, Table};

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: String,
    signature: serde_json::Value,
    headers: std::collections::HashMap<String, String>,
    body: PathBuf,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    error: Option<String>,
    #[serde(default)]
    columns: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    shape: Vec<usize>,
    data_hex: Option<String>,
    strings_hex: Option<Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors")
}

fn vectors(kind: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(folder().join("vectors.json")).unwrap();
    let all: Vec<Vector> = serde_json::from_str(&text).unwrap();
    all.into_iter().filter(|vector| vector.kind == kind).collect()
}

fn description(vector: &Vector) -> Description {
    let text = serde_json::json!({"name": "m", "version": "1", "runtime": "python", "signature": vector.signature});
    Description::from_json(&text.to_string()).unwrap()
}

fn received(vector: &Vector) -> Outcome<(InferRequest, Table)> {
    let body = Bytes::from(std::fs::read(folder().join(&vector.body)).unwrap());
    let description = description(vector);
    let length = vector.headers.get("Inference-Header-Content-Length");
    let length = length.map(|text| text.parse().map_err(|_| Fault::new(Code::InvalidBinary, "no length"))).transpose()?;
    let (header, raw) = binary::split(&body, length)?;
    let mut request = decode(header, &description.signature.inputs)?;
    binary::fill(&mut request, raw)?;
    chosen(&description, request.outputs.as_ref().map(|outputs| outputs.iter().map(|(name, _)| name.as_str())))?;
    let columns = std::mem::take(&mut request.columns);
    Ok((request, admit(&description, columns, body.len())?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn every_request_vector_decodes_as_expected() {
    let vectors = vectors("infer_request");
    assert!(vectors.len() >= 100, "{} vectors", vectors.len());
    for vector in &vectors {
        match (&vector.expect.error, received(vector)) {
            (Some(code), outcome) => assert_eq!(outcome.unwrap_err().code.name(), code, "{}", vector.name),
            (None, outcome) => check(vector, &outcome.unwrap_or_else(|fault| panic!("{}: {fault}", vector.name)).1),
        }
    }
}

fn check(vector: &Vector, table: &Table) {
    let description = description(vector);
    for (column, values) in description.signature.inputs.iter().zip(&table.columns) {
        let expected = vector.expect.columns.iter().find(|expected| expected.name == column.name).unwrap();
        assert_eq!((table.rows, &values.shape[..]), (expected.shape[0], &expected.shape[1..]), "{}", vector.name);
        match &values.payload {
            Payload::Fixed(buffer) => assert_eq!(Some(&hex(buffer.bytes())), expected.data_hex.as_ref(), "{}", vector.name),
            Payload::Bytes(list) => assert_eq!(Some(list.iter().map(|item| hex(item)).collect()), expected.strings_hex, "{}", vector.name),
        }
    }
}

/// The answer that a model would have given for a response vector.
fn answer(vector: &Vector) -> Answer {
    let description = description(vector);
    let mut table = Table { rows: 0, columns: Vec::new() };
    for column in &description.signature.outputs {
        let expected = vector.expect.columns.iter().find(|expected| expected.name == column.name).unwrap();
        let payload = match &expected.strings_hex {
            Some(list) => Payload::Bytes(list.iter().map(|item| unhex(item)).collect()),
            None => Payload::Fixed(crate::values::Buffer::copy_of(&unhex(expected.data_hex.as_ref().unwrap()))),
        };
        table.rows = expected.shape[0];
        table.columns.push(crate::values::Values { shape: expected.shape[1..].to_vec(), payload, missing: Vec::new() });
    }
    let rows = table.rows;
    Answer::new(std::sync::Arc::new(table), 0, rows)
}

#[test]
fn answers_are_written_byte_for_byte_as_the_vectors_say() {
    let mut written = 0;
    for vector in vectors("infer_response").iter().filter(|vector| vector.name.ends_with("_response_binary")) {
        let request = InferRequest { binary_output: true, ..InferRequest::default() };
        let (body, length) = write(&description(vector), &request, &answer(vector)).unwrap();
        let golden = std::fs::read(folder().join(&vector.body)).unwrap();
        let header: usize = vector.headers["Inference-Header-Content-Length"].parse().unwrap();
        assert_eq!(body[length.unwrap()..], golden[header..], "{}", vector.name);
        written += 1;
    }
    assert_eq!(written, 13);
}

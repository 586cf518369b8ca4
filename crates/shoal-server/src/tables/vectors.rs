//! The golden vectors of tables, read by every codec, and what each of them writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admit::{Extra, admit};
use super::{Column, Content, Kind, Scalar, Typed, arrow, json as text, protobuf};
use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::tasks_v1 as v1;
use crate::values::{Payload, Table};

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: String,
    encoding: String,
    body: PathBuf,
    expect: Value,
    of: Option<String>,
    #[serde(default)]
    written: bool,
    signature: Option<Value>,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/tasks")
}

fn vectors(kind: &str) -> Vec<Vector> {
    let all: Vec<Vector> = serde_json::from_str(&std::fs::read_to_string(folder().join("tasks.json")).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector.kind == kind).collect()
}

impl Vector {
    fn body(&self) -> Bytes {
        std::fs::read(folder().join(&self.body)).unwrap().into()
    }

    fn read(&self) -> Outcome<Typed> {
        let body = self.body();
        match self.encoding.as_str() {
            "json" => text::read(&body),
            "arrow" => arrow::read(body),
            "protobuf" => {
                let message = v1::Table::decode(body).map_err(|error| Fault::new(Code::InvalidProtobuf, error.to_string()))?;
                protobuf::read(message)
            }
            other => panic!("{}: no codec for {other}", self.name),
        }
    }

    fn expects(&self, found: &Outcome<Value>) {
        let found = found.as_ref().map_or_else(|fault| json!({"error": fault.code.name()}), Clone::clone);
        assert_eq!(found, self.expect, "{}", self.name);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A table in the form of the vectors.
pub(crate) fn neutral(table: &Typed) -> Value {
    json!({"rows": table.rows, "columns": table.columns.iter().map(|column| neutral_column(column, table.rows)).collect::<Vec<_>>()})
}

fn neutral_column(column: &Column, rows: usize) -> Value {
    let mut found = json!({"name": column.name.as_str(), "dtype": column.kind.name(), "shape": column.shape});
    match &column.content {
        Content::Fixed(buffer) => found["data_hex"] = hex(buffer.bytes()).into(),
        Content::Items(list) => found["strings_hex"] = list.iter().map(|item| hex(item)).collect(),
        Content::Mixed(list) => found["mixed"] = list.iter().map(scalar).collect(),
        Content::Text(text) => panic!("{text:?} is of no dtype"),
    }
    if !column.missing.is_empty() {
        assert_eq!(column.missing.len(), rows, "{}", column.name);
        found["missing_hex"] = hex(&column.missing.iter().map(|flag| u8::from(*flag)).collect::<Vec<_>>()).into();
    }
    if let Kind::Timestamp(unit, zone) = &column.kind {
        found["unit"] = unit.name().into();
        found["zone"] = zone.as_str().into();
    }
    found
}

fn scalar(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Missing => Value::Null,
        Scalar::Bool(value) => json!(["BOOL", value]),
        Scalar::Int64(value) => json!(["INT64", value.to_string()]),
        Scalar::Fp64(value) => json!(["FP64", hex(&value.to_le_bytes())]),
        Scalar::Utf8(value) => json!(["UTF8", hex(value.as_bytes())]),
    }
}

#[test]
fn every_table_is_read_as_it_says() {
    let vectors = vectors("table");
    assert!(vectors.len() >= 400, "{} vectors", vectors.len());
    for vector in vectors.iter().filter(|vector| vector.of.as_deref() != Some("answer")) {
        vector.expects(&vector.read().map(|table| neutral(&table)));
    }
}

#[test]
fn every_table_that_is_the_written_form_is_written_so() {
    let written: Vec<Vector> = vectors("table").into_iter().filter(|vector| vector.written).collect();
    assert!(written.len() >= 70, "{} vectors", written.len());
    for vector in written {
        let table = vector.read().unwrap();
        let found = if vector.encoding == "json" { as_json(&table) } else { as_protobuf(&table) };
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&vector.body()), "{}", vector.name);
        assert_eq!(found, vector.body(), "{}", vector.name);
    }
}

fn as_protobuf(table: &Typed) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf::write(&mut out, table.all());
    out
}

fn as_json(table: &Typed) -> Vec<u8> {
    let mut out = Vec::new();
    text::write(&mut out, table.all());
    out
}

#[test]
fn every_table_is_the_same_in_all_encodings() {
    for vector in vectors("table").iter().filter(|vector| vector.expect.get("error").is_none() && vector.of.as_deref() == Some("both")) {
        let table = vector.read().unwrap();
        let mut stream = Vec::new();
        arrow::write(&mut stream, &table).unwrap();
        let found = [text::read(&as_json(&table)), arrow::read(stream.into()), protobuf::read(protobuf::written(&table))];
        for found in found {
            assert_eq!(neutral(&found.unwrap()), vector.expect, "{}", vector.name);
        }
    }
}

#[test]
fn every_model_gets_its_table_as_the_vectors_say() {
    let vectors = vectors("model_input");
    assert!(vectors.len() >= 60, "{} vectors", vectors.len());
    for vector in &vectors {
        let signature = vector.signature.as_ref().unwrap();
        if signature == "router" {
            vector.expects(&vector.read().and_then(Typed::into_mixed).map(|table| neutral(&table)));
            continue;
        }
        let text = json!({"name": "m", "version": "1", "runtime": "python", "signature": {"inputs": signature, "outputs": []}});
        let description = Description::from_json(&text.to_string()).unwrap();
        let table = vector.read().and_then(|table| admit(&description, table, Extra::Refused));
        vector.expects(&table.map(|table| admitted(&description, &table)));
    }
}

/// A table of a model in the form of the vectors.
fn admitted(description: &Description, table: &Table) -> Value {
    let columns = description.signature.inputs.iter().zip(&table.columns).map(|(input, values)| {
        let mut found = json!({"name": input.name, "dtype": input.dtype.name(), "shape": values.shape});
        match &values.payload {
            Payload::Fixed(buffer) => found["data_hex"] = hex(buffer.bytes()).into(),
            Payload::Bytes(list) => found["strings_hex"] = list.iter().map(|item| hex(item)).collect(),
        }
        if values.missing.contains(&true) {
            found["missing_hex"] = hex(&values.missing.iter().map(|flag| u8::from(*flag)).collect::<Vec<_>>()).into();
        }
        found
    });
    json!({"rows": table.rows, "columns": columns.collect::<Vec<_>>()})
}

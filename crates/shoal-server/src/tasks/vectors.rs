//! The golden vectors of envelopes, which are read, and of answers, which are written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::merge::By;
use super::room::Room;
use super::{Done, Envelope, Input, Merge, Merged, Output, Task, arrow, json as text, protobuf};
use crate::description::Author;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::vectors::{folder, neutral};
use crate::tables::{Column, Content, Kind, Scalar, Typed, Unit};
use crate::values::{Buffer, Dtype};

#[derive(Deserialize)]
struct Vector {
    name: String,
    kind: String,
    encoding: String,
    body: String,
    expect: Value,
    #[serde(default)]
    written: bool,
}

fn vectors(kind: &str) -> Vec<Vector> {
    let all: Vec<Vector> = serde_json::from_str(&std::fs::read_to_string(folder().join("tasks.json")).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector.kind == kind).collect()
}

impl Vector {
    fn body(&self) -> Bytes {
        std::fs::read(folder().join(&self.body)).unwrap().into()
    }

    fn envelope(&self) -> Outcome<Envelope> {
        let (body, room) = (self.body(), Room::of_body(64 << 20));
        match self.encoding.as_str() {
            "json" => text::read(&body, room),
            "arrow" => arrow::read(&body, room),
            "protobuf" => protobuf::read(&body, room),
            other => panic!("{}: no reader for {other}", self.name),
        }
    }
}

/// What a task says in memory, where a shared table is held and not named, and the budget of the envelope is its own.
fn found(task: &Task) -> Value {
    let table = match &task.input {
        Err(fault) => return json!({"id": task.id.as_str(), "error": fault.code.name()}),
        Ok(input @ Input::Shared(_)) => json!({"shared": neutral(&input.table())}),
        Ok(input) => json!({"own": neutral(&input.table())}),
    };
    json!({
        "id": task.id.as_str(), "model": task.query.model, "version": task.query.version.as_deref().unwrap_or_default(),
        "outputs": task.query.outputs.clone().unwrap_or_default(), "priority": task.priority,
        "timeout_us": task.timeout.map_or(0, |timeout| u64::try_from(timeout.as_micros()).unwrap()),
        "idempotency_key": task.key.as_deref().unwrap_or_default(), "weight": task.weight, "table": table,
    })
}

fn expected(task: &Value, envelope: &Value) -> Value {
    let mut task = task.clone();
    if task.get("error").is_some() {
        return task;
    }
    let table = task["table"].take();
    task["table"] = match task.as_object_mut().unwrap().remove("shared") {
        None => json!({"own": table}),
        Some(name) => {
            let tables = envelope["tables"].as_array().unwrap();
            json!({"shared": tables.iter().find(|table| table["name"] == name).unwrap()["table"]})
        }
    };
    let budgets = [&task["timeout_us"], &envelope["timeout_us"]].map(|budget| budget.as_u64().unwrap());
    task["timeout_us"] = budgets.into_iter().filter(|us| *us > 0).min().unwrap_or(0).into();
    task
}

/// All that is known of an envelope but when it arrived, and where its tables lie.
pub(super) fn told(read: Outcome<Envelope>) -> String {
    let by_itself = |task: Task| Task { input: task.input.map(|input| Input::Own(input.table().copied())), ..task };
    read.map_or_else(
        |fault| format!("{fault:?}"),
        |Envelope { tasks, merge, bytes, .. }| {
            let tasks: Vec<_> = tasks.into_iter().map(by_itself).collect();
            format!("{tasks:#?} {merge:?} {bytes}")
        },
    )
}

#[test]
fn every_envelope_is_read_as_it_says() {
    let vectors = vectors("tasks_request");
    assert!(vectors.len() >= 130, "{} vectors", vectors.len());
    for vector in &vectors {
        let Vector { name, expect, .. } = vector;
        match vector.envelope() {
            Err(fault) => assert_eq!(json!({"error": fault.code.name()}), *expect, "{name}: {fault}"),
            Ok(envelope) => {
                let tasks: Vec<Value> = envelope.tasks.iter().map(found).collect();
                let wanted: Vec<Value> = expect["tasks"].as_array().unwrap().iter().map(|task| expected(task, expect)).collect();
                assert_eq!(tasks, wanted, "{name}");
                let merge = (!expect["merge"].is_null()).then(|| merge_of(&expect["merge"]));
                assert_eq!(envelope.merge, merge, "{name}");
            }
        }
    }
}

fn merge_of(value: &Value) -> Merge {
    let columns = value["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    Merge { by: By::from_name(value["by"].as_str().unwrap()).unwrap(), columns }
}

#[test]
fn every_answer_that_is_the_written_form_is_written_so() {
    let written: Vec<Vector> = vectors("tasks_response").into_iter().filter(|vector| vector.written).collect();
    assert!(written.len() >= 20, "{} vectors", written.len());
    for vector in written {
        let results: Vec<Done> = vector.expect["results"].as_array().unwrap().iter().map(done).collect();
        let merged = (!vector.expect["merged"].is_null()).then(|| merged_of(&vector.expect["merged"]));
        let found = match vector.encoding.as_str() {
            "json" => text::write(&results, merged.as_ref()),
            "ndjson" => lines(&results, merged.as_ref()),
            "protobuf" => protobuf::write(&results, merged.as_ref()),
            other => panic!("{}: no writer for {other}", vector.name),
        };
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&vector.body()), "{}", vector.name);
        assert_eq!(found, vector.body(), "{}", vector.name);
    }
}

fn lines(results: &[Done], merged: Option<&Merged>) -> Vec<u8> {
    let mut out = Vec::new();
    for done in results {
        text::write_line(&mut out, done, merged.is_none());
    }
    if let Some(merged) = merged {
        text::write_merged_line(&mut out, merged);
    }
    out
}

fn done(value: &Value) -> Done {
    let said = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let batch_rows = usize::try_from(value["batch_rows"].as_u64().unwrap_or(0)).unwrap();
    let author = Some(Arc::new(Author { model: said("model"), version: said("version") }));
    Done { id: said("id").into(), author, outcome: outcome(value).map(Output::Own), batch_rows, weight: 1.0 }
}

fn merged_of(value: &Value) -> Merged {
    let left_out = value["left_out"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().into()).collect();
    Merged { outcome: outcome(value), left_out }
}

fn outcome(value: &Value) -> Outcome<Typed> {
    let Some(error) = value.get("error") else { return Ok(value.get("table").map_or(Typed { rows: 0, columns: vec![] }, typed)) };
    let mut fault = Fault::new(Code::from_name(error["code"].as_str().unwrap()).unwrap(), error["error"].as_str().unwrap());
    fault.hint = error.get("hint").and_then(Value::as_str).map(str::to_owned);
    Err(fault.retry_after(error.get("retry_after_ms").and_then(Value::as_u64).map(Duration::from_millis)))
}

fn typed(value: &Value) -> Typed {
    let rows = usize::try_from(value["rows"].as_u64().unwrap()).unwrap();
    Typed { rows, columns: value["columns"].as_array().unwrap().iter().map(column).collect() }
}

fn column(value: &Value) -> Column {
    let texts = |field: &str| value[field].as_array().unwrap().iter().map(bytes).collect::<Vec<_>>();
    let (kind, content) = match value["dtype"].as_str().unwrap() {
        "UTF8" => (Kind::Utf8, Content::Items(texts("strings_hex"))),
        "BYTES" => (Kind::Bytes, Content::Items(texts("strings_hex"))),
        "MIXED" => (Kind::Mixed, Content::Mixed(value["mixed"].as_array().unwrap().iter().map(scalar).collect())),
        "DATE" => (Kind::Date, fixed(value)),
        "TIMESTAMP" => {
            let unit = Unit::from_name(value["unit"].as_str().unwrap()).unwrap();
            (Kind::Timestamp(unit, value["zone"].as_str().unwrap().to_owned()), fixed(value))
        }
        plain => (Kind::Plain(Dtype::from_name(plain).unwrap()), fixed(value)),
    };
    Column {
        name: value["name"].as_str().unwrap().into(),
        kind,
        shape: value["shape"].as_array().unwrap().iter().map(|dim| usize::try_from(dim.as_u64().unwrap()).unwrap()).collect(),
        content,
        missing: value.get("missing_hex").map(|flags| bytes(flags).iter().map(|flag| *flag == 1).collect()).unwrap_or_default(),
    }
}

fn fixed(value: &Value) -> Content {
    Content::Fixed(Buffer::copy_of(&bytes(&value["data_hex"])))
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len() / 2).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap()).collect()
}

fn scalar(value: &Value) -> Scalar {
    let said = || value[1].as_str().unwrap();
    match value[0].as_str() {
        None => Scalar::Missing,
        Some("BOOL") => Scalar::Bool(value[1].as_bool().unwrap()),
        Some("INT64") => Scalar::Int64(said().parse().unwrap()),
        Some("FP64") => Scalar::Fp64(f64::from_le_bytes(bytes(&value[1]).try_into().unwrap())),
        Some("UTF8") => Scalar::Utf8(String::from_utf8(bytes(&value[1])).unwrap()),
        Some(other) => panic!("no scalar is {other}"),
    }
}

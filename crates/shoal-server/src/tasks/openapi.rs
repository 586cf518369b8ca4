//! What the document of the server says of `POST /v1/tasks`.

use serde_json::{Map, Value, json};

use super::door::{ARROW, JSON, LINES, PROTOBUF};
use super::{NAME_BYTES, TASKS_LIMIT};
use crate::description::Description;
use crate::sample;

/// The operation, with an example for a model, if there is one of which a record can be shown.
pub(crate) fn operation(shown: Option<&Description>) -> Value {
    let mut request = json!({"schema": of("Envelope")});
    if let Some(description) = shown {
        let value = json!({"tasks": [{"id": "first", "model": description.name, "table": example(description)}]});
        request["examples"] = json!({"one_record": {"summary": "one task of one record, made up", "value": value}});
    }
    let binary = json!({"schema": {"type": "string", "format": "binary"}});
    let answer = json!({
        JSON: {"schema": of("Results")},
        ARROW: binary,
        PROTOBUF: binary,
        LINES: {"schema": {"type": "string", "description": "one result a line, as soon as it is known"}},
    });
    json!({
        "operationId": "run_tasks", "tags": ["server"], "summary": "Many tasks, each for a model of its own",
        "requestBody": {"required": true, "content": {JSON: request, ARROW: binary, PROTOBUF: binary}},
        "responses": {
            "200": {"description": "a result for each task: its answer, or its error", "content": answer},
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}

/// One record, made up, with columns as the model's signature says.
fn example(description: &Description) -> Value {
    let column = |column: &crate::description::Column| {
        let record: Value = serde_json::from_str(&sample::record(column)).unwrap_or_default();
        json!({"name": column.name, "data": [record]})
    };
    json!({"columns": sample::named(description).iter().map(column).collect::<Vec<_>>()})
}

/// The schemas of envelopes and answers.
pub(crate) fn schemas() -> Map<String, Value> {
    let schemas =
        [("Envelope", envelope()), ("Task", task()), ("Table", table()), ("Merge", merge()), ("Results", results()), ("Result", result())];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn of(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn budget(whose: &str) -> Value {
    json!({"type": ["integer", "null"], "minimum": 0, "description": format!("the budget of {whose} in microseconds, 0 is none")})
}

fn envelope() -> Value {
    json!({
        "type": "object",
        "properties": {
            "tasks": {"type": "array", "minItems": 1, "maxItems": TASKS_LIMIT, "items": of("Task")},
            "tables": {"type": ["object", "null"], "additionalProperties": of("Table"), "description": "tables that tasks refer to by name"},
            "merge": {"anyOf": [of("Merge"), {"type": "null"}]},
            "timeout_us": budget("each task that has no shorter one"),
        },
        "required": ["tasks"], "additionalProperties": false,
    })
}

fn task() -> Value {
    let text = json!({"type": ["string", "null"]});
    let name = json!({"type": ["string", "null"], "maxLength": NAME_BYTES});
    json!({
        "type": "object",
        "properties": {
            "id": name,
            "model": {"type": "string", "description": "a model, or a router"},
            "version": text,
            "table": {"anyOf": [of("Table"), {"type": "string", "description": "the name of a shared table"}]},
            "outputs": {"type": ["array", "null"], "items": {"type": "string"}},
            "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 255},
            "timeout_us": budget("this task"),
            "idempotency_key": name,
            "weight": {"type": ["number", "null"], "minimum": 0},
        },
        "required": ["model", "table"], "additionalProperties": false,
    })
}

fn table() -> Value {
    let column = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "dtype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 8},
            "unit": {"enum": ["s", "ms", "us", "ns"]},
            "zone": {"type": "string"},
            "data": {"type": "array"},
        },
        "required": ["name", "data"], "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {"rows": {"type": "integer", "minimum": 0}, "columns": {"type": "array", "items": column}},
        "required": ["columns"], "additionalProperties": false,
    })
}

fn merge() -> Value {
    json!({
        "type": "object",
        "properties": {
            "by": {"enum": ["concat", "sum", "mean", "min", "max", "count", "variance"]},
            "columns": {"type": ["array", "null"], "items": {"type": "string"}},
        },
        "required": ["by"], "additionalProperties": false,
    })
}

fn results() -> Value {
    let left_out = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": of("Result")},
            "merged": {
                "type": "object",
                "properties": {"table": of("Table"), "error": of("Error"), "left_out": left_out},
                "required": ["left_out"],
            },
        },
        "required": ["results"],
    })
}

fn result() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "id": text, "model": text, "version": text, "table": of("Table"), "error": of("Error"),
            "batch_rows": {"type": "integer", "minimum": 0, "description": "rows of the largest micro-batch in which it travelled"},
        },
        "required": ["id"],
        "oneOf": [{"required": ["error"]}, {"required": ["model", "version", "batch_rows"]}],
    })
}

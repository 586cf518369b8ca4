//! `GET /openapi.json`: what is served at this moment, as `OpenAPI` 3.1.
//!
//! Models stand there by name, with the columns, types and shapes of their signatures, so that a generated client
//! knows them. It is made when somebody asks; nothing of it is on the path of a request.

use serde_json::{Map, Value, json};

use crate::description::{Column, Description};
use crate::fault::Code;
use crate::guard::is_open;
use crate::lineup::Lineup;
use crate::sample;
use crate::tasks;
use crate::values::Dtype;

/// The document; `needs_keys` says so of everything but health.
pub(crate) fn document(lineup: &Lineup, needs_keys: bool) -> Value {
    let mut paths = server_paths();
    let mut schemas = Map::from_iter([("Error".to_owned(), error()), ("Models".to_owned(), models())]);
    schemas.extend(tasks::openapi::schemas());
    let shown = lineup.all().map(|offer| offer.description()).find(|description| sample::is_shown(description));
    paths.insert("/v1/tasks".into(), json!({"post": tasks::openapi::operation(shown)}));
    let names: Vec<&str> = lineup.names().collect();
    for name in &names {
        if let Ok(offer) = lineup.find(name, None) {
            paths.extend(model_paths(offer.description()));
            schemas.extend(model_schemas(offer.description()));
        }
    }
    if let [name] = names.as_slice()
        && let Ok(offer) = lineup.find(name, None)
    {
        paths.insert("/predict".into(), json!({"post": on_predict(name, offer.description())}));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Shoal",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Models that answer requests in micro-batches",
            "description": "The Open Inference Protocol, version 2; version 1 of KServe; and a short form. A readable page is at /docs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this server"}],
        "tags": tags(&names),
        "paths": paths,
        "components": {"schemas": schemas, "responses": {"Error": response("an error, by its code", &of("Error"))}},
    });
    if needs_keys { with_keys(document) } else { document }
}

/// The same document, in which every call needs an API key, in one header or the other; health needs none.
fn with_keys(mut document: Value) -> Value {
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of this server"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key, in a header of its own"},
    });
    document["security"] = json!([{"bearer": []}, {"api_key": []}]);
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        if is_open(path) {
            item["get"]["security"] = json!([]);
        }
    }
    document
}

fn tags(names: &[&str]) -> Vec<Value> {
    let server = json!({"name": "server", "description": "The server itself"});
    let of_model = |name: &&str| json!({"name": name, "description": format!("The model {name}")});
    std::iter::once(server).chain(names.iter().map(of_model)).collect()
}

/// A reference to a schema.
fn of(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn response(description: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// What may come back: the answer, or an error.
fn responses(description: &str, schema: &Value) -> Value {
    json!({"200": response(description, schema), "default": {"$ref": "#/components/responses/Error"}})
}

fn get(id: &str, tag: &str, summary: &str, schema: &Value) -> Value {
    json!({"get": {"operationId": id, "tags": [tag], "summary": summary, "responses": responses(summary, schema)}})
}

/// Text instead of JSON.
fn get_text(id: &str, summary: &str, media_type: &str) -> Value {
    let content = json!({media_type: {"schema": {"type": "string"}}});
    let responses = json!({"200": {"description": summary, "content": content}});
    json!({"get": {"operationId": id, "tags": ["server"], "summary": summary, "responses": responses}})
}

fn server_paths() -> Map<String, Value> {
    let flag = |name: &str| json!({"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]});
    let object = json!({"type": "object"});
    let paths = [
        ("/v2", get("server_metadata", "server", "Name, version and extensions", &object)),
        ("/v2/health/live", get("server_live", "server", "Whether the process lives", &flag("live"))),
        ("/v2/health/ready", get("server_ready", "server", "Whether it takes work; 503 while it drains", &flag("ready"))),
        ("/v2/models", get("list_models", "server", "The names of the models", &of("Models"))),
        ("/v1/models", get("list_models_v1", "server", "The names of the models, by version 1", &of("Models"))),
        ("/metrics", get_text("metrics", "Counters and histograms for Prometheus", "application/openmetrics-text")),
        ("/docs", get_text("docs", "A page about what is served", "text/html")),
        ("/openapi.json", get("openapi", "server", "This document", &object)),
        ("/v2/repository/index", json!({"post": index()})),
    ];
    paths.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

fn index() -> Value {
    let line = json!({
        "type": "object",
        "properties": {"name": text(), "version": text(), "state": text(), "reason": text()},
        "required": ["name", "version", "state", "reason"],
    });
    let body = json!({"type": "object", "properties": {"ready": {"type": "boolean"}}, "additionalProperties": false});
    json!({
        "operationId": "repository_index", "tags": ["server"], "summary": "Every model and version that is served",
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": responses("models and versions", &json!({"type": "array", "items": line})),
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn models() -> Value {
    json!({"type": "object", "properties": {"models": {"type": "array", "items": text()}}, "required": ["models"]})
}

fn error() -> Value {
    let mut codes = Code::ALL.map(Code::name);
    codes.sort_unstable();
    json!({
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "what happened, for people"},
            "code": {"type": "string", "description": "for programs; more codes may come", "examples": codes.as_slice()},
            "hint": {"type": "string", "description": "what to do, where there is a remedy"},
        },
        "required": ["error", "code"],
        "examples": [{"error": "column \"X\" has shape [1, 63]; expected [N, 64], with N = 1 records", "code": "wrong_shape"}],
    })
}

fn model_paths(description: &Description) -> Map<String, Value> {
    let name = &description.name;
    let object = json!({"type": "object"});
    let paths = [
        (format!("/v2/models/{name}"), get(&format!("{name}_metadata"), name, "Versions, platform, inputs and outputs", &object)),
        (format!("/v2/models/{name}/ready"), get(&format!("{name}_ready"), name, "Whether it takes work", &object)),
        (
            format!("/v2/models/{name}/batching"),
            get(&format!("{name}_batching"), name, "The latest micro-batches, why they closed, and what they cost", &object),
        ),
        (format!("/v2/models/{name}/infer"), json!({"post": on_infer(description)})),
        (format!("/v1/models/{name}"), get(&format!("{name}_v1"), name, "Whether it takes work, and its versions", &object)),
        (format!("/v1/models/{name}:predict"), json!({"post": on_v1(description)})),
    ];
    Map::from_iter(paths)
}

/// One call with a body, with an example where one can be shown.
fn call(id: &str, description: &Description, summary: &str, (request, answer): (&Value, &Value), example: &str) -> Value {
    let mut content = json!({"schema": request});
    if sample::is_shown(description) {
        let value: Value = serde_json::from_str(example).unwrap_or_default();
        content["examples"] = json!({"one_record": {"summary": "one record, made up", "value": value}});
    }
    json!({
        "operationId": id, "tags": [description.name], "summary": summary,
        "requestBody": {"required": true, "content": {"application/json": content}},
        "responses": responses("the answer, record by record", answer),
    })
}

fn on_infer(description: &Description) -> Value {
    let name = &description.name;
    let schemas = (&of(&format!("{name}.InferRequest")), &of(&format!("{name}.InferResponse")));
    call(&format!("{name}_infer"), description, "An inference, by tensors", schemas, &sample::infer(description))
}

fn on_v1(description: &Description) -> Value {
    let name = &description.name;
    let schemas = (&of(&format!("{name}.PredictRequest")), &of(&format!("{name}.PredictResponse")));
    call(&format!("{name}_predict_v1"), description, "An inference, record by record", schemas, &sample::v1(description))
}

fn on_predict(name: &str, description: &Description) -> Value {
    let record = of(&format!("{name}.Record"));
    let request = json!({
        "type": "object",
        "properties": {"features": {"anyOf": [record, {"type": "array", "items": record}]}},
        "required": ["features"], "additionalProperties": false,
    });
    let first = description.signature.outputs.first().map_or_else(|| json!({}), record_of);
    let answer = json!({
        "type": "object", "properties": {"prediction": {"type": "array", "items": first}}, "required": ["prediction"],
    });
    call(
        "predict",
        description,
        "The first output of the only model, one for each record",
        (&request, &answer),
        &sample::predict(description),
    )
}

fn model_schemas(description: &Description) -> Map<String, Value> {
    let (name, signature) = (&description.name, &description.signature);
    let tensors = |columns: &[Column]| {
        let each: Vec<Value> = columns.iter().map(tensor).collect();
        json!({"type": "array", "minItems": 1, "maxItems": columns.len().max(1), "items": {"anyOf": each}})
    };
    let parameters = json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}});
    let wanted = json!({"type": "object", "properties": {"name": text(), "parameters": parameters}, "required": ["name"]});
    let request = json!({
        "type": "object",
        "properties": {
            "id": text(), "parameters": parameters, "inputs": tensors(&signature.inputs),
            "outputs": {"type": "array", "items": wanted},
        },
        "required": ["inputs"], "additionalProperties": false,
    });
    let answer = json!({
        "type": "object",
        "properties": {"model_name": text(), "model_version": text(), "id": text(), "outputs": tensors(&signature.outputs)},
        "required": ["model_name", "model_version", "outputs"],
    });
    let record = of(&format!("{name}.Record"));
    let schemas = [
        ("InferRequest", request),
        ("InferResponse", answer),
        ("Record", record_in(description)),
        ("PredictRequest", predict_request(&record, &signature.inputs)),
        ("PredictResponse", predict_response(&signature.outputs)),
    ];
    schemas.into_iter().map(|(schema, value)| (format!("{name}.{schema}"), value)).collect()
}

fn predict_request(record: &Value, inputs: &[Column]) -> Value {
    let rows = json!({
        "type": "object",
        "properties": {"instances": {"type": "array", "items": record}, "signature_name": {"const": "serving_default"}},
        "required": ["instances"], "additionalProperties": false,
    });
    let columns = json!({
        "type": "object",
        "properties": {"inputs": by_column(inputs), "signature_name": {"const": "serving_default"}},
        "required": ["inputs"], "additionalProperties": false,
    });
    json!({"oneOf": [rows, columns]})
}

fn predict_response(outputs: &[Column]) -> Value {
    let one = match outputs {
        [only] => record_of(only),
        several => by_name(several.iter().map(|column| (column.name.clone(), record_of(column)))),
    };
    let rows = json!({"type": "object", "properties": {"predictions": {"type": "array", "items": one}}, "required": ["predictions"]});
    let columns = json!({"type": "object", "properties": {"outputs": by_column(outputs)}, "required": ["outputs"]});
    json!({"oneOf": [rows, columns]})
}

fn by_column(columns: &[Column]) -> Value {
    let list = |column: &Column| json!({"type": "array", "items": record_of(column)});
    match columns {
        [only] => json!({"anyOf": [list(only), by_name([(only.name.clone(), list(only))].into_iter())]}),
        several => by_name(several.iter().map(|column| (column.name.clone(), list(column)))),
    }
}

fn by_name(columns: impl Iterator<Item = (String, Value)>) -> Value {
    let properties: Map<String, Value> = columns.collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

/// One record of a request, bare where that says which column it is, or by name.
fn record_in(description: &Description) -> Value {
    let named = sample::named(description);
    let object = by_name(named.iter().map(|column| (column.name.clone(), record_of(column))));
    match description.signature.inputs.as_slice() {
        [only] => json!({"anyOf": [record_of(only), object]}),
        _ => object,
    }
}

/// The values of one record of a column.
fn record_of(column: &Column) -> Value {
    let list = |inner: Value, dim: &i64| match usize::try_from(*dim) {
        Ok(count) => json!({"type": "array", "minItems": count, "maxItems": count, "items": inner}),
        Err(_) => json!({"type": "array", "items": inner}),
    };
    let one = if column.moment { moment() } else { scalar(column.dtype) };
    let values = column.shape.iter().rev().fold(one, list);
    if column.nullable { json!({"anyOf": [values, {"type": "null"}]}) } else { values }
}

/// A moment, where text is taken for it; the pattern is the form alone, and says nothing of days that do not exist.
///
/// There is no `format`: `date-time` is RFC 3339 alone, and who asserts it would refuse a date, and a time without a zone.
fn moment() -> Value {
    json!({
        "type": ["integer", "string"],
        "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$",
        "description": "whole seconds since 1970-01-01 UTC, or ISO 8601: a date or a date-time, in UTC where no zone is said",
        "examples": [sample::MOMENT, 0],
    })
}

fn scalar(dtype: Dtype) -> Value {
    let whole = |least: i64, most: u64| json!({"type": "integer", "minimum": least, "maximum": most});
    match dtype {
        Dtype::Bool => json!({"type": "boolean"}),
        Dtype::Uint8 => whole(0, u64::from(u8::MAX)),
        Dtype::Uint16 => whole(0, u64::from(u16::MAX)),
        Dtype::Uint32 => whole(0, u64::from(u32::MAX)),
        Dtype::Uint64 => whole(0, u64::MAX),
        Dtype::Int8 => whole(i64::from(i8::MIN), i8::MAX as u64),
        Dtype::Int16 => whole(i64::from(i16::MIN), i16::MAX as u64),
        Dtype::Int32 => json!({"type": "integer", "format": "int32"}),
        Dtype::Int64 => json!({"type": "integer", "format": "int64"}),
        Dtype::Fp16 => json!({"description": "FP16 has no JSON form; send it as a binary tensor or over gRPC"}),
        Dtype::Fp32 => json!({"type": "number", "format": "float"}),
        Dtype::Fp64 => json!({"type": "number", "format": "double"}),
        Dtype::Bytes => json!({"type": "string"}),
    }
}

/// A column as a tensor; its data is flat or nested, or follows the JSON in binary.
fn tensor(column: &Column) -> Value {
    let dims: Vec<Value> = std::iter::once(json!({"type": "integer", "minimum": 0, "description": "records"}))
        .chain(column.shape.iter().map(|dim| if *dim < 0 { json!({"type": "integer", "minimum": 0}) } else { json!({"const": dim}) }))
        .collect();
    let most = dims.len() + usize::from(column.shape.is_empty());
    json!({
        "type": "object",
        "properties": {
            "name": {"const": column.name},
            "datatype": {"const": column.dtype.name()},
            "shape": {"type": "array", "prefixItems": dims, "minItems": column.shape.len() + 1, "maxItems": most},
            "data": {"type": "array", "description": "row by row, flat or nested"},
            "parameters": {"type": "object"},
        },
        "required": ["name", "datatype", "shape"],
    })
}

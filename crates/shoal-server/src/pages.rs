//! What can be read: metadata, health, the repository index, metrics, and how micro-batches came about.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use shoal_batch::CostModel;

use crate::catalog::Catalog;
use crate::description::Column;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::http::json;
use crate::lineup::{Offer, as_model};
use crate::metrics::History;
use crate::openapi;
use crate::reply::Reply;
use crate::trace::Learned;
use crate::try_page::File;
use crate::v1;

/// What the server can do beyond the protocol's core.
pub(crate) const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

/// The state of a model that answers.
pub(crate) const READY: &str = "READY";
const UNAVAILABLE: &str = "UNAVAILABLE";

const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// A page that was found; it is made when its method has been checked.
type Page<'a> = Box<dyn FnOnce() -> Outcome<Reply> + Send + 'a>;

/// The page at a path, split at its slashes.
///
/// # Errors
/// `UnknownRoute`, `UnknownModel`, `UnknownVersion`.
pub(crate) fn find<'a>(catalog: &'a Catalog, parts: &[&str]) -> Outcome<Page<'a>> {
    let model = |name: &str, version: Option<&str>| catalog.find(name, version).and_then(as_model);
    Ok(match parts {
        ["v2"] => Box::new(|| page(&server_metadata())),
        ["v2", "health", "live"] => Box::new(|| page(&Live { live: true })),
        ["v2", "health", "ready"] => Box::new(|| all_ready(catalog).and_then(|()| page(&Ready { name: None, ready: true }))),
        ["v1" | "v2", "models"] => Box::new(|| page(&Models { models: catalog.lineup().names().collect() })),
        ["v1", "models", name] => {
            let name = model(name, None)?.description().name.clone();
            Box::new(move || ready(catalog).and_then(|()| page(&v1::described(catalog, &name))))
        }
        ["v2", "models", name] => model_page(catalog, model(name, None)?),
        ["v2", "models", name, "versions", version] => model_page(catalog, model(name, Some(version))?),
        ["v2", "models", name, "ready"] => model_ready(catalog, catalog.find(name, None)?),
        ["v2", "models", name, "versions", version, "ready"] => model_ready(catalog, catalog.find(name, Some(version))?),
        ["v2", "models", name, "batching"] => batching(model(name, None)?),
        ["v2", "models", name, "versions", version, "batching"] => batching(model(name, Some(version))?),
        ["openapi.json"] => Box::new(|| page(&openapi::document(&catalog.lineup(), catalog.guard.keys.is_some()))),
        ["metrics"] => Box::new(|| Ok(metrics(catalog))),
        ["docs", "try", ..] if catalog.guard.has_try_page => {
            let file = File::find(parts).ok_or_else(|| nothing_at(parts))?;
            Box::new(move || file.reply(catalog))
        }
        _ => return Err(nothing_at(parts)),
    })
}

fn nothing_at(parts: &[&str]) -> Fault {
    let shown: String = parts.join("/").chars().take(128).collect();
    Fault::new(Code::UnknownRoute, format!("there is nothing at /{shown}"))
}

fn page(content: &impl Serialize) -> Outcome<Reply> {
    let body = serde_json::to_vec(content).map_err(|error| Fault::new(Code::Internal, format!("a page cannot be written: {error}")))?;
    Ok(json(body))
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

const fn server_metadata() -> Server {
    Server { name: "shoal", version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS }
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

#[derive(Serialize)]
struct Ready<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    ready: bool,
}

#[derive(Serialize)]
struct Models<'a> {
    models: Vec<&'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: String,
    inputs: Vec<Tensor<'a>>,
    outputs: Vec<Tensor<'a>>,
}

/// A column as the protocol describes a tensor: the records are its first dimension, of any size.
#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
}

/// The full shape of a column: any number of records, then the shape of one.
pub(crate) fn full_shape(column: &Column) -> Vec<i64> {
    std::iter::once(-1).chain(column.shape.iter().copied()).collect()
}

fn tensors(columns: &[Column]) -> Vec<Tensor<'_>> {
    columns.iter().map(|column| Tensor { name: &column.name, datatype: column.dtype.name(), shape: full_shape(column) }).collect()
}

/// The platform string of a runtime.
pub(crate) fn platform(served: &Served) -> String {
    match served.description().runtime.as_str() {
        "onnx" => "onnxruntime_onnx".to_owned(),
        other => format!("shoal_{other}"),
    }
}

fn model_page(catalog: &Catalog, served: Arc<Offer>) -> Page<'_> {
    Box::new(move || {
        let description = served.description();
        page(&Metadata {
            name: &description.name,
            versions: catalog.versions(&description.name),
            platform: platform(&served),
            inputs: tensors(&description.signature.inputs),
            outputs: tensors(&description.signature.outputs),
        })
    })
}

fn ready(catalog: &Catalog) -> Outcome<()> {
    let fault = || Fault::new(Code::ShuttingDown, "the server is shutting down").hint("send requests to another server");
    if catalog.is_ready() { Ok(()) } else { Err(fault()) }
}

/// Whether the server and every model can answer.
pub(crate) fn all_ready(catalog: &Catalog) -> Outcome<()> {
    ready(catalog)?;
    catalog.lineup().all().try_for_each(|served| served.ready())
}

fn model_ready(catalog: &Catalog, served: Arc<Offer>) -> Page<'_> {
    Box::new(move || {
        ready(catalog)?;
        served.ready()?;
        catalog.lineup().follow(served.description())?;
        page(&Ready { name: Some(&served.description().name), ready: true })
    })
}

#[derive(Serialize)]
struct Batching<'a> {
    model: &'a str,
    version: &'a str,
    limits: Limits,
    costs: Costs,
    #[serde(flatten)]
    history: History,
}

/// What micro-batches cost, as far as it was learned: typical times by size, and the line through them.
#[derive(Serialize)]
struct Costs {
    table: Vec<Learned>,
    line: Option<Line>,
}

#[derive(Serialize)]
struct Line {
    per_row_us: f64,
    per_call_us: f64,
}

impl From<&CostModel> for Costs {
    fn from(costs: &CostModel) -> Self {
        let line = costs.line().map(|(row_ns, call_ns)| Line { per_row_us: row_ns / 1e3, per_call_us: call_ns / 1e3 });
        Self { table: costs.profile().map(Learned::from).collect(), line }
    }
}

#[derive(Serialize)]
struct Limits {
    max_rows: usize,
    max_bytes: usize,
}

fn batching<'a>(served: Arc<Offer>) -> Page<'a> {
    Box::new(move || {
        let description = served.description();
        let limits = Limits { max_rows: description.policy.max_rows, max_bytes: description.policy.max_bytes };
        let (costs, history) = (Costs::from(&served.costs()), served.metrics().history());
        page(&Batching { model: &description.name, version: &description.version, limits, costs, history })
    })
}

fn metrics(catalog: &Catalog) -> Reply {
    catalog.lineup().all().for_each(|served| served.gauge());
    catalog.metrics.holding(catalog.guard.connections.open(), catalog.guard.bodies.bytes());
    let mut reply = Reply::new(catalog.metrics.text().into());
    reply.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    reply
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IndexRequest {
    ready: bool,
}

#[derive(Serialize)]
struct Indexed<'a> {
    name: &'a str,
    version: &'a str,
    state: &'static str,
    reason: String,
}

/// The repository index: every model in every version.
pub(crate) fn index(catalog: &Catalog, body: &[u8]) -> Outcome<Reply> {
    let request: IndexRequest = if body.is_empty() { IndexRequest::default() } else { parse(body)? };
    let lineup = catalog.lineup();
    let entries = lineup.all().map(|served| indexed(catalog, served));
    page(&entries.filter(|entry| !request.ready || entry.state == READY).collect::<Vec<_>>())
}

fn indexed<'a>(catalog: &Catalog, served: &'a Served) -> Indexed<'a> {
    let description = served.description();
    let (state, reason) = state(catalog, served);
    Indexed { name: &description.name, version: &description.version, state, reason }
}

/// The state of a model in the repository index, and the reason where it is not ready.
pub(crate) fn state(catalog: &Catalog, served: &Served) -> (&'static str, String) {
    match (catalog.is_ready(), served.ready().and_then(|()| catalog.lineup().follow(served.description()))) {
        (true, Ok(())) => (READY, String::new()),
        (true, Err(fault)) => (UNAVAILABLE, fault.to_string()),
        (false, _) => (UNAVAILABLE, String::new()),
    }
}

fn parse(body: &[u8]) -> Outcome<IndexRequest> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidRequest } else { Code::MalformedJson };
        Fault::new(code, format!("the body is no repository index request: {error}"))
    })
}

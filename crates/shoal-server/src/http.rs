//! The REST front door: paths to calls, bodies to tables, answers to bodies.
//!
//! Open Inference Protocol v2 under `/v2`, version 1 of `KServe` under `/v1`, the short form `POST /predict`, `/metrics` for Prometheus. Every
//! error is `{"error": message, "code": code, "hint": remedy}` with the status of its code.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use shoal_batch::Client;
use tracing::{debug, error};

use crate::answer::{self, Framed};
use crate::binary;
use crate::bodies::{Held, gather};
use crate::catalog::Catalog;
use crate::compression;
use crate::connections::Watch;
use crate::docs;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::guard::Turn;
use crate::intake::admit;
use crate::json::{answer as write, infer, predict};
use crate::pages;
use crate::queue::Wishes;
use crate::reply::{Content, Reply};
use crate::tasks;
use crate::tasks::Caller;
use crate::tasks::door::Asked;
use crate::v1;

const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// One request while it is being answered.
struct Call<'a> {
    head: Parts,
    body: Incoming,
    is_read: bool,
    start: Instant,
    held: Held<'a>,
    asker: Asker<'a>,
}

/// Who asks: what passes on the connection, and the name under which its requests wait.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) watch: &'a Arc<Watch>,
    pub(crate) name: Client,
}

/// Answers one HTTP request of a connection.
pub(crate) async fn handle(catalog: &Arc<Catalog>, asker: Asker<'_>, request: Request<Incoming>) -> Reply {
    let mut turn = Turn::new(|| catalog.metrics.abandon());
    let (head, body) = request.into_parts();
    let bodies = Held::new(&catalog.guard.bodies);
    let mut call = Call { is_read: body.is_end_stream(), head, body, start: Instant::now(), held: bodies, asker };
    asker.watch.has_head(!call.is_read);
    let mut reply = answer(catalog, &mut call).await.unwrap_or_else(|fault| refuse(&fault));
    if !call.is_read || !catalog.is_ready() {
        // What was not read stands between this request and the next one, so there can be no next one. And a client that
        // is told so before the server goes asks another one, instead of meeting a connection that is just being closed.
        reply.headers_mut().insert(CONNECTION, CLOSE);
    }
    if let Some(encoding) = compression::of_answer(&call.head.headers, &reply) {
        reply = compression::compressed(encoding, reply).await;
    }
    if let Some(cors) = &catalog.guard.cors {
        cors.mark(&call.head, &mut reply);
    }
    if matches!(reply.body(), Content::Whole(_)) {
        asker.watch.is_answered();
    }
    turn.answered();
    reply
}

async fn answer(catalog: &Arc<Catalog>, call: &mut Call<'_>) -> Outcome<Reply> {
    if let Some(reply) = catalog.guard.cors.as_ref().and_then(|cors| cors.preflight(&call.head)) {
        return Ok(reply);
    }
    let path = call.head.uri.path();
    catalog.guard.admit(path, &call.head.headers).inspect_err(counted(catalog))?;
    if path == "/predict" { on_predict(catalog, call).await } else { route(catalog, call).await }
}

/// A fault as the body of a reply.
pub(crate) fn error_body(fault: &Fault) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    write_error(&mut body, fault);
    body
}

/// Writes a fault as an object.
pub(crate) fn write_error(out: &mut Vec<u8>, fault: &Fault) {
    out.extend_from_slice(b"{\"error\":");
    write::text(out, &fault.message);
    out.extend_from_slice(b",\"code\":");
    write::text(out, fault.code.name());
    if let Some(hint) = &fault.hint {
        out.extend_from_slice(b",\"hint\":");
        write::text(out, hint);
    }
    out.push(b'}');
}

/// A fault as a reply.
pub(crate) fn refuse(fault: &Fault) -> Reply {
    let mut reply = json(error_body(fault));
    *reply.status_mut() = StatusCode::from_u16(fault.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(after) = fault.retry_after {
        // RFC 9110, section 10.2.3: whole seconds.
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs() + 1));
    }
    if let Some(method) = fault.allowed {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    }
    if fault.code == Code::Unauthorized {
        reply.headers_mut().insert(WWW_AUTHENTICATE, BEARER);
    }
    debug!(code = fault.code.name(), "a request was refused over HTTP");
    reply
}

/// JSON as a reply.
pub(crate) fn json(body: Vec<u8>) -> Reply {
    let mut reply = Reply::new(body.into());
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

fn framed((body, header_length): Framed) -> Reply {
    let mut reply = json(body);
    if let Some(length) = header_length {
        reply.headers_mut().insert(CONTENT_TYPE, BINARY);
        reply.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(length));
    }
    reply
}

async fn route(catalog: &Arc<Catalog>, call: &mut Call<'_>) -> Outcome<Reply> {
    let path = call.head.uri.path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["v2", "models", name, "infer"] => infer(catalog, (name, None), call).await,
        ["v2", "models", name, "versions", version, "infer"] => infer(catalog, (name, Some(version)), call).await,
        ["v1", "models", called] if called.ends_with(v1::VERB) => on_v1(catalog, (called, None), call).await,
        ["v1", "models", name, "versions", called] if called.ends_with(v1::VERB) => on_v1(catalog, (name, Some(called)), call).await,
        ["v1", "tasks"] => on_tasks(catalog, call).await,
        ["docs"] => {
            require(catalog, call, &Method::GET)?;
            Ok(docs::page(catalog, &call.head.headers))
        }
        ["v2", "repository", "index"] => {
            require(catalog, call, &Method::POST)?;
            let body = read(catalog, call).await?;
            pages::index(catalog, &body).inspect_err(counted(catalog))
        }
        other => {
            let page = pages::find(catalog, other).inspect_err(counted(catalog))?;
            require(catalog, call, &Method::GET)?;
            page()
        }
    }
}

/// Counts a refusal for which no model is to blame.
fn counted(catalog: &Catalog) -> impl FnOnce(&Fault) {
    |fault| catalog.metrics.reject(fault.code.name())
}

fn require(catalog: &Catalog, call: &Call<'_>, method: &Method) -> Outcome<()> {
    let (used, path) = (&call.head.method, call.head.uri.path());
    if used == method {
        return Ok(());
    }
    let allowed = if method == Method::POST { "POST" } else { "GET" };
    Err(not_allowed(format!("{used} {path}"), allowed)).inspect_err(counted(catalog))
}

/// The fault of a method that an address does not take; the answer names the one that it takes (RFC 9110, section 15.5.6).
pub(crate) fn not_allowed(what: impl Display, allowed: &'static str) -> Fault {
    let mut fault = Fault::new(Code::MethodNotAllowed, format!("{what} is not allowed; use {allowed}"));
    fault.allowed = Some(allowed);
    fault
}

async fn on_predict(catalog: &Catalog, call: &mut Call<'_>) -> Outcome<Reply> {
    require(catalog, call, &Method::POST)?;
    let served = catalog.choose_only().inspect_err(counted(catalog))?;
    let body = read(catalog, call).await?;
    let outcome = answer_predict(&served, &body, call.asker.name).await;
    count(catalog, &served, call.start.elapsed(), outcome.as_ref().err());
    outcome
}

async fn answer_predict(served: &Served, body: &[u8], client: Client) -> Outcome<Reply> {
    let description = served.description();
    let table = admit(description, predict::decode(body, served.form())?, body.len())?;
    let answer = served.infer(table, Wishes { client, ..Wishes::default() }).await?;
    let mut out = Vec::with_capacity(64);
    let column = description.signature.outputs.first().ok_or_else(|| Fault::new(Code::UnsupportedModel, "the model has no outputs"))?;
    write::prediction(&mut out, column, &answer)?;
    Ok(json(out))
}

async fn infer(catalog: &Catalog, (name, version): (&str, Option<&str>), call: &mut Call<'_>) -> Outcome<Reply> {
    let served = catalog.choose_model(name, version).inspect_err(counted(catalog))?;
    require(catalog, call, &Method::POST)?;
    let header_length = header_length(&call.head.headers).inspect_err(counted(catalog))?;
    let body = read(catalog, call).await?;
    let outcome = answer_infer(&served, &body, (header_length, call.asker.name)).await;
    count(catalog, &served, call.start.elapsed(), outcome.as_ref().err());
    outcome.map(framed)
}

async fn answer_infer(served: &Served, body: &Bytes, (header_length, client): (Option<usize>, Client)) -> Outcome<Framed> {
    let description = served.description();
    let (header, raw) = binary::split(body, header_length)?;
    let mut request = infer::decode(header, &description.signature.inputs)?;
    binary::fill(&mut request, raw)?;
    let names = request.outputs.as_ref().map(|outputs| outputs.iter().map(|(name, _)| name.as_str()));
    answer::chosen(description, names)?;
    let table = admit(description, std::mem::take(&mut request.columns), body.len())?;
    let wishes = Wishes { client, ..wishes(served, request.priority, request.timeout_us.map(Duration::from_micros)) };
    let answer = served.infer(table, wishes).await?;
    answer::write(description, &request, &answer)
}

/// The verb stands behind the last of name and version.
async fn on_v1(catalog: &Catalog, (name, version): (&str, Option<&str>), call: &mut Call<'_>) -> Outcome<Reply> {
    let bare = |called| str::strip_suffix(called, v1::VERB).unwrap_or(called);
    let (name, version) = version.map_or((bare(name), None), |version| (name, Some(bare(version))));
    let served = catalog.choose_model(name, version).inspect_err(counted(catalog))?;
    require(catalog, call, &Method::POST)?;
    let body = read(catalog, call).await?;
    let outcome = v1::answer(&served, &body, call.asker.name).await;
    count(catalog, &served, call.start.elapsed(), outcome.as_ref().err());
    outcome
}

async fn on_tasks(catalog: &Arc<Catalog>, call: &mut Call<'_>) -> Outcome<Reply> {
    require(catalog, call, &Method::POST)?;
    let body = read(catalog, call).await?;
    let caller = Caller { client: call.asker.name, owner: catalog.guard.owner(&call.head.headers) };
    let asked = Asked { caller, watch: Arc::clone(call.asker.watch), held: call.held.hand_over(&catalog.guard.bodies) };
    tasks::door::answer(catalog, &call.head.headers, body, asked).await.inspect_err(counted(catalog))
}

/// Counts how a request to a model ended.
pub(crate) fn count(catalog: &Catalog, served: &Served, took: Duration, fault: Option<&Fault>) {
    let Some(fault) = fault else { return served.metrics().answered(took) };
    let code = fault.code;
    served.metrics().failed(code.name(), took);
    tell(catalog, served, fault);
    if !code.is_loss() && !matches!(code, Code::ModelFailed | Code::DeadlineExceeded | Code::Internal) {
        catalog.metrics.reject(code.name());
    }
}

/// Tells the operator of a model that failed. What its exception says may quote a request, so only its kind is told.
fn tell(catalog: &Catalog, served: &Served, fault: &Fault) {
    if !matches!(fault.code, Code::ModelFailed | Code::Internal) {
        return;
    }
    if let Some(missed) = catalog.guard.failures.may_speak() {
        let description = served.description();
        let what = fault.message.split(':').next().unwrap_or_default();
        error!(model = description.name, version = description.version, code = fault.code.name(), missed, "a request failed: {what}");
    }
}

/// What a caller asked for, on the clock of the model.
pub(crate) fn wishes(served: &Served, priority: u8, timeout: Option<Duration>) -> Wishes {
    Wishes { priority, deadline: timeout.map(|timeout| served.now() + timeout), ..Wishes::default() }
}

fn header_length(headers: &HeaderMap) -> Outcome<Option<usize>> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Fault::new(Code::InvalidBinary, "Inference-Header-Content-Length must be a whole number of bytes"))
}

/// Reads the whole body, up to its limit.
async fn read(catalog: &Catalog, call: &mut Call<'_>) -> Outcome<Bytes> {
    read_limited(call, catalog.options.body_limit_bytes).await.inspect_err(counted(catalog))
}

async fn read_limited(call: &mut Call<'_>, limit: usize) -> Outcome<Bytes> {
    let encoding = compression::of_request(&call.head.headers)?;
    let body = gather(&mut call.body, limit, &mut call.held).await?;
    call.is_read = true;
    call.asker.watch.has_body();
    match encoding {
        None => Ok(body),
        Some(encoding) => compression::expand(encoding, body, limit, &mut call.held).await,
    }
}

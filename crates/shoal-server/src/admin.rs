//! The admin door: what changes a running server, on an address of its own.
//!
//! It is shut unless the operator gives an address and a file with a token, and answers nobody without that token.
//! Models are named as in the repository; there is no way to name a file. Where the server speaks TLS, this door does, too,
//! with the same certificate; clients are given the same time as at the front doors.
//!
//! | method and path | |
//! |---|---|
//! | `POST /v2/repository/index` | every package with its state, and why it does not serve |
//! | `POST /v2/repository/models/M/load` | loads what the repository holds of a model |
//! | `POST /v2/repository/models/M/unload` | ends it |
//! | `POST /v2/repository/models/M/canary` | shares requests that name no version |

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::canary::Weights;
use crate::catalog::Catalog;
use crate::connections::{Connections, Place, Watch};
use crate::door;
use crate::fault::{Code, Fault, Outcome};
use crate::http::{json, not_allowed, refuse};
use crate::reply::Reply;
use crate::repository::{Indexed, index, load, unload};
use crate::server::{give_up, settle, until_stopped};

/// The body of a call, at most.
const BODY_BYTES: usize = 64 << 10;
/// Connections at once: an operator needs few.
const CONNECTIONS: usize = 64;
/// A token is neither guessed nor a whole file.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;

/// What a caller must know.
pub(crate) struct Token(String);

impl Token {
    /// Reads the token: the text of a file, without the spaces and line ends around it.
    ///
    /// # Errors
    /// `InvalidRequest` when there is no such file, or what it holds is no token.
    pub(crate) fn read(file: &Path) -> Outcome<Self> {
        let refused = |what: &str| {
            Fault::new(Code::InvalidRequest, format!("the admin token file {} {what}", file.display()))
                .hint("make one with: openssl rand -hex 32 > FILE; chmod 600 FILE")
        };
        let text = std::fs::read_to_string(file).map_err(|error| refused(&format!("cannot be read: {error}")))?;
        let token = text.trim();
        if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused("holds no token; expected 16 to 4096 visible ASCII characters on one line"));
        }
        Ok(Self(token.to_owned()))
    }

    /// Compares in a time that does not depend on where two tokens differ.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| value.split_at_checked(7));
        given.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(token.ct_eq(self.0.as_bytes())))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parameters {
    /// None is all versions.
    version: Option<String>,
    /// What clients of Triton send; models here have no dependents.
    #[serde(rename = "unload_dependents")]
    _unload_dependents: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IndexRequest {
    ready: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanaryRequest {
    weights: Weights,
}

/// Answers one call.
async fn handle(catalog: &Arc<Catalog>, token: &Token, watch: &Watch, request: Request<Incoming>) -> Reply {
    watch.has_head(!request.body().is_end_stream());
    let outcome = if token.admits(request.headers()) { answer(catalog, watch, request).await } else { Err(unauthorized()) };
    watch.is_answered();
    outcome.unwrap_or_else(|fault| {
        let mut reply = refuse(&fault);
        // Perhaps the body was not read; then no other request can follow on this connection.
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if fault.code == Code::Unauthorized {
            reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    })
}

fn unauthorized() -> Fault {
    Fault::new(Code::Unauthorized, "this address needs the admin token")
        .hint("send the header Authorization: Bearer TOKEN, with the text of the admin token file")
}

/// Reads the body before anything else: from then on the time is the server's own.
async fn answer(catalog: &Arc<Catalog>, watch: &Watch, request: Request<Incoming>) -> Outcome<Reply> {
    let (head, body) = request.into_parts();
    let too_large = |_| Fault::new(Code::BodyTooLarge, format!("the body is over {BODY_BYTES} bytes, or did not arrive whole"));
    let body = Limited::new(body, BODY_BYTES).collect().await.map_err(too_large)?.to_bytes();
    watch.has_body();
    route(catalog, &Asked { method: head.method, path: head.uri.path(), body }).await
}

/// One call.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    body: Bytes,
}

async fn route(catalog: &Arc<Catalog>, asked: &Asked<'_>) -> Outcome<Reply> {
    let path = asked.path;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["v2", "repository", "index"] => on_index(catalog, read(asked)?).await,
        ["v2", "repository", "models", name, "load"] => on_load(catalog, name, read(asked)?).await,
        ["v2", "repository", "models", name, "unload"] => {
            let change: Change = read(asked)?;
            let versions = unload(catalog, name, change.parameters.version.as_deref()).await?;
            page(&BTreeMap::from([("unloaded", versions)]))
        }
        ["v2", "repository", "models", name, "canary"] => {
            let Needed(Some(CanaryRequest { weights })) = read(asked)? else {
                return Err(
                    Fault::new(Code::InvalidRequest, "the request has no weights").hint("send {\"weights\": {\"1\": 95, \"2\": 5}}")
                );
            };
            catalog.weigh(name, weights.clone())?;
            page(&BTreeMap::from([("weights", weights)]))
        }
        _ => {
            let shown: String = path.chars().take(128).collect();
            Err(Fault::new(Code::UnknownRoute, format!("there is nothing at {shown} on the admin address")))
        }
    }
}

async fn on_index(catalog: &Arc<Catalog>, asked: IndexRequest) -> Outcome<Reply> {
    let of = Arc::clone(catalog);
    let mut lines = off_the_loop(move || index(&of)).await?;
    if asked.ready {
        lines.retain(Indexed::is_ready);
    }
    page(&lines)
}

async fn on_load(catalog: &Arc<Catalog>, name: &str, change: Change) -> Outcome<Reply> {
    let (of, name) = (Arc::clone(catalog), name.to_owned());
    let versions = off_the_loop(move || load(&of, &name, change.parameters.version.as_deref())).await?;
    page(&BTreeMap::from([("serving", versions)]))
}

/// Runs what waits for disks and interpreters on a thread of its own.
async fn off_the_loop<T: Send + 'static>(body: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    let joined = tokio::task::spawn_blocking(body).await;
    joined.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "the call panicked; what was served before is served still")))
}

/// A body that may not be left out.
#[derive(Deserialize)]
#[serde(transparent, bound = "T: DeserializeOwned")]
struct Needed<T>(Option<T>);

impl<T> Default for Needed<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// The body of a POST; an empty one says nothing.
fn read<T: Default + DeserializeOwned>(Asked { method, body, .. }: &Asked<'_>) -> Outcome<T> {
    if method != Method::POST {
        return Err(not_allowed(method, "POST"));
    }
    if body.is_empty() {
        return Ok(T::default());
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::new(Code::InvalidRequest, "the body is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidRequest } else { Code::MalformedJson };
        Fault::new(code, format!("the body cannot be read: {error}"))
    })
}

fn page(content: &impl serde::Serialize) -> Outcome<Reply> {
    let body = serde_json::to_vec(content).map_err(|error| Fault::new(Code::Internal, format!("an answer cannot be written: {error}")))?;
    Ok(json(body))
}

/// The listening admin door: where, for whom, and how.
pub(crate) struct Door {
    pub(crate) listener: tokio::net::TcpListener,
    pub(crate) token: Token,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Accepts connections until the server is told to stop; calls under way are given up then.
pub(crate) async fn serve(catalog: Arc<Catalog>, door: Door, mut stopped: watch::Receiver<bool>) {
    let Door { listener, token, tls } = door;
    let (token, places) = (Arc::new(token), Arc::new(Connections::new(CONNECTIONS)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match (accepted, places.enter()) {
                (Ok((stream, _)), Some(place)) => {
                    let visitor = Visitor { stream, tls: tls.clone(), place };
                    drop(connections.spawn(connection(Arc::clone(&catalog), Arc::clone(&token), visitor)));
                }
                (Ok(_), None) => catalog.metrics.drop_connection("limit"),
                // Out of file descriptors, or the client left: the next one may do better.
                (Err(_), _) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = until_stopped(&mut stopped) => return,
        }
    }
}

/// A connection that has not spoken yet.
struct Visitor {
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    place: Place,
}

async fn connection(catalog: Arc<Catalog>, token: Arc<Token>, visitor: Visitor) {
    let Some(wire) = door::open(&catalog, visitor.stream, visitor.tls.as_ref(), visitor.place).await else { return };
    let watch = wire.watch();
    let service = service_fn(|request| {
        let (catalog, token, watch) = (&catalog, &token, &watch);
        async move { Ok::<_, std::convert::Infallible>(handle(catalog, token, watch, request).await) }
    });
    let mut builder = http1::Builder::new();
    // The patience of this server knows what a client is late with.
    builder.header_read_timeout(None).max_header_size(catalog.options.header_limit_bytes);
    // When the client leaves, a load that it began goes on.
    tokio::select! {
        ended = builder.serve_connection(TokioIo::new(wire), service) => settle(&catalog, ended),
        late = catalog.guard.patience.exhausted(&watch) => give_up(&catalog, late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(header: &str) -> bool {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
        Token("0123456789abcdef".into()).admits(&headers)
    }

    #[test]
    fn only_the_whole_token_is_admitted() {
        assert!(admits("Bearer 0123456789abcdef") && admits("bearer 0123456789abcdef"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert!(!Token("0123456789abcdef".into()).admits(&HeaderMap::new()));
    }
}

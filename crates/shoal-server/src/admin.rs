//! The admin door: what changes a running server, on an address of its own.
//!
//! It is shut unless the operator gives an address and a file with a token, and answers nobody without that token.
//! Models are named as in the repository; there is no way to name a file.
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

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::canary::Weights;
use crate::catalog::Catalog;
use crate::fault::{Code, Fault, Outcome};
use crate::http::{Reply, json, refuse};
use crate::repository::{Indexed, index, load, unload};
use crate::server::{HEADER_TIMEOUT, until_stopped};

/// The body of a call, at most.
const BODY_BYTES: usize = 64 << 10;
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
pub(crate) async fn handle(catalog: &Arc<Catalog>, token: &Token, request: Request<Incoming>) -> Reply {
    let outcome = if token.admits(request.headers()) { route(catalog, request).await } else { Err(unauthorized()) };
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

async fn route(catalog: &Arc<Catalog>, request: Request<Incoming>) -> Outcome<Reply> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["v2", "repository", "index"] => on_index(catalog, read(request).await?).await,
        ["v2", "repository", "models", name, "load"] => on_load(catalog, name, read(request).await?).await,
        ["v2", "repository", "models", name, "unload"] => {
            let change: Change = read(request).await?;
            let versions = unload(catalog, name, change.parameters.version.as_deref()).await?;
            page(&BTreeMap::from([("unloaded", versions)]))
        }
        ["v2", "repository", "models", name, "canary"] => {
            let asked: Needed<CanaryRequest> = read(request).await?;
            let Needed(Some(CanaryRequest { weights })) = asked else {
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
async fn read<T: Default + DeserializeOwned>(request: Request<Incoming>) -> Outcome<T> {
    if request.method() != Method::POST {
        return Err(Fault::new(Code::MethodNotAllowed, format!("{} is not allowed here; use POST", request.method())));
    }
    let too_large = |_| Fault::new(Code::BodyTooLarge, format!("the body is over {BODY_BYTES} bytes, or did not arrive whole"));
    let body = Limited::new(request.into_body(), BODY_BYTES).collect().await.map_err(too_large)?.to_bytes();
    if body.is_empty() {
        return Ok(T::default());
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::new(Code::InvalidRequest, "the body is no JSON object"));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidRequest } else { Code::MalformedJson };
        Fault::new(code, format!("the body cannot be read: {error}"))
    })
}

fn page(content: &impl serde::Serialize) -> Outcome<Reply> {
    let body = serde_json::to_vec(content).map_err(|error| Fault::new(Code::Internal, format!("an answer cannot be written: {error}")))?;
    Ok(json(body))
}

/// Accepts connections until the server is told to stop; calls under way are given up then.
pub(crate) async fn serve(catalog: Arc<Catalog>, token: Arc<Token>, listener: tokio::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(&catalog), Arc::clone(&token), stream))),
                // Out of file descriptors, or the client left: the next one may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = until_stopped(&mut stopped) => return,
        }
    }
}

async fn connection(catalog: Arc<Catalog>, token: Arc<Token>, stream: TcpStream) {
    let service = service_fn(|request| {
        let (catalog, token) = (&catalog, &token);
        async move { Ok::<_, std::convert::Infallible>(handle(catalog, token, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // The client left or spoke no HTTP; a load that it began goes on.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
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

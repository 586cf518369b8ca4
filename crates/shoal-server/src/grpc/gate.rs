//! What stands before the gRPC services: keys, the limits on bodies, and a code for every refusal.
//!
//! - Calls are let in as over HTTP, and what they hold counts in the same place.
//! - A message that does not arrive in its time is given up; the time grows with what has arrived. A stream may be silent
//!   between its messages, and holds only what was not read yet; for everything else its reader answers.
//! - An answer counts among those that its client has not taken, until it has: see [`crate::untaken`].
//! - What tonic refuses by itself (a message over the limit, one that is no message, a method that does not exist) gets
//!   the status and the `shoal-code` that the catalogue has for it, and is counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::{Request, Response};
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code as StatusCode, Status};
use tower::{Layer, Service};

use super::tasks::STREAM;
use super::{SHOAL_CODE, status, status_code};
use crate::catalog::Catalog;
use crate::connections::Late;
use crate::fault::{Code, Fault};
use crate::guard::Turn;
use crate::wire::Peer;

const GRPC_STATUS: &str = "grpc-status";

/// Puts a [`Gate`] before a service.
#[derive(Clone)]
pub(super) struct Gates(pub(super) Arc<Catalog>);

impl<S> Layer<S> for Gates {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, catalog: Arc::clone(&self.0) }
    }
}

/// A service behind keys and limits.
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    catalog: Arc<Catalog>,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let catalog = Arc::clone(&self.catalog);
        if let Err(fault) = catalog.guard.admit(request.uri().path(), request.headers()) {
            catalog.metrics.reject(fault.code.name());
            return Box::pin(async move { Ok(status(&fault).into_http()) });
        }
        let held = Arc::new(Share { catalog: Arc::clone(&catalog), bytes: AtomicUsize::new(0), begins_again: AtomicBool::new(false) });
        let (of_body, is_stream) = (Arc::clone(&held), request.uri().path() == STREAM);
        let untaken = request.extensions().get().and_then(|peer: &Peer| peer.untaken.clone());
        let metered = |inner| Body::new(Metered { inner, share: of_body, start: Instant::now(), late: None, is_stream });
        let mut request = request.map(metered);
        if is_stream {
            request.extensions_mut().insert(Arc::clone(&held));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut turn = Turn::new(|| catalog.metrics.abandon());
            let mut response = answer.await;
            turn.answered();
            if let Ok(response) = &mut response {
                name_refusal(&catalog, response.headers_mut());
            }
            drop(held);
            match untaken {
                Some(untaken) => response.map(|answer| answer.map(|body| if body.is_end_stream() { body } else { untaken.count(body) })),
                None => response,
            }
        })
    }
}

/// What one call holds, until it is answered or given up; of a stream, what has come and was not read yet.
pub(super) struct Share {
    catalog: Arc<Catalog>,
    bytes: AtomicUsize,
    /// Whether the time of a message begins with what comes next.
    begins_again: AtomicBool,
}

impl Share {
    /// A message of a stream was read: whoever reads it counts what it holds of it.
    pub(super) fn give_back(&self, bytes: usize) {
        let take = |held: usize| Some(held.saturating_sub(bytes));
        let held = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        self.catalog.guard.bodies.give(held.min(bytes));
        self.begin_again();
    }

    /// What comes next is a message of its own, or nobody has looked for it until now.
    pub(super) fn begin_again(&self) {
        self.begins_again.store(true, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.catalog.guard.bodies.give(*self.bytes.get_mut());
    }
}

/// The body of a call: counted as it arrives, and waited for only so long.
struct Metered {
    inner: Body,
    share: Arc<Share>,
    start: Instant,
    late: Option<Pin<Box<Sleep>>>,
    /// Whether messages come for as long as the call lasts.
    is_stream: bool,
}

impl Metered {
    fn count(&self, data: &Bytes) -> Result<(), Status> {
        let catalog = &self.share.catalog;
        let taken = catalog.guard.bodies.take(data.len());
        taken.map_err(|fault| {
            catalog.metrics.reject(fault.code.name());
            status(&fault)
        })?;
        self.share.bytes.fetch_add(data.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Ready when the time of this body, or of the next message of a stream, is over; the timer exists only for what has to be
    /// waited for. Between messages a stream may be silent.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.share.begins_again.swap(false, Ordering::Relaxed) {
            self.start = Instant::now();
        }
        if self.is_stream && self.share.bytes.load(Ordering::Relaxed) == 0 {
            self.late = None;
            self.share.begin_again();
            return Poll::Pending;
        }
        let bytes = self.share.bytes.load(Ordering::Relaxed) as u64;
        let until = self.start + self.share.catalog.guard.patience.for_body(bytes);
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if late.deadline() != until {
            late.as_mut().reset(until);
        }
        late.as_mut().poll(context)
    }
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |data| self.count(data));
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => {
                ready!(self.poll_late(context));
                let catalog = &self.share.catalog;
                catalog.metrics.drop_connection(Late::Body.name());
                let fault = Fault::new(Code::InvalidRequest, "the message did not arrive in its time");
                Poll::Ready(Some(Err(status(&fault))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Gives a refusal of tonic itself its code, and counts it.
fn name_refusal(catalog: &Catalog, headers: &mut HeaderMap) {
    let Some(said) = headers.get(GRPC_STATUS) else { return };
    if headers.contains_key(SHOAL_CODE) {
        return;
    }
    let Some(code) = code_of(StatusCode::from_bytes(said.as_bytes())) else { return };
    catalog.metrics.reject(code.name());
    headers.insert(GRPC_STATUS, HeaderValue::from(status_code(code) as i32));
    headers.insert(SHOAL_CODE, HeaderValue::from_static(code.name()));
}

/// What a status means that tonic chose: 11 for a message over the limit, 13 for one that cannot be decoded.
const fn code_of(status: StatusCode) -> Option<Code> {
    match status {
        StatusCode::Ok | StatusCode::Cancelled => None,
        StatusCode::OutOfRange | StatusCode::ResourceExhausted => Some(Code::BodyTooLarge),
        StatusCode::Unimplemented => Some(Code::UnknownRoute),
        StatusCode::DeadlineExceeded => Some(Code::DeadlineExceeded),
        _ => Some(Code::InvalidRequest),
    }
}

//! Many tasks over gRPC: `shoal.v1.Tasks`, with the envelopes and the engine of `POST /v1/tasks`.
//!
//! `Run` is one envelope and its answer; `grpc-timeout` is the budget of every task that has no shorter one, and ends a little
//! earlier, so that the others' answers still arrive. `Stream` is a [`Session`].

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::http::{Request as HttpRequest, Response as HttpResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::gate::Share;
use super::raw::Raw;
use super::session::Session;
use super::{client_of, patience, status};
use crate::bodies::Held;
use crate::catalog::Catalog;
use crate::fault::{Code, Fault, Outcome};

use crate::tasks::door::by_size;
use crate::tasks::room::Room;
use crate::tasks::run::run;
use crate::tasks::{Caller, Done, Envelope, protobuf};
use crate::wire::Peer;

const NAME: &str = "shoal.v1.Tasks";
/// The path of a call that is a stream.
pub(super) const STREAM: &str = "/shoal.v1.Tasks/Stream";
const RUN: &str = "/shoal.v1.Tasks/Run";
/// Answers that are written before a client of a stream has taken the ones before.
const AHEAD: usize = 16;
/// What is kept of a call's time for its answer to be written and to travel: a twentieth, within these.
const TRAVEL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The service.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) catalog: Arc<Catalog>,
    /// Turns true when nothing new is taken any more.
    pub(super) stopped: watch::Receiver<bool>,
}

impl NamedService for Tasks {
    const NAME: &'static str = NAME;
}

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<HttpRequest<Body>> for Tasks {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pending<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let service = self.clone();
        let limit = self.catalog.options.body_limit_bytes;
        let mut grpc = Grpc::new(Raw).max_decoding_message_size(limit).max_encoding_message_size(usize::MAX);
        Box::pin(async move {
            Ok(match request.uri().path() {
                RUN => grpc.unary(Unary(service.catalog), request).await,
                STREAM => grpc.streaming(Both(service), request).await,
                path => {
                    let fault = Fault::new(Code::UnknownRoute, format!("there is no method {path:?}; there are {RUN} and {STREAM}"));
                    status(&fault).into_http()
                }
            })
        })
    }
}

/// One envelope, one answer.
struct Unary(Arc<Catalog>);

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Pending<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let catalog = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = Asked::of(&catalog, &request);
            let answer = asked.answer(&catalog, request.into_inner()).await;
            answer.map(Response::new).map_err(|fault| refused(&catalog, &fault))
        })
    }
}

/// A refusal, which is counted.
pub(super) fn refused(catalog: &Catalog, fault: &Fault) -> Status {
    catalog.metrics.reject(fault.code.name());
    status(fault)
}

/// Tasks one by one, and answers as they are ready.
struct Both(Tasks);

impl StreamingService<Bytes> for Both {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Pending<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, mut request: Request<Streaming<Bytes>>) -> Self::Future {
        let Tasks { catalog, stopped } = self.0.clone();
        Box::pin(async move {
            let (asked, share) = (Asked::of(&catalog, &request), request.extensions_mut().remove::<Arc<Share>>());
            let (output, answers) = mpsc::channel(AHEAD);
            let session = Session::new(catalog, asked, request.into_inner(), share);
            // It ends when its client has left.
            tokio::spawn(session.run(output, stopped));
            Ok(Response::new(ReceiverStream::new(answers)))
        })
    }
}

/// Who asks over gRPC, and until when.
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) arrived: Instant,
    pub(super) patience: Option<Duration>,
}

impl Asked {
    fn of<T>(catalog: &Catalog, request: &Request<T>) -> Self {
        let client = client_of(request.extensions().get().and_then(|peer: &Peer| peer.address));
        let owner = catalog.guard.owner(request.metadata().as_ref());
        let left = |whole: Duration| whole.saturating_sub((whole / 20).clamp(TRAVEL.0, TRAVEL.1));
        Self { caller: Caller { client, owner }, arrived: Instant::now(), patience: patience(request).map(left) }
    }

    async fn answer(&self, catalog: &Arc<Catalog>, body: Bytes) -> Outcome<Bytes> {
        let (body_bytes, room) = (body.len(), Room::of_body(catalog.options.body_limit_bytes));
        let envelope = by_size(body_bytes, move || protobuf::read(&body, room)).await??;
        let mut envelope = Envelope { arrived: self.arrived, ..envelope };
        let mut held = Held::new(&catalog.guard.bodies);
        held.add(envelope.bytes.saturating_sub(body_bytes))?;
        for task in &mut envelope.tasks {
            task.timeout = task.timeout.into_iter().chain(self.patience).min();
        }
        catalog.metrics.envelope(envelope.tasks.len());
        let merge = envelope.merge.take();
        let results = run(catalog, envelope, self.caller).await;
        let size = results.iter().map(Done::size_bytes).sum();
        let write = move || protobuf::write(&results, merge.map(|merge| merge.join(&results)).as_ref());
        by_size(size, write).await.map(Bytes::from)
    }
}

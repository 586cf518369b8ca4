//! The gRPC front door: the Open Inference Protocol v2 and the standard health service.
//!
//! The same engine answers as over REST. Tensors come raw or typed, never mixed in one request, and the answer
//! comes in the same form. Errors are a status with the message; the code of the catalogue travels in the
//! metadata `shoal-code`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use shoal_batch::Client;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tracing::debug;

use crate::answer::chosen;
use crate::catalog::Catalog;
use crate::connections::{Late, Place};
use crate::description::Column;
use crate::door;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::http::{count, wishes};
use crate::intake::admit;
use crate::json::infer::refuse_unsupported;
use crate::lineup::{Offer, as_model};
use crate::pages::{EXTENSIONS, READY, all_ready, full_shape, platform, state};
use crate::queue::Wishes;
use crate::server::{give_up, until_stopped};
use crate::wire::{Peer, Wire};

mod gate;
mod tensors;

use gate::Gates;

#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated from the protocol")]
pub(crate) mod inference {
    tonic::include_proto!("inference");
}

use inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use inference::infer_parameter::ParameterChoice;
use inference::model_metadata_response::TensorMetadata;
use inference::repository_index_response::ModelIndex;
use inference::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse,
};

/// Where the code of the catalogue travels.
const SHOAL_CODE: &str = "shoal-code";
/// What a refusal needs to be there in time. At the timeout itself tonic ends the call as cancelled, without code.
const TRAVEL: Duration = Duration::from_millis(2);

/// Serves gRPC on every thread until told to stop, then finishes what was accepted.
pub(crate) async fn serve(catalog: Arc<Catalog>, listener: tokio::net::TcpListener, stopped: watch::Receiver<bool>) -> Outcome<()> {
    let (threads, tls) = (catalog.threads()?, door::acceptor(&catalog, "h2")?);
    let (mut doors, mut servers) = (Vec::new(), JoinSet::new());
    for number in 0..threads.count() {
        let (door, speakers) = mpsc::channel(1);
        doors.push(door);
        drop(servers.spawn_on(speak(Arc::clone(&catalog), speakers, stopped.clone()), threads.event_loop(number)));
    }
    accept(&catalog, listener, Ushers { doors, tls, stopped }).await;
    let ended = servers.join_all().await;
    ended.into_iter().collect()
}

/// Speaks gRPC with those who have begun to speak.
async fn speak(catalog: Arc<Catalog>, speakers: mpsc::Receiver<std::io::Result<Wire>>, stopped: watch::Receiver<bool>) -> Outcome<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let limit = catalog.options.body_limit_bytes;
    let inference = GrpcInferenceServiceServer::new(Inference { catalog: Arc::clone(&catalog) })
        .max_decoding_message_size(limit)
        .max_encoding_message_size(usize::MAX);
    health.set_serving::<GrpcInferenceServiceServer<Inference>>().await;
    let (mut leaving, mut told) = (catalog.leaving(), stopped);
    let stop = async move {
        until_stopped(&mut leaving).await;
        health.set_not_serving::<GrpcInferenceServiceServer<Inference>>().await;
        until_stopped(&mut told).await;
    };
    let patience = catalog.guard.patience;
    Server::builder()
        .layer(Gates(Arc::clone(&catalog)))
        .max_concurrent_streams(catalog.options.max_streams)
        .http2_max_header_list_size(u32::try_from(catalog.options.header_limit_bytes).unwrap_or(u32::MAX))
        // A client that is silent, or that reads nothing, is asked for a sign of life.
        .http2_keepalive_interval(Some(patience.idle))
        .http2_keepalive_timeout(Some(patience.write))
        .add_service(health_service)
        .add_service(inference)
        .serve_with_incoming_shutdown(ReceiverStream::new(speakers), stop)
        .await
        .map_err(|error| Fault::new(Code::Internal, format!("gRPC ended: {error}")))
}

/// What brings connections to those who speak gRPC, one on each thread.
struct Ushers {
    doors: Vec<mpsc::Sender<std::io::Result<Wire>>>,
    tls: Option<TlsAcceptor>,
    stopped: watch::Receiver<bool>,
}

/// Accepts connections until told to stop. One that is silent is dropped after a while, and at once when the server
/// stops: it is owed nothing.
async fn accept(catalog: &Arc<Catalog>, listener: tokio::net::TcpListener, ushers: Ushers) {
    let mut stopped = ushers.stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => welcome(catalog, stream, &ushers),
                // Out of file descriptors, or the client left: the next one may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            () = until_stopped(&mut stopped) => return,
        }
    }
}

/// Hands a connection to the thread whose turn it is.
fn welcome(catalog: &Arc<Catalog>, stream: TcpStream, ushers: &Ushers) {
    let (Some(place), Ok(threads)) = (door::place(catalog), catalog.threads()) else { return };
    // A socket that cannot be handed over is closed; its client may try again.
    let Ok((number, dealt)) = threads.deal(stream) else { return };
    let (catalog, tls, mut stopped) = (Arc::clone(catalog), ushers.tls.clone(), ushers.stopped.clone());
    let door = ushers.doors[number].clone();
    threads.event_loop(number).spawn(async move {
        let Ok(stream) = dealt.settle() else { return };
        let wire = tokio::select! {
            wire = open(&catalog, stream, tls.as_ref(), place) => wire,
            () = until_stopped(&mut stopped) => None,
        };
        if let Some(wire) = wire {
            // A receiver that is gone means that the server ends.
            drop(door.send(Ok(wire)).await);
        }
    });
}

async fn open(catalog: &Arc<Catalog>, stream: TcpStream, tls: Option<&TlsAcceptor>, place: Place) -> Option<Wire> {
    let limit = catalog.guard.patience.head;
    let mut first = [0];
    if !matches!(tokio::time::timeout(limit, stream.peek(&mut first)).await, Ok(Ok(1))) {
        catalog.metrics.drop_connection(Late::Head.name());
        return None;
    }
    let wire = door::open(catalog, stream, tls, place).await?.opened_within(limit);
    let counting = Arc::clone(catalog);
    Some(wire.taken_within(catalog.guard.patience.write, move |late| give_up(&counting, late)))
}

/// A fault as a status.
fn status(fault: &Fault) -> Status {
    let message = fault.hint.as_ref().map_or_else(|| fault.message.clone(), |hint| format!("{} ({hint})", fault.message));
    debug!(code = fault.code.name(), "a request was refused over gRPC");
    let mut status = Status::new(status_code(fault.code), message);
    if let Some(after) = fault.retry_after {
        // Source: gRPC proposal A6, client retries.
        status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(u32::try_from(after.as_millis()).unwrap_or(u32::MAX)));
    }
    if let Ok(value) = fault.code.name().parse() {
        status.metadata_mut().insert(SHOAL_CODE, value);
    }
    status
}

fn status_code(code: Code) -> tonic::Code {
    match code.grpc() {
        "INVALID_ARGUMENT" => tonic::Code::InvalidArgument,
        "NOT_FOUND" => tonic::Code::NotFound,
        "ALREADY_EXISTS" => tonic::Code::AlreadyExists,
        "RESOURCE_EXHAUSTED" => tonic::Code::ResourceExhausted,
        "UNAUTHENTICATED" => tonic::Code::Unauthenticated,
        "UNAVAILABLE" => tonic::Code::Unavailable,
        "DEADLINE_EXCEEDED" => tonic::Code::DeadlineExceeded,
        "FAILED_PRECONDITION" => tonic::Code::FailedPrecondition,
        "DATA_LOSS" => tonic::Code::DataLoss,
        "UNIMPLEMENTED" => tonic::Code::Unimplemented,
        _ => tonic::Code::Internal,
    }
}

struct Inference {
    catalog: Arc<Catalog>,
}

impl Inference {
    fn find(&self, name: &str, version: &str) -> Result<Arc<Offer>, Status> {
        self.found(self.catalog.find(name, named(version)))
    }

    fn found(&self, outcome: Outcome<Arc<Offer>>) -> Result<Arc<Offer>, Status> {
        outcome.map_err(|fault| {
            self.catalog.metrics.reject(fault.code.name());
            status(&fault)
        })
    }
}

/// The version of a message, if it names one.
fn named(version: &str) -> Option<&str> {
    Some(version).filter(|version| !version.is_empty())
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: all_ready(&self.catalog).is_ok() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let request = request.into_inner();
        let served = self.find(&request.name, &request.version)?;
        let is_ready = self.catalog.is_ready() && served.ready().is_ok() && self.catalog.lineup().follow(served.description()).is_ok();
        Ok(Response::new(ModelReadyResponse { ready: is_ready }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Result<Response<ServerMetadataResponse>, Status> {
        let extensions = EXTENSIONS.iter().map(ToString::to_string).collect();
        Ok(Response::new(ServerMetadataResponse { name: "shoal".into(), version: env!("CARGO_PKG_VERSION").into(), extensions }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Result<Response<ModelMetadataResponse>, Status> {
        let request = request.into_inner();
        let served = self.found(self.catalog.find(&request.name, named(&request.version)).and_then(as_model))?;
        let description = served.description();
        Ok(Response::new(ModelMetadataResponse {
            name: description.name.clone(),
            versions: self.catalog.versions(&description.name),
            platform: platform(&served),
            inputs: description.signature.inputs.iter().map(metadata).collect(),
            outputs: description.signature.outputs.iter().map(metadata).collect(),
        }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let start = Instant::now();
        let patience = patience(&request);
        let client = client_of(request.extensions().get().and_then(|peer: &Peer| peer.address));
        let request = request.into_inner();
        let served = self.found(self.catalog.choose_model(&request.model_name, named(&request.model_version)))?;
        let outcome = infer(&served, request, (patience, client)).await;
        count(&self.catalog, &served, start.elapsed(), outcome.as_ref().err());
        outcome.map(Response::new).map_err(|fault| status(&fault))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Result<Response<RepositoryIndexResponse>, Status> {
        let lineup = self.catalog.lineup();
        let entries = lineup.all().map(|served| (served.description(), state(&self.catalog, served)));
        let listed = entries.filter(|(_, (state, _))| *state == READY || !request.get_ref().ready);
        let models = listed.map(|(description, (state, reason))| ModelIndex {
            name: description.name.clone(),
            version: description.version.clone(),
            state: state.into(),
            reason,
        });
        Ok(Response::new(RepositoryIndexResponse { models: models.collect() }))
    }
}

fn metadata(column: &Column) -> TensorMetadata {
    TensorMetadata { name: column.name.clone(), datatype: column.dtype.name().into(), shape: full_shape(column) }
}

/// The `grpc-timeout` of a call, if it has one: digits, then a unit (gRPC over HTTP/2, section Requests).
fn patience<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    };
    timeout.map(|timeout| timeout.saturating_sub(TRAVEL))
}

async fn infer(
    served: &Served,
    mut request: ModelInferRequest,
    (patience, client): (Option<Duration>, Client),
) -> Outcome<ModelInferResponse> {
    let description = served.description();
    let is_raw = !request.raw_input_contents.is_empty();
    let of_outputs = request.outputs.iter().flat_map(|output| output.parameters.keys());
    let of_inputs = request.inputs.iter().flat_map(|input| input.parameters.keys());
    refuse_unsupported(request.parameters.keys().chain(of_outputs).chain(of_inputs))?;
    let (priority, timeout) = parameters(&request)?;
    let outputs = std::mem::take(&mut request.outputs);
    let names = (!outputs.is_empty()).then(|| outputs.iter().map(|output| output.name.as_str()));
    let indices = chosen(description, names)?;
    let message_bytes = request.encoded_len();
    let columns = tensors::received(std::mem::take(&mut request.inputs), &request.raw_input_contents)?;
    let table = admit(description, columns, message_bytes)?;
    let deadline = timeout.into_iter().chain(patience).min();
    let answer = served.infer(table, Wishes { client, ..wishes(served, priority, deadline) }).await?;
    let mut response = ModelInferResponse {
        model_name: description.name.clone(),
        model_version: description.version.clone(),
        id: request.id,
        ..Default::default()
    };
    tensors::write(&mut response, description, &answer, &indices, is_raw)?;
    Ok(response)
}

/// The name of a connection: its address, apart from the numbers of HTTP connections. All calls on it are one client with
/// several requests in flight.
fn client_of(address: Option<SocketAddr>) -> Client {
    let Some(address) = address else { return Client::default() };
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    Client(hasher.finish() | 1 << 63)
}

/// The reserved parameters: (priority, timeout).
fn parameters(request: &ModelInferRequest) -> Outcome<(u8, Option<Duration>)> {
    let whole = |name: &str| -> Outcome<Option<u64>> {
        let Some(parameter) = request.parameters.get(name) else { return Ok(None) };
        let number = match parameter.parameter_choice {
            Some(ParameterChoice::Int64Param(number)) => u64::try_from(number).ok(),
            Some(ParameterChoice::Uint64Param(number)) => Some(number),
            _ => None,
        };
        number.map(Some).ok_or_else(|| Fault::new(Code::InvalidRequest, format!("parameter {name:?} must be a whole number, not negative")))
    };
    let priority = whole("priority")?.unwrap_or(0);
    let priority = u8::try_from(priority)
        .map_err(|_| Fault::new(Code::InvalidRequest, format!("parameter \"priority\" is {priority}; expected 0 to 255")))?;
    Ok((priority, whole("timeout")?.filter(|us| *us > 0).map(Duration::from_micros)))
}

/// The columns of a message, for tests of the decoder.
#[cfg(test)]
pub(crate) fn decode(request: ModelInferRequest) -> Outcome<Vec<crate::intake::Received>> {
    tensors::received(request.inputs, &request.raw_input_contents)
}

/// A message of (name, datatype, shape, contents) inputs and raw contents, for tests of the decoder.
#[cfg(test)]
pub(crate) fn message(inputs: Vec<(&str, &str, Vec<i64>, Vec<i32>)>, raw: Vec<Vec<u8>>) -> ModelInferRequest {
    let input = |(name, datatype, shape, numbers): (&str, &str, Vec<i64>, Vec<i32>)| {
        let fp32_contents = numbers.iter().map(|number| *number as f32).collect();
        let contents =
            (!numbers.is_empty()).then(|| inference::InferTensorContents { fp32_contents, int_contents: numbers, ..Default::default() });
        inference::model_infer_request::InferInputTensor {
            name: name.into(),
            datatype: datatype.into(),
            shape,
            contents,
            ..Default::default()
        }
    };
    ModelInferRequest {
        inputs: inputs.into_iter().map(input).collect(),
        raw_input_contents: raw.into_iter().map(Into::into).collect(),
        ..Default::default()
    }
}

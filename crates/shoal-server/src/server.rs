//! Listening, serving and draining: event loops on threads of their own, the first of which accepts and drains.
//!
//! [`Server::start`] binds both addresses before it returns, so that a port in use is an error of the caller.
//! [`Server::give_notice`] says that the server is going away: readiness says no, each answer over HTTP is the last on
//! its connection, and all that comes is answered. [`Server::close`] drains: no connection is accepted any more, every
//! request that was accepted is answered, then the executors end. Dropping a server closes it.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{Dispatch, debug, error, info, warn};

use crate::admin::{self, Token};
use crate::attendant::Attended;
use crate::catalog::{Catalog, Prepared};
use crate::connections::Late;
use crate::description::Description;
use crate::engine::Archive;
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::guard::Guard;
use crate::options::Options;
use crate::profiles::Profiles;
use crate::repository::{Repository, Store};
use crate::threads::{Dealt, STACK_BYTES, Threads, event_loop};
use crate::trace::Trace;
use crate::{door, grpc, http, log};

/// How long draining waits for clients that are slow to send their requests or to read their answers, once no
/// model has anything to do.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How often draining looks whether a model has something to do.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// So much of a body is read at once; what is read is held by each connection, beside the body itself.
const READ_BYTES: usize = 64 << 10;

/// A model to serve: its description and what runs it, one micro-batch at a time for each executor.
pub type Model = (Description, Vec<Box<dyn Executor>>);

/// A running server.
pub struct Server {
    http: SocketAddr,
    grpc: SocketAddr,
    admin: Option<SocketAddr>,
    problems: Vec<(String, String, String)>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<Outcome<()>>>>,
    process: u32,
    /// Gone when the event loop has ended.
    pub(crate) ended: watch::Receiver<()>,
    catalog: Weak<Catalog>,
    log: Dispatch,
}

impl Server {
    /// Binds both addresses and serves the models.
    ///
    /// # Errors
    /// `AddressInUse` with the address, `InvalidRequest` for an address that is none or a model given twice.
    pub fn start(models: Vec<Model>, repository: Option<Box<dyn Repository>>, options: Options) -> Outcome<Self> {
        let doors = Doors::open(&options)?;
        let (http, grpc) = (address(&doors.http)?, address(&doors.grpc)?);
        let admin = doors.admin.as_ref().map(|(listener, _)| address(listener)).transpose()?;
        let log = log::open(options.log_level, options.log_format);
        let (catalog, prepared) = tracing::dispatcher::with_default(&log, || furnish(models, repository, options))?;
        let problems = catalog.store.as_ref().map(Store::problems).unwrap_or_default();
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = watch::channel(());
        let (of_server, of_thread) = (Arc::downgrade(&catalog), log.clone());
        let body = move || {
            let _alive = alive;
            let _log = tracing::dispatcher::set_default(&of_thread);
            announce(&catalog, (http, grpc), admin);
            let ended = run(&catalog, prepared, doors, &stopped);
            info!(%http, "the server has ended");
            ended
        };
        let thread = std::thread::Builder::new().name("shoal-server".into()).stack_size(STACK_BYTES).spawn(body);
        let thread = thread.map_err(|error| Fault::new(Code::Internal, format!("no thread can be started: {error}")))?;
        let (thread, process) = (Mutex::new(Some(thread)), std::process::id());
        Ok(Self { http, grpc, admin, problems, stop, thread, process, ended, catalog: of_server, log })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where gRPC is served.
    #[must_use]
    pub const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Says that the server is going away, and goes on for as long as the options say.
    pub(crate) async fn give_notice(&self) {
        let Some(notice) = self.catalog.upgrade().map(|catalog| {
            catalog.drain();
            Duration::from_millis(catalog.options.drain_notice_ms)
        }) else {
            return;
        };
        if !notice.is_zero() {
            tracing::dispatcher::with_default(&self.log, || info!(notice_ms = notice.as_millis(), "the server is about to drain"));
            tokio::time::sleep(notice).await;
        }
    }

    /// Takes nothing new from here on.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Names in the log what is not answered: the process is about to end.
    pub(crate) fn name_abandoned(&self) {
        let Some(catalog) = self.catalog.upgrade() else { return };
        tracing::dispatcher::with_default(&self.log, || {
            for served in catalog.lineup().all().filter(|served| !served.is_idle()) {
                let description = served.description();
                error!(model = description.name, version = description.version, requests = served.owed(), "requests were abandoned");
            }
            error!(connections = catalog.guard.connections.open(), "a second signal ended the drain");
        });
    }

    /// Where an operator's calls are served.
    #[must_use]
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The packages of the repository that could not be served at the start: (name, version, reason).
    #[must_use]
    pub fn problems(&self) -> &[(String, String, String)] {
        &self.problems
    }

    /// Answers everything accepted, then ends. A second call does nothing.
    ///
    /// # Errors
    /// `Internal` when the event loop ended by itself.
    pub fn close(&self) -> Outcome<()> {
        if std::process::id() != self.process {
            // A forked child has no event loop; the server is its parent's.
            std::mem::forget(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
            return Ok(());
        }
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|_| Err(Fault::new(Code::Internal, "the event loop panicked"))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fault at this point has nobody to go to.
        drop(self.close());
    }
}

fn announce(catalog: &Catalog, addresses: (SocketAddr, SocketAddr), admin: Option<SocketAddr>) {
    let lineup = catalog.lineup();
    let models = lineup.names().collect::<Vec<_>>().join(" ");
    let (tls, keys) = (catalog.guard.identity.is_some(), catalog.guard.keys.is_some());
    info!(http = %addresses.0, grpc = %addresses.1, models, tls, keys, "the server listens");
    for served in lineup.all() {
        if let Err(fault) = lineup.follow(served.description()) {
            warn!(router = served.description().name, version = served.description().version, "{}", fault.message);
        }
    }
    catalog.guard.warn(addresses, admin);
}

fn bind(address: &str) -> Outcome<TcpListener> {
    let none = |error: &dyn std::fmt::Display| {
        Fault::new(Code::InvalidRequest, format!("{address:?} is no address to listen on: {error}"))
            .hint("use HOST:PORT, for example 127.0.0.1:8000; port 0 picks a free one")
    };
    let resolved = address.to_socket_addrs().map_err(|error| none(&error))?.next().ok_or_else(|| none(&"it resolves to nothing"))?;
    let listener = TcpListener::bind(resolved).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Fault::new(Code::AddressInUse, format!("cannot listen on {address}: {error}")).hint("choose another port; 0 picks a free one")
        }
        _ => none(&error),
    })?;
    listener.set_nonblocking(true).map_err(|error| none(&error))?;
    Ok(listener)
}

fn address(listener: &TcpListener) -> Outcome<SocketAddr> {
    listener.local_addr().map_err(|error| Fault::new(Code::Internal, format!("a socket has no address: {error}")))
}

/// The sockets that a server listens on.
struct Doors {
    http: TcpListener,
    grpc: TcpListener,
    admin: Option<(TcpListener, Token)>,
}

impl Doors {
    fn open(options: &Options) -> Outcome<Self> {
        let admin = match (&options.admin, &options.admin_token_file) {
            (None, None) => None,
            (Some(admin), Some(file)) => {
                let token = Token::read(file)?;
                Some((bind(admin)?, token))
            }
            (Some(_), None) => return Err(half_an_admin("an admin address needs the file of its token", "--admin-token-file FILE")),
            (None, Some(_)) => return Err(half_an_admin("an admin token is of no use without an address", "--admin HOST:PORT")),
        };
        Ok(Self { http: bind(&options.http)?, grpc: bind(&options.grpc)?, admin })
    }
}

fn half_an_admin(message: &str, missing: &str) -> Fault {
    Fault::new(Code::InvalidRequest, message).hint(format!("give {missing}, too"))
}

fn furnish(models: Vec<Model>, repository: Option<Box<dyn Repository>>, options: Options) -> Outcome<(Arc<Catalog>, Vec<Prepared>)> {
    let may_be_empty = options.admin.is_some();
    let guard = Guard::new(&options)?;
    let archive = archive(&options)?;
    let catalog = Catalog::new(options, guard, repository.map(Store::new), archive);
    let mut prepared = Vec::new();
    for model in models {
        let (offer, executors) = catalog.prepare(model);
        catalog.add(Arc::clone(&offer))?;
        prepared.push((offer, executors));
    }
    if let Some(store) = &catalog.store {
        prepared.extend(store.open_all(&catalog)?);
        if prepared.is_empty() && !may_be_empty {
            return Err(nothing_to_serve(&store.problems()));
        }
    }
    Ok((Arc::new(catalog), prepared))
}

fn archive(options: &Options) -> Outcome<Archive> {
    let trace = options.trace_file.as_deref().map(Trace::open).transpose()?.map(Arc::new);
    Ok(Archive { trace, profiles: Profiles::new(options.profile_cache.as_deref()).map(Arc::new) })
}

fn nothing_to_serve(problems: &[(String, String, String)]) -> Fault {
    let why = problems.first().map_or_else(
        || "it holds no package".to_owned(),
        |(name, version, reason)| format!("{} cannot be served, the first of them {name} {version}: {reason}", problems.len()),
    );
    Fault::new(Code::InvalidPackage, format!("the repository has nothing to serve: {why}"))
}

fn run(catalog: &Arc<Catalog>, prepared: Vec<Prepared>, doors: Doors, stopped: &watch::Receiver<bool>) -> Outcome<()> {
    let internal = |error: std::io::Error| Fault::new(Code::Internal, format!("the event loop cannot run: {error}"));
    event_loop()?.block_on(async {
        let (threads, _others) = Threads::start(catalog.options.threads)?;
        catalog.run_on(threads);
        for (offer, executors) in prepared {
            catalog.start(&offer, executors)?;
        }
        let http = tokio::net::TcpListener::from_std(doors.http).map_err(internal)?;
        let grpc = tokio::net::TcpListener::from_std(doors.grpc).map_err(internal)?;
        if let Some((listener, token)) = doors.admin {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(internal)?;
            let door = admin::Door { listener, token, tls: door::acceptor(catalog, "http/1.1")? };
            tokio::spawn(admin::serve(Arc::clone(catalog), door, stopped.clone()));
        }
        let tls = door::acceptor(catalog, "http/1.1")?;
        let impatient = until_nobody_is_owed(catalog, stopped.clone());
        let doors =
            async { tokio::join!(accept(catalog, http, tls, stopped.clone()), grpc::serve(Arc::clone(catalog), grpc, stopped.clone())).1 };
        let follow = async {
            catalog.guard.follow_files().await;
            std::future::pending::<()>().await;
        };
        let served = tokio::select! {
            served = doors => served,
            // What is left are clients that neither speak nor listen; one of them must not keep the server alive.
            () = impatient => Ok(()),
            () = follow => Ok(()),
        };
        catalog.crew.close().await;
        catalog.archive.trace.iter().for_each(|trace| trace.close());
        served
    })
}

/// Accepts HTTP connections until told to stop, then waits for those that are open.
async fn accept(catalog: &Arc<Catalog>, listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let told = stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => deal(catalog, &mut connections, stream, (tls.clone(), told.clone())),
                // Out of file descriptors, or the client left: the next one may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = until_stopped(&mut stopped) => break,
        }
    }
    drop(listener);
    info!("the server drains: what was accepted is answered");
    catalog.drain();
    while connections.join_next().await.is_some() {}
}

/// Hands a connection to the thread whose turn it is.
fn deal(
    catalog: &Arc<Catalog>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    (tls, told): (Option<TlsAcceptor>, watch::Receiver<bool>),
) {
    let Ok(threads) = catalog.threads() else { return };
    // A socket that cannot be handed over is closed; its client may try again.
    let Ok((number, dealt)) = threads.deal(stream) else { return };
    let connection = connection(Arc::clone(catalog), dealt, tls, told);
    drop(connections.spawn_on(connection, threads.event_loop(number)));
}

/// Ends when the server is told to stop.
pub(crate) async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone means stop, too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Ends when the server is to stop and no model had anything to do for [`DRAIN_LIMIT`].
async fn until_nobody_is_owed(catalog: &Catalog, mut stopped: watch::Receiver<bool>) {
    until_stopped(&mut stopped).await;
    let mut idle_since = tokio::time::Instant::now();
    while idle_since.elapsed() < DRAIN_LIMIT {
        tokio::time::sleep(DRAIN_STEP).await;
        if !catalog.crew.is_idle() {
            idle_since = tokio::time::Instant::now();
        }
    }
}

async fn connection(catalog: Arc<Catalog>, dealt: Dealt, tls: Option<TlsAcceptor>, mut stopped: watch::Receiver<bool>) {
    let Ok(stream) = dealt.settle() else { return };
    let Some(place) = door::place(&catalog) else {
        return if tls.is_none() {
            door::turn_away(catalog, stream).await;
        };
    };
    let opened = tokio::select! {
        opened = door::open(&catalog, stream, tls.as_ref(), place) => opened,
        // A client that has not managed TLS yet is owed nothing.
        () = until_stopped(&mut stopped) => None,
    };
    let Some(wire) = opened else { return };
    let (watch, client) = (wire.watch(), catalog.new_client());
    let service = service_fn(|request| {
        let (catalog, asker) = (&catalog, http::Asker { watch: &watch, name: client.name });
        async move { Ok::<_, std::convert::Infallible>(http::handle(catalog, asker, request).await) }
    });
    let mut builder = http1::Builder::new();
    // The patience of this server knows what a client is late with.
    builder.header_read_timeout(None).max_header_size(catalog.options.header_limit_bytes);
    builder.max_buf_size(catalog.options.header_limit_bytes.max(READ_BYTES));
    let connection = builder.serve_connection(TokioIo::new(wire), service);
    let watched = (Arc::clone(&watch), catalog.guard.patience);
    match Attended::new(connection, http1::Connection::graceful_shutdown, watched, stopped).await {
        Ok(ended) => settle(&catalog, ended),
        Err(late) => give_up(&catalog, late),
    }
}

pub(crate) fn give_up(catalog: &Catalog, late: Late) {
    catalog.metrics.drop_connection(late.name());
    debug!(reason = late.name(), "a connection was given up");
}

/// Counts what hyper refused before there was a request. Every other end is the client's own: it left.
pub(crate) fn settle(catalog: &Catalog, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    if error.is_parse() {
        let code = if error.is_parse_too_large() { Code::HeadersTooLarge } else { Code::InvalidRequest };
        catalog.metrics.reject(code.name());
        debug!(code = code.name(), "the head of a request was refused");
    }
}

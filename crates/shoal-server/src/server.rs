//! Listening, serving and draining: one event loop on a thread of its own.
//!
//! [`Server::start`] binds both addresses before it returns, so that a port in use is an error of the caller.
//! [`Server::close`] drains: no connection is accepted any more, every request that was accepted is answered,
//! then the executors end. Dropping a server closes it.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::description::Description;
use crate::engine::{Running, Served, start as start_executors};
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::{grpc, http};

/// A client that does not finish its headers in this time is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long draining waits for clients that are slow to send their requests or to read their answers, once no
/// model has anything to do.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How often draining looks whether a model has something to do.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// The stack of the event loop; no input may need more.
const STACK_BYTES: usize = 2 << 20;

/// A model to serve: its description and what runs it, one micro-batch at a time for each executor.
pub type Model = (Description, Vec<Box<dyn Executor>>);

/// A running server.
pub struct Server {
    http: SocketAddr,
    grpc: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<Outcome<()>>>>,
    process: u32,
}

impl Server {
    /// Binds both addresses and serves the models.
    ///
    /// # Errors
    /// `AddressInUse` with the address, `InvalidRequest` for an address that is none or a model given twice.
    pub fn start(models: Vec<Model>, options: Options) -> Outcome<Self> {
        let listeners = (bind(&options.http)?, bind(&options.grpc)?);
        let addresses = (address(&listeners.0)?, address(&listeners.1)?);
        let (catalog, executors) = furnish(models, options)?;
        let (stop, stopped) = watch::channel(false);
        let body = move || run(&catalog, executors, listeners, &stopped);
        let thread = std::thread::Builder::new().name("shoal-server".into()).stack_size(STACK_BYTES).spawn(body);
        let thread = thread.map_err(|error| Fault::new(Code::Internal, format!("no thread can be started: {error}")))?;
        Ok(Self { http: addresses.0, grpc: addresses.1, stop, thread: Mutex::new(Some(thread)), process: std::process::id() })
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
        self.stop.send_replace(true);
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

/// SIGTERM and SIGINT, caught from the moment this exists.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both signals from here on.
    ///
    /// # Errors
    /// `Internal` when signals cannot be received.
    pub fn catch() -> Outcome<Self> {
        let internal = |error: std::io::Error| Fault::new(Code::Internal, format!("signals cannot be received: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
        let (terminate, interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate()).map_err(internal)?, signal(SignalKind::interrupt()).map_err(internal)?)
        };
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for the first of them.
    pub fn wait(&mut self) {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    }
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

type Executors = Vec<(Arc<Served>, Vec<Box<dyn Executor>>)>;

fn furnish(models: Vec<Model>, options: Options) -> Outcome<(Arc<Catalog>, Executors)> {
    let mut catalog = Catalog::new(Metrics::new(), options);
    let mut executors = Executors::new();
    for (mut description, mut of_model) in models {
        description.policy.prefer(&catalog.options);
        let metrics = catalog.metrics.of_model(&description.name, &description.version);
        let served = Arc::new(Served::new(description, &mut of_model, metrics));
        catalog.add(Arc::clone(&served))?;
        executors.push((served, of_model));
    }
    Ok((Arc::new(catalog), executors))
}

fn run(
    catalog: &Arc<Catalog>,
    executors: Executors,
    listeners: (TcpListener, TcpListener),
    stopped: &watch::Receiver<bool>,
) -> Outcome<()> {
    let internal = |error: std::io::Error| Fault::new(Code::Internal, format!("the event loop cannot run: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(async {
        let running: Vec<Vec<Running>> =
            executors.into_iter().map(|(served, of_model)| start_executors(&served, of_model)).collect::<Outcome<_>>()?;
        let http = tokio::net::TcpListener::from_std(listeners.0).map_err(internal)?;
        let grpc = tokio::net::TcpListener::from_std(listeners.1).map_err(internal)?;
        let impatient = until_nobody_is_owed(catalog, stopped.clone());
        let doors =
            async { tokio::join!(accept(catalog, http, stopped.clone()), grpc::serve(Arc::clone(catalog), grpc, stopped.clone())).1 };
        let served = tokio::select! {
            served = doors => served,
            // What is left are clients that neither speak nor listen; one of them must not keep the server alive.
            () = impatient => Ok(()),
        };
        catalog.all().for_each(|served| served.drain());
        for executor in running.into_iter().flatten() {
            finish(executor).await;
        }
        served
    })
}

async fn finish(executor: Running) {
    match executor {
        // An executor that panicked has answered its callers; there is nothing left to do for it.
        Running::Task(task) => drop(task.await),
        Running::Thread(thread) => drop(tokio::task::spawn_blocking(|| thread.join()).await),
    }
}

/// Accepts HTTP connections until told to stop, then waits for those that are open.
async fn accept(catalog: &Arc<Catalog>, listener: tokio::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let told = stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(catalog), stream, told.clone()))),
                // Out of file descriptors, or the client left: the next one may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = until_stopped(&mut stopped) => break,
        }
    }
    drop(listener);
    catalog.drain();
    while connections.join_next().await.is_some() {}
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
        if !catalog.all().all(|served| served.is_idle()) {
            idle_since = tokio::time::Instant::now();
        }
    }
}

async fn connection(catalog: Arc<Catalog>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    // Without it, small answers wait for the client's acknowledgement; a socket that refuses is served all the same.
    drop(stream.set_nodelay(true));
    let client = catalog.new_client();
    let service = service_fn(|request| {
        let catalog = &catalog;
        async move { Ok::<_, std::convert::Infallible>(http::handle(catalog, client.name, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // The client left or spoke no HTTP; its requests are given up as their futures are dropped.
        _ = connection.as_mut() => return,
        () = until_stopped(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

//! One stream of tasks: they come one by one, and are answered as they are ready.
//!
//! - Tasks that have come together go into the queues of their models together.
//! - An id is taken until its answer has been handed over. A stream has so many tasks in flight; it is not read on while it has.
//! - A shared table holds until the stream ends, or one of the same name takes its place.
//! - What would refuse an envelope ends the stream, with its status, once the tasks before it are answered; so does the end of the
//!   server. A client that leaves gives up everything.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use super::gate::Share;
use super::tasks::{Asked, refused};
use crate::bodies::{Held, Holding};
use crate::catalog::Catalog;
use crate::fault::{Code, Fault, Outcome};
use crate::server::until_stopped;
use crate::tables::Typed;
use crate::tasks::door::by_size;
use crate::tasks::protobuf::{self, Said, Shared};
use crate::tasks::room::Room;
use crate::tasks::run::Run;
use crate::tasks::{Done, Envelope, Input, SharedTable, Task, digest};

/// Tasks of one stream in flight, at most.
const IN_FLIGHT: usize = 256;
/// Bytes of shared tables of one stream, at most.
const SHARED_BYTES: usize = 64 << 20;
/// What a shared table takes beside its name and its values.
const NAME_BYTES: usize = 256;
/// What stands before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

type Answers = mpsc::Sender<Result<Bytes, Status>>;
type Received = Result<Option<Bytes>, Status>;

/// A stream and what it holds.
pub(super) struct Session {
    catalog: Arc<Catalog>,
    asked: Asked,
    incoming: Streaming<Bytes>,
    share: Option<Arc<Share>>,
    /// By their ids: what the tables of tasks hold, and the shared ones to which they refer.
    in_flight: HashMap<String, (Holding, Option<Arc<SharedTable>>)>,
    shared: Shared,
    /// By their names: how many bytes the shared tables are, and what is held for the name.
    kept: HashMap<String, (usize, Holding)>,
    /// The sum of these.
    kept_bytes: usize,
    runs: JoinSet<()>,
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    /// Whether nothing more is read.
    is_read: bool,
    /// With what the stream ends.
    end: Option<Status>,
}

impl Session {
    pub(super) fn new(catalog: Arc<Catalog>, asked: Asked, incoming: Streaming<Bytes>, share: Option<Arc<Share>>) -> Self {
        Self {
            catalog,
            asked,
            incoming,
            share,
            in_flight: HashMap::new(),
            shared: Shared::default(),
            kept: HashMap::new(),
            kept_bytes: 0,
            runs: JoinSet::new(),
            done: mpsc::unbounded_channel(),
            is_read: false,
            end: None,
        }
    }

    /// Answers until there is nothing more to answer, or nobody who would take it.
    pub(super) async fn run(mut self, output: Answers, mut stopped: watch::Receiver<bool>) {
        while !(self.is_read && self.in_flight.is_empty()) {
            let may_read = !self.is_read && self.in_flight.len() < IN_FLIGHT;
            tokio::select! {
                biased;
                () = output.closed() => return self.catalog.metrics.abandon(),
                Some(done) = self.done.1.recv() => {
                    if self.hand_over(done, &output).await.is_err() {
                        return self.catalog.metrics.abandon();
                    }
                }
                Some(ended) = self.runs.join_next() => {
                    if let Err(error) = ended {
                        self.lose(&error);
                    }
                }
                received = self.incoming.message(), if may_read => self.take(received).await,
                () = until_stopped(&mut stopped), if !self.is_read => {
                    self.refuse(&Fault::new(Code::ShuttingDown, "the server is shutting down; no more tasks are taken"));
                }
            }
        }
        if let Some(status) = self.end.take() {
            // Who has left in the meantime does not miss it.
            drop(output.send(Err(status)).await);
        }
    }

    /// Writes the answer to a task; its id is free then.
    async fn hand_over(&mut self, done: Done, output: &Answers) -> Result<(), mpsc::error::SendError<Result<Bytes, Status>>> {
        if self.in_flight.len() == IN_FLIGHT {
            // For as long as nothing was read, no message was late.
            self.share.iter().for_each(|share| share.begin_again());
        }
        self.in_flight.remove(done.id.as_str());
        let size = done.size_bytes();
        let write = move || {
            let mut out = Vec::new();
            protobuf::write_result(&mut out, &done, true);
            Bytes::from(out)
        };
        let written = by_size(size, write).await;
        output.send(written.map_err(|fault| refused(&self.catalog, &fault))).await
    }

    /// Takes a message, and with it all others that have come by now.
    async fn take(&mut self, mut received: Received) {
        let (mut tasks, arrived) = (Vec::new(), Instant::now());
        loop {
            match received {
                Ok(Some(message)) => {
                    let task = self.read(message).await;
                    match task {
                        Ok(task) => tasks.extend(task),
                        Err(fault) => self.refuse(&fault),
                    }
                }
                Ok(None) => self.is_read = true,
                Err(status) => self.stop(status),
            }
            if self.is_read || self.in_flight.len() >= IN_FLIGHT {
                break;
            }
            let Some(next) = self.next_that_is_here().await else { break };
            received = next;
        }
        if !tasks.is_empty() {
            self.begin(tasks, arrived);
        }
    }

    /// The next message, if it need not be waited for.
    async fn next_that_is_here(&mut self) -> Option<Received> {
        poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut self.incoming).poll_next(context) {
                Poll::Ready(Some(received)) => Some(received.map(Some)),
                Poll::Ready(None) => Some(Ok(None)),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// The task that a message is; None of a shared table.
    async fn read(&mut self, message: Bytes) -> Outcome<Option<Task>> {
        let bytes = message.len();
        let room = Room::of_body(self.catalog.options.body_limit_bytes);
        let mut shared = std::mem::take(&mut self.shared);
        let read = move || (protobuf::said(&message, &mut shared, room), shared);
        let (said, shared) = by_size(bytes, read).await?;
        self.shared = shared;
        self.share.iter().for_each(|share| share.give_back(bytes + PREFIX_BYTES));
        match said? {
            Said::Table(name, table, bytes) => self.keep(name, table, bytes).map(|()| None),
            Said::Task(task, bytes) => self.enter(task, bytes).await.map(Some),
        }
    }

    fn keep(&mut self, name: String, table: Outcome<Typed>, table_bytes: usize) -> Outcome<()> {
        let name_bytes = name.len() + NAME_BYTES;
        let bytes = table_bytes.saturating_add(name_bytes);
        let before = self.kept.get(&name).map_or(0, |(bytes, _)| *bytes);
        let all = (self.kept_bytes - before).saturating_add(bytes);
        if all > SHARED_BYTES {
            let message = format!("the shared tables of the stream are over the limit of {SHARED_BYTES} bytes");
            return Err(Fault::new(Code::BodyTooLarge, message).hint("begin another stream, or send a table of the same name in its place"));
        }
        let (table_held, name_held) = (self.held(table_bytes)?, self.held(name_bytes)?);
        self.shared.replace(name.clone(), table, table_held);
        self.kept.insert(name, (bytes, name_held));
        self.kept_bytes = all;
        Ok(())
    }

    /// Bytes that are counted among those of all bodies.
    fn held(&self, bytes: usize) -> Outcome<Holding> {
        let mut held = Held::new(&self.catalog.guard.bodies);
        held.add(bytes)?;
        Ok(held.hand_over(&self.catalog.guard.bodies))
    }

    /// Takes the id of a task until it is answered.
    async fn enter(&mut self, mut task: Task, bytes: usize) -> Outcome<Task> {
        if task.id.is_empty() {
            return Err(Fault::new(Code::InvalidRequest, "a task of a stream has no id; its answer could not be told from others"));
        }
        if self.in_flight.contains_key(task.id.as_str()) {
            let message = format!("two tasks in flight have the id {:?}", task.id);
            return Err(Fault::new(Code::DuplicateTask, message).hint("an id may be used again when its task has been answered"));
        }
        let left = self.asked.patience.map(|patience| patience.saturating_sub(self.asked.arrived.elapsed()));
        task.timeout = task.timeout.into_iter().chain(left).min();
        let mut checked = by_size(digest::bytes_to_hash(&task), || Envelope::new(vec![task], None, None)).await??.tasks;
        let task = checked.pop().ok_or_else(|| Fault::new(Code::Internal, "the task was lost"))?;
        let shared = if let Ok(Input::Shared(shared)) = &task.input { Some(Arc::clone(shared)) } else { None };
        self.in_flight.insert(task.id.to_string(), (self.held(bytes)?, shared));
        Ok(task)
    }

    /// Puts tasks into the queues of their models.
    fn begin(&mut self, tasks: Vec<Task>, arrived: Instant) {
        let envelope = Envelope { tasks, merge: None, arrived, bytes: 0 };
        let (mut run, done) = (Run::begin(&self.catalog, envelope, self.asked.caller), self.done.0.clone());
        self.runs.spawn(async move {
            while let Some((_, each)) = run.next().await {
                // A stream that is gone waits for nothing.
                drop(done.send(each));
            }
        });
    }

    /// Tasks have gone that nobody will answer: the stream ends at once.
    fn lose(&mut self, error: &JoinError) {
        self.refuse(&Fault::new(Code::Internal, format!("tasks of the stream were lost: {error}")));
        self.in_flight.clear();
    }

    fn refuse(&mut self, fault: &Fault) {
        let status = refused(&self.catalog, fault);
        self.stop(status);
    }

    fn stop(&mut self, status: Status) {
        self.is_read = true;
        self.end.get_or_insert(status);
    }
}

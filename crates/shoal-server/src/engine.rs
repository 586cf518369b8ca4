//! The one engine behind every front door: a request goes into the queue of its model, free executors take
//! micro-batches out of it, and each request gets its own rows back.
//!
//! An executor sits in one of two places. A model whose micro-batches are quick runs **inline**, on the
//! event loop itself: read every socket that is ready, run the batch, answer all, and no thread is woken.
//! A model that would hold the loop up, or whose calls are Python, runs on a **thread** of its own.
//! Either way the batch closes only when the executor is free (late binding). It waits only for clients that are about
//! to speak again, as [`shoal_batch::Scheduler`] decides.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shoal_batch::{Client, CostModel, Limits, Moment, Policy, RequestId};
use tokio::sync::{Notify, oneshot};

use crate::connections::Crowd;
use crate::description::{Author, Description};
use crate::executor::{Executor, Health};
use crate::fault::{Code, Fault, Outcome};
use crate::flight::{Answer, Flight, Hold, run};
use crate::json::predict::Form;
use crate::metrics::ModelMetrics;
use crate::profiles::{Kept, Profiles};
use crate::queue::{Order, Queue, Reply, Turn, Wishes, deadline_passed};
use crate::trace::{Ledger, Model, Trace};
use crate::values::{Payload, Table, Values};
use crate::warm_up::{has_variable_shapes, warm_up};

/// Rows that may wait for one model.
const QUEUE_ROWS: usize = 100_000;
/// Bytes that may wait for one model.
const QUEUE_BYTES: usize = 256 << 20;

/// Waits of the event loop that are shorter than this are spent polling sockets: its timer is no finer.
const TIMER: Duration = Duration::from_millis(1);

/// Where the executor of a model sits.
enum Place {
    Inline(Notify),
    Thread(Condvar),
}

/// One model that answers requests.
pub struct Served {
    description: Description,
    author: Arc<Author>,
    place: Place,
    queue: Mutex<Queue>,
    form: Form,
    metrics: Arc<ModelMetrics>,
    health: Option<Arc<dyn Health>>,
    epoch: Instant,
    has_variable_shapes: bool,
    crowd: Crowd,
    /// Where what is learned of costs is kept, if it is.
    kept: Option<Kept>,
}

/// What outlives a model: the trace of its requests, and its costs; each where the operator wants it.
#[derive(Clone, Default)]
pub(crate) struct Archive {
    pub(crate) trace: Option<Arc<Trace>>,
    pub(crate) profiles: Option<Arc<Profiles>>,
}

impl Served {
    pub(crate) fn new(
        mut description: Description,
        executors: &mut [Box<dyn Executor>],
        metrics: Arc<ModelMetrics>,
        crowd: Crowd,
        archive: Archive,
    ) -> Self {
        let has_variable_shapes = has_variable_shapes(&description);
        let kept = Kept::of(archive.profiles, &description, executors);
        let (learned, quick_rows) = warm_up(&description, executors, kept.as_ref());
        let quick_rows = quick_rows.filter(|_| executors.len() == 1);
        let inline = quick_rows.is_some();
        description.policy.max_rows = quick_rows.unwrap_or(description.policy.max_rows);
        let policy = description.policy;
        let limits = Limits { max_rows: policy.max_rows, max_bytes: policy.max_bytes, queue_rows: QUEUE_ROWS, queue_bytes: QUEUE_BYTES };
        let bounds = bounds(policy, executors.len());
        let mut queue = Queue::new(limits, bounds, description.output_dtypes()).with_padding(description.padding.clone());
        for measured in &learned {
            queue.learn(*measured);
        }
        let epoch = Instant::now();
        if let Some(trace) = archive.trace {
            let model = Model::new(&trace, &description, bounds, (inline, &learned));
            queue.trace(Ledger::new(trace, model, epoch));
        }
        Self {
            place: if inline { Place::Inline(Notify::new()) } else { Place::Thread(Condvar::new()) },
            queue: Mutex::new(queue),
            has_variable_shapes,
            form: Form::new(&description),
            metrics,
            health: executors.first().and_then(|executor| executor.health()),
            epoch,
            kept,
            author: Arc::new(Author { model: description.name.clone(), version: description.version.clone() }),
            description,
            crowd,
        }
    }

    /// The description of the package.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The name and the version of the package.
    pub(crate) const fn author(&self) -> &Arc<Author> {
        &self.author
    }

    /// How records may be written in the short form.
    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    pub(crate) fn metrics(&self) -> &ModelMetrics {
        &self.metrics
    }

    /// The present moment on the clock of this model.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from(self.epoch.elapsed())
    }

    /// That moment on the clock of this model.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        Moment::from(instant.saturating_duration_since(self.epoch))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request: waits for its micro-batch, at most until its deadline. Dropping the future gives
    /// the request up.
    ///
    /// # Errors
    /// `QueueFull`, `ShuttingDown`, `DeadlineExceeded`, `ModelFailed`.
    pub async fn infer(&self, table: Table, wishes: Wishes) -> Outcome<Answer> {
        if table.rows == 0 {
            return Ok(self.no_rows());
        }
        let (sender, reply) = oneshot::channel();
        let order = self.order(Arc::new(table), wishes, Reply::One(sender));
        let id = self.lock().submit(self.now(), order);
        let mut claim = Claim { served: self, id };
        if id.is_some() {
            self.wake();
        }
        let outcome = match wishes.deadline {
            None => reply.await,
            Some(deadline) => {
                let at = tokio::time::Instant::from_std(self.epoch + Duration::from_nanos(deadline.as_nanos()));
                tokio::time::timeout_at(at, reply).await.map_err(|_| deadline_passed())?
            }
        };
        claim.id = None;
        outcome.unwrap_or_else(|_| Err(Fault::new(Code::Internal, "the request was lost")))
    }

    /// A request for the queue of this model.
    pub(crate) fn order(&self, table: Arc<Table>, wishes: Wishes, reply: Reply) -> Order {
        let shapes = self.has_variable_shapes.then(|| self.shapes_of(&table));
        Order { table, shapes, wishes, reply }
    }

    /// Whether its micro-batches are so quick that they run on the event loop. Then its records have one shape.
    pub(crate) const fn is_inline(&self) -> bool {
        matches!(self.place, Place::Inline(_))
    }

    /// Takes many requests at once, and wakes one executor for all of them. Each that is accepted has a number, by which it can
    /// be given up; each that is not is answered already.
    pub(crate) fn submit_all(&self, orders: impl Iterator<Item = Order>) -> Vec<Option<RequestId>> {
        let now = self.now();
        let ids = {
            let mut queue = self.lock();
            orders.map(|order| queue.submit(now, order)).collect()
        };
        self.wake_all();
        ids
    }

    /// Gives up many requests at once.
    pub(crate) fn forget_all(&self, ids: impl Iterator<Item = RequestId>) {
        let now = self.now();
        {
            let mut queue = self.lock();
            ids.for_each(|id| queue.forget(now, id));
        }
        self.wake();
    }

    /// The shapes of a request's records in a micro-batch: requests of the same ones share it.
    fn shapes_of(&self, table: &Table) -> Vec<usize> {
        match &self.description.padding {
            None => table.columns.iter().flat_map(|column| column.shape.iter().copied()).collect(),
            Some(padding) => padding.shapes(table).concat(),
        }
    }

    /// Room for the micro-batches of one executor.
    fn hold(&self) -> Hold {
        Hold::new(self.description.input_dtypes()).with_padding(self.description.padding.clone())
    }

    /// The answer to a table without rows.
    pub(crate) fn no_rows(&self) -> Answer {
        let column = |column: &crate::description::Column| Values {
            shape: column.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect(),
            payload: Payload::with_capacity(column.dtype, 0),
            missing: Vec::new(),
        };
        let columns = self.description.signature.outputs.iter().map(column).collect();
        Answer::new(Arc::new(Table { rows: 0, columns }), 0, 0)
    }

    fn wake(&self) {
        match &self.place {
            Place::Inline(notify) => notify.notify_one(),
            Place::Thread(condvar) => condvar.notify_one(),
        }
    }

    /// Wakes all executors: there is work for several, or none will come any more.
    fn wake_all(&self) {
        match &self.place {
            Place::Inline(notify) => notify.notify_one(),
            Place::Thread(condvar) => condvar.notify_all(),
        }
    }

    fn execute(&self, flight: Flight, executor: &mut dyn Executor, hold: &mut Hold) {
        let start = Instant::now();
        let outcomes = run(executor, &flight.members, hold, self.description.pure);
        let took = start.elapsed();
        self.metrics.ran(&flight.run, took);
        self.lock().finish(self.now(), flight, outcomes, took);
    }

    /// Accepts nothing from here on; what was accepted is still answered.
    pub(crate) fn drain(&self) {
        self.lock().drain();
        self.wake_all();
    }

    /// A client has gone: nobody waits for it.
    pub(crate) fn gone(&self, client: Client) {
        self.lock().gone(client);
    }

    /// Whether nobody waits for this model.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    /// What was learned of costs, of all shapes together.
    pub(crate) fn costs(&self) -> CostModel {
        self.lock().costs().clone()
    }

    /// What a micro-batch of one row takes, as far as it was learned.
    pub(crate) fn one_row(&self) -> Option<Duration> {
        self.lock().costs().predict(1)
    }

    /// Keeps what was learned for the next life of this model, if it ran at all. Writes a file, so not on the event loop.
    pub(crate) fn keep_costs(&self) {
        if let Some(kept) = self.kept.as_ref().filter(|_| self.lock().has_run()) {
            kept.write(&self.costs());
        }
    }

    /// How many requests this model has not answered yet.
    pub(crate) fn owed(&self) -> usize {
        self.lock().owed()
    }

    /// (rows, bytes) that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.lock().waiting()
    }

    /// Brings the gauges of the workers up to date.
    pub(crate) fn gauge_workers(&self) {
        if let Some(health) = &self.health {
            self.metrics.workers(health.alive(), health.restarts());
        }
    }

    /// Whether the model can answer.
    ///
    /// # Errors
    /// `ModelUnavailable` with the reason.
    pub(crate) fn ready(&self) -> Outcome<()> {
        self.health.as_ref().map_or(Ok(()), |health| health.ready())
    }

    async fn run_inline(self: Arc<Self>, notify: &Notify, mut executor: Box<dyn Executor>) {
        let mut hold = self.hold();
        loop {
            notify.notified().await;
            if !self.has_everybody() {
                tokio::task::yield_now().await;
            }
            loop {
                let turn = self.lock().next(self.now());
                match turn {
                    Turn::Fly(flight) => self.execute(flight, &mut *executor, &mut hold),
                    Turn::WaitUntil(until) => self.pause(until, notify).await,
                    Turn::Nothing => break,
                }
                // Every socket that is ready is written to or read before the next batch closes.
                tokio::task::yield_now().await;
            }
            if self.lock().is_drained() {
                return;
            }
        }
    }

    /// Whether all who are connected wait for an answer: there is nothing to read from anybody.
    fn has_everybody(&self) -> bool {
        self.crowd.is_all(self.lock().callers())
    }

    /// Lets the event loop go on until that moment, or until a request arrives.
    async fn pause(&self, until: Moment, notify: &Notify) {
        let left = until - self.now();
        if left > TIMER {
            // Either way there is something to look at again.
            drop(tokio::time::timeout(left, notify.notified()).await);
        }
    }

    fn run_on_thread(&self, ready: &Condvar, mut executor: Box<dyn Executor>) {
        let mut hold = self.hold();
        while let Some(flight) = self.wait_for_flight(ready) {
            self.execute(flight, &mut *executor, &mut hold);
        }
    }

    fn wait_for_flight(&self, ready: &Condvar) -> Option<Flight> {
        let mut queue = self.lock();
        loop {
            let now = self.now();
            queue = match queue.next(now) {
                Turn::Fly(flight) => return Some(flight),
                Turn::WaitUntil(until) => ready.wait_timeout(queue, until - now).unwrap_or_else(PoisonError::into_inner).0,
                Turn::Nothing if queue.is_drained() => return None,
                Turn::Nothing => ready.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A request that somebody waits for, if it was accepted and is not answered yet. Dropped early, it gives the request up.
struct Claim<'s> {
    served: &'s Served,
    id: Option<RequestId>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let now = self.served.now();
            self.served.lock().forget(now, id);
            self.served.wake();
        }
    }
}

/// The running executor of a model.
pub(crate) enum Running {
    Task(tokio::task::JoinHandle<()>),
    Thread(JoinHandle<()>),
}

/// Starts the executors of a model, all of which take from its one queue; must be called on the event loop.
pub(crate) fn start(served: &Arc<Served>, executors: Vec<Box<dyn Executor>>) -> Outcome<Vec<Running>> {
    executors.into_iter().map(|executor| start_one(Arc::clone(served), executor)).collect()
}

fn start_one(served: Arc<Served>, executor: Box<dyn Executor>) -> Outcome<Running> {
    if served.is_inline() {
        return Ok(Running::Task(tokio::spawn(async move {
            let handle = Arc::clone(&served);
            if let Place::Inline(notify) = &handle.place {
                served.run_inline(notify, executor).await;
            }
        })));
    }
    let body = move || {
        if let Place::Thread(ready) = &served.place {
            served.run_on_thread(ready, executor);
        }
    };
    let thread = std::thread::Builder::new().name("shoal-executor".into()).spawn(body);
    thread.map(Running::Thread).map_err(|error| Fault::new(Code::Internal, format!("no thread can be started: {error}")))
}

/// What bounds the policy of a model.
fn bounds(policy: crate::description::Policy, executors: usize) -> Policy {
    let milliseconds = |count: f64| Duration::try_from_secs_f64(count / 1e3).ok();
    let usual = Policy::default();
    Policy {
        executors,
        max_wait: policy.max_wait_ms.and_then(milliseconds).unwrap_or(usual.max_wait),
        latency_target: policy.latency_target_ms.and_then(milliseconds),
    }
}

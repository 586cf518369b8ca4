//! As many worker processes of one model as were asked for, kept alive.
//!
//! Each worker has a thread that starts it, waits for its end, and starts it again after a wait that doubles
//! while workers die without having answered anything. On Linux a worker dies with the thread that started it,
//! so this thread lives as long as the worker may. Executors borrow a connection for one micro-batch; one that
//! broke is not given back, so the micro-batch that is run again goes to another worker, or to the next life of
//! this one, whichever is there first.

use std::borrow::Cow;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::connection::{Broken, Connection};
use super::frames::{Kind, header, read_failure};
use super::process::{Launch, Process, spawn};
use crate::executor::Health;
use crate::fault::{Code, Fault, Outcome};

/// How often somebody who starts workers may say that they are not wanted any more.
const START_STEP: Duration = Duration::from_millis(50);
/// How long workers may take to end by themselves once their sockets are closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is kept alive, and within which limits.
pub(crate) struct Plan {
    /// How a worker is started.
    pub(crate) launch: Launch,
    /// The body of the frame that says what to run.
    pub(crate) setup: Vec<u8>,
    /// What a message calls the model.
    pub(crate) model: String,
    /// How many.
    pub(crate) workers: usize,
    /// A micro-batch takes this long, at most.
    pub(crate) call_limit: Duration,
    /// Opening the model takes this long, at most.
    pub(crate) start_limit: Duration,
    /// The wait before the second start in a row that came to nothing; it doubles from there.
    pub(crate) restart_wait: Duration,
    /// The longest such wait.
    pub(crate) restart_wait_limit: Duration,
    /// What each may allocate, for messages: workers hold themselves to it.
    pub(crate) memory_limit_bytes: Option<u64>,
}

/// How long to wait before a start, after so many lives in a row that answered nothing: the first
/// restart comes at once.
pub(crate) fn wait_before_start(plan: &Plan, in_vain: u32) -> Duration {
    match in_vain.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => plan.restart_wait.saturating_mul(1 << doublings.min(20)).min(plan.restart_wait_limit),
    }
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    started: Vec<Arc<Process>>,
    ready: usize,
    /// How many starts have opened the model so far.
    opened: usize,
    /// Why the last start came to nothing.
    fault: Option<Fault>,
    is_ending: bool,
}

/// The workers of one model, shared by its executors and the threads that keep them alive.
pub(crate) struct Shared {
    plan: Plan,
    state: Mutex<State>,
    changed: Condvar,
    restarts: AtomicU64,
}

/// Ends the workers when it is dropped.
pub(crate) struct Pool {
    pub(crate) shared: Arc<Shared>,
    keepers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the workers and waits until all of them have opened the model, as long as `is_wanted`.
    ///
    /// # Errors
    /// What the first worker that cannot open it says; `ModelUnavailable` when it is not wanted any more.
    pub(crate) fn start(plan: Plan, is_wanted: &dyn Fn() -> bool) -> Outcome<Self> {
        let workers = plan.workers.max(1);
        let shared = Arc::new(Shared { plan, state: Mutex::default(), changed: Condvar::new(), restarts: AtomicU64::new(0) });
        let mut pool = Self { shared, keepers: Vec::with_capacity(workers) };
        for number in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("shoal-worker-{number}")).spawn(move || shared.keep());
            pool.keepers.push(thread.map_err(|error| Fault::new(Code::Internal, format!("no thread can be started: {error}")))?);
        }
        pool.shared.wait_for_first_starts(workers, is_wanted)?;
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.end();
        for keeper in self.keepers.drain(..) {
            // A keeper that panicked keeps nothing alive any more.
            drop(keeper.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_first_starts(&self, workers: usize, is_wanted: &dyn Fn() -> bool) -> Outcome<()> {
        loop {
            let waits = |state: &mut State| state.opened < workers && state.fault.is_none();
            let waited = self.changed.wait_timeout_while(self.lock(), START_STEP, waits);
            let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
            if !result.timed_out() {
                return state.fault.clone().map_or(Ok(()), Err);
            }
            drop(state);
            if !is_wanted() {
                return Err(Fault::new(Code::ModelUnavailable, format!("model {:?} was given up while it opened", self.plan.model)));
            }
        }
    }

    /// A connection to a worker that nobody uses; waits for one.
    ///
    /// # Errors
    /// `ModelUnavailable` when no worker lives and the last start came to nothing.
    pub(crate) fn borrow(&self) -> Outcome<Connection> {
        let mut state = self.lock();
        loop {
            while let Some(connection) = state.idle.pop() {
                if connection.process.is_alive() {
                    return Ok(connection);
                }
            }
            self.check(&state)?;
            state = self.wait(state);
        }
    }

    /// Gives back a connection whose worker has answered.
    pub(crate) fn give_back(&self, connection: Connection) {
        connection.process.answered();
        self.lock().idle.push(connection);
        self.changed.notify_one();
    }

    fn check(&self, state: &State) -> Outcome<()> {
        match &state.fault {
            Some(fault) if state.ready == 0 => {
                let message = format!("model {:?} has no worker: {}", self.plan.model, fault.message);
                let mut unavailable = Fault::new(Code::ModelUnavailable, message);
                unavailable.hint.clone_from(&fault.hint);
                Err(unavailable)
            }
            _ => Ok(()),
        }
    }

    /// The life of a keeper: one worker after the other.
    fn keep(&self) {
        let mut in_vain = 0;
        let mut is_first = true;
        while self.may_start(wait_before_start(&self.plan, in_vain)) {
            self.restarts.fetch_add(u64::from(!is_first), Ordering::Relaxed);
            is_first = false;
            in_vain = if self.live() { 1 } else { in_vain.saturating_add(1) };
        }
    }

    /// Waits, unless the workers are to end; whether one may be started.
    fn may_start(&self, pause: Duration) -> bool {
        let ends_at = Instant::now() + pause;
        let mut state = self.lock();
        while !state.is_ending {
            let left = ends_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// One worker from its start to its end; whether it has answered anything.
    fn live(&self) -> bool {
        let lived = spawn(&self.plan.launch).and_then(|(process, child, stream)| self.live_as(&Arc::new(process), child, stream));
        lived.unwrap_or_else(|fault| {
            self.lock().fault = Some(fault);
            self.changed.notify_all();
            false
        })
    }

    fn live_as(&self, process: &Arc<Process>, child: Child, stream: UnixStream) -> Outcome<bool> {
        self.enrol(process);
        let closer = stream.try_clone();
        let refusal = match self.open(process, stream) {
            Ok(connection) => {
                self.publish(connection);
                None
            }
            Err(refusal) => {
                process.kill();
                Some(refusal)
            }
        };
        process.watch(child);
        // A process that the model has started may hold the socket open.
        drop(closer.map(|stream| stream.shutdown(Shutdown::Both)));
        self.strike(process);
        match refusal {
            None => Ok(process.has_answered.load(Ordering::Relaxed)),
            Some(Refusal::Told(fault)) => Err(fault),
            Some(Refusal::Broken(broken)) => Err(self.not_opened(process, &broken)),
        }
    }

    fn enrol(&self, process: &Arc<Process>) {
        let mut state = self.lock();
        state.started.push(Arc::clone(process));
        if state.is_ending {
            process.kill();
        }
    }

    /// Has the worker open the model.
    fn open(&self, process: &Arc<Process>, stream: UnixStream) -> Result<Connection, Refusal> {
        let broken = |_| Refusal::Broken(Broken::NotSent);
        let mut connection = Connection::new(stream, Arc::clone(process), self.plan.start_limit).map_err(broken)?;
        let setup = [Cow::Owned(header(Kind::Setup, self.plan.setup.len()).to_vec()), Cow::Borrowed(&self.plan.setup[..])];
        match connection.exchange(&setup).map_err(Refusal::Broken)? {
            (Kind::Ready, []) => {}
            (Kind::Failure, body) => {
                return Err(read_failure(body).map_or_else(|garbled| Refusal::Broken(Broken::Garbled(garbled)), Refusal::Told));
            }
            (kind, _) => return Err(Refusal::Broken(Broken::Garbled(format!("a frame of kind {kind:?} came before the model was open")))),
        }
        connection.set_limit(self.plan.call_limit).map_err(broken)?;
        Ok(connection)
    }

    fn publish(&self, connection: Connection) {
        let mut state = self.lock();
        connection.process.is_open.store(true, Ordering::Relaxed);
        state.ready += 1;
        state.opened += 1;
        state.fault = None;
        // Once the pool ends, a socket is closed by not being kept.
        if !state.is_ending {
            state.idle.push(connection);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn strike(&self, process: &Arc<Process>) {
        let mut state = self.lock();
        state.started.retain(|other| !Arc::ptr_eq(other, process));
        state.idle.retain(|connection| !Arc::ptr_eq(&connection.process, process));
        state.ready -= usize::from(process.is_open.load(Ordering::Relaxed));
        drop(state);
        self.changed.notify_all();
    }

    fn not_opened(&self, process: &Process, broken: &Broken) -> Fault {
        let model = &self.plan.model;
        let limit =
            self.plan.memory_limit_bytes.map(|limit| format!("; worker_memory_limit_bytes is {limit}, is it enough to open the model?"));
        let ended_hint = format!("the error output of the server has what it wrote{}", limit.unwrap_or_default());
        let (message, hint) = match broken {
            Broken::TooLate => (
                format!("the worker of model {model:?} had not opened it after {} ms", self.plan.start_limit.as_millis()),
                "give it more time with worker_start_timeout_ms",
            ),
            Broken::Garbled(why) => {
                (format!("the worker of model {model:?} does not speak the protocol: {why}"), "is it the worker of this version?")
            }
            Broken::Ended | Broken::NotSent => {
                (format!("the worker of model {model:?} {} while it opened the model", process.end()), &*ended_hint)
            }
        };
        Fault::new(Code::ModelUnavailable, message).hint(hint)
    }

    /// Has all workers end: by themselves when their sockets close, or else killed.
    fn end(&self) {
        let mut state = self.lock();
        state.is_ending = true;
        state.idle.clear();
        state.started.iter().filter(|process| !process.is_open.load(Ordering::Relaxed)).for_each(|process| process.kill());
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, FAREWELL, |state| !state.started.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.started.iter().for_each(|process| process.kill());
    }
}

/// Why a worker does not open its model.
enum Refusal {
    Told(Fault),
    Broken(Broken),
}

impl Health for Shared {
    fn alive(&self) -> usize {
        self.lock().ready
    }

    fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    fn ready(&self) -> Outcome<()> {
        self.check(&self.lock())
    }
}

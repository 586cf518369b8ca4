//! A trace: what came to the models of this server and when, one JSON object a line, for the simulator to play again.
//!
//! 1. Times are whole microseconds since the trace was opened, taken inside the engine: a request arrives when it enters
//!    the queue of its model, and is answered when its last micro-batch has come back. Reading and writing on the wire lie
//!    outside; they are in the gap between an answer and the next arrival on the same connection.
//! 2. A connection is a number that says nothing about its address, and is another one in the next trace.
//! 3. Nothing here waits: lines go through a bounded channel to a thread that writes. One that does not fit, or cannot be
//!    written, is lost and counted; the count is in the metrics and in the last line. The thread looks for lines now and
//!    then and writes few at a time: to be woken for each would cost the event loop more than the request, and a long
//!    burst would keep it from a processor that they share.
//! 4. A request that was refused before it reached a queue is not told.
//!
//! Lines are `start`, then one `model` for each that is loaded, one `request` for each that ended, and `end` when the
//! server closed. A server that is killed leaves no `end`, and perhaps half a line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use serde::{Serialize, Serializer};
use shoal_batch::{Arrival, Client, Measured, Moment, Policy, RequestId};
use tracing::{Dispatch, error};

use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};

/// What the lines mean; another number when that changes.
const FORMAT: u32 = 1;
/// Lines that may wait for the writer, of about a hundred bytes each.
const WAITING_LINES: usize = 1 << 16;
/// Lines that are written in one go ...
const BURST: usize = 200;
/// ... and how long the writer then leaves the processor to others.
const PAUSE: Duration = Duration::from_millis(1);
/// After so many pauses without a line, what was written is handed to the file, and the writer sleeps until there is one.
const QUIET_PAUSES: u32 = 500;
/// Bits of the number of a connection: as many as every reader of JSON takes exactly.
const CLIENT_BITS: u32 = 53;

/// A trace that is being written.
pub(crate) struct Trace {
    lines: SyncSender<Line>,
    pub(crate) lost: Counter,
    opened: Instant,
    numbers: RandomState,
    lanes: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// One line, as the writer gets it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Start { format: u32 },
    Model(Box<Model>),
    Request(Entry),
    End { requests: u64, lost: u64 },
}

/// Name and version of a model, and which of its queues: a server of several threads has one on each.
#[derive(Serialize)]
struct Of {
    model: String,
    version: String,
    lane: u64,
}

/// A model as it was loaded, and what its policy knew at that moment.
#[derive(Serialize)]
pub(crate) struct Model {
    #[serde(flatten, serialize_with = "inner")]
    of: Arc<Of>,
    max_rows: usize,
    max_wait_us: u64,
    latency_target_us: Option<u64>,
    executors: usize,
    /// Whether its executor sits on the event loop.
    inline: bool,
    learned: Vec<Learned>,
}

impl Model {
    /// A model under these bounds, which learned so much, in this order.
    pub(crate) fn new(trace: &Trace, description: &Description, bounds: Policy, (inline, learned): (bool, &[Measured])) -> Self {
        let lane = trace.lanes.fetch_add(1, Ordering::Relaxed);
        Self {
            of: Arc::new(Of { model: description.name.clone(), version: description.version.clone(), lane }),
            max_rows: description.policy.max_rows,
            max_wait_us: micros(bounds.max_wait),
            latency_target_us: bounds.latency_target.map(micros),
            executors: bounds.executors,
            inline,
            learned: learned.iter().copied().map(Learned::from).collect(),
        }
    }
}

/// A size and its cost, as it was learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Learned {
    pub(crate) rows: usize,
    pub(crate) took_us: f64,
}

impl From<Measured> for Learned {
    fn from(measured: Measured) -> Self {
        Self { rows: measured.rows, took_us: measured.took.as_nanos() as f64 / 1e3 }
    }
}

/// One request that ended.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten, serialize_with = "inner")]
    of: Arc<Of>,
    client: u64,
    rows: usize,
    bucket: u64,
    arrived_us: u64,
    /// When the micro-batch began that had its last rows, and how many rows that had.
    #[serde(flatten)]
    flown: Option<Flown>,
    answered_us: u64,
    outcome: &'static str,
}

fn inner<S: Serializer>(of: &Arc<Of>, serializer: S) -> Result<S::Ok, S::Error> {
    of.as_ref().serialize(serializer)
}

#[derive(Clone, Copy, Serialize)]
struct Flown {
    started_us: u64,
    batch_rows: usize,
}

impl Trace {
    /// Opens the file, which is appended to, and starts the writer.
    ///
    /// # Errors
    /// `InvalidConfiguration` for a file that cannot be written.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let unwritable = |error: std::io::Error| {
            Fault::new(Code::InvalidConfiguration, format!("the trace {} cannot be written: {error}", path.display()))
                .hint("name a file in a folder that exists and may be written to")
        };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(unwritable)?;
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let lost = Counter::default();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let writer = Writer { out: BufWriter::new(file), lost: lost.clone(), requests: 0, has_failed: false, log };
        let thread = std::thread::Builder::new().name("shoal-trace".into()).spawn(move || writer.run(&waiting)).map_err(unwritable)?;
        Ok(Self {
            lines,
            lost,
            opened: Instant::now(),
            numbers: RandomState::new(),
            lanes: AtomicU64::new(0),
            writer: Mutex::new(Some(thread)),
        })
    }

    fn tell(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.lost.inc();
        }
    }

    /// Writes what waits and the last line; what is told afterwards is lost.
    pub(crate) fn close(&self) {
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A writer that has ended takes no more lines.
        drop(self.lines.send(Line::End { requests: 0, lost: 0 }));
        drop(writer.join());
    }

    fn number(&self, client: Client) -> u64 {
        self.numbers.hash_one(client.0) >> (u64::BITS - CLIENT_BITS)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread of a trace holds.
struct Writer {
    out: BufWriter<File>,
    lost: Counter,
    requests: u64,
    has_failed: bool,
    log: Dispatch,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Line>) {
        self.write(&Line::Start { format: FORMAT });
        let mut quiet_pauses = 0;
        while let Some(written) = self.write_some(waiting) {
            quiet_pauses = if written == 0 { quiet_pauses + 1 } else { 0 };
            if quiet_pauses < QUIET_PAUSES {
                std::thread::sleep(PAUSE);
            } else if !self.wait(waiting) {
                break;
            }
        }
        let lost = self.lost.get();
        self.write(&Line::End { requests: self.requests, lost });
        let flushed = self.out.flush();
        self.told(flushed);
    }

    /// Writes some of the lines that wait: how many; none after the last one of all.
    fn write_some(&mut self, waiting: &Receiver<Line>) -> Option<usize> {
        for written in 0..BURST {
            match waiting.try_recv() {
                Ok(Line::End { .. }) | Err(TryRecvError::Disconnected) => return None,
                Ok(line) => self.write(&line),
                Err(TryRecvError::Empty) => return Some(written),
            }
        }
        Some(BURST)
    }

    /// Hands what was written to the file and sleeps until there is a line, which is written; false after the last one.
    fn wait(&mut self, waiting: &Receiver<Line>) -> bool {
        let flushed = self.out.flush();
        self.told(flushed);
        match waiting.recv() {
            Ok(Line::End { .. }) | Err(_) => false,
            Ok(line) => {
                self.write(&line);
                true
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let written = serde_json::to_writer(&mut self.out, line).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.out.write_all(b"\n"));
        let is_request = matches!(line, Line::Request(_));
        if self.told(written) {
            self.requests += u64::from(is_request);
        } else {
            self.lost.inc();
        }
    }

    /// Whether it went well; a failure is told once.
    fn told(&mut self, outcome: std::io::Result<()>) -> bool {
        let Err(failure) = outcome else { return true };
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::dispatcher::with_default(&self.log, || error!("the trace cannot be written any more: {failure}"));
        }
        false
    }
}

/// What a queue keeps of its requests while they are under way, to tell of each when it ends.
pub(crate) struct Ledger {
    trace: Arc<Trace>,
    of: Arc<Of>,
    /// The clock of the model began so long after that of the trace.
    began: Duration,
    open: HashMap<RequestId, Came>,
    flown: Option<Flown>,
}

struct Came {
    client: u64,
    rows: usize,
    bucket: u64,
    arrived_us: u64,
}

impl Ledger {
    /// Tells of a model that is loaded, whose clock began at `epoch`.
    pub(crate) fn new(trace: Arc<Trace>, model: Model, epoch: Instant) -> Self {
        let of = Arc::clone(&model.of);
        let began = epoch.duration_since(trace.opened);
        trace.tell(Line::Model(Box::new(model)));
        Self { trace, of, began, open: HashMap::new(), flown: None }
    }

    fn at_us(&self, moment: Moment) -> u64 {
        micros(self.began + Duration::from_nanos(moment.as_nanos()))
    }

    fn came(&self, now: Moment, arrival: &Arrival) -> Came {
        let client = self.trace.number(arrival.client);
        Came { client, rows: arrival.rows, bucket: arrival.bucket.0, arrived_us: self.at_us(now) }
    }

    /// A request enters the queue.
    pub(crate) fn arrived(&mut self, now: Moment, arrival: &Arrival) {
        self.open.insert(arrival.id, self.came(now, arrival));
    }

    /// A request was refused by the queue.
    pub(crate) fn refused(&self, now: Moment, arrival: &Arrival, code: Code) {
        self.tell(&self.came(now, arrival), now, code.name());
    }

    /// A micro-batch came back; whoever ends until [`Ledger::landed`] was in it.
    pub(crate) fn flew(&mut self, now: Moment, took: Duration, batch_rows: usize) {
        let started = (self.began + Duration::from_nanos(now.as_nanos())).saturating_sub(took);
        self.flown = Some(Flown { started_us: micros(started), batch_rows });
    }

    /// All who were in the micro-batch have been told of.
    pub(crate) const fn landed(&mut self) {
        self.flown = None;
    }

    /// A request ended: answered, or with the code of its fault.
    pub(crate) fn ended(&mut self, now: Moment, id: RequestId, fault: Option<Code>) {
        self.close(now, id, fault.map_or("ok", Code::name));
    }

    /// The client of a request has gone.
    pub(crate) fn abandoned(&mut self, now: Moment, id: RequestId) {
        self.close(now, id, "abandoned");
    }

    fn close(&mut self, now: Moment, id: RequestId, outcome: &'static str) {
        if let Some(came) = self.open.remove(&id) {
            self.tell(&came, now, outcome);
        }
    }

    fn tell(&self, came: &Came, now: Moment, outcome: &'static str) {
        let Came { client, rows, bucket, arrived_us } = *came;
        let (of, flown, answered_us) = (Arc::clone(&self.of), self.flown, self.at_us(now));
        self.trace.tell(Line::Request(Entry { of, client, rows, bucket, arrived_us, flown, answered_us, outcome }));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shoal_batch::{Bucket, Priority};

    use super::*;

    fn arrival(id: u64, client: u64) -> Arrival {
        let (client, bucket, priority) = (Client(client), Bucket(3), Priority::default());
        Arrival { id: RequestId(id), client, bucket, rows: 2, bytes: 8, priority, deadline: None }
    }

    fn model() -> Model {
        let learned = vec![Learned { rows: 1, took_us: 12.5 }];
        let of = Arc::new(Of { model: "m".into(), version: "1".into(), lane: 0 });
        Model { of, max_rows: 8, max_wait_us: 5, latency_target_us: None, executors: 1, inline: true, learned }
    }

    fn at(micros: u64) -> Moment {
        Moment::from_nanos(micros * 1000)
    }

    fn traced(tell: impl FnOnce(&mut Ledger)) -> Vec<Value> {
        let path = std::env::temp_dir().join(format!("shoal-trace-{}-{:?}", std::process::id(), std::thread::current().id()));
        let trace = Arc::new(Trace::open(&path).unwrap());
        tell(&mut Ledger::new(Arc::clone(&trace), model(), trace.opened));
        trace.close();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_request_that_ended_has_its_line() {
        let lines = traced(|ledger| {
            (1..=3).for_each(|id| ledger.arrived(at(10 * id), &arrival(id, id % 2)));
            ledger.flew(at(100), Duration::from_micros(40), 4);
            ledger.ended(at(100), RequestId(1), None);
            ledger.ended(at(100), RequestId(2), Some(Code::ModelFailed));
            ledger.landed();
            ledger.abandoned(at(110), RequestId(3));
            ledger.refused(at(120), &arrival(4, 9), Code::QueueFull);
        });
        assert_eq!(lines[0], json!({"event": "start", "format": 1}));
        assert_eq!((&lines[1]["event"], &lines[1]["learned"]), (&json!("model"), &json!([{"rows": 1, "took_us": 12.5}])));
        let client = lines[2]["client"].as_u64().unwrap();
        let first = json!({"event": "request", "model": "m", "version": "1", "lane": 0, "client": client, "rows": 2, "bucket": 3,
            "arrived_us": 10, "started_us": 60, "batch_rows": 4, "answered_us": 100, "outcome": "ok"});
        assert_eq!(lines[2], first);
        assert_eq!(
            (&lines[3]["outcome"], &lines[4]["outcome"], &lines[5]["outcome"]),
            (&json!("model_failed"), &json!("abandoned"), &json!("queue_full"))
        );
        assert!(
            lines[4].get("started_us").is_none() && lines[4]["client"] == lines[2]["client"] && lines[3]["client"] != lines[2]["client"]
        );
        assert_eq!(lines[6], json!({"event": "end", "requests": 4, "lost": 0}));
    }

    #[test]
    fn what_does_not_fit_is_lost_and_counted() {
        let (lines, _waiting) = sync_channel(1);
        let (lost, numbers) = (Counter::default(), RandomState::new());
        let trace = Arc::new(Trace { lines, lost, opened: Instant::now(), numbers, lanes: AtomicU64::new(0), writer: Mutex::new(None) });
        let ledger = Ledger::new(Arc::clone(&trace), model(), trace.opened);
        (0..5).for_each(|id| ledger.refused(at(1), &arrival(id, 1), Code::QueueFull));
        assert_eq!(trace.lost.get(), 5);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_by_name() {
        let fault = Trace::open(Path::new("/no/such/folder/trace.jsonl")).err().unwrap();
        assert_eq!(fault.code, Code::InvalidConfiguration);
        assert!(fault.message.contains("/no/such/folder/trace.jsonl"), "{}", fault.message);
    }
}

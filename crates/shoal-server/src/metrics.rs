//! Counters and histograms for Prometheus, and the recent micro-batches of each model.
//!
//! Each model holds its own handles, so that counting costs no look-up on the hot path. Gauges of the queue
//! are read when somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde::Serialize;
use shoal_batch::{Reason, Run};

use crate::fault::Code;
use crate::lineup::Lineup;

/// How many micro-batches `/v2/models/M/batching` remembers.
const RECENT: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    model: String,
    version: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    model: String,
    version: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: String,
}

/// Why a connection is refused or given up.
const REASONS: [&str; 6] = ["limit", "tls_failed", "header_timeout", "body_timeout", "idle_timeout", "write_timeout"];

type Seconds = Family<OfModel, Gauge<f64, AtomicU64>>;
type Histograms = Family<OfModel, Histogram, fn() -> Histogram>;

/// All metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfOutcome, Counter>,
    batches: Family<OfReason, Counter>,
    rejected: Family<OfCode, Counter>,
    abandoned: Counter,
    dropped: Family<OfCode, Counter>,
    connections: Gauge<i64, AtomicI64>,
    bodies_bytes: Gauge<i64, AtomicI64>,
    request_seconds: Histograms,
    batch_seconds: Histograms,
    batch_rows: Histograms,
    queue_seconds: Histograms,
    row_seconds: Seconds,
    queue_rows: Family<OfModel, Gauge<i64, AtomicI64>>,
    queue_bytes: Family<OfModel, Gauge<i64, AtomicI64>>,
    workers: Family<OfModel, Gauge<i64, AtomicI64>>,
    worker_restarts: Family<OfModel, Counter>,
    canary_weight: Family<OfModel, Gauge<i64, AtomicI64>>,
    tasks: Family<Ended, Counter>,
    tasks_answered: Counter,
    envelope_tasks: Histogram,
}

/// From a quick row on a CPU to a slow model: 1, 2, 5 in each decade.
const SECONDS: [f64; 17] = [2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn rows() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 15))
}

impl Metrics {
    /// With the count of lost lines, where requests are traced.
    pub(crate) fn new(trace_lost: Option<Counter>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("shoal"),
            requests: Family::default(),
            batches: Family::default(),
            rejected: Family::default(),
            abandoned: Counter::default(),
            dropped: Family::default(),
            connections: Gauge::default(),
            bodies_bytes: Gauge::default(),
            request_seconds: Family::new_with_constructor(seconds),
            batch_seconds: Family::new_with_constructor(seconds),
            batch_rows: Family::new_with_constructor(rows),
            queue_seconds: Family::new_with_constructor(seconds),
            row_seconds: Family::default(),
            queue_rows: Family::default(),
            queue_bytes: Family::default(),
            workers: Family::default(),
            worker_restarts: Family::default(),
            canary_weight: Family::default(),
            tasks: Family::default(),
            tasks_answered: Counter::default(),
            envelope_tasks: rows(),
        };
        metrics.tasks_answered = metrics.tasks.get_or_create_owned(&Ended { outcome: "ok".into() });
        metrics.register();
        if let Some(lost) = trace_lost {
            metrics.registry.register("trace_lost", "Lines of the trace that could not be written", lost);
        }
        // What never happened is there as well, as zero.
        for reason in REASONS {
            drop(metrics.dropped.get_or_create(&OfCode { reason: reason.into() }));
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by outcome: ok, or the code of the error", self.requests.clone());
        registry.register("batches", "Micro-batches by the reason for which they closed", self.batches.clone());
        registry.register("rejected", "Requests that were refused, by the code of the error", self.rejected.clone());
        registry.register("abandoned", "Requests whose client left before the answer", self.abandoned.clone());
        registry.register("connections_dropped", "Connections that the server refused or gave up, by reason", self.dropped.clone());
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register("bodies_bytes", "Bytes of bodies that are being read or answered", self.bodies_bytes.clone());
        registry.register("request_seconds", "From the arrival of a request to its encoded answer", self.request_seconds.clone());
        registry.register("batch_seconds", "One micro-batch through the model", self.batch_seconds.clone());
        registry.register("batch_rows", "Rows in a micro-batch", self.batch_rows.clone());
        let help = "How long the request of a micro-batch that came first had waited for it";
        registry.register("queue_seconds", help, self.queue_seconds.clone());
        let help = "What a micro-batch of one row takes in the model, as far as it was learned";
        registry.register("row_seconds", help, self.row_seconds.clone());
        registry.register("queue_rows", "Rows that wait", self.queue_rows.clone());
        registry.register("queue_bytes", "Bytes that wait", self.queue_bytes.clone());
        registry.register("workers", "Worker processes that have opened the model and live", self.workers.clone());
        registry.register("worker_restarts", "Worker processes started in the place of another", self.worker_restarts.clone());
        let help = "The share of a version in requests that name none, where weights are set";
        registry.register("canary_weight", help, self.canary_weight.clone());
        registry.register("tasks", "Tasks of envelopes by outcome: ok, or the code of the error", self.tasks.clone());
        registry.register("envelope_tasks", "Tasks in an envelope", self.envelope_tasks.clone());
    }

    /// Tells the weights of a model's versions.
    pub(crate) fn weigh(&self, model: &str, lineup: &Lineup) {
        for version in lineup.version_names(model) {
            let weight = lineup.weights(model).map(|weights| weights.get(&version).copied().unwrap_or(0));
            let labels = OfModel { model: model.into(), version };
            match weight {
                Some(weight) => drop(self.canary_weight.get_or_create(&labels).set(i64::from(weight))),
                None => drop(self.canary_weight.remove(&labels)),
            }
        }
    }

    /// Tells no more of a version that is gone, so that versions which come and go take no room.
    pub(crate) fn forget(&self, model: &str, version: &str) {
        let labels = OfModel { model: model.into(), version: version.into() };
        for name in Code::ALL.map(Code::name).into_iter().chain(["ok"]) {
            self.requests.remove(&outcome(&labels, name));
        }
        for reason in Reason::ALL {
            self.batches.remove(&closed(&labels, reason));
        }
        self.request_seconds.remove(&labels);
        self.batch_seconds.remove(&labels);
        self.batch_rows.remove(&labels);
        self.queue_seconds.remove(&labels);
        self.row_seconds.remove(&labels);
        self.queue_rows.remove(&labels);
        self.queue_bytes.remove(&labels);
        self.canary_weight.remove(&labels);
        self.workers.remove(&labels);
        self.worker_restarts.remove(&labels);
    }

    /// The handles of one model.
    pub(crate) fn of_model(&self, model: &str, version: &str) -> ModelMetrics {
        let labels = OfModel { model: model.into(), version: version.into() };
        ModelMetrics {
            answered: self.requests.get_or_create_owned(&outcome(&labels, "ok")),
            batches: Reason::ALL.map(|reason| self.batches.get_or_create_owned(&closed(&labels, reason))),
            request_seconds: self.request_seconds.get_or_create_owned(&labels),
            batch_seconds: self.batch_seconds.get_or_create_owned(&labels),
            batch_rows: self.batch_rows.get_or_create_owned(&labels),
            queue_seconds: self.queue_seconds.get_or_create_owned(&labels),
            queue_rows: self.queue_rows.get_or_create_owned(&labels),
            queue_bytes: self.queue_bytes.get_or_create_owned(&labels),
            requests: self.requests.clone(),
            row_seconds: self.row_seconds.clone(),
            worker_families: (self.workers.clone(), self.worker_restarts.clone()),
            history: Mutex::default(),
            labels,
        }
    }

    /// Counts a request that was refused.
    pub(crate) fn reject(&self, code: &str) {
        self.rejected.get_or_create(&OfCode { reason: code.into() }).inc();
    }

    /// Counts an envelope.
    pub(crate) fn envelope(&self, tasks: usize) {
        self.envelope_tasks.observe(tasks as f64);
    }

    /// Counts a task that has ended.
    pub(crate) fn task(&self, failed: Option<Code>) {
        match failed {
            None => self.tasks_answered.inc(),
            Some(code) => self.tasks.get_or_create(&Ended { outcome: code.name().into() }).inc(),
        };
    }

    /// Counts a request whose client left.
    pub(crate) fn abandon(&self) {
        self.abandoned.inc();
    }

    /// Counts a connection that was refused or given up.
    pub(crate) fn drop_connection(&self, reason: &str) {
        self.dropped.get_or_create(&OfCode { reason: reason.into() }).inc();
    }

    /// Sets what is held now.
    pub(crate) fn holding(&self, connections: usize, bodies_bytes: usize) {
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        self.bodies_bytes.set(i64::try_from(bodies_bytes).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn outcome(labels: &OfModel, outcome: &str) -> OfOutcome {
    OfOutcome { model: labels.model.clone(), version: labels.version.clone(), outcome: outcome.into() }
}

fn closed(labels: &OfModel, reason: Reason) -> OfReason {
    OfReason { model: labels.model.clone(), version: labels.version.clone(), reason: reason.as_str().into() }
}

/// The metrics of one model.
pub(crate) struct ModelMetrics {
    answered: Counter,
    batches: [Counter; Reason::ALL.len()],
    request_seconds: Histogram,
    batch_seconds: Histogram,
    batch_rows: Histogram,
    queue_seconds: Histogram,
    queue_rows: Gauge<i64, AtomicI64>,
    queue_bytes: Gauge<i64, AtomicI64>,
    requests: Family<OfOutcome, Counter>,
    row_seconds: Seconds,
    worker_families: (Family<OfModel, Gauge<i64, AtomicI64>>, Family<OfModel, Counter>),
    history: Mutex<History>,
    labels: OfModel,
}

impl ModelMetrics {
    /// Counts an answered request.
    pub(crate) fn answered(&self, took: Duration) {
        self.answered.inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that ended in an error.
    pub(crate) fn failed(&self, code: &str, took: Duration) {
        self.requests.get_or_create(&outcome(&self.labels, code)).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts a micro-batch.
    pub(crate) fn ran(&self, run: &Run, service: Duration) {
        let batch = &run.batch;
        self.batches[batch.reason as usize].inc();
        self.batch_seconds.observe(service.as_secs_f64());
        self.batch_rows.observe(batch.rows as f64);
        self.queue_seconds.observe(batch.waited.as_secs_f64());
        self.history.lock().unwrap_or_else(PoisonError::into_inner).add(run, service);
    }

    /// Sets what waits now.
    pub(crate) fn waiting(&self, (rows, bytes): (usize, usize)) {
        self.queue_rows.set(i64::try_from(rows).unwrap_or(i64::MAX));
        self.queue_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Sets what one row takes; what was never measured has no such series.
    pub(crate) fn one_row(&self, takes: Option<Duration>) {
        if let Some(takes) = takes {
            self.row_seconds.get_or_create(&self.labels).set(takes.as_secs_f64());
        }
    }

    /// Sets how the worker processes are; a model without any has no such series.
    pub(crate) fn workers(&self, alive: usize, restarts: u64) {
        let (workers, worker_restarts) = &self.worker_families;
        workers.get_or_create(&self.labels).set(i64::try_from(alive).unwrap_or(i64::MAX));
        worker_restarts.get_or_create(&self.labels).inner().store(restarts, Ordering::Relaxed);
    }

    /// What `/v2/models/M/batching` shows.
    pub(crate) fn history(&self) -> History {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How micro-batches came about: totals, and the most recent ones.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct History {
    reasons: BTreeMap<&'static str, u64>,
    batch_rows: BTreeMap<usize, u64>,
    recent: VecDeque<Recent>,
}

/// One micro-batch of the recent past.
#[derive(Clone, Debug, Serialize)]
struct Recent {
    rows: usize,
    bytes: usize,
    requests: usize,
    reason: &'static str,
    waited_us: u128,
    service_us: u128,
    predicted_us: Option<u128>,
}

impl History {
    fn add(&mut self, run: &Run, service: Duration) {
        let batch = &run.batch;
        *self.reasons.entry(batch.reason.as_str()).or_default() += 1;
        *self.batch_rows.entry(batch.rows).or_default() += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent {
            rows: batch.rows,
            bytes: batch.bytes,
            requests: batch.slices.len(),
            reason: batch.reason.as_str(),
            waited_us: batch.waited.as_micros(),
            service_us: service.as_micros(),
            predicted_us: run.predicted.map(|took| took.as_micros()),
        });
    }
}

//! One replica: the scheduler that serves, what runs, and what it has counted.

use std::collections::VecDeque;
use std::time::Duration;

use shoal_batch::{Bucket, Limits, Measured, Moment, Policy as Bounds};

use crate::clients::{in_milliseconds, milliseconds};
use crate::request::Request;
use crate::rivals::{Call, Decision, Policy};
use crate::service::Service;
use crate::shoal::Shoal;

/// Bytes of a micro-batch are not what these plays are about.
const NO_LIMIT: usize = 1 << 40;
/// Rows that may wait, as in the server.
const QUEUE_ROWS: usize = 100_000;
/// Batches of each size that a warm-up runs.
const WARM_UPS: usize = 3;

/// Whether a replica gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet: it is being started.
    Starting,
    Ready,
    /// Not any more: it answers what it has.
    Draining,
}

/// What the metrics of a replica say, from its beginning on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    /// `shoal_queue_seconds`: the sum, in milliseconds, and the count.
    pub(super) waited_ms: f64,
    pub(super) batches: f64,
    /// What the processor did.
    pub(super) busy_ms: f64,
}

/// One replica.
pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) phase: Phase,
    pub(super) since: Moment,
    shoal: Shoal,
    running: Option<(Call, Moment)>,
    owed: usize,
    pub(super) counters: Counters,
    /// (when, what it had counted), the oldest first.
    pub(super) samples: VecDeque<(f64, Counters)>,
}

impl Replica {
    /// One that begins to start now, and is warm when it is ready.
    pub(super) fn new(number: usize, now: Moment, (service, max_rows): (&Service, usize)) -> Self {
        let limits = Limits { max_rows, max_bytes: NO_LIMIT, queue_rows: QUEUE_ROWS, queue_bytes: NO_LIMIT };
        let mut shoal = Shoal::new(limits, Bounds::default());
        for rows in (0..).map(|power| 1 << power).take_while(|rows| *rows <= max_rows) {
            for _ in 0..WARM_UPS {
                shoal.scheduler().learn(Bucket(0), Measured { rows, took: milliseconds(service.mean(rows)) });
            }
        }
        let (phase, counters, samples) = (Phase::Starting, Counters::default(), VecDeque::new());
        Self { number, phase, since: now, shoal, running: None, owed: 0, counters, samples }
    }

    /// Takes a request, or turns it away; `takes_ms` of the processor beside its micro-batch.
    pub(super) fn submit(&mut self, now: Moment, request: &Request, takes_ms: f64) -> bool {
        self.counters.busy_ms += takes_ms;
        let is_accepted = self.shoal.submit(now, request);
        self.owed += usize::from(is_accepted);
        is_accepted
    }

    /// What a free executor does now; nothing while it is not free.
    pub(super) fn next(&mut self, now: Moment) -> Decision {
        if self.running.is_some() { Decision::Nothing } else { self.shoal.next(now) }
    }

    /// Runs a micro-batch from now on.
    pub(super) fn start(&mut self, now: Moment, call: Call) {
        let waited = call.tag.as_ref().map_or(Duration::ZERO, |run| run.batch.waited);
        self.counters.waited_ms += 1e3 * waited.as_secs_f64();
        self.counters.batches += 1.0;
        self.running = Some((call, now));
    }

    /// Ends the micro-batch: the requests that are answered by it.
    pub(super) fn finish(&mut self, now: Moment) -> Vec<u64> {
        let Some((call, started)) = self.running.take() else { return Vec::new() };
        let answered: Vec<u64> = call.members.iter().filter(|(_, is_last)| *is_last).map(|(id, _)| *id).collect();
        self.counters.busy_ms += in_milliseconds(now) - in_milliseconds(started);
        self.owed -= answered.len();
        self.shoal.finish(now, call, now - started);
        answered
    }

    /// Whether it has nothing more to do.
    pub(super) const fn is_idle(&self) -> bool {
        self.owed == 0
    }

    /// What it has counted at this moment: of a micro-batch that runs, what it took so far.
    pub(super) fn counted(&self, now: Moment) -> Counters {
        let running_ms = self.running.as_ref().map_or(0.0, |(_, started)| in_milliseconds(now) - in_milliseconds(*started));
        Counters { busy_ms: self.counters.busy_ms + running_ms, ..self.counters }
    }
}

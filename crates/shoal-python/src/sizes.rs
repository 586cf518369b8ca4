//! How many records a function of Python takes at a time: the policy that sizes the micro-batches of models, asked from
//! Python. One thread has one, and says how long each call took.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use shoal_batch::{Arrival, Bucket, Client, Limits, Moment, Next, Policy, Priority, RequestId, Run, Scheduler};

#[pyclass]
pub struct Sizes {
    scheduler: Scheduler,
    epoch: Instant,
    tables: u64,
    run: Option<Run>,
}

#[pymethods]
impl Sizes {
    #[new]
    fn new(max_rows: usize) -> Self {
        let limits = Limits { max_rows, max_bytes: usize::MAX, queue_rows: usize::MAX, queue_bytes: usize::MAX };
        Self { scheduler: Scheduler::new(limits, Policy::default()), epoch: Instant::now(), tables: 0, run: None }
    }

    /// A table of so many records; what is left of another one is given up.
    fn begin(&mut self, rows: usize) {
        self.finish(None);
        self.scheduler.cancel(RequestId(self.tables));
        self.tables += 1;
        let arrival = Arrival {
            id: RequestId(self.tables),
            client: Client::default(),
            bucket: Bucket(0),
            rows,
            bytes: rows,
            priority: Priority::default(),
            deadline: None,
        };
        // Without limits of the queue nothing is turned away.
        let accepted = self.scheduler.submit(self.now(), arrival);
        debug_assert!(accepted.is_ok());
    }

    /// The records that go next, by the first of them and how many there are.
    fn next(&mut self) -> Option<(usize, usize)> {
        let Next::Run(run) = self.scheduler.next(self.now()) else { return None };
        let next = run.batch.slices.first().map(|slice| (slice.start, slice.rows));
        self.run = Some(run);
        next
    }

    /// How long the last ones took; without a time they failed, and nothing is learned.
    #[pyo3(signature = (seconds))]
    fn finish(&mut self, seconds: Option<f64>) {
        let took = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let now = self.now();
        if let Some(run) = self.run.take() {
            self.scheduler.finish(now, run, took);
        }
    }
}

impl Sizes {
    fn now(&self) -> Moment {
        Moment::from(self.epoch.elapsed())
    }
}

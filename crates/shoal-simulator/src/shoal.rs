//! Shoal's own policy: the very state machine that serves, behind the simulator's questions.

use std::time::Duration;

use shoal_batch::{Arrival, Client, Kin, Limits, Moment, Next, Policy as Bounds, Priority, RequestId, Scheduler, Shape};

use crate::request::Request;
use crate::rivals::{Call, Decision, Policy, bucket};

/// A row of a simulated request stands for so many bytes.
const ROW_BYTES: usize = 256;
/// And a value of a record of some length for so many.
const VALUE_BYTES: usize = 8;

/// The scheduler that the server runs.
#[derive(Debug)]
pub struct Shoal {
    scheduler: Scheduler,
    /// Whether a bucket is the length that its records are padded to.
    pads: bool,
}

impl Shoal {
    /// An empty queue that knows nothing.
    #[must_use]
    pub fn new(limits: Limits, bounds: Bounds) -> Self {
        Self { scheduler: Scheduler::new(limits, bounds), pads: false }
    }

    /// The same for records of different lengths: the bucket of each is the length that it is padded to.
    #[must_use]
    pub fn padding(self) -> Self {
        Self { pads: true, ..self }
    }

    /// What a row of a request counts in bytes; tells the scheduler of a length that is new.
    fn row_bytes(&mut self, request: &Request) -> usize {
        if !self.pads {
            return ROW_BYTES;
        }
        let length = usize::try_from(request.bucket).unwrap_or(usize::MAX);
        let row_bytes = length.saturating_mul(VALUE_BYTES);
        let bucket = bucket(request.bucket);
        if self.scheduler.queue().shape(bucket).is_none() {
            self.scheduler.tell(bucket, Shape { kin: Kin(0), lengths: [length].into(), row_bytes });
        }
        row_bytes
    }

    /// Its scheduler, to teach it what a warm-up would have.
    pub fn scheduler(&mut self) -> &mut Scheduler {
        &mut self.scheduler
    }
}

impl Policy for Shoal {
    fn submit(&mut self, now: Moment, request: &Request) -> bool {
        let row_bytes = self.row_bytes(request);
        let arrival = Arrival {
            id: RequestId(request.id),
            client: Client(request.client),
            bucket: bucket(request.bucket),
            rows: request.rows,
            bytes: request.rows * row_bytes,
            priority: Priority(request.priority),
            deadline: request.deadline,
        };
        self.scheduler.submit(now, arrival).is_ok()
    }

    fn next(&mut self, now: Moment) -> Decision {
        match self.scheduler.next(now) {
            Next::Run(run) => Decision::Run(Call {
                members: run.batch.slices.iter().map(|slice| (slice.id.0, slice.is_last)).collect(),
                rows: run.batch.rows,
                bucket: run.batch.bucket.0,
                tag: Some(run),
            }),
            Next::WaitUntil(until) => Decision::WaitUntil(until),
            Next::Nothing => Decision::Nothing,
        }
    }

    fn finish(&mut self, now: Moment, call: Call, took: Duration) {
        if let Some(run) = call.tag {
            self.scheduler.finish(now, run, Some(took));
        }
    }

    fn cancel(&mut self, id: u64) {
        self.scheduler.cancel(RequestId(id));
    }

    fn expired(&mut self, now: Moment) -> Vec<u64> {
        let mut expired = Vec::new();
        self.scheduler.expire(now, &mut expired);
        expired.into_iter().map(|id| id.0).collect()
    }
}

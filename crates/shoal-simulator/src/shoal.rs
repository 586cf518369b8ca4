//! Shoal's own policy: the very state machine that serves, behind the simulator's questions.

use std::time::Duration;

use shoal_batch::{Arrival, Client, Limits, Moment, Next, Policy as Bounds, Priority, RequestId, Scheduler};

use crate::request::Request;
use crate::rivals::{Call, Decision, Policy, bucket};

/// A row of a simulated request stands for so many bytes.
const ROW_BYTES: usize = 256;

/// The scheduler that the server runs.
#[derive(Debug)]
pub struct Shoal {
    scheduler: Scheduler,
}

impl Shoal {
    /// An empty queue that knows nothing.
    #[must_use]
    pub fn new(limits: Limits, bounds: Bounds) -> Self {
        Self { scheduler: Scheduler::new(limits, bounds) }
    }

    /// Its scheduler, to teach it what a warm-up would have.
    pub fn scheduler(&mut self) -> &mut Scheduler {
        &mut self.scheduler
    }
}

impl Policy for Shoal {
    fn submit(&mut self, now: Moment, request: &Request) -> bool {
        let arrival = Arrival {
            id: RequestId(request.id),
            client: Client(request.client),
            bucket: bucket(request.bucket),
            rows: request.rows,
            bytes: request.rows * ROW_BYTES,
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

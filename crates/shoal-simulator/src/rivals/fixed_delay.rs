//! Triton's dynamic batcher: `max_queue_delay_microseconds`, rows, one queue.
//!
//! First come, first served. A micro-batch is sent when it is full, when the oldest request is older than the delay, or
//! when the next request has another shape or does not fit: there is no skipping ahead and no splitting. While no
//! executor is free it grows. Delay 0 takes all that waits.
//! Source: `triton-inference-server/core`, `src/dynamic_batch_scheduler.cc`.

use std::time::Duration;

use shoal_batch::Moment;

use super::{Call, Decision, Line, Policy};
use crate::request::Request;

/// Waits until the oldest request is `delay` old.
#[derive(Debug)]
pub struct FixedDelay {
    line: Line,
    delay: Duration,
    max_rows: usize,
}

impl FixedDelay {
    /// An empty queue.
    #[must_use]
    pub fn new(delay: Duration, max_rows: usize) -> Self {
        Self { line: Line::default(), delay, max_rows }
    }

    /// The same for requests of different lengths: in the order in which they came, padded to the longest of them.
    #[must_use]
    pub fn mixing(self) -> Self {
        Self { line: Line { mixes: true, ..self.line }, ..self }
    }

    /// Whether nothing that comes could join the micro-batch at the front.
    fn is_closed(&self) -> bool {
        let Some(first) = self.line.requests.front() else { return false };
        let mut rows = 0;
        for request in &self.line.requests {
            if !self.line.goes_with(request, first.bucket) || rows + request.rows > self.max_rows {
                return true;
            }
            rows += request.rows;
        }
        rows >= self.max_rows
    }
}

impl Policy for FixedDelay {
    fn submit(&mut self, _: Moment, request: &Request) -> bool {
        let fits = request.rows <= self.max_rows;
        if fits {
            self.line.push(request);
        }
        fits
    }

    fn next(&mut self, now: Moment) -> Decision {
        let Some(first) = self.line.requests.front() else { return Decision::Nothing };
        let until = first.arrived + self.delay;
        if until > now && !self.is_closed() {
            return Decision::WaitUntil(until);
        }
        Decision::Run(self.line.take(self.max_rows, |request| request.rows))
    }

    fn finish(&mut self, _: Moment, _: Call, _: Duration) {}

    fn cancel(&mut self, id: u64) {
        self.line.remove(id);
    }

    fn expired(&mut self, now: Moment) -> Vec<u64> {
        self.line.drop_late(now)
    }
}

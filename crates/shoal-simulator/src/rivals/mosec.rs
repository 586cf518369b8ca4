//! mosec: an idle worker takes the first request, then waits until it has `max_batch_size` requests or `max_wait_time` has
//! passed since it took the first.
//!
//! Requests count, not rows; several idle workers each gather their own batch; what timed out is dropped when it is taken.
//! Source: `mosecorg/mosec`, `src/protocol.rs` and `mosec/coordinator.py`.

use std::time::Duration;

use shoal_batch::Moment;

use super::{Call, Decision, Line, Policy};
use crate::request::Request;

/// Gathers from the moment the first request was taken.
#[derive(Debug)]
pub struct Mosec {
    line: Line,
    gathering_since: Option<Moment>,
    max_wait: Duration,
    max_requests: usize,
}

impl Mosec {
    /// An empty queue.
    #[must_use]
    pub fn new(max_wait: Duration, max_requests: usize) -> Self {
        Self { line: Line::default(), gathering_since: None, max_wait, max_requests }
    }
}

impl Policy for Mosec {
    fn submit(&mut self, _: Moment, request: &Request) -> bool {
        self.line.push(request);
        true
    }

    fn next(&mut self, now: Moment) -> Decision {
        if self.line.requests.is_empty() {
            self.gathering_since = None;
            return Decision::Nothing;
        }
        let since = *self.gathering_since.get_or_insert(now);
        let until = since + self.max_wait;
        if until > now && self.line.requests.len() < self.max_requests {
            return Decision::WaitUntil(until);
        }
        self.gathering_since = None;
        Decision::Run(self.line.take(self.max_requests, |_| 1))
    }

    fn finish(&mut self, _: Moment, _: Call, _: Duration) {}

    fn cancel(&mut self, _: u64) {
        // It runs all the same: a client that left is not noticed.
    }

    fn expired(&mut self, now: Moment) -> Vec<u64> {
        self.line.drop_late(now)
    }
}

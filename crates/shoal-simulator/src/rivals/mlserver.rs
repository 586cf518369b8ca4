//! `MLServer`'s adaptive batching: always waits `max_batch_time` for `max_batch_size` requests, and hands each batch over
//! without asking whether the model is free.
//!
//! So batches are closed early and queue behind each other. Requests count, not rows; shapes are not compared (here they
//! are, since another shape would be an error); nothing is dropped.
//! Source: `SeldonIO/MLServer`, `mlserver/batching/adaptive.py`.

use std::collections::VecDeque;
use std::time::Duration;

use shoal_batch::Moment;

use super::{Call, Decision, Line, Policy};
use crate::request::Request;

/// Gathers for a fixed time from the first request, executor or not.
#[derive(Debug)]
pub struct MlServer {
    line: Line,
    closed: VecDeque<Call>,
    since: Option<Moment>,
    max_wait: Duration,
    max_requests: usize,
}

impl MlServer {
    /// An empty queue.
    #[must_use]
    pub fn new(max_wait: Duration, max_requests: usize) -> Self {
        Self { line: Line::default(), closed: VecDeque::new(), since: None, max_wait, max_requests }
    }

    /// Closes every batch whose time had come by now.
    fn close(&mut self, now: Moment) {
        while let Some(since) = self.since.filter(|_| !self.line.requests.is_empty()) {
            let is_full = self.line.requests.len() >= self.max_requests;
            if !is_full && since + self.max_wait > now {
                return;
            }
            let call = self.line.take(self.max_requests, |_| 1);
            self.closed.push_back(call);
            self.since = (!self.line.requests.is_empty()).then_some(now);
        }
    }
}

impl Policy for MlServer {
    fn submit(&mut self, now: Moment, request: &Request) -> bool {
        self.close(now);
        if self.line.requests.is_empty() {
            self.since = Some(now);
        }
        self.line.push(request);
        self.close(now);
        true
    }

    fn next(&mut self, now: Moment) -> Decision {
        self.close(now);
        if let Some(call) = self.closed.pop_front() {
            return Decision::Run(call);
        }
        match self.since.filter(|_| !self.line.requests.is_empty()) {
            Some(since) => Decision::WaitUntil(since + self.max_wait),
            None => Decision::Nothing,
        }
    }

    fn finish(&mut self, _: Moment, _: Call, _: Duration) {}

    fn cancel(&mut self, _: u64) {}

    fn expired(&mut self, _: Moment) -> Vec<u64> {
        Vec::new()
    }
}

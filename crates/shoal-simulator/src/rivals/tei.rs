//! Text Embeddings Inference: no timer; the next batch is taken as soon as the channel to the backend has room for it.
//!
//! The channel holds one batch, so the next one is sealed when the current one starts, and who comes meanwhile lands two
//! batches later. Clients that left are dropped when the queue is read.
//! Source: `huggingface/text-embeddings-inference`, `core/src/queue.rs` and `core/src/infer.rs`.

use std::time::Duration;

use shoal_batch::Moment;

use super::{Call, Decision, Line, Policy};
use crate::request::Request;

/// Seals one batch ahead.
#[derive(Debug)]
pub struct Tei {
    line: Line,
    ahead: Option<Call>,
    is_busy: bool,
    max_rows: usize,
}

impl Tei {
    /// An empty queue.
    #[must_use]
    pub fn new(max_rows: usize) -> Self {
        Self { line: Line::default(), ahead: None, is_busy: false, max_rows }
    }

    fn seal(&mut self) {
        if self.ahead.is_none() && !self.line.requests.is_empty() {
            self.ahead = Some(self.line.take(self.max_rows, |request| request.rows));
        }
    }
}

impl Policy for Tei {
    fn submit(&mut self, _: Moment, request: &Request) -> bool {
        self.line.push(request);
        if self.is_busy {
            self.seal();
        }
        true
    }

    fn next(&mut self, _: Moment) -> Decision {
        self.seal();
        let Some(call) = self.ahead.take() else { return Decision::Nothing };
        self.is_busy = true;
        self.seal();
        Decision::Run(call)
    }

    fn finish(&mut self, _: Moment, _: Call, _: Duration) {
        self.is_busy = false;
    }

    fn cancel(&mut self, id: u64) {
        self.line.remove(id);
    }

    fn expired(&mut self, _: Moment) -> Vec<u64> {
        Vec::new()
    }
}

//! How a policy is asked, and the policies of other servers, as their sources show them.

mod fixed_delay;
mod mlserver;
mod mosec;
mod tei;

use std::collections::VecDeque;

use shoal_batch::{Bucket, Moment};

pub use fixed_delay::FixedDelay;
pub use mlserver::MlServer;
pub use mosec::Mosec;
pub use tei::Tei;

use crate::request::Request;

/// Rows of requests for one call of the model; `tag` is the policy's own.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// (request, whether its last rows are among these).
    pub members: Vec<(u64, bool)>,
    /// All rows.
    pub rows: usize,
    /// The bucket of all of them.
    pub bucket: u64,
    /// Set and read by the policy.
    pub tag: Option<shoal_batch::Run>,
}

/// What a free executor does.
#[derive(Debug)]
pub enum Decision {
    /// Runs this.
    Run(Call),
    /// Is asked again at this moment, or when something happens.
    WaitUntil(Moment),
    /// Is asked again when something happens.
    Nothing,
}

/// A policy under test. It is asked whenever something has happened and an executor is free.
pub trait Policy {
    /// Takes a request, or turns it away.
    fn submit(&mut self, now: Moment, request: &Request) -> bool;
    /// What a free executor does now.
    fn next(&mut self, now: Moment) -> Decision;
    /// A call is done.
    fn finish(&mut self, now: Moment, call: Call, took: std::time::Duration);
    /// The client of a request went away.
    fn cancel(&mut self, id: u64);
    /// Requests that were given up since the last time.
    fn expired(&mut self, now: Moment) -> Vec<u64>;
}

/// A queue of whole requests, first come, first served, as the rivals keep it.
#[derive(Debug, Default)]
struct Line {
    requests: VecDeque<Request>,
    /// Whether requests of all buckets go together, at the price of the largest: padded to the longest of them.
    mixes: bool,
}

impl Line {
    fn push(&mut self, request: &Request) {
        self.requests.push_back(request.clone());
    }

    fn remove(&mut self, id: u64) {
        self.requests.retain(|request| request.id != id);
    }

    const fn goes_with(&self, request: &Request, bucket: u64) -> bool {
        self.mixes || request.bucket == bucket
    }

    /// Takes out what is of no use any more.
    fn drop_late(&mut self, now: Moment) -> Vec<u64> {
        let late: Vec<u64> = self.requests.iter().filter(|request| request.is_late(now)).map(|request| request.id).collect();
        self.requests.retain(|request| !request.is_late(now));
        late
    }

    /// The first requests of one bucket, up to `most` by `size`.
    fn take(&mut self, most: usize, size: impl Fn(&Request) -> usize) -> Call {
        let mut call = Call::default();
        let mut filled = 0;
        let mut bucket = self.requests.front().map_or(0, |first| first.bucket);
        while let Some(first) = self.requests.front() {
            let is_first = call.members.is_empty();
            if !is_first && (filled + size(first) > most || !self.goes_with(first, bucket)) {
                break;
            }
            bucket = bucket.max(first.bucket);
            filled += size(first);
            call.rows += first.rows;
            call.members.push((first.id, true));
            self.requests.pop_front();
        }
        call.bucket = bucket;
        call
    }
}

/// The bucket of the batcher for a simulated one.
pub(crate) const fn bucket(number: u64) -> Bucket {
    Bucket(number)
}

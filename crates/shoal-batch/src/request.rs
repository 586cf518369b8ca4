//! What arrives, and why it may be turned away.

use std::cmp::Ordering;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::Moment;

/// Names one request. The owner hands ids out; none may be used again while its request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names the requests that may share a micro-batch: same model, same shapes, same dtypes.
///
/// A number the owner hands out, or a good 64-bit hash: the batcher compares buckets by this number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u64);

/// Names who sent a request: whoever is answered there may be about to speak again there. A connection, usually.
///
/// 0, the default, is nobody in particular: nothing is expected of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u64);

/// How urgent a request is, as the Open Inference Protocol counts: 1 is the most urgent, then 2, 3, ... 255.
///
/// 0, the default, means "nothing was said" and comes after all of them. Of two priorities the smaller (`<`) is the
/// more urgent: `Priority(1) < Priority(2) < Priority(0)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Priority(pub u8);

impl Priority {
    /// 0 for the most urgent, 255 for the default.
    pub(crate) fn rank(self) -> u8 {
        self.0.wrapping_sub(1)
    }
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A request at the door of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name in slices, cancellations and expiries.
    pub id: RequestId,
    /// Who sent it.
    pub client: Client,
    /// Whom it may share a micro-batch with.
    pub bucket: Bucket,
    /// Its rows, at least one.
    pub rows: usize,
    /// The bytes of all its rows together; every row counts as the same share of them.
    pub bytes: usize,
    /// How urgent it is.
    pub priority: Priority,
    /// From this moment on an answer is of no use: the request is handed back instead of released.
    pub deadline: Option<Moment>,
}

/// Why a request was not accepted. Nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No room now, in rows or in bytes. Worth trying again later.
    QueueFull {
        /// Rows that wait already.
        rows: usize,
        /// Bytes that wait already.
        bytes: usize,
    },
    /// Larger than the whole queue, so it is of no use to try again.
    TooLarge {
        /// Rows that may wait at most.
        queue_rows: usize,
        /// Bytes that may wait at most.
        queue_bytes: usize,
    },
    /// Its deadline had passed when it came.
    DeadlinePassed,
    /// What waits before it takes longer than it can wait. Worth trying again later.
    OutOfReach {
        /// How long its answer would take.
        predicted: Duration,
        /// How long it can wait.
        budget: Duration,
    },
    /// The batcher is being drained.
    Draining,
    /// It has no rows, so there is nothing to release.
    Empty,
    /// A request of the same id waits already: an error of the owner.
    DuplicateId,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull { rows, bytes } => {
                write!(formatter, "the queue is full: {rows} rows ({bytes} bytes) wait")
            }
            Self::TooLarge { queue_rows, queue_bytes } => {
                write!(formatter, "the request is larger than the whole queue of {queue_rows} rows and {queue_bytes} bytes")
            }
            Self::DeadlinePassed => formatter.write_str("the deadline passed before the request came"),
            Self::OutOfReach { predicted, budget } => {
                write!(formatter, "an answer would take {predicted:.0?}, the request can wait {budget:.0?}")
            }
            Self::Draining => formatter.write_str("no more requests are accepted: shutting down"),
            Self::Empty => formatter.write_str("the request has no rows"),
            Self::DuplicateId => formatter.write_str("a request of the same id waits already"),
        }
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_one_is_the_most_urgent_and_the_default_comes_last() {
        let mut priorities = [0, 255, 2, 1].map(Priority);
        priorities.sort();
        assert_eq!(priorities, [1, 2, 255, 0].map(Priority));
    }

    #[test]
    fn a_refusal_says_what_was_found_and_what_was_allowed() {
        let full = Refusal::QueueFull { rows: 3, bytes: 96 };
        assert_eq!(full.to_string(), "the queue is full: 3 rows (96 bytes) wait");
        let large = Refusal::TooLarge { queue_rows: 8, queue_bytes: 9 };
        assert_eq!(large.to_string(), "the request is larger than the whole queue of 8 rows and 9 bytes");
    }
}

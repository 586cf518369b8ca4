//! What is released, and why.

use std::time::Duration;

use crate::{Bucket, Client, RequestId};

/// Consecutive rows of one request. The slices of a request are released in order and never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The request these rows belong to.
    pub id: RequestId,
    /// Who sent that request.
    pub client: Client,
    /// Whether the request has no rows after these.
    pub is_last: bool,
    /// The first row, counted from the start of the request.
    pub start: usize,
    /// How many rows, at least one.
    pub rows: usize,
}

/// Why a micro-batch was closed where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// All that waited in the bucket went along, and an executor was free to take it.
    ExecutorFree,
    /// It holds as many rows as it may.
    RowsFull,
    /// It holds as many rows as are worth one call: more would not make a row cheaper, or would miss the latency target,
    /// cut a request, or pass one of another length that came before.
    BestSize,
    /// The next row did not fit into its bytes.
    BytesFull,
    /// All that waited went along, after a free executor had waited for clients about to speak again.
    Returned,
    /// The batcher is being drained.
    Drain,
}

impl Reason {
    /// Every reason, in the order in which they are declared: for metrics that list them all.
    pub const ALL: [Self; 6] = [Self::ExecutorFree, Self::RowsFull, Self::BestSize, Self::BytesFull, Self::Returned, Self::Drain];

    /// The name of the reason in metrics, logs and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExecutorFree => "executor_free",
            Self::RowsFull => "rows_full",
            Self::BestSize => "best_size",
            Self::BytesFull => "bytes_full",
            Self::Returned => "returned",
            Self::Drain => "drain",
        }
    }
}

/// Rows of one bucket for one call of the model, in the order in which they are to be laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Whose rows: at most one slice per request, at least one slice.
    pub slices: Vec<Slice>,
    /// The bucket all of them belong to.
    pub bucket: Bucket,
    /// All rows together.
    pub rows: usize,
    /// All bytes together.
    pub bytes: usize,
    /// Why it closed.
    pub reason: Reason,
    /// How long the request that came first had waited since it was submitted.
    pub waited: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        assert_eq!(Reason::ALL.map(Reason::as_str), ["executor_free", "rows_full", "best_size", "bytes_full", "returned", "drain"]);
    }
}

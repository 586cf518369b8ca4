//! A micro-batch while it is put together: what it holds, and what bounds it.

use crate::waiting::{Share, Waiting};
use crate::{Limits, Moment, Slice};

/// How large a micro-batch is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// At most so many rows.
    pub most: usize,
    /// One that holds so many leaves out whole what would be cut and fits whole into the next one; none: it is cut. One that begins with
    /// the rest of a request does so where it is half full: one cut is not to cut all that follow.
    pub enough: Option<usize>,
    /// Whether it holds, beside the first, only those whose place is before all of other buckets of their kin.
    pub in_turn: bool,
}

/// What a micro-batch that still grows keeps to.
pub(crate) struct Bounds<'l> {
    pub(crate) now: Moment,
    pub(crate) limits: &'l Limits,
    pub(crate) enough: Option<usize>,
    /// The last place that may go with another one.
    pub(crate) youngest: u64,
}

/// A micro-batch that still grows.
pub(crate) struct Open {
    pub(crate) slices: Vec<Slice>,
    pub(crate) filled: Share,
    pub(crate) oldest: Moment,
    pub(crate) is_full: bool,
    /// Whether a request was left out that would have been cut, or came too late.
    pub(crate) spared_one: bool,
}

impl Open {
    pub(crate) fn new(now: Moment, slices: Vec<Slice>) -> Self {
        Self { slices, filled: Share { rows: 0, bytes: 0 }, oldest: now, is_full: false, spared_one: false }
    }

    /// Whether it holds enough to leave somebody out.
    pub(crate) fn has(&self, enough: Option<usize>, most: usize) -> bool {
        let begins_with_a_rest = self.slices.first().is_some_and(|slice| slice.start > 0);
        let half = if begins_with_a_rest { most.div_ceil(2) } else { most };
        enough.is_some_and(|enough| self.filled.rows >= enough.min(half))
    }

    pub(crate) fn add(&mut self, waiting: &Waiting, share: Share, limits: &Limits) {
        self.slices.push(Slice {
            id: waiting.id,
            client: waiting.client,
            is_last: waiting.released_rows + share.rows == waiting.rows,
            start: waiting.released_rows,
            rows: share.rows,
        });
        self.filled.rows += share.rows;
        self.filled.bytes += share.bytes;
        self.oldest = self.oldest.min(waiting.arrived);
        self.is_full = self.filled.rows == limits.max_rows || self.filled.bytes >= limits.max_bytes;
    }
}

/// The rows of a request that still fit; the first row of a micro-batch always does.
pub(crate) fn next_share(waiting: &Waiting, limits: &Limits, open: &Open) -> Share {
    let rows = limits.max_rows - open.filled.rows;
    let bytes = limits.max_bytes - open.filled.bytes;
    let share = waiting.share_within(rows, bytes);
    if share.rows == 0 && open.filled.rows == 0 {
        return waiting.share_of(1);
    }
    share
}

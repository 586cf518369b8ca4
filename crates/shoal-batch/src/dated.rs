//! How many rows wait with a deadline before a given one: what stands before a newcomer in the order of deadlines.
//!
//! Deadlines are counted in slices of 2^23 ns (8.4 ms), at most [`SLICES_READ`] of which are read: beyond that the count is
//! a lower bound, so a queue of strange deadlines costs little and turns nobody away who might be in time.

use std::collections::BTreeMap;

use crate::Moment;

const SLICE_BITS: u32 = 23;
const SLICES_READ: usize = 256;

/// Rows that wait with a deadline, by slices of time.
#[derive(Debug, Default)]
pub(crate) struct DatedRows {
    slices: BTreeMap<u64, usize>,
    total: usize,
}

impl DatedRows {
    pub(crate) fn add(&mut self, deadline: Option<Moment>, rows: usize) {
        let Some(deadline) = deadline else { return };
        *self.slices.entry(slice_of(deadline)).or_default() += rows;
        self.total += rows;
    }

    pub(crate) fn remove(&mut self, deadline: Option<Moment>, rows: usize) {
        let Some(slice) = deadline.map(slice_of) else { return };
        self.total -= rows;
        if let Some(left) = self.slices.get_mut(&slice) {
            *left -= rows;
            if *left == 0 {
                self.slices.remove(&slice);
            }
        }
    }

    /// Rows with a deadline, all of them.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// Rows whose deadline is not after this one, to within a slice.
    pub(crate) fn until(&self, deadline: Moment) -> usize {
        self.slices.range(..=slice_of(deadline)).take(SLICES_READ).map(|(_, rows)| rows).sum()
    }
}

const fn slice_of(deadline: Moment) -> u64 {
    deadline.as_nanos() >> SLICE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_before_a_deadline_are_counted_and_forgotten() {
        let at = |millis: u64| Some(Moment::from_nanos(millis * 1_000_000));
        let mut rows = DatedRows::default();
        rows.add(at(10), 3);
        rows.add(at(500), 4);
        rows.add(None, 9);
        assert_eq!((rows.total(), rows.until(Moment::from_nanos(100_000_000)), rows.until(Moment::from_nanos(u64::MAX))), (7, 3, 7));
        rows.remove(at(10), 3);
        rows.remove(at(500), 1);
        assert_eq!((rows.total(), rows.until(Moment::from_nanos(u64::MAX)), rows.slices.len()), (3, 3, 1));
    }
}

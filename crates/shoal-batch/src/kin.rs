//! Buckets whose rows may travel together: the same records but for their lengths, which the owner pads.
//!
//! 1. A bucket may have a [`Shape`]: its kin, the lengths that its rows are padded to, and the bytes of a row. One that has
//!    none shares a micro-batch with nobody.
//! 2. Rows can travel in another bucket of their kin if none of its lengths is shorter; there they take its bytes.
//! 3. A shape is told once, before the first request, and kept until the owner takes it back.

use crate::hash::NumberMap;
use crate::{Bucket, Limits};

/// Names the buckets whose rows differ in their padded lengths only.
///
/// A number the owner hands out, as that of a [`Bucket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kin(pub u64);

/// What a bucket's rows look like once they are padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Which buckets it may travel with.
    pub kin: Kin,
    /// The lengths of a row, in an order that all of the kin share.
    pub lengths: Box<[usize]>,
    /// What a row counts in bytes, as far as its lengths decide: of two shapes, by so much more the longer one's counts.
    pub row_bytes: usize,
}

impl Shape {
    /// Whether rows of another shape can be padded to this one.
    #[must_use]
    pub fn takes(&self, other: &Self) -> bool {
        let is_longer = || self.lengths.iter().zip(&other.lengths).all(|(own, length)| own >= length);
        self.kin == other.kin && self.lengths.len() == other.lengths.len() && self.row_bytes >= other.row_bytes && is_longer()
    }
}

/// The shapes of all buckets that have one.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: NumberMap<Bucket, Shape>,
}

impl Shapes {
    pub(crate) fn tell(&mut self, bucket: Bucket, shape: Shape) {
        self.known.insert(bucket, shape);
    }

    pub(crate) fn forget(&mut self, bucket: Bucket) {
        self.known.remove(&bucket);
    }

    pub(crate) fn of(&self, bucket: Bucket) -> Option<&Shape> {
        self.known.get(&bucket)
    }

    /// Bytes by which a row of `bucket` grows in `target`; none if it cannot travel there.
    pub(crate) fn growth(&self, bucket: Bucket, target: Bucket) -> Option<usize> {
        if bucket == target {
            return Some(0);
        }
        let (own, longer) = (self.of(bucket)?, self.of(target)?);
        longer.takes(own).then(|| longer.row_bytes - own.row_bytes)
    }
}

/// What waits in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The bucket.
    pub bucket: Bucket,
    /// Rows that wait in it.
    pub rows: usize,
    /// Their bytes, padded to its own lengths.
    pub bytes: usize,
}

/// Rows and bytes of buckets that go together, as they are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Load {
    /// With one more bucket, whose rows grow by so many bytes.
    pub(crate) const fn with(self, joining: &Queued, growth: usize) -> Self {
        let grown = growth.saturating_mul(joining.rows).saturating_add(joining.bytes);
        Self { rows: self.rows.saturating_add(joining.rows), bytes: self.bytes.saturating_add(grown) }
    }

    pub(crate) const fn is_within(self, limits: &Limits) -> bool {
        self.rows <= limits.max_rows && self.bytes <= limits.max_bytes
    }
}

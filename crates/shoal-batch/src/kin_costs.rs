//! What a micro-batch of a bucket costs, judged by those of its kin: longer and shorter ones say something too.
//!
//! 1. For each kin S = a * rows * bytes of a row + b, by least squares over the micro-batches of all its buckets.
//! 2. A bucket has a ratio to it: what was seen of the bucket at the nearest size over what the line says there. So costs
//!    that grow faster than lengths do are known where they were seen, and guessed where they were not.

use crate::Kin;
use crate::cost::{CostModel, Line};
use crate::hash::NumberMap;
use crate::kin::Shape;

/// Lines that are remembered at most.
const KINS_KEPT: usize = 64;
/// A line through fewer micro-batches says nothing.
const ENOUGH: u32 = 4;
/// The ratio of a bucket counts as much as "it is as the line says" after so many micro-batches.
const RATIO_BATCHES: f64 = 1.0;
/// A micro-batch that takes longer than so many times what the line says counts as so many times.
const OUTLIER: f64 = 2.0;

#[derive(Debug, Default)]
pub(crate) struct KinCosts {
    lines: NumberMap<Kin, (u32, Line)>,
}

impl KinCosts {
    pub(crate) fn observe(&mut self, shape: &Shape, rows: usize, nanos: f64) {
        if self.lines.len() >= KINS_KEPT && !self.lines.contains_key(&shape.kin) {
            self.lines.clear();
        }
        let usual = self.expected(shape, rows as f64);
        let (seen, line) = self.lines.entry(shape.kin).or_default();
        *seen = seen.saturating_add(1);
        line.observe(work(shape, rows as f64), usual.map_or(nanos, |usual| nanos.min(OUTLIER * usual)));
    }

    /// Nanoseconds of so many rows; `own` is what was seen of the bucket itself. None while that is a mere guess.
    pub(crate) fn predict(&self, shape: &Shape, own: Option<&CostModel>, rows: usize) -> Option<f64> {
        let expected = self.expected(shape, rows as f64)?;
        let Some((batches, seen_rows, nanos)) = own.and_then(|own| own.nearest(rows)) else { return Some(expected) };
        let ratio = nanos / self.expected(shape, seen_rows)?.max(1.0);
        Some(expected * (RATIO_BATCHES + batches * ratio) / (RATIO_BATCHES + batches))
    }

    fn expected(&self, shape: &Shape, rows: f64) -> Option<f64> {
        let (_, line) = self.lines.get(&shape.kin).filter(|(seen, _)| *seen >= ENOUGH)?;
        line.above_zero(work(shape, rows))
    }
}

fn work(shape: &Shape, rows: f64) -> f64 {
    rows * shape.row_bytes as f64
}

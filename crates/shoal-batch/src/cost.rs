//! What a micro-batch of n rows costs, learned from those that ran.
//!
//! 1. **Table.** Sizes fall into bins, two to each power of two, which ends one. A bin keeps the typical time and size
//!    of the batches it has seen; older ones are forgotten exponentially, and one that took far longer than usual counts
//!    as twice as long.
//! 2. **Line.** S(n) = a * n + b by least squares over the same batches, with forgetting, for sizes beyond the table.
//! 3. **Best size.** Cost per row is not monotone on processors: caches, padding, kernels for certain sizes. So what is
//!    looked at is the table, not the line: the **knee** is the smallest size whose cost per row is within 5 % of the
//!    best measured, the **best** is the cheapest.
//! 4. **Search.** What was never tried is tried: where the bins above the chosen one were not measured, up to twice its
//!    size is worth a call; where the smallest measured is not clearly dearer than the best, half of that: a busy server
//!    has seen large ones only. Of the smallest the quickest counts: machines stall, and luck makes nothing much quicker.
//!
//! Source: Crankshaw et al., Clipper (NSDI 2017) learn the largest batch within a latency; Shen et al., Nexus (SOSP
//! 2019): a request that just missed a batch waits for two, so a target holds while 2 * S(n) is within it.

use std::time::Duration;

/// Sizes up to 2^32.
const BINS: usize = 64;
/// Weight of the newest batch in a bin, once the bin has seen enough of them.
const NEWEST: f64 = 0.1;
/// What is left of the weight of a batch after the next one, in the line.
const KEPT: f64 = 0.98;
/// A batch that takes longer than so many times the usual counts as so many times.
const OUTLIER: f64 = 2.0;
/// The first calls of a model are cold. Until a bin has seen so many batches ...
const WARM: f64 = 8.0;
/// ... one that is much quicker than the usual counts so much.
const QUICKER: f64 = 0.8;
/// Cost per row within this of the best is as good as the best.
const AS_CHEAP: f64 = 1.05;
/// The same in a crowd: less cannot be told from chance, and a larger micro-batch keeps those behind it longer.
const AS_CHEAP_IN_A_CROWD: f64 = 1.02;
/// One call is cut if it takes more than so many times what several take: costs that jump do, badly measured ones do not.
const DEARER: f64 = 1.25;
/// A bin that has seen fewer batches says nothing about the best size.
const ENOUGH: f64 = 3.0;
/// A bin that for so many batches has seen none as it knows them may be wrong by now ...
const STALE: u64 = 1000;
/// ... where one that differs by so much of the usual time is none as it knows them.
const SURPRISING: f64 = 0.1;

/// The cost of one bucket's micro-batches.
#[derive(Clone, Debug)]
pub struct CostModel {
    bins: [Bin; BINS],
    line: Line,
    /// The largest bin that was measured, plus one.
    measured: usize,
    /// Batches that were seen.
    observed: u64,
}

/// Micro-batches of about one size.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    batches: f64,
    rows: f64,
    nanos: f64,
    /// The most rows in a nanosecond.
    quickest: f64,
    /// The latest batch that took about as long as was known before.
    confirmed: u64,
}

/// Sums of a weighted least-squares fit of nanoseconds over rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    weight: f64,
    rows: f64,
    nanos: f64,
    rows_rows: f64,
    rows_nanos: f64,
}

/// One size of a measured profile: rows, and how long a micro-batch of them takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Rows of the micro-batch.
    pub rows: usize,
    /// Its time in the model.
    pub took: Duration,
}

impl Default for CostModel {
    fn default() -> Self {
        Self { bins: [Bin::default(); BINS], line: Line::default(), measured: 0, observed: 0 }
    }
}

/// The bin of a size: 1, 2, 3, 4, 5..6, 7..8, 9..12, 13..16, 17..24 and so on: powers of two, which kernels like, end theirs.
fn bin_of(rows: usize) -> usize {
    let below = rows.max(1) - 1;
    if below == 0 {
        return 0;
    }
    let power = below.ilog2() as usize;
    let upper_half = power > 0 && below & (1 << (power - 1)) != 0;
    (1 + 2 * power + usize::from(upper_half)).min(BINS - 1)
}

/// The largest size in a bin. Bin 2 is empty: there is no size between two and three.
fn end_of(bin: usize) -> usize {
    let Some(below) = bin.checked_sub(1) else { return 1 };
    let (power, upper_half) = (below / 2, below % 2);
    let half = (1_usize << power) / 2;
    (1 << power) + if upper_half == 1 { 2 * half } else { half }.max(1)
}

impl CostModel {
    /// Learns from a micro-batch that ran.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let nanos = took.as_nanos() as f64;
        self.observed += 1;
        let bin = &mut self.bins[bin_of(rows)];
        if bin.agrees(rows as f64, nanos) {
            bin.confirmed = self.observed;
        }
        let has_aged = self.observed - bin.confirmed > STALE;
        bin.observe(rows as f64, nanos, has_aged);
        // The line learns what the bin has smoothed: outliers would bend it.
        let smoothed = bin.nanos * rows as f64 / bin.rows;
        self.line.observe(rows as f64, if bin.batches < ENOUGH { nanos } else { smoothed });
        self.measured = self.measured.max(bin_of(rows) + 1);
    }

    /// How long a micro-batch of so many rows takes; none before the first was seen.
    #[must_use]
    pub fn predict(&self, rows: usize) -> Option<Duration> {
        let own = &self.bins[bin_of(rows)];
        let smooth = self.between(rows)?;
        if own.batches == 0.0 {
            return Some(Duration::from_nanos(whole(smooth)));
        }
        let alone = self.along(own, rows);
        // Costs jump from one bin to the next: there is no line to a neighbour then.
        let jumps = (smooth - alone).abs() > SURPRISING * alone;
        Some(Duration::from_nanos(whole(if jumps { alone } else { smooth })))
    }

    /// The time of a size on the straight line between what was measured below and above it.
    fn between(&self, rows: usize) -> Option<f64> {
        let below = self.bins[..=bin_of(rows)].iter().rev().find(|bin| bin.batches > 0.0 && bin.rows <= rows as f64);
        let above =
            self.bins[bin_of(rows)..self.measured.max(bin_of(rows))].iter().find(|bin| bin.batches > 0.0 && bin.rows >= rows as f64);
        match (below, above) {
            (Some(below), Some(above)) => Some(below.towards(above, rows as f64)),
            (Some(nearest), None) | (None, Some(nearest)) => Some(self.along(nearest, rows)),
            (None, None) => None,
        }
    }

    /// The time of a size near that of a bin.
    fn along(&self, bin: &Bin, rows: usize) -> f64 {
        bin.nanos + self.slope(bin) * (rows as f64 - bin.rows)
    }

    /// What one more row costs: the line's slope, from nothing to a row of this bin. While one size is all that was seen,
    /// half of that: who expects the worst of larger ones never tries them.
    fn slope(&self, bin: &Bin) -> f64 {
        let per_row = bin.nanos / bin.rows;
        self.line.slope().unwrap_or(per_row / 2.0).clamp(0.0, per_row)
    }

    /// The most rows worth one call, at most `limit`: by the latency target if there is one, otherwise the knee, or
    /// the best size where so many rows wait (`is_crowded`) that only throughput counts.
    #[must_use]
    pub fn worth(&self, limit: usize, target: Option<Duration>, is_crowded: bool) -> usize {
        let within = target.map_or(limit, |target| self.within(limit, target));
        let tolerance = if is_crowded { AS_CHEAP_IN_A_CROWD } else { AS_CHEAP };
        let Some(bin) = self.cheapest(within, tolerance) else { return within };
        if let Some(half) = self.half_of_the_smallest(within) {
            return half.min(within);
        }
        let untried = (bin + 1..BINS).take(2).take_while(|next| self.bins[*next].batches < ENOUGH);
        within.min(end_of(untried.last().unwrap_or(bin)))
    }

    /// A size from half of `rows` on whose rows cost about as much as those of `rows`: the smallest, to within a row in 32.
    pub(crate) fn enough(&self, rows: usize) -> usize {
        let per_row = |rows: usize| self.predict(rows).unwrap_or_default().as_secs_f64() / rows as f64;
        let dearest = AS_CHEAP * per_row(rows);
        let (mut enough, mut too_few) = (rows, rows / 2);
        while enough - too_few > rows / 32 + 1 {
            let middle = too_few + (enough - too_few) / 2;
            if per_row(middle) <= dearest { enough = middle } else { too_few = middle }
        }
        enough
    }

    /// Whether what is known of a size is little, or old.
    pub(crate) fn is_doubtful(&self, rows: usize) -> bool {
        !self.is_tried(rows) || self.observed - self.bins[bin_of(rows)].confirmed > STALE
    }

    /// The end of the largest bin that was seen.
    pub(crate) fn largest(&self) -> usize {
        end_of(self.measured.saturating_sub(1))
    }

    /// Whether enough micro-batches of about so many rows ran to say what they cost.
    pub(crate) fn is_tried(&self, rows: usize) -> bool {
        self.bins[bin_of(rows)].batches >= ENOUGH
    }

    /// The largest size of the bin so many steps above, or below, that of `rows`.
    pub(crate) fn stepped(rows: usize, steps: isize) -> Option<usize> {
        let end = end_of(bin_of(rows).checked_add_signed(steps)?);
        (end != rows).then_some(end)
    }

    /// What was seen nearest to a size: batches, rows and nanoseconds.
    pub(crate) fn nearest(&self, rows: usize) -> Option<(f64, f64, f64)> {
        let seen = self.bins[..self.measured].iter().enumerate().filter(|(_, bin)| bin.batches > 0.0);
        let (_, bin) = seen.min_by_key(|(index, _)| index.abs_diff(bin_of(rows)))?;
        Some((bin.batches, bin.rows, bin.nanos))
    }

    /// Half of the smallest size that was measured, unless that is clearly dearer than others.
    fn half_of_the_smallest(&self, limit: usize) -> Option<usize> {
        let smallest = self.bins.iter().position(|bin| bin.batches >= ENOUGH)?;
        let dearest = (1.0 + SURPRISING) * self.bins[self.cheapest(limit, 1.0)?].per_row();
        (smallest >= 1 && 1.0 / self.bins[smallest].quickest <= dearest).then(|| end_of(smallest.saturating_sub(2)))
    }

    /// Whether one call of so many rows costs no more than several of `first` rows each, as far as can be told.
    pub(crate) fn is_whole_as_cheap(&self, rows: usize, first: usize) -> bool {
        let seconds = |rows: usize| self.predict(rows).unwrap_or_default().as_secs_f64();
        let rest = if rows.is_multiple_of(first) { 0.0 } else { seconds(rows % first) };
        seconds(rows) <= DEARER * ((rows / first) as f64 * seconds(first) + rest)
    }

    /// The most rows with 2 * S(n) within the target; at least one.
    fn within(&self, limit: usize, target: Duration) -> usize {
        let fits = |rows: usize| self.predict(rows).is_none_or(|took| 2 * took <= target);
        let (mut most, mut too_many) = (1, limit + 1);
        while too_many - most > 1 {
            let middle = most + (too_many - most) / 2;
            if fits(middle) { most = middle } else { too_many = middle }
        }
        most
    }

    /// The smallest bin within the limit whose cost per row is within `tolerance` of the cheapest.
    fn cheapest(&self, limit: usize, tolerance: f64) -> Option<usize> {
        let known = || (0..self.measured).filter(|bin| self.bins[*bin].batches >= ENOUGH && self.bins[*bin].rows <= limit as f64);
        let best = known().map(|bin| self.bins[bin].per_row()).min_by(f64::total_cmp)?;
        known().find(|bin| self.bins[*bin].per_row() <= best * tolerance)
    }

    /// The table, smallest size first: to be kept beside the package and learned from at the next start.
    pub fn profile(&self) -> impl Iterator<Item = Measured> {
        let known = self.bins.iter().filter(|bin| bin.batches > 0.0);
        known.map(|bin| Measured {
            rows: usize::try_from(whole(bin.rows)).unwrap_or(1).max(1),
            took: Duration::from_nanos(whole(bin.nanos)),
        })
    }

    /// S(n) = a * n + b as (a, b) in nanoseconds; none before two sizes were seen.
    #[must_use]
    pub fn line(&self) -> Option<(f64, f64)> {
        let slope = self.line.slope()?;
        Some((slope, self.line.intercept(slope)))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times and sizes are positive and far below 2^63")]
fn whole(number: f64) -> u64 {
    number.max(0.0).round() as u64
}

impl Bin {
    /// What is quicker than what was cold, or is old, counts for more: luck makes nothing much quicker.
    fn observe(&mut self, rows: f64, nanos: f64, has_aged: bool) {
        let usual = self.nanos * rows / self.rows.max(1.0);
        self.quickest = self.quickest.max(rows / nanos);
        let nanos = if self.batches >= ENOUGH { nanos.min(OUTLIER * usual) } else { nanos };
        self.batches += 1.0;
        let is_cold = self.batches < WARM && nanos * OUTLIER < usual;
        let is_outdated = has_aged && nanos < (1.0 - SURPRISING) * usual;
        let rate = if is_cold || is_outdated { QUICKER } else { NEWEST.max(1.0 / self.batches) };
        self.rows += rate * (rows - self.rows);
        self.nanos += rate * (nanos - self.nanos);
    }

    /// Whether a batch takes about as long as is known, if anything is.
    fn agrees(&self, rows: f64, nanos: f64) -> bool {
        let usual = self.nanos * rows / self.rows.max(1.0);
        self.batches >= ENOUGH && (nanos - usual).abs() <= SURPRISING * usual
    }

    fn per_row(&self) -> f64 {
        self.nanos / self.rows
    }

    /// The time of a size between this bin and a larger one.
    fn towards(&self, above: &Self, rows: f64) -> f64 {
        if above.rows - self.rows < 0.5 {
            return self.nanos;
        }
        self.nanos + (above.nanos - self.nanos) * (rows - self.rows) / (above.rows - self.rows)
    }
}

impl Line {
    pub(crate) fn observe(&mut self, rows: f64, nanos: f64) {
        self.weight = KEPT * self.weight + 1.0;
        self.rows = KEPT * self.rows + rows;
        self.nanos = KEPT * self.nanos + nanos;
        self.rows_rows = KEPT * self.rows_rows + rows * rows;
        self.rows_nanos = KEPT * self.rows_nanos + rows * nanos;
    }

    /// None while all batches had one size.
    pub(crate) fn slope(&self) -> Option<f64> {
        let spread = self.weight * self.rows_rows - self.rows * self.rows;
        let slope = (self.weight * self.rows_nanos - self.rows * self.nanos) / spread;
        (spread > 1e-6 * self.rows_rows * self.weight).then_some(slope)
    }

    /// What the line says, where neither a row nor a call costs less than nothing.
    pub(crate) fn above_zero(&self, rows: f64) -> Option<f64> {
        let (mean, mean_rows) = (self.nanos / self.weight, self.rows / self.weight);
        let slope = self.slope()?.clamp(0.0, mean / mean_rows);
        Some(mean + slope * (rows - mean_rows))
    }

    fn intercept(&self, slope: f64) -> f64 {
        (self.nanos - slope * self.rows) / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each bin.
    const SIZES: [usize; 18] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

    fn micros(count: f64) -> Duration {
        Duration::from_secs_f64(count / 1e6)
    }

    fn learned(cost: impl Fn(usize) -> f64, sizes: &[usize]) -> CostModel {
        let mut model = CostModel::default();
        sizes.repeat(20).into_iter().for_each(|rows| model.observe(rows, micros(cost(rows))));
        model
    }

    fn predicted(model: &CostModel, rows: usize) -> f64 {
        model.predict(rows).unwrap().as_secs_f64() * 1e6
    }

    #[test]
    fn every_size_has_one_bin_and_bins_follow_each_other() {
        for rows in 1..5000 {
            let bin = bin_of(rows);
            assert!(rows <= end_of(bin), "{rows}");
            assert!(bin == 0 || rows > end_of(bin - 1), "{rows}");
        }
        assert_eq!([1, 2, 3, 4, 5, 6, 8, 12, 16].map(bin_of), [0, 1, 3, 4, 5, 5, 6, 7, 8]);
        assert!((0..12).all(|power| end_of(bin_of(1 << power)) == 1 << power));
    }

    #[test]
    fn a_line_is_found_and_followed_between_and_beyond_what_was_seen() {
        let model = learned(|rows| 50.0 + 2.0 * rows as f64, &[1, 8, 32]);
        for rows in [1, 4, 8, 20, 32, 64] {
            assert!((predicted(&model, rows) - (50.0 + 2.0 * rows as f64)).abs() < 1.0, "{rows}: {}", predicted(&model, rows));
        }
        let (a, b) = model.line().unwrap();
        assert!((a - 2000.0).abs() < 20.0 && (b - 50_000.0).abs() < 300.0, "{a} {b}");
    }

    #[test]
    fn nothing_is_predicted_before_the_first_batch_and_one_size_says_something_about_others() {
        assert_eq!(CostModel::default().predict(1), None);
        let model = learned(|_| 80.0, &[8]);
        assert!((10.0..=80.0).contains(&predicted(&model, 1)) && (80.0..=160.1).contains(&predicted(&model, 16)));
    }

    #[test]
    fn what_changes_is_forgotten() {
        let mut model = learned(|_| 100.0, &[8]);
        (0..60).for_each(|_| model.observe(8, micros(50.0)));
        assert!((predicted(&model, 8) - 50.0).abs() < 1.0);
    }

    #[test]
    fn a_cold_start_is_soon_forgotten() {
        let mut model = CostModel::default();
        model.observe(8, micros(50_000.0));
        (0..3).for_each(|_| model.observe(8, micros(100.0)));
        assert!(predicted(&model, 8) < 600.0, "{}", predicted(&model, 8));
    }

    #[test]
    fn one_stall_moves_the_prediction_little() {
        let mut model = learned(|_| 100.0, &[8]);
        model.observe(8, micros(100_000.0));
        assert!(predicted(&model, 8) < 115.0);
    }

    #[test]
    fn the_knee_is_the_smallest_size_about_as_cheap_as_the_cheapest() {
        let model = learned(|rows| 10.0 + rows as f64, &SIZES);
        assert_eq!(model.worth(512, None, false), 192);
        assert_eq!(model.worth(512, None, true), 256);
        assert_eq!(model.worth(64, None, false), 48);
        assert_eq!(model.worth(64, None, true), 64);
    }

    #[test]
    fn a_cost_that_jumps_after_a_size_is_not_taken_for_a_line() {
        let cost = |rows: usize| (500.0 + 20.0 * rows as f64) * if rows > 16 { 3.0 } else { 1.0 };
        let model = learned(cost, &[1, 2, 4, 8, 14, 16, 18, 20]);
        assert!(predicted(&model, 17) > 2.5 * predicted(&model, 16), "{} {}", predicted(&model, 16), predicted(&model, 17));
        assert!(!model.is_whole_as_cheap(17, 16));
    }

    #[test]
    fn a_cost_per_row_that_rises_again_stops_the_growth() {
        let model = learned(|rows| if rows <= 8 { 20.0 + rows as f64 } else { 40.0 * rows as f64 }, &SIZES);
        assert_eq!(model.worth(64, None, true), 8);
    }

    #[test]
    fn a_target_holds_with_two_batches() {
        let model = learned(|rows| 100.0 + 10.0 * rows as f64, &[1, 8, 64]);
        let most = model.within(64, micros(1000.0));
        assert!((38..=41).contains(&most), "{most}");
        assert_eq!(model.worth(64, Some(micros(1000.0)), false), 16, "17 rows and more were never tried");
        assert_eq!(model.worth(64, Some(micros(1.0)), false), 1);
    }

    #[test]
    fn sizes_never_tried_are_tried_by_doubling() {
        let model = learned(|rows| 50.0 + rows as f64, &[1, 2, 4]);
        assert_eq!(model.worth(1000, None, false), 8);
        assert_eq!(CostModel::default().worth(1000, None, false), 1000, "nothing is known against it");
    }

    #[test]
    fn a_model_that_is_busy_from_the_start_finds_that_small_micro_batches_are_cheaper() {
        let cost = |rows: usize| 1.0 + rows as f64 * if rows <= 8 { 1.0 } else { 10.0 };
        let mut model = CostModel::default();
        for _ in 0..20 {
            let rows = model.worth(64, None, true);
            model.observe(rows, micros(cost(rows)));
        }
        assert_eq!(model.worth(64, None, true), 8);
    }

    #[test]
    fn one_call_is_compared_with_all_the_calls_that_would_take_its_place() {
        let jumps = learned(|rows| if rows <= 8 { 20.0 + rows as f64 } else { 40.0 * rows as f64 }, &SIZES);
        assert!(!jumps.is_whole_as_cheap(40, 8), "five calls of 28 us are cheaper than one of 1600");
        let steady = learned(|rows| 20.0 + rows as f64, &SIZES);
        assert!([9, 16, 40, 64].iter().all(|rows| steady.is_whole_as_cheap(*rows, 8)));
    }

    #[test]
    fn a_smaller_size_that_costs_more_ends_the_search_and_one_that_was_measured_badly_does_not() {
        let model = learned(|rows| 50.0 + rows as f64, &[32, 64]);
        assert_eq!(model.worth(64, None, true), 64);
        let disturbed = learned(|rows| if rows == 32 { 345.0 } else { 640.0 }, &[32, 64]);
        assert_eq!(disturbed.worth(64, None, true), 16);
        let mut stalled = learned(|_| 640.0, &[64]);
        (0..3).for_each(|call| stalled.observe(32, micros([900.0, 320.0, 1500.0][call])));
        assert_eq!(stalled.worth(64, None, true), 16);
    }

    #[test]
    fn at_least_one_row_is_worth_a_call_whatever_was_seen() {
        for first in 1..70 {
            for second in 1..70 {
                for dear in [1.0, 1000.0] {
                    let model = learned(|rows| if rows == second { dear * rows as f64 } else { 10.0 }, &[first, second]);
                    for limit in [1, 2, 64] {
                        let sizes =
                            [model.worth(limit, None, false), model.worth(limit, Some(micros(1.0)), false), model.worth(limit, None, true)];
                        assert!(sizes.iter().all(|rows| (1..=limit).contains(rows)), "{first} {second} {dear} {limit}: {sizes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_profile_teaches_another_model_the_same() {
        let model = learned(|rows| 50.0 + 2.0 * rows as f64, &[1, 8, 32]);
        let mut other = CostModel::default();
        for _ in 0..3 {
            model.profile().for_each(|measured| other.observe(measured.rows, measured.took));
        }
        assert!((predicted(&other, 8) - predicted(&model, 8)).abs() < 0.1);
    }
}

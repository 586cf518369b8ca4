//! What a micro-batch really costs in a simulated world.

use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

/// The true cost of a micro-batch; policies see only what they measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// a * rows + b milliseconds.
    Line {
        /// Milliseconds for each row.
        a: f64,
        /// Milliseconds for each call.
        b: f64,
    },
    /// a * rows + b, and so many times as much from a number of rows on: a cost that is not monotone per row.
    Step {
        /// Milliseconds for each row.
        a: f64,
        /// Milliseconds for each call.
        b: f64,
        /// From so many rows on ...
        from: usize,
        /// ... so many times as much.
        times: f64,
    },
    /// a * rows * length + b milliseconds, where the bucket of a micro-batch is the length that its records are padded to.
    Padded {
        /// Milliseconds for each row and unit of length.
        a: f64,
        /// Milliseconds for each call.
        b: f64,
    },
    /// Measured: (rows, milliseconds) in ascending order; linear in between, and beyond the last by its cost per row.
    Table(Vec<(usize, f64)>),
    /// Recorded: (rows, milliseconds of each micro-batch of so many) in ascending order; one is drawn of the nearest size
    /// that has [`ENOUGH`], and scaled by what sizes cost on average.
    Recorded(Vec<(usize, Vec<f64>)>),
    /// Recorded, and played at the times of the recording: whatever made the machine slow then makes it slow again.
    Remembered {
        /// (rows, milliseconds on average) in ascending order.
        sizes: Vec<(usize, f64)>,
        /// When micro-batches began, in milliseconds and in order, and what each took over the average of its size.
        moments: Vec<(f64, f64)>,
    },
}

/// Micro-batches of one size that say how much they differ.
const ENOUGH: usize = 20;

impl Service {
    /// Milliseconds of a micro-batch, without chance; of length 1 where that matters.
    #[must_use]
    pub fn mean(&self, rows: usize) -> f64 {
        let many = rows as f64;
        match self {
            Self::Line { a, b } | Self::Padded { a, b } => a * many + b,
            Self::Step { a, b, from, times } => (a * many + b) * if rows >= *from { *times } else { 1.0 },
            Self::Table(known) | Self::Remembered { sizes: known, .. } => between(known, many),
            Self::Recorded(known) => between(&known.iter().map(|(size, each)| (*size, average(each))).collect::<Vec<_>>(), many),
        }
    }

    /// Milliseconds of a micro-batch of a bucket, give or take 5 %, or as those that were recorded.
    pub(crate) fn draw(&self, (rows, bucket): (usize, u64), now_ms: f64, chance: &mut SmallRng) -> f64 {
        match self {
            Self::Remembered { moments, .. } => at(moments, now_ms) * self.mean(rows),
            Self::Recorded(known) => drawn(known, rows, chance).unwrap_or_default() * self.mean(rows),
            Self::Padded { a, b } => (a * rows as f64 * bucket as f64 + b) * chance.random_range(0.95..1.05),
            _ => self.mean(rows) * chance.random_range(0.95..1.05),
        }
    }

    /// The most rows per millisecond that micro-batches of up to `limit` rows reach.
    #[must_use]
    pub fn capacity(&self, limit: usize) -> f64 {
        (1..=limit).map(|rows| rows as f64 / self.mean(rows)).fold(0.0, f64::max)
    }
}

/// What the latest micro-batch before a moment took, over the average; that of the first before all of them.
fn at(moments: &[(f64, f64)], now_ms: f64) -> f64 {
    let after = moments.partition_point(|(began_ms, _)| *began_ms <= now_ms);
    moments.get(after.saturating_sub(1)).map_or(1.0, |(_, ratio)| *ratio)
}

pub(crate) fn average(each: &[f64]) -> f64 {
    each.iter().sum::<f64>() / each.len().max(1) as f64
}

/// A recorded time over the average of its size.
fn drawn(known: &[(usize, Vec<f64>)], rows: usize, chance: &mut SmallRng) -> Option<f64> {
    let most = known.iter().map(|(_, each)| each.len()).max()?;
    let has_enough = |(_, each): &&(usize, Vec<f64>)| each.len() >= ENOUGH.min(most);
    let (_, each) = known.iter().filter(has_enough).min_by_key(|(size, _)| size.abs_diff(rows))?;
    Some(each[chance.random_range(0..each.len())] / average(each))
}

fn between(known: &[(usize, f64)], rows: f64) -> f64 {
    let place = known.partition_point(|(size, _)| (*size as f64) < rows);
    match (place.checked_sub(1).and_then(|below| known.get(below)), known.get(place)) {
        (Some(below), Some(above)) => {
            let share = (rows - below.0 as f64) / (above.0 - below.0) as f64;
            below.1 + share * (above.1 - below.1)
        }
        (None, Some(above)) => above.1,
        (Some(below), None) => below.1 * rows / below.0 as f64,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_table_is_linear_between_its_entries() {
        let table = Service::Table(vec![(1, 1.0), (3, 2.0)]);
        for (rows, milliseconds) in [(1, 1.0), (2, 1.5), (3, 2.0), (6, 4.0)] {
            assert!((table.mean(rows) - milliseconds).abs() < 1e-12, "{rows}");
        }
    }

    #[test]
    fn a_recorded_time_is_drawn_of_the_nearest_size_that_was_seen_often() {
        let often = |milliseconds: f64| [milliseconds, 3.0 * milliseconds].repeat(ENOUGH);
        let recorded = Service::Recorded(vec![(1, often(1.0)), (4, vec![5.0]), (8, often(4.0))]);
        assert!((recorded.mean(1) - 2.0).abs() < 1e-12 && (recorded.mean(4) - 5.0).abs() < 1e-12);
        let mut chance = SmallRng::seed_from_u64(7);
        for (rows, either) in [(1, [1.0, 3.0]), (4, [2.5, 7.5]), (8, [4.0, 12.0])] {
            let times = (0..50).map(|_| recorded.draw((rows, 0), 0.0, &mut chance)).collect::<Vec<_>>();
            assert!(either.iter().all(|one| times.iter().any(|time| (time - one).abs() < 1e-9)), "{rows}: {times:?}");
            assert!(times.iter().all(|time| either.iter().any(|one| (time - one).abs() < 1e-9)), "{rows}: {times:?}");
        }
    }

    #[test]
    fn what_made_the_machine_slow_makes_it_slow_again() {
        let remembered = Service::Remembered { sizes: vec![(1, 1.0), (3, 2.0)], moments: vec![(0.0, 1.0), (10.0, 4.0), (20.0, 0.5)] };
        let mut chance = SmallRng::seed_from_u64(7);
        for (now_ms, rows, takes_ms) in [(-1.0, 1, 1.0), (9.0, 3, 2.0), (10.0, 1, 4.0), (19.0, 2, 6.0), (50.0, 3, 1.0)] {
            assert!((remembered.draw((rows, 0), now_ms, &mut chance) - takes_ms).abs() < 1e-9, "{now_ms}");
        }
    }

    #[test]
    fn the_capacity_is_that_of_the_cheapest_size() {
        let step = Service::Step { a: 1.0, b: 10.0, from: 9, times: 5.0 };
        assert!((step.capacity(64) - 8.0 / 18.0).abs() < 1e-12);
    }
}

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
}

impl Service {
    /// Milliseconds of a micro-batch, without chance; of length 1 where that matters.
    #[must_use]
    pub fn mean(&self, rows: usize) -> f64 {
        let many = rows as f64;
        match self {
            Self::Line { a, b } | Self::Padded { a, b } => a * many + b,
            Self::Step { a, b, from, times } => (a * many + b) * if rows >= *from { *times } else { 1.0 },
            Self::Table(known) => between(known, many),
        }
    }

    /// Milliseconds of a micro-batch of a bucket, give or take 5 %.
    pub(crate) fn draw(&self, rows: usize, bucket: u64, chance: &mut SmallRng) -> f64 {
        let mean = match self {
            Self::Padded { a, b } => a * rows as f64 * bucket as f64 + b,
            _ => self.mean(rows),
        };
        mean * chance.random_range(0.95..1.05)
    }

    /// The most rows per millisecond that micro-batches of up to `limit` rows reach.
    #[must_use]
    pub fn capacity(&self, limit: usize) -> f64 {
        (1..=limit).map(|rows| rows as f64 / self.mean(rows)).fold(0.0, f64::max)
    }
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
    use super::*;

    #[test]
    fn a_table_is_linear_between_its_entries() {
        let table = Service::Table(vec![(1, 1.0), (3, 2.0)]);
        for (rows, milliseconds) in [(1, 1.0), (2, 1.5), (3, 2.0), (6, 4.0)] {
            assert!((table.mean(rows) - milliseconds).abs() < 1e-12, "{rows}");
        }
    }

    #[test]
    fn the_capacity_is_that_of_the_cheapest_size() {
        let step = Service::Step { a: 1.0, b: 10.0, from: 9, times: 5.0 };
        assert!((step.capacity(64) - 8.0 / 18.0).abs() < 1e-12);
    }
}

//! Before a model serves: it is warmed up, its costs are measured, and with them where its executor may sit.

use std::time::{Duration, Instant};

use shoal_batch::Measured;

use crate::description::{Column, Description};
use crate::executor::Executor;
use crate::profiles::{Kept, is_plausible, lessons};
use crate::values::{Payload, Table, Values};

/// A model runs on the event loop if a micro-batch is quicker than this, and no larger ones are made of it then. Two
/// hand-overs between threads cost tens of microseconds; half a millisecond is what a connection may well wait for its turn.
const INLINE_LIMIT: Duration = Duration::from_micros(500);
/// Micro-batches of fewer rows would cost more than the hand-overs do.
const INLINE_ROWS: usize = 64;
/// A model is warmed up no longer than this before it serves.
const WARM_UP: Duration = Duration::from_millis(150);
/// Micro-batches of each size that warm a model up.
const WARM_UPS: usize = 3;

/// What the policy of a model is taught before the first request, and how many rows of it are known to be quick. What was
/// kept from an earlier life takes the place of most of the warm-up, unless the rest of it says something else.
pub(crate) fn warm_up(
    description: &Description,
    executors: &mut [Box<dyn Executor>],
    kept: Option<&Kept>,
) -> (Vec<Measured>, Option<usize>) {
    let recalled = kept.map(|kept| kept.read(description.policy.max_rows)).unwrap_or_default();
    // How long a record of variable shape takes is not known before it is there.
    let executor = match executors {
        [first, ..] if description.runtime == "onnx" && !has_variable_shapes(description) => &mut **first,
        _ => return (lessons(&recalled), None),
    };
    if let Some(kept) = kept.filter(|_| !recalled.is_empty()) {
        let smallest_and_large = sizes(most_rows(description)).filter(|size| *size == 1 || *size >= INLINE_ROWS);
        let measured = measure(description, executor, smallest_and_large);
        if is_plausible(&recalled, &measured) {
            return (lessons(&recalled), quick_rows(&measured, most_rows(description)));
        }
        kept.contradicted();
    }
    let measured = profile(description, executor);
    let quick_rows = quick_rows(&measured, most_rows(description));
    (measured, quick_rows)
}

/// Whether how long a record takes depends on the record.
pub(crate) fn has_variable_shapes(description: &Description) -> bool {
    description.signature.inputs.iter().any(|column| column.shape.contains(&-1))
}

/// Runs micro-batches of zeros, from one row to as many as there may be: warms the session up and says what they cost.
/// Larger ones are left out when time is up, and all of them when the model cannot run zeros.
fn profile(description: &Description, executor: &mut dyn Executor) -> Vec<Measured> {
    measure(description, executor, sizes(most_rows(description)))
}

fn measure(description: &Description, executor: &mut dyn Executor, sizes: impl Iterator<Item = usize>) -> Vec<Measured> {
    let start = Instant::now();
    let mut measured = Vec::new();
    for rows in sizes {
        let table = zeros(description, rows);
        for _ in 0..WARM_UPS {
            let began = Instant::now();
            if start.elapsed() > WARM_UP || executor.run(&table).is_err() {
                return measured;
            }
            measured.push(Measured { rows, took: began.elapsed() });
        }
    }
    measured
}

/// One, two, four and so on, and the most rows at the end.
fn sizes(most: usize) -> impl Iterator<Item = usize> {
    (0..usize::BITS).map(|power| 1 << power).take_while(move |rows| *rows < most).chain([most])
}

/// Whether micro-batches of a model are quick enough for the event loop: the smallest that would do tell it.
pub(crate) fn is_quick(description: &Description, executor: &mut dyn Executor) -> bool {
    let rows = INLINE_ROWS.min(most_rows(description));
    quick_rows(&measure(description, executor, std::iter::once(rows)), rows).is_some()
}

/// The most rows of a micro-batch that are known to be quick; none if that is too few.
fn quick_rows(profile: &[Measured], most: usize) -> Option<usize> {
    let quickest = |size: usize| profile.iter().filter(|measured| measured.rows == size).map(|measured| measured.took).min();
    let candidates = sizes(most).filter(|size| *size >= INLINE_ROWS.min(most));
    candidates.filter(|size| quickest(*size).is_some_and(|took| took <= INLINE_LIMIT)).last()
}

fn record_shape(column: &Column) -> Vec<usize> {
    column.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(1)).collect()
}

/// As many records as a micro-batch may hold, by its rows and by its bytes.
fn most_rows(description: &Description) -> usize {
    let inputs = &description.signature.inputs;
    let row_bytes: usize =
        inputs.iter().map(|column| record_shape(column).iter().product::<usize>().saturating_mul(column.dtype.width().max(4))).sum();
    description.policy.max_rows.min(description.policy.max_bytes / row_bytes.max(1)).max(1)
}

/// So many records of zeros.
fn zeros(description: &Description, rows: usize) -> Table {
    let column = |column: &Column| {
        let shape = record_shape(column);
        let count = rows * shape.iter().product::<usize>();
        let mut payload = Payload::with_capacity(column.dtype, count);
        match &mut payload {
            Payload::Fixed(buffer) => buffer.extend(&vec![0; count * column.dtype.width()]),
            Payload::Bytes(list) => list.resize(count, Vec::new()),
        }
        Values { shape, payload, missing: Vec::new() }
    };
    Table { rows, columns: description.signature.inputs.iter().map(column).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three measurements of each size, the first of which is cold.
    fn measured(cost_us: impl Fn(usize) -> u64, most: usize) -> Vec<Measured> {
        let times = |rows| [10 * cost_us(rows), cost_us(rows), 2 * cost_us(rows)].map(Duration::from_micros);
        sizes(most).flat_map(|rows| times(rows).map(|took| Measured { rows, took })).collect()
    }

    #[test]
    fn the_largest_size_within_half_a_millisecond_is_what_the_event_loop_takes() {
        let quick = |cost_us: fn(usize) -> u64| quick_rows(&measured(cost_us, 512), 512);
        assert_eq!(quick(|_| 100), Some(512));
        assert_eq!(quick(|rows| 2 * rows as u64), Some(128));
        assert_eq!(quick(|rows| 7 * rows as u64), Some(64));
        assert_eq!(quick(|rows| 8 * rows as u64), None, "64 rows take too long");
    }

    #[test]
    fn a_package_of_small_micro_batches_needs_only_those_to_be_quick() {
        assert_eq!(quick_rows(&measured(|rows| 50 * rows as u64, 8), 8), Some(8));
        assert_eq!(quick_rows(&measured(|rows| 100 * rows as u64, 8), 8), None);
    }

    #[test]
    fn what_was_not_measured_is_not_quick() {
        assert_eq!(quick_rows(&[], 512), None);
        assert_eq!(quick_rows(&measured(|_| 1, 32), 512), None);
    }
}

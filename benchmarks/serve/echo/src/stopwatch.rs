//! Repeats a piece of work in blocks and gives the median cost of one call.

use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(100);
const BLOCK: Duration = Duration::from_millis(60);
const BLOCKS: usize = 9;

/// The median over blocks of the nanoseconds one call of `work` takes; the first failure ends it.
pub(crate) fn nanoseconds_per_call<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    block(WARM_UP, &mut work)?;
    let mut costs = (0..BLOCKS).map(|_| block(BLOCK, &mut work)).collect::<Result<Vec<f64>, E>>()?;
    costs.sort_by(f64::total_cmp);
    Ok(costs[BLOCKS / 2])
}

fn block<E>(length: Duration, work: &mut impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (start, mut calls) = (Instant::now(), 0_u32);
    while start.elapsed() < length {
        // The clock is read once per sixteen calls: it costs about as much as parsing a few numbers.
        for _ in 0..16 {
            work()?;
        }
        calls += 16;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(calls))
}

//! What is learned on a machine that stalls: some calls take many times as long as they do.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use shoal_batch::{Arrival, Bucket, Client, Limits, Moment, Next, Policy, Priority, RequestId, Scheduler};

const LIMITS: Limits = Limits { max_rows: 512, max_bytes: 1 << 30, queue_rows: 10_000, queue_bytes: 1 << 30 };
/// Up to so many rows in one call take a tenth of what rows in larger ones take.
const CHEAP_ROWS: usize = 8;

/// Knuth's multiplicative generator, MMIX.
struct Chance(u64);

impl Chance {
    /// A number from 0 to 999.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 1000
    }

    /// One call in ten stalls for up to 60 ms.
    fn stall(&mut self) -> Duration {
        if self.draw() < 100 { Duration::from_micros(60 * self.draw()) } else { Duration::from_micros(self.draw() / 10) }
    }
}

fn took(rows: usize, chance: &mut Chance) -> Duration {
    let each_us = if rows <= CHEAP_ROWS { 300 } else { 3000 };
    Duration::from_micros(each_us * rows as u64) + chance.stall()
}

/// Runs a request of 400 rows; into how many micro-batches it was cut.
fn served(scheduler: &mut Scheduler, (id, now): (u64, &mut Moment), chance: &mut Chance) -> usize {
    let arrival =
        Arrival { id: RequestId(id), client: Client(1), bucket: Bucket(0), rows: 400, bytes: 3200, priority: Priority(0), deadline: None };
    scheduler.submit(*now, arrival).unwrap();
    let mut count = 0;
    while let Next::Run(run) = scheduler.next(*now) {
        let took = took(run.batch.rows, chance);
        *now = *now + took;
        scheduler.finish(*now, run, Some(took));
        count += 1;
    }
    count
}

/// How long it takes until requests are cut to a size that is nearly cheap.
fn found_out(seed: u64) -> Duration {
    let (mut scheduler, mut chance) = (Scheduler::new(LIMITS, Policy::default()), Chance(seed));
    let (start, mut now, mut requests) = (Moment::from_nanos(0), Moment::from_nanos(0), 0..);
    while served(&mut scheduler, (requests.next().unwrap(), &mut now), &mut chance) < 400 / (2 * CHEAP_ROWS) {}
    now - start
}

#[test]
fn a_model_that_is_slower_in_company_is_soon_found_out_although_calls_stall() {
    let mut times: Vec<Duration> = (0..200).map(found_out).collect();
    times.sort();
    // Where all calls of a size stall, and no other is seen, trials are what finds it.
    assert!(times[197] < Duration::from_secs(20), "{:?}", &times[190..]);
}

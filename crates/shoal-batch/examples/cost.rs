//! What one request costs: submit and release, in micro-batches of 64 single rows, by the queue alone and by the policy
//! that learns, with 64 clients that speak again.
//!
//! Run with `cargo run --release -p shoal-batch --example cost`. The smallest of many rounds is printed, because
//! whatever else the machine does can only add to it.

use std::time::{Duration, Instant};

use shoal_batch::{Arrival, Batcher, Bucket, Client, Limits, Moment, Next, Policy, Priority, RequestId, Scheduler};

const BATCH: u64 = 64;
const BATCHES_PER_ROUND: u64 = 1000;
const ROUNDS: u64 = 50;

const LIMITS: Limits = Limits { max_rows: 64, max_bytes: 1 << 24, queue_rows: 1 << 16, queue_bytes: 1 << 30 };

/// Which buckets, priorities and deadlines the requests have, by their number.
type Kind = fn(u64) -> (u64, u8, Option<Moment>);

const KINDS: [(&str, Kind); 5] = [
    ("one bucket", |_| (0, 0, None)),
    ("equal deadlines", |_| (0, 0, Some(Moment::from_nanos(u64::MAX)))),
    ("scattered deadlines", |id| (0, 0, Some(Moment::from_nanos(u64::MAX - scatter(id))))),
    ("four priorities", |id| (0, (id % 4) as u8, None)),
    ("sixteen buckets", |id| (id % 16, 0, None)),
];

fn scatter(id: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

fn arrival(id: u64, kind: Kind) -> Arrival {
    let (bucket, priority, deadline) = kind(id);
    Arrival {
        id: RequestId(id),
        client: Client(id % 64 + 1),
        bucket: Bucket(bucket),
        rows: 1,
        bytes: 256,
        priority: Priority(priority),
        deadline,
    }
}

/// Submits `BATCH` requests, then releases until nothing waits.
fn round(batcher: &mut Batcher, next: &mut u64, kind: Kind) -> Duration {
    let start = Instant::now();
    for _ in 0..BATCHES_PER_ROUND {
        for id in *next..*next + BATCH {
            let accepted = batcher.submit(Moment::EPOCH, arrival(id, kind));
            assert!(accepted.is_ok());
        }
        *next += BATCH;
        while let Some(batch) = batcher.release(Moment::EPOCH) {
            batcher.recycle(batch.slices);
        }
    }
    start.elapsed()
}

/// 64 clients, each of which speaks 20 us after its answer; a call takes 100 us.
fn policy_round() -> Duration {
    let mut scheduler = Scheduler::new(LIMITS, Policy::default());
    let (mut now, mut next) = (Moment::EPOCH, 0);
    let start = Instant::now();
    for _ in 0..BATCHES_PER_ROUND {
        now = now + Duration::from_micros(20);
        for id in next..next + BATCH {
            assert!(scheduler.submit(now, arrival(id, KINDS[0].1)).is_ok());
        }
        next += BATCH;
        while let Next::Run(run) = scheduler.next(now) {
            now = now + Duration::from_micros(100);
            scheduler.finish(now, run, Some(Duration::from_micros(100)));
        }
    }
    start.elapsed()
}

fn main() {
    for (name, kind) in KINDS {
        let mut batcher = Batcher::new(LIMITS);
        let mut next = 0;
        let rounds = (0..ROUNDS).map(|_| round(&mut batcher, &mut next, kind));
        let nanos = rounds.min().unwrap_or_default().as_nanos();
        let each = nanos as f64 / (BATCHES_PER_ROUND * BATCH) as f64;
        println!("{name}: {each:.0} ns per request");
    }
    let nanos = (0..ROUNDS).map(|_| policy_round()).min().unwrap_or_default().as_nanos();
    println!("the policy, one bucket: {:.0} ns per request", nanos as f64 / (BATCHES_PER_ROUND * BATCH) as f64);
}

//! Records of different lengths as stories: a bucket is the length that its rows are padded to. Time is in microseconds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::time::Duration;

use shoal_batch::{Arrival, Bucket, Client, Kin, Limits, Moment, Next, Policy, Priority, Reason, RequestId, Run, Scheduler, Shape};

const LIMITS: Limits = Limits { max_rows: 64, max_bytes: 10_000, queue_rows: 1000, queue_bytes: 1 << 30 };
/// Lengths that come, over and over, until costs are known.
const LENGTHS: [u64; 4] = [10, 20, 40, 80];

/// What a micro-batch takes: so many microseconds for a call, and for each value.
#[derive(Clone, Copy)]
struct Cost {
    call: u64,
    value: u64,
}

/// A call is dear, a value is cheap.
const DEAR_CALLS: Cost = Cost { call: 1000, value: 1 };

fn at(micros: u64) -> Moment {
    Moment::from(Duration::from_micros(micros))
}

fn rows(id: u64, length: u64, rows: usize) -> Arrival {
    let bytes = rows * usize::try_from(length).unwrap();
    Arrival { id: RequestId(id), client: Client(id), bucket: Bucket(length), rows, bytes, priority: Priority::default(), deadline: None }
}

fn tell(scheduler: &mut Scheduler, kin: u64, length: u64) {
    let row_bytes = usize::try_from(length).unwrap();
    scheduler.tell(Bucket(length), Shape { kin: Kin(kin), lengths: [row_bytes].into(), row_bytes });
}

fn untaught(policy: Policy) -> Scheduler {
    let mut scheduler = Scheduler::new(LIMITS, policy);
    for length in LENGTHS {
        tell(&mut scheduler, 0, length);
    }
    scheduler
}

fn run(next: Next) -> Run {
    match next {
        Next::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// A scheduler that has served each length alone a few times.
fn taught(policy: Policy, cost: Cost) -> Scheduler {
    let mut scheduler = untaught(policy);
    for (id, length) in LENGTHS.repeat(3).into_iter().enumerate() {
        let now = 10_000 * id as u64;
        scheduler.submit(at(now), Arrival { client: Client::default(), ..rows(id as u64, length, 1 + id % 2) }).unwrap();
        serve(&mut scheduler, now, cost);
    }
    scheduler
}

/// Runs what is next: the lengths of its rows' bucket, and its rows.
fn serve(scheduler: &mut Scheduler, now: u64, cost: Cost) -> (u64, usize) {
    let run = run(scheduler.next(at(now)));
    let (length, rows) = (run.batch.bucket.0, run.batch.rows);
    let took = cost.call + cost.value * length * rows as u64;
    scheduler.finish(at(now + took), run, Some(Duration::from_micros(took)));
    (length, rows)
}

/// What goes when these wait, each a (length, rows): the micro-batches until nothing waits.
fn served(scheduler: &mut Scheduler, waiting: &[(u64, usize)], cost: Cost) -> Vec<(u64, usize)> {
    for (id, (length, many)) in (1000..).zip(waiting) {
        scheduler.submit(at(1_000_000), Arrival { client: Client::default(), ..rows(id, *length, *many) }).unwrap();
    }
    let mut served = Vec::new();
    while !scheduler.queue().is_empty() {
        served.push(serve(scheduler, 1_000_000, cost));
    }
    served
}

#[test]
fn lengths_that_wait_together_go_in_one_call_where_a_call_is_dear() {
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    assert_eq!(served(&mut scheduler, &[(20, 1), (80, 2), (10, 1), (40, 1)], DEAR_CALLS), [(80, 5)]);
}

#[test]
fn lengths_go_apart_where_padding_is_dearer_than_a_call() {
    let cost = Cost { call: 10, value: 10 };
    let mut scheduler = taught(Policy::default(), cost);
    assert_eq!(served(&mut scheduler, &[(20, 1), (80, 2), (10, 1)], cost), [(20, 1), (80, 2), (10, 1)]);
}

#[test]
fn where_rows_of_one_length_save_little_together_all_go_as_they_came() {
    let waiting = [(20, 1), (80, 2), (20, 3), (10, 1)];
    let cost = Cost { call: 10, value: 10 };
    assert_eq!(served(&mut taught(Policy::default(), cost), &waiting, cost), waiting);
    let cost = Cost { call: 100, value: 10 };
    assert_eq!(served(&mut taught(Policy::default(), cost), &waiting, cost), [(20, 4), (80, 2), (10, 1)]);
}

#[test]
fn only_those_go_along_for_whom_it_is_cheaper() {
    let cost = Cost { call: 300, value: 10 };
    let mut scheduler = taught(Policy::default(), cost);
    // Eight rows of ten would be padded by 240 values, which take eight times as long as a call of their own.
    assert_eq!(served(&mut scheduler, &[(40, 1), (10, 8), (20, 1)], cost), [(40, 2), (10, 8)]);
}

#[test]
fn before_costs_are_known_each_length_goes_alone() {
    let mut scheduler = untaught(Policy::default());
    assert_eq!(served(&mut scheduler, &[(20, 1), (80, 1), (10, 1)], DEAR_CALLS), [(20, 1), (80, 1), (10, 1)]);
}

#[test]
fn a_length_that_was_never_seen_alone_is_judged_by_its_kin() {
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    tell(&mut scheduler, 0, 30);
    tell(&mut scheduler, 0, 160);
    assert_eq!(served(&mut scheduler, &[(30, 1), (160, 1), (10, 1)], DEAR_CALLS), [(160, 3)]);
}

#[test]
fn lengths_of_another_kin_or_of_none_go_alone() {
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    tell(&mut scheduler, 1, 30);
    scheduler.forget(Bucket(80));
    assert_eq!(served(&mut scheduler, &[(20, 1), (30, 1), (80, 1), (50, 1), (10, 1)], DEAR_CALLS), [(20, 2), (30, 1), (80, 1), (50, 1)]);
}

#[test]
fn whose_turn_it_is_goes_first_and_takes_shorter_ones_along() {
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    let urgent = Arrival { priority: Priority(1), ..rows(1, 40, 1) };
    scheduler.submit(at(1_000_000), rows(2, 10, 60)).unwrap();
    scheduler.submit(at(1_000_000), urgent).unwrap();
    scheduler.submit(at(1_000_000), rows(3, 20, 3)).unwrap();
    let run = run(scheduler.next(at(1_000_000)));
    // All of it would be whole, and beyond the limits; the sixty wait.
    let ids: Vec<u64> = run.batch.slices.iter().map(|slice| slice.id.0).collect();
    assert_eq!((ids, run.batch.bucket, run.batch.rows), (vec![1, 3], Bucket(40), 4));
}

#[test]
fn bytes_are_those_of_the_longest_and_stay_within_the_limit() {
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    tell(&mut scheduler, 0, 5000);
    for (id, length) in [(1, 5000), (2, 10), (3, 10)] {
        scheduler.submit(at(1_000_000), Arrival { client: Client::default(), ..rows(id, length, 1) }).unwrap();
    }
    let batch = run(scheduler.next(at(1_000_000))).batch;
    assert_eq!((batch.rows, batch.bytes), (1, 5000), "three would be beyond the limit");
    let mut scheduler = taught(Policy::default(), DEAR_CALLS);
    for (id, length) in [(1, 80), (2, 10)] {
        scheduler.submit(at(1_000_000), rows(id, length, 2)).unwrap();
    }
    let batch = run(scheduler.next(at(1_000_000))).batch;
    assert_eq!((batch.rows, batch.bytes, batch.reason), (4, 320, Reason::ExecutorFree));
}

#[test]
fn no_call_gets_longer_than_the_latency_target_allows() {
    let policy = Policy { latency_target: Some(Duration::from_micros(2400)), ..Policy::default() };
    let mut scheduler = taught(policy, DEAR_CALLS);
    assert_eq!(served(&mut scheduler, &[(20, 1), (80, 2)], DEAR_CALLS), [(20, 1), (80, 2)]);
}

#[test]
fn a_client_that_returns_with_another_length_is_waited_for() {
    let (mut scheduler, mut now) = (taught(Policy::default(), DEAR_CALLS), 1_000_000);
    for round in 0..40_u64 {
        for client in 1..=4_u64 {
            let length = LENGTHS[usize::try_from((round + client) % 4).unwrap()];
            scheduler.submit(at(now + 50), Arrival { client: Client(client), ..rows(10_000 + 10 * round + client, length, 1) }).unwrap();
        }
        now += 50;
        while !scheduler.queue().is_empty() {
            now += 1100;
            serve(&mut scheduler, now, DEAR_CALLS);
        }
        now += 1300;
    }
    scheduler.submit(at(now + 30), Arrival { client: Client(1), ..rows(1, 10, 1) }).unwrap();
    assert!(matches!(scheduler.next(at(now + 30)), Next::WaitUntil(_)));
    for (client, length) in [(2, 40), (3, 80), (4, 20)] {
        scheduler.submit(at(now + 50), Arrival { client: Client(client), ..rows(client, length, 1) }).unwrap();
    }
    let run = run(scheduler.next(at(now + 50)));
    assert_eq!((run.batch.rows, run.batch.bucket, run.batch.reason), (4, Bucket(80), Reason::Returned));
}

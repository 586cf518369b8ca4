//! The policy as stories: each test is named by its claim. Time is in microseconds.

#![expect(clippy::unwrap_used, clippy::panic, clippy::unchecked_time_subtraction, reason = "a test may fail loudly")]

use std::time::Duration;

use shoal_batch::{
    Arrival, Bucket, Client, DOUBT, Limits, Measured, Moment, Next, Policy, Priority, Reason, Refusal, RequestId, Run, Scheduler,
};

const LIMITS: Limits = Limits { max_rows: 64, max_bytes: 1 << 20, queue_rows: 1000, queue_bytes: 1 << 30 };

fn at(micros: u64) -> Moment {
    Moment::from(Duration::from_micros(micros))
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

fn row(id: u64) -> Arrival {
    Arrival { id: RequestId(id), client: Client(id), bucket: Bucket(0), rows: 1, bytes: 10, priority: Priority::default(), deadline: None }
}

/// A scheduler that knows its model: 1000 us a call and 10 us a row.
fn taught(policy: Policy) -> Scheduler {
    let mut scheduler = Scheduler::new(LIMITS, policy);
    for rows in [1, 2, 4, 8, 16, 32, 64] {
        (0..3).for_each(|_| scheduler.learn(Bucket(0), Measured { rows, took: cost(rows) }));
    }
    scheduler
}

fn cost(rows: usize) -> Duration {
    micros(1000 + 10 * rows as u64)
}

fn run(next: Next) -> Run {
    match next {
        Next::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Runs what is there and finishes it in its time; the moment at which it is done.
fn serve(scheduler: &mut Scheduler, now: u64) -> u64 {
    let run = run(scheduler.next(at(now)));
    let took = cost(run.batch.rows);
    let end = now + u64::try_from(took.as_micros()).unwrap();
    scheduler.finish(at(end), run, Some(took));
    end
}

/// Clients 1 to n that have each spoken 50 us after every answer for a while; all were answered at the moment returned.
fn with_regulars(policy: Policy, clients: u64) -> (Scheduler, u64) {
    let (mut scheduler, mut now) = (taught(policy), 0);
    for round in 0..20 {
        for client in 1..=clients {
            let arrival = Arrival { id: RequestId(1000 * round + client), client: Client(client), ..row(0) };
            assert_eq!(scheduler.submit(at(now + 50), arrival), Ok(()));
        }
        now = serve(&mut scheduler, now + 50);
    }
    (scheduler, now)
}

#[test]
fn a_lone_request_leaves_at_once() {
    let mut scheduler = taught(Policy::default());
    scheduler.submit(at(0), row(1)).unwrap();
    let run = run(scheduler.next(at(0)));
    assert_eq!((run.batch.rows, run.batch.reason, run.predicted), (1, Reason::ExecutorFree, Some(micros(1010))));
}

#[test]
fn a_lone_client_that_speaks_again_and_again_never_waits_for_itself() {
    let (mut scheduler, now) = with_regulars(Policy::default(), 1);
    scheduler.submit(at(now + 50), row(1)).unwrap();
    assert!(matches!(scheduler.next(at(now + 50)), Next::Run(_)));
}

#[test]
fn the_first_of_a_crowd_of_regulars_waits_for_the_others_and_all_go_together() {
    let (mut scheduler, now) = with_regulars(Policy::default(), 8);
    scheduler.submit(at(now + 30), row(1)).unwrap();
    let Next::WaitUntil(until) = scheduler.next(at(now + 30)) else { panic!("it goes alone") };
    assert!(until > at(now + 40) && until < at(now + 300), "{until:?}");
    (2..=8).for_each(|client| scheduler.submit(at(now + 50), row(client)).unwrap());
    let run = run(scheduler.next(at(now + 50)));
    assert_eq!((run.batch.rows, run.batch.reason), (8, Reason::Returned));
}

#[test]
fn nobody_is_waited_for_beyond_the_moment_they_were_due() {
    let (mut scheduler, now) = with_regulars(Policy::default(), 8);
    scheduler.submit(at(now + 30), row(1)).unwrap();
    let Next::WaitUntil(until) = scheduler.next(at(now + 30)) else { panic!("it goes alone") };
    assert!(matches!(scheduler.next(until), Next::Run(_)));
}

#[test]
fn no_wait_is_longer_than_the_limit() {
    let (mut scheduler, now) = with_regulars(Policy { max_wait: micros(5), ..Policy::default() }, 8);
    scheduler.submit(at(now + 30), row(1)).unwrap();
    match scheduler.next(at(now + 30)) {
        Next::WaitUntil(until) => assert!(until <= at(now + 35)),
        Next::Run(run) => assert_eq!(run.batch.rows, 1, "nobody is due within the limit"),
        Next::Nothing => panic!("one waits"),
    }
}

#[test]
fn nobody_waits_while_another_executor_is_idle() {
    let (mut scheduler, now) = with_regulars(Policy { executors: 2, ..Policy::default() }, 8);
    scheduler.submit(at(now + 30), row(1)).unwrap();
    assert!(matches!(scheduler.next(at(now + 30)), Next::Run(_)), "a newcomer would be taken by the other one");
}

#[test]
fn nobody_waits_for_clients_that_have_gone() {
    let (mut scheduler, now) = with_regulars(Policy::default(), 8);
    (2..=8).for_each(|client| scheduler.gone(Client(client)));
    scheduler.submit(at(now + 30), row(1)).unwrap();
    assert!(matches!(scheduler.next(at(now + 30)), Next::Run(_)));
}

#[test]
fn nobody_waits_while_the_server_drains() {
    let (mut scheduler, now) = with_regulars(Policy::default(), 8);
    scheduler.submit(at(now + 30), row(1)).unwrap();
    scheduler.drain();
    assert!(matches!(scheduler.next(at(now + 30)), Next::Run(_)));
}

#[test]
fn nobody_waits_where_calls_cost_nothing_but_their_rows() {
    let (mut scheduler, mut now) = (Scheduler::new(LIMITS, Policy::default()), 0);
    let per_row = |rows: usize| micros(100 * rows as u64);
    for rows in [1, 2, 4, 8, 16, 32, 64] {
        (0..3).for_each(|_| scheduler.learn(Bucket(0), Measured { rows, took: per_row(rows) }));
    }
    for round in 0..20 {
        for client in 1..=8 {
            let arrival = Arrival { id: RequestId(1000 * round + client), client: Client(client), ..row(0) };
            scheduler.submit(at(now + 10), arrival).unwrap();
        }
        let run = run(scheduler.next(at(now + 10)));
        now += 10 + u64::try_from(per_row(run.batch.rows).as_micros()).unwrap();
        let took = per_row(run.batch.rows);
        scheduler.finish(at(now), run, Some(took));
    }
    scheduler.submit(at(now + 5), row(1)).unwrap();
    assert!(matches!(scheduler.next(at(now + 5)), Next::Run(_)));
}

#[test]
fn halves_that_take_turns_are_merged_though_no_larger_size_was_ever_seen() {
    let mut scheduler = Scheduler::new(LIMITS, Policy::default());
    let (mut now, mut id) = (0, 0);
    let mut speak = |scheduler: &mut Scheduler, now: u64, clients: std::ops::RangeInclusive<u64>| {
        for client in clients {
            id += 1;
            scheduler.submit(at(now), Arrival { id: RequestId(id), client: Client(client), ..row(0) }).unwrap();
        }
    };
    speak(&mut scheduler, now, 1..=4);
    let mut largest = 0;
    for turn in 0..40 {
        // While one half runs, the other one speaks, 50 us after its answer.
        let Next::Run(run) = scheduler.next(at(now)) else { break };
        largest = largest.max(run.batch.rows);
        let half = if turn % 2 == 0 { 5..=8 } else { 1..=4 };
        speak(&mut scheduler, now + 50, half);
        now += 1000;
        scheduler.finish(at(now), run, Some(micros(1000)));
    }
    assert!(matches!(scheduler.next(at(now)), Next::WaitUntil(_)), "at most {largest} rows went together");
}

#[test]
fn a_latency_target_bounds_the_rows() {
    let mut scheduler = taught(Policy { latency_target: Some(micros(2400)), ..Policy::default() });
    (1..=64).for_each(|id| scheduler.submit(at(0), row(id)).unwrap());
    let run = run(scheduler.next(at(0)));
    assert!((15..=20).contains(&run.batch.rows), "{} rows", run.batch.rows);
    assert_eq!(run.batch.reason, Reason::BestSize);
}

#[test]
fn a_size_that_costs_more_than_two_smaller_ones_is_cut() {
    let mut scheduler = Scheduler::new(LIMITS, Policy::default());
    for rows in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64] {
        let took = if rows <= 8 { micros(100 + 10 * rows as u64) } else { micros(400 * rows as u64) };
        (0..3).for_each(|_| scheduler.learn(Bucket(0), Measured { rows, took }));
    }
    (1..=16).for_each(|id| scheduler.submit(at(0), row(id)).unwrap());
    let run = run(scheduler.next(at(0)));
    assert!((8..=11).contains(&run.batch.rows), "{} rows", run.batch.rows);
}

#[test]
fn in_a_crowd_requests_of_many_rows_travel_whole_where_that_is_as_cheap() {
    let limits = Limits { max_rows: 512, queue_rows: 10_000, ..LIMITS };
    let mut scheduler = Scheduler::new(limits, Policy::default());
    for rows in [1, 8, 64, 128, 256, 512] {
        (0..3).for_each(|_| scheduler.learn(Bucket(0), Measured { rows, took: micros(10 + 10 * rows as u64) }));
    }
    (0..40).for_each(|id| scheduler.submit(at(0), Arrival { rows: 40, ..row(id) }).unwrap());
    for _ in 0..10 {
        let run = run(scheduler.next(at(0)));
        assert!(run.batch.rows.is_multiple_of(40) && run.batch.slices.iter().all(|slice| slice.rows == 40), "{:?}", run.batch);
        assert_eq!(run.batch.reason, Reason::BestSize);
        scheduler.finish(at(0), run, None);
    }
}

#[test]
fn in_a_crowd_no_micro_batch_grows_for_less_than_can_be_told_from_chance() {
    let limits = Limits { max_rows: 512, queue_rows: 10_000, ..LIMITS };
    let mut scheduler = Scheduler::new(limits, Policy::default());
    let slow = |rows: usize| micros(1000 + 1000 * rows as u64);
    for rows in [1, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512] {
        (0..3).for_each(|_| scheduler.learn(Bucket(0), Measured { rows, took: slow(rows) }));
    }
    scheduler.submit(at(0), Arrival { rows: 5000, ..row(1) }).unwrap();
    let first = run(scheduler.next(at(0)));
    assert_eq!(first.batch.rows, 48, "a row of 512 would be 1.9 % cheaper, and a neighbour kept ten times as long");
}

#[test]
fn work_that_cannot_make_it_is_refused_at_the_door_and_told_when_to_come_again() {
    let mut scheduler = taught(Policy::default());
    (1..=640).for_each(|id| scheduler.submit(at(0), row(id)).unwrap());
    let hopeless = Arrival { deadline: Some(at(5000)), ..row(1000) };
    let away = scheduler.submit(at(0), hopeless).unwrap_err();
    let Refusal::OutOfReach { predicted, budget } = away.refusal else { panic!("{away:?}") };
    assert!(predicted > micros(16_000) && predicted < micros(20_000), "{predicted:?}");
    assert_eq!((budget, away.retry_after), (micros(5000), Some(predicted - budget)));
    let patient = Arrival { deadline: Some(at(30_000)), ..row(1001) };
    assert_eq!(scheduler.submit(at(0), patient), Ok(()));
}

#[test]
fn small_micro_batches_that_were_slow_refuse_no_large_request() {
    let mut scheduler = Scheduler::new(Limits { queue_rows: 200_000, ..LIMITS }, Policy::default());
    (0..5).for_each(|_| scheduler.learn(Bucket(0), Measured { rows: 1, took: micros(20_000) }));
    let many = Arrival { rows: 100_000, deadline: Some(at(1_000_000)), ..row(1) };
    assert_eq!(scheduler.submit(at(0), many), Ok(()), "each of 100,000 rows by itself would take half an hour");
    let hopeless = Arrival { deadline: Some(at(10_000)), ..row(2) };
    assert!(scheduler.submit(at(0), hopeless).is_err(), "a row by itself does take 20 ms");
}

#[test]
fn an_urgent_deadline_is_not_refused_for_rows_that_it_goes_before() {
    let mut scheduler = taught(Policy::default());
    (1..=640).for_each(|id| scheduler.submit(at(0), Arrival { deadline: Some(at(1_000_000)), ..row(id) }).unwrap());
    assert_eq!(scheduler.submit(at(0), Arrival { deadline: Some(at(5000)), ..row(1000) }), Ok(()));
}

#[test]
fn a_prediction_is_tried_now_and_then() {
    let mut scheduler = taught(Policy::default());
    let hopeless = |id| Arrival { deadline: Some(at(100)), ..row(id) };
    let tried = (0..u64::from(2 * DOUBT)).filter(|id| scheduler.submit(at(0), hopeless(*id)).is_ok()).count();
    assert_eq!(tried, 2);
}

#[test]
fn what_cannot_be_met_any_more_is_handed_back_instead_of_run() {
    let mut scheduler = taught(Policy::default());
    scheduler.submit(at(0), Arrival { deadline: Some(at(1500)), ..row(1) }).unwrap();
    assert!(matches!(scheduler.next(at(1000)), Next::Nothing));
    let mut expired = Vec::new();
    scheduler.expire(at(1000), &mut expired);
    assert_eq!(expired, [RequestId(1)]);
}

#[test]
fn a_full_queue_says_when_there_is_room() {
    let mut scheduler = taught(Policy::default());
    (1..=1000).for_each(|id| scheduler.submit(at(0), row(id)).unwrap());
    let away = scheduler.submit(at(0), row(2000)).unwrap_err();
    assert!(matches!(away.refusal, Refusal::QueueFull { .. }));
    assert_eq!(away.retry_after, Some(cost(64)));
}

#[test]
fn a_failed_micro_batch_teaches_nothing() {
    let mut scheduler = taught(Policy::default());
    let before = scheduler.cost(Bucket(0)).predict(1);
    scheduler.submit(at(0), row(1)).unwrap();
    let failed = run(scheduler.next(at(0)));
    scheduler.finish(at(900_000), failed, None);
    assert_eq!(scheduler.cost(Bucket(0)).predict(1), before);
}

/// Rows of each of the first micro-batches of a crowd that never ends, on a model that really costs `truth` microseconds.
fn crowded(scheduler: &mut Scheduler, truth: impl Fn(usize) -> u64, batches: usize) -> Vec<usize> {
    let (mut now, mut id) = (0, 0);
    let mut sizes = Vec::new();
    while sizes.len() < batches {
        while scheduler.queue().queued_rows() < 200 {
            id += 1;
            scheduler.submit(at(now), row(id)).unwrap();
        }
        let run = run(scheduler.next(at(now)));
        sizes.push(run.batch.rows);
        let took = truth(run.batch.rows);
        now += took;
        scheduler.finish(at(now), run, Some(micros(took)));
    }
    sizes
}

/// A scheduler whose table says so.
fn told(table: impl Fn(usize) -> u64) -> Scheduler {
    let mut scheduler = Scheduler::new(LIMITS, Policy::default());
    for rows in [1, 2, 4, 8, 16, 32, 64].repeat(5) {
        scheduler.learn(Bucket(0), Measured { rows, took: micros(table(rows)) });
    }
    scheduler
}

#[test]
fn a_cheaper_size_that_the_table_calls_dear_is_found_within_some_thousand_micro_batches() {
    let truth = |rows: usize| 100 + rows as u64 * if rows <= 16 { 10 } else { 50 };
    let busy = told(|rows| if rows < 64 { 100 * rows as u64 } else { 3300 });
    let cheap_once = told(|rows| 100 + 2 * rows as u64);
    let dear_once = told(|rows| if rows <= 2 { 60 * rows as u64 } else { 5 * (100 + 10 * rows as u64) });
    for (name, mut scheduler) in [("small ones seemed dear", busy), ("large ones were cheap", cheap_once), ("all were dear", dear_once)] {
        let sizes = crowded(&mut scheduler, truth, 6000);
        let usual = sizes[5000..].iter().filter(|rows| **rows == 16).count();
        assert!(usual >= 950, "{name}: {usual} of the last 1000 have the best size, the last is {:?}", sizes.last());
    }
}

#[test]
fn trials_take_one_micro_batch_in_a_hundred_at_most_and_one_part_in_a_hundred_of_the_time() {
    let truth = |rows: usize| 100 + rows as u64 * if rows <= 16 { 10 } else { 50 };
    let sizes = crowded(&mut told(truth), truth, 5000);
    let others = sizes.iter().filter(|rows| **rows != 16).count();
    assert!((1..=50).contains(&others), "{others}");
    let took: u64 = sizes.iter().map(|rows| truth(*rows)).sum();
    let at_best = sizes.iter().sum::<usize>() as f64 * truth(16) as f64 / 16.0;
    assert!(took as f64 <= 1.011 * at_best, "{took} and {at_best}");
}

#[test]
fn a_trial_never_waits_and_keeps_all_limits() {
    let mut scheduler = told(|rows| 100 + 10 * rows as u64);
    let (mut now, mut id) = (0, 0);
    for round in 0..1000_usize {
        for _ in 0..=(round % 70) {
            id += 1;
            scheduler.submit(at(now), row(id)).unwrap();
        }
        while scheduler.queue().queued_rows() > 0 {
            let before = scheduler.queue().queued_rows();
            let run = run(scheduler.next(at(now)));
            assert!((1..=before.min(64)).contains(&run.batch.rows));
            now += 100 + 10 * run.batch.rows as u64;
            scheduler.finish(at(now), run, Some(micros(500)));
        }
    }
}

#[test]
fn every_padded_length_has_its_turn_however_many_ask_for_another() {
    let mut scheduler = Scheduler::new(LIMITS, Policy::default());
    scheduler.submit(at(0), Arrival { bucket: Bucket(512), ..row(1) }).unwrap();
    (2..500).for_each(|id| scheduler.submit(at(1), Arrival { bucket: Bucket(8), ..row(id) }).unwrap());
    let run = run(scheduler.next(at(2)));
    assert_eq!((run.batch.bucket, run.batch.rows), (Bucket(512), 1), "it came first");
}

//! Plays as stories: what a policy does to those who send.

use std::time::Duration;

use shoal_batch::{Bucket, Limits, Measured, Policy as Bounds};
use shoal_simulator::play::{Model, Place, play};
use shoal_simulator::report::Report;
use shoal_simulator::rivals::{FixedDelay, MlServer, Mosec, Policy, Tei};
use shoal_simulator::service::Service;
use shoal_simulator::shoal::Shoal;
use shoal_simulator::workload::{Kind, Lengths, Pace, Rows, Source, Spoken, Timing, Workload};

const LIMITS: Limits = Limits { max_rows: 64, max_bytes: 1 << 40, queue_rows: 100_000, queue_bytes: 1 << 40 };
const COST: Service = Service::Line { a: 0.01, b: 1.0 };

fn shoal() -> Box<dyn Policy> {
    let mut shoal = Shoal::new(LIMITS, Bounds::default());
    for rows in [1, 2, 4, 8, 16, 32, 64].repeat(3) {
        shoal.scheduler().learn(Bucket(0), Measured { rows, took: Duration::from_secs_f64(COST.mean(rows) / 1e3) });
    }
    Box::new(shoal)
}

fn eager() -> Box<dyn Policy> {
    Box::new(FixedDelay::new(Duration::ZERO, 64))
}

fn source(timing: Timing) -> Source {
    Source { timing, request: Kind::default(), model: 0 }
}

fn strangers(per_ms: f64) -> Source {
    source(Timing::Open { per_ms: vec![per_ms], connections: 200 })
}

fn regulars(clients: usize, turnaround_ms: f64) -> Source {
    source(Timing::Closed { clients, turnaround_ms, in_flight: 1 })
}

fn played(policy: Box<dyn Policy>, sources: Vec<Source>) -> Report {
    let workload = Workload { sources, span_ms: 2000.0, seed: 7 };
    play(&workload, &mut [Model { policy, service: COST, executors: 1, place: Place::Anywhere }], 1)
}

#[test]
fn a_play_is_determined_by_its_seed() {
    let text = || serde_json::to_string(&played(shoal(), vec![strangers(20.0), regulars(8, 0.3)])).unwrap();
    assert_eq!(text(), text());
}

#[test]
fn clients_that_speak_again_are_served_together() {
    let (ours, halves) = (played(shoal(), vec![regulars(16, 0.3)]), played(eager(), vec![regulars(16, 0.3)]));
    assert!(ours.mean_rows > 15.0 && halves.mean_rows < 9.0, "{} and {}", ours.mean_rows, halves.mean_rows);
    assert!(ours.all.goodput_rows_per_ms > 1.25 * halves.all.goodput_rows_per_ms);
    assert!(ours.all.p99_ms < halves.all.p99_ms);
}

#[test]
fn strangers_pay_nothing_for_it() {
    for per_ms in [1.0, 10.0, 30.0] {
        let (ours, all) = (played(shoal(), vec![strangers(per_ms)]), played(eager(), vec![strangers(per_ms)]));
        assert!(ours.all.mean_ms < 1.03 * all.all.mean_ms, "{per_ms}/ms: {} and {}", ours.all.mean_ms, all.all.mean_ms);
    }
}

#[test]
fn several_requests_in_flight_on_one_connection_go_together() {
    let proxy = source(Timing::Closed { clients: 2, turnaround_ms: 0.3, in_flight: 8 });
    let (ours, halves) = (played(shoal(), vec![proxy.clone()]), played(eager(), vec![proxy]));
    assert!(ours.all.goodput_rows_per_ms > 1.2 * halves.all.goodput_rows_per_ms);
}

#[test]
fn overload_is_turned_away_and_what_is_accepted_is_in_time() {
    let capacity = COST.capacity(64);
    let timeout = Kind { timeout_ms: Some(20.0), ..Kind::default() };
    let crowd = Source { request: timeout, ..strangers(1.5 * capacity) };
    let report = played(shoal(), vec![crowd.clone()]).all;
    assert!(report.goodput_rows_per_ms > 0.9 * capacity, "{} of {capacity}", report.goodput_rows_per_ms);
    assert!(report.late * 10 < report.answered, "{} late of {}", report.late, report.answered);
    let unbounded = played(eager(), vec![crowd]).all;
    assert!(unbounded.goodput_rows_per_ms < report.goodput_rows_per_ms);
}

#[test]
fn clients_that_vanish_cost_nothing() {
    let fickle = Source { request: Kind { vanishing: 0.5, timeout_ms: Some(4.0), ..Kind::default() }, ..strangers(30.0) };
    let report = played(shoal(), vec![fickle]);
    assert!(report.all.vanished > 0 && report.all.answered > 0);
    assert!(report.mean_rows < 30.0 * 3.0);
}

#[test]
fn alternating_shapes_are_batched_by_shape() {
    let shapes = Source { request: Kind { buckets: 2, ..Kind::default() }, ..regulars(16, 0.3) };
    let (ours, fifo) = (played(shoal(), vec![shapes.clone()]), played(eager(), vec![shapes]));
    assert!(ours.mean_rows > 4.0 && fifo.mean_rows < 1.5, "{} and {}", ours.mean_rows, fifo.mean_rows);
}

#[test]
fn single_rows_beside_a_bulk_request_wait_for_little_of_it() {
    let bulk = Source { request: Kind { rows: Rows::Exactly(1000), ..Kind::default() }, ..regulars(1, 5.0) };
    let report = played(shoal(), vec![bulk, strangers(1.0)]);
    assert!(report.sources[1].p99_ms < 8.0, "{:?}", report.sources[1]);
}

#[test]
fn two_models_share_one_core() {
    let second = Source { model: 1, ..strangers(5.0) };
    let workload = Workload { sources: vec![strangers(5.0), second], span_ms: 1000.0, seed: 7 };
    let mut models = [shoal(), shoal()].map(|policy| Model { policy, service: COST, executors: 1, place: Place::Anywhere });
    let report = play(&workload, &mut models, 1);
    let alone = played(shoal(), vec![strangers(5.0)]);
    assert!(report.sources[0].mean_ms > 1.2 * alone.sources[0].mean_ms);
    assert!((report.sources[0].mean_ms / report.sources[1].mean_ms - 1.0).abs() < 0.2);
}

#[test]
fn a_step_in_the_load_is_followed() {
    let step = source(Timing::Open { per_ms: vec![2.0, 30.0], connections: 200 });
    let report = played(shoal(), vec![step]);
    assert!(report.all.goodput_rows_per_ms > 15.0 && report.all.p99_ms < 5.0, "{:?}", report.all);
}

#[test]
fn rows_of_any_length_are_drawn() {
    let texts = Source { request: Kind { rows: Rows::LogNormal { median: 4.0, sigma: 1.0 }, ..Kind::default() }, ..strangers(2.0) };
    assert!(played(shoal(), vec![texts]).mean_rows > 4.0);
}

#[test]
fn the_rivals_do_what_their_sources_say() {
    let alone = |policy: Box<dyn Policy>| played(policy, vec![regulars(1, 5.0)]).all.p50_ms;
    let wait = Duration::from_millis(2);
    assert!(alone(Box::new(FixedDelay::new(wait, 64))) > 2.9, "a lone request waits for the whole delay");
    assert!(alone(Box::new(Mosec::new(wait, 64))) > 2.9);
    assert!(alone(Box::new(MlServer::new(wait, 64))) > 2.9);
    assert!(alone(Box::new(Tei::new(64))) < 1.2, "there is no timer");
    assert!(alone(shoal()) < 1.2);
    let crowd = |policy: Box<dyn Policy>| played(policy, vec![regulars(16, 0.3)]).mean_rows;
    assert!(crowd(Box::new(Tei::new(64))) < 8.0, "a batch is sealed one ahead");
}

#[test]
fn recorded_requests_are_played_again() {
    let requests = (0..200_u32).map(|place| {
        let at = f64::from(place) * 2.0;
        Spoken { at_ms: at, answered_ms: at + 1.0, client: u64::from(place % 4), rows: 1, bucket: 0 }
    });
    let workload = Workload {
        sources: vec![source(Timing::Recorded { requests: requests.collect(), pace: Pace::Turnarounds })],
        span_ms: 400.0,
        seed: 7,
    };
    let report = play(&workload, &mut [Model { policy: shoal(), service: COST, executors: 1, place: Place::Anywhere }], 1);
    assert!(report.all.answered > 0 && (report.all.p50_ms - 1.01).abs() < 0.1, "{:?}", report.all);
}

#[test]
fn records_of_log_normal_lengths_go_together_by_length() {
    let lengths = Some(Lengths { median: 100.0, sigma: 0.6, longest: 1000 });
    let crowd = || Source { request: Kind { lengths, ..Kind::default() }, ..regulars(64, 0.3) };
    let cost = Service::Padded { a: 0.001, b: 1.0 };
    let played = |policy: Box<dyn Policy>| {
        let workload = Workload { sources: vec![crowd()], span_ms: 4000.0, seed: 7 };
        play(&workload, &mut [Model { policy, service: cost.clone(), executors: 1, place: Place::Anywhere }], 1)
    };
    let ours = played(Box::new(Shoal::new(LIMITS, Bounds::default())));
    let to_the_longest = played(Box::new(FixedDelay::new(Duration::ZERO, 64).mixing()));
    let one_by_one = played(eager());
    assert!(ours.mean_rows > 4.0 && one_by_one.mean_rows < 1.3, "{} and {}", ours.mean_rows, one_by_one.mean_rows);
    assert!(ours.all.goodput_rows_per_ms > 1.2 * to_the_longest.all.goodput_rows_per_ms);
    assert!(ours.all.goodput_rows_per_ms > 2.0 * one_by_one.all.goodput_rows_per_ms);
}

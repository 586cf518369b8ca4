//! A server that is simulated writes a trace as a real one does; played again, the trace predicts what happened.
//!
//! Its costs and its chores are given exactly, so the truth is known; the replay sees the lines of the trace only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use shoal_batch::{Bucket, Limits, Measured, Moment, Policy as Bounds};
use shoal_simulator::event_loop::Chores;
use shoal_simulator::play::{Model, Place, play};
use shoal_simulator::recording::Trace;
use shoal_simulator::replay::{Comparison, replay};
use shoal_simulator::request::Request;
use shoal_simulator::rivals::{Call, Decision, Policy};
use shoal_simulator::service::Service;
use shoal_simulator::shoal::Shoal;
use shoal_simulator::workload::{Kind, Source, Timing, Workload};

const LIMITS: Limits = Limits { max_rows: 64, max_bytes: 1 << 40, queue_rows: 100_000, queue_bytes: 1 << 40 };
/// A quick model: 12 microseconds for each call and half of one for each row.
const QUICK: Service = Service::Line { a: 0.0005, b: 0.012 };
/// A slow one.
const SLOW: Service = Service::Line { a: 0.05, b: 1.0 };
const EVENT_LOOP: Place = Place::EventLoop(Chores { read_ms: 0.004, readings_ms: Vec::new(), write_ms: 0.006 });
const THREAD: Place = Place::Thread { notice_ms: 0.05 };
/// What is promised.
const WITHIN: f64 = 0.2;

type Told = Rc<RefCell<String>>;

/// The policy that serves, and a trace of what it does.
struct Traced {
    shoal: Shoal,
    open: HashMap<u64, (Request, u64)>,
    told: Told,
}

fn micros(moment: Moment) -> u64 {
    moment.as_nanos() / 1000
}

impl Policy for Traced {
    fn submit(&mut self, now: Moment, request: &Request) -> bool {
        self.open.insert(request.id, (request.clone(), micros(now)));
        self.shoal.submit(now, request)
    }

    fn next(&mut self, now: Moment) -> Decision {
        self.shoal.next(now)
    }

    fn finish(&mut self, now: Moment, call: Call, took: Duration) {
        let started_us = micros(now).saturating_sub(u64::try_from(took.as_micros()).unwrap_or_default());
        for (id, is_last) in &call.members {
            let Some((request, arrived_us)) = self.open.remove(id).filter(|_| *is_last) else { continue };
            let (client, rows, bucket, answered_us, batch_rows) = (request.client, request.rows, request.bucket, micros(now), call.rows);
            let line = serde_json::json!({"event": "request", "model": "m", "version": "1", "lane": 0, "client": client, "rows": rows, "bucket": bucket,
                "arrived_us": arrived_us, "started_us": started_us, "batch_rows": batch_rows, "answered_us": answered_us, "outcome": "ok"});
            // Writing to a String does not fail.
            let _ = writeln!(self.told.borrow_mut(), "{line}");
        }
        self.shoal.finish(now, call, took);
    }

    fn cancel(&mut self, id: u64) {
        self.shoal.cancel(id);
    }

    fn expired(&mut self, now: Moment) -> Vec<u64> {
        self.shoal.expired(now)
    }
}

fn header(learned: &[Measured], place: &Place) -> String {
    let learned: Vec<_> =
        learned.iter().map(|each| serde_json::json!({"rows": each.rows, "took_us": each.took.as_secs_f64() * 1e6})).collect();
    let inline = matches!(place, Place::EventLoop(_));
    let model = serde_json::json!({"event": "model", "model": "m", "version": "1", "lane": 0, "max_rows": 64, "max_wait_us": 100_000,
        "latency_target_us": null, "executors": 1, "inline": inline, "learned": learned});
    format!("{{\"event\":\"start\",\"format\":1}}\n{model}\n")
}

/// Plays a load, and plays its trace again.
fn compared(timing: Timing, service: Service, place: Place, span_ms: f64) -> Option<Comparison> {
    let learned: Vec<Measured> = [1, 2, 4, 8, 16, 32, 64]
        .repeat(3)
        .into_iter()
        .map(|rows| Measured { rows, took: Duration::from_secs_f64(service.mean(rows) / 1e3) })
        .collect();
    let mut shoal = Shoal::new(LIMITS, Bounds::default());
    for each in &learned {
        shoal.scheduler().learn(Bucket(0), *each);
    }
    let told = Told::default();
    told.borrow_mut().push_str(&header(&learned, &place));
    let policy = Box::new(Traced { shoal, open: HashMap::new(), told: Rc::clone(&told) });
    let workload = Workload { sources: vec![Source { timing, request: Kind::default(), model: 0 }], span_ms, seed: 11 };
    play(&workload, &mut [Model { policy, service, executors: 1, place }], 1);
    let trace = Trace::read(told.borrow().as_bytes()).ok()?;
    trace.recordings().next().map(|recording| replay(recording, trace.lost))
}

fn holds(timing: Timing, service: Service, place: Place, span_ms: f64) {
    let seen = compared(timing, service, place, span_ms);
    let is_within = |ratio: f64| (1.0 - WITHIN..=1.0 + WITHIN).contains(&ratio);
    let ratios = |seen: &Comparison| [seen.times, seen.turnarounds].map(|each| [each.p50_ratio, each.p99_ratio]);
    let holds = |seen: &Comparison| seen.measured.answered > 500 && ratios(seen).into_iter().flatten().all(is_within);
    assert!(seen.as_ref().is_some_and(holds), "{seen:?}");
}

fn regulars(clients: usize, turnaround_ms: f64) -> Timing {
    Timing::Closed { clients, turnaround_ms, in_flight: 1 }
}

fn strangers(per_ms: f64) -> Timing {
    Timing::Open { per_ms: vec![per_ms], connections: 100 }
}

#[test]
fn clients_that_speak_again_to_a_quick_model() {
    for (clients, turnaround_ms) in [(1, 0.03), (8, 0.05), (64, 0.2), (64, 2.0)] {
        holds(regulars(clients, turnaround_ms), QUICK, EVENT_LOOP, 200.0);
    }
}

#[test]
fn strangers_at_a_quick_model() {
    for per_ms in [5.0, 20.0] {
        holds(strangers(per_ms), QUICK, EVENT_LOOP, 200.0);
    }
}

#[test]
fn clients_that_speak_again_to_a_slow_model() {
    for (clients, turnaround_ms) in [(1, 0.3), (8, 0.3), (64, 0.3)] {
        holds(regulars(clients, turnaround_ms), SLOW, THREAD, 2000.0);
    }
}

#[test]
fn strangers_at_a_slow_model() {
    for per_ms in [1.0, 5.0] {
        holds(strangers(per_ms), SLOW, THREAD, 2000.0);
    }
}

#[test]
fn several_requests_on_one_connection_keep_their_distance() {
    holds(Timing::Closed { clients: 2, turnaround_ms: 0.3, in_flight: 8 }, SLOW, THREAD, 2000.0);
}

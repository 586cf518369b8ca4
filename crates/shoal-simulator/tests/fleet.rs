//! Replicas that are scaled, as stories.

use shoal_simulator::fleet::autoscaler::Behaviour;
use shoal_simulator::fleet::{Fleet, FleetReport, Scaler, play};
use shoal_simulator::service::Service;

const MINUTE_MS: f64 = 60e3;
/// A call costs what 13 rows do: batching pays.
const CALLS: Service = Service::Line { a: 15.0, b: 200.0 };
/// A call costs next to nothing beside its rows.
const ROWS: Service = Service::Line { a: 20.0, b: 3.0 };

/// Steps of five minutes, in requests a second.
fn steps(per_s: &[f64], service: Service, scaler: Scaler) -> Fleet {
    Fleet {
        per_ms: per_s.iter().map(|rate| rate / 1e3).collect(),
        span_ms: 5.0 * MINUTE_MS * per_s.len() as f64,
        service,
        max_rows: 64,
        request_ms: 0.1,
        latency_target_ms: 2000.0,
        start_ms: (10e3, 20e3),
        replicas: (2, 20),
        scaler,
        behaviour: Behaviour::default(),
        seed: 7,
    }
}

fn by_wait() -> Scaler {
    Scaler::QueueWait { of_one_row: 0.6 }
}

fn ready(report: &FleetReport) -> Vec<usize> {
    report.minutes.iter().map(|minute| minute.ready).collect()
}

#[test]
fn each_request_is_answered_once_or_refused_whatever_comes_and_goes() {
    let scalers = [Scaler::Fixed, Scaler::Cpu { utilisation: 0.7 }, by_wait()];
    for scaler in scalers {
        for service in [CALLS, ROWS] {
            let report = play(&steps(&[10.0, 100.0, 0.0, 40.0], service, scaler.clone()));
            assert!(report.requests > 40_000 && report.answered > 0, "{scaler:?}");
            assert_eq!(report.requests, report.answered + report.refused, "{scaler:?}");
            assert!(report.minutes.iter().all(|minute| (2..=20).contains(&minute.ready)), "{scaler:?}");
        }
    }
}

#[test]
fn a_play_is_determined_by_its_seed_and_the_load_by_nothing_else() {
    let text = |fleet: &Fleet| serde_json::to_string(&play(fleet)).unwrap();
    let fleet = steps(&[20.0, 80.0], CALLS, by_wait());
    assert_eq!(text(&fleet), text(&fleet));
    let other = Fleet { seed: 8, ..fleet.clone() };
    assert_ne!(text(&fleet), text(&other));
    let fixed = Fleet { scaler: Scaler::Fixed, ..fleet.clone() };
    assert_eq!(play(&fixed).requests, play(&fleet).requests);
}

#[test]
fn as_many_replicas_as_at_the_beginning_cost_their_hours() {
    let report = play(&steps(&[10.0; 6], ROWS, Scaler::Fixed));
    assert!((report.replica_hours - 1.0).abs() < 1e-9, "{}", report.replica_hours);
    assert_eq!((report.changes, report.most_replicas), (0, 2));
}

#[test]
fn replicas_come_with_the_load_and_go_when_it_has_gone() {
    for scaler in [Scaler::Cpu { utilisation: 0.6 }, by_wait()] {
        let report = play(&steps(&[20.0, 100.0, 100.0, 20.0, 20.0, 20.0], ROWS, scaler));
        let ready = ready(&report);
        assert_eq!(ready[4], 2);
        assert!(ready[14] >= 3, "{ready:?}");
        assert!(ready[29] < ready[14], "{ready:?}");
    }
}

#[test]
fn a_processor_that_is_busy_with_small_micro_batches_needs_no_company() {
    let (by_wait, by_cpu) = (by_wait(), Scaler::Cpu { utilisation: 0.7 });
    let [by_wait, by_cpu] = [by_wait, by_cpu].map(|scaler| play(&steps(&[30.0; 6], CALLS, scaler)));
    assert!(by_wait.replica_hours < 0.7 * by_cpu.replica_hours, "{} and {}", by_wait.replica_hours, by_cpu.replica_hours);
    assert_eq!((by_wait.late, by_cpu.late), (0, 0));
}

#[test]
fn a_new_replica_gets_nothing_before_it_is_ready() {
    let slow = Fleet { start_ms: (1e9, 1e9), ..steps(&[100.0, 100.0], ROWS, by_wait()) };
    let report = play(&slow);
    assert!(report.most_replicas > 2);
    assert!(ready(&report).iter().all(|ready| *ready == 2));
}

//! Replicas behind a balancer, and an autoscaler that decides how many: a load, played for hours of simulated time.
//!
//! 1. A replica is the scheduler that serves, with one executor, a processor of its own, and the measured costs of a model.
//! 2. The balancer sends each request to any ready replica by chance, as a Service does with connections.
//! 3. A new replica takes its time until it is ready, and is warm then. The newest goes first; it answers what it has.
//! 4. Counters are scraped every 15 s, and every 15 s the autoscaler decides, [as Kubernetes does](autoscaler).
//! 5. When the load ends the play goes on until all is answered: each request is answered once, or refused.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use shoal_batch::Moment;

use crate::clients::{in_milliseconds, milliseconds};
use crate::request::Request;
use crate::rivals::Decision;
use crate::service::Service;
use crate::workload::gap;

pub mod autoscaler;
mod replica;
mod report;
mod signals;

use autoscaler::{Autoscaler, Behaviour, Seen};
use replica::{Phase, Replica};
use report::Latencies;
pub use report::{FleetReport, Minute};

/// Between two decisions, as of the controller.
const DECISION_S: f64 = 15.0;
/// The controller and the scrapes have clocks of their own.
const DECISIONS_LATER_S: f64 = 7.0;
/// Connections over which requests come to each replica.
const CONNECTIONS: u64 = 200;
const MS_PER_HOUR: f64 = 3.6e6;

/// A load, a model, and how replicas are scaled.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Requests per millisecond in each step; steps are of equal length and fill the span. Each has one row.
    pub per_ms: Vec<f64>,
    /// How long it is played, in milliseconds of simulated time.
    pub span_ms: f64,
    /// What a micro-batch costs.
    pub service: Service,
    /// Rows in a micro-batch, at most.
    pub max_rows: usize,
    /// What a request takes of the processor beside its micro-batch, in milliseconds.
    pub request_ms: f64,
    /// An answer that takes longer is late.
    pub latency_target_ms: f64,
    /// From when a replica is asked for until it is ready: between so many and so many milliseconds.
    pub start_ms: (f64, f64),
    /// Replicas, at least and at most; the play begins with the least, all of them ready.
    pub replicas: (usize, usize),
    /// What they are scaled by.
    pub scaler: Scaler,
    /// How fast their number follows.
    #[serde(default)]
    pub behaviour: Behaviour,
    /// The seed of all chances.
    #[serde(default)]
    pub seed: u64,
}

/// What replicas are scaled by.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaler {
    /// Nothing: there are as many as at the beginning.
    Fixed,
    /// The share of its processor that a replica uses.
    Cpu {
        /// The target.
        utilisation: f64,
    },
    /// How long the first request of a micro-batch waits for it, on average of a minute.
    QueueWait {
        /// The target, as a share of what a micro-batch of one row takes.
        of_one_row: f64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The micro-batch of a replica has ended.
    Done(usize),
    /// A replica wanted to be asked again.
    Wake(usize),
    /// A replica is ready.
    Ready(usize),
    Scrape,
    Decide,
    Minute,
}

struct World<'f> {
    fleet: &'f Fleet,
    /// Of those who send.
    chance: SmallRng,
    /// Of the replicas: apart, so that the same requests come however they are scaled.
    fleet_chance: SmallRng,
    now: Moment,
    next_arrival_ms: f64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    replicas: Vec<Replica>,
    numbers: usize,
    arrived: HashMap<u64, Moment>,
    autoscaler: Autoscaler,
    latencies: Latencies,
    of_minute: (Latencies, u64),
    report: FleetReport,
}

/// Plays a load against replicas.
#[must_use]
pub fn play(fleet: &Fleet) -> FleetReport {
    let mut world = World {
        fleet,
        chance: SmallRng::seed_from_u64(fleet.seed),
        fleet_chance: SmallRng::seed_from_u64(!fleet.seed),
        now: Moment::EPOCH,
        next_arrival_ms: 0.0,
        events: BinaryHeap::new(),
        order: 0,
        replicas: Vec::new(),
        numbers: 0,
        arrived: HashMap::new(),
        autoscaler: Autoscaler::new(fleet.replicas, fleet.behaviour),
        latencies: Latencies::default(),
        of_minute: (Latencies::default(), 0),
        report: FleetReport { most_replicas: fleet.replicas.0, ..FleetReport::default() },
    };
    for _ in 0..fleet.replicas.0 {
        world.add_replica();
    }
    world.replicas.iter_mut().for_each(|replica| replica.phase = Phase::Ready);
    world.schedule(1e3 * signals::SCRAPE_S, Event::Scrape);
    world.schedule(1e3 * (DECISION_S + DECISIONS_LATER_S), Event::Decide);
    world.schedule(60e3, Event::Minute);
    world.draw_arrival(0.0);
    while world.step() {}
    world.end()
}

impl World<'_> {
    fn schedule(&mut self, at_ms: f64, event: Event) {
        self.order += 1;
        let at = (Moment::EPOCH + milliseconds(at_ms)).max(self.now);
        self.events.push(Reverse((at.as_nanos(), self.order, event)));
    }

    fn now_ms(&self) -> f64 {
        in_milliseconds(self.now)
    }

    /// The next arrival after a moment: within a step they come at one rate, and the next step forgets the one before.
    fn draw_arrival(&mut self, after_ms: f64) {
        let step_ms = self.fleet.span_ms / self.fleet.per_ms.len().max(1) as f64;
        let mut from_ms = after_ms;
        self.next_arrival_ms = f64::INFINITY;
        while from_ms < self.fleet.span_ms {
            let (rate, end_ms) = step(&self.fleet.per_ms, from_ms, step_ms);
            let at_ms = from_ms + gap(rate, &mut self.chance);
            if at_ms < end_ms {
                self.next_arrival_ms = at_ms;
                return;
            }
            from_ms = end_ms;
        }
    }

    /// The next thing that happens; false when the play is over.
    fn step(&mut self) -> bool {
        let next_ms = self.events.peek().map_or(f64::INFINITY, |Reverse((at, ..))| in_milliseconds(Moment::from_nanos(*at)));
        if self.next_arrival_ms <= next_ms && self.next_arrival_ms.is_finite() {
            self.now = (Moment::EPOCH + milliseconds(self.next_arrival_ms)).max(self.now);
            self.arrive();
            return true;
        }
        let Some(Reverse((at, _, event))) = self.events.pop() else { return false };
        self.now = Moment::from_nanos(at);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Done(number) => self.finish(number),
            Event::Wake(number) => self.serve(number),
            Event::Ready(number) => self.get_ready(number),
            // What comes again and again ends with the load.
            Event::Scrape | Event::Decide | Event::Minute if self.now_ms() > self.fleet.span_ms => {}
            Event::Scrape => {
                let now = self.now;
                self.replicas.iter_mut().for_each(|replica| signals::scrape(replica, now));
                self.schedule(self.now_ms() + 1e3 * signals::SCRAPE_S, event);
            }
            Event::Decide => {
                self.decide();
                self.schedule(self.now_ms() + 1e3 * DECISION_S, event);
            }
            Event::Minute => {
                self.note_minute();
                self.schedule(self.now_ms() + 60e3, event);
            }
        }
    }

    fn place(&self, number: usize) -> Option<usize> {
        self.replicas.iter().position(|replica| replica.number == number)
    }

    fn add_replica(&mut self) -> usize {
        let number = self.numbers;
        self.numbers += 1;
        self.replicas.push(Replica::new(number, self.now, (&self.fleet.service, self.fleet.max_rows)));
        number
    }

    fn get_ready(&mut self, number: usize) {
        // It may have been told to go before it was ready.
        if let Some(place) = self.place(number) {
            self.replicas[place].phase = Phase::Ready;
        }
    }

    fn arrive(&mut self) {
        self.draw_arrival(self.next_arrival_ms);
        self.report.requests += 1;
        self.of_minute.1 += 1;
        let id = self.report.requests;
        let place = self.choose();
        let client = self.fleet_chance.random_range(0..CONNECTIONS) + 1;
        let request = Request { id, client, bucket: 0, rows: 1, arrived: self.now, deadline: None, priority: 0, source: 0 };
        if self.replicas[place].submit(self.now, &request, self.fleet.request_ms) {
            self.arrived.insert(id, self.now);
            self.serve_at(place);
        } else {
            self.report.refused += 1;
        }
    }

    fn ready(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.phase == Phase::Ready).count()
    }

    /// The place of a replica that is ready. There always is one: the oldest is ready, and never told to go.
    fn choose(&mut self) -> usize {
        let chosen = self.fleet_chance.random_range(0..self.ready().max(1));
        let mut ready = (0..self.replicas.len()).filter(|place| self.replicas[*place].phase == Phase::Ready);
        ready.nth(chosen).unwrap_or_default()
    }

    fn serve(&mut self, number: usize) {
        if let Some(place) = self.place(number) {
            self.serve_at(place);
        }
    }

    fn serve_at(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        let number = replica.number;
        match replica.next(self.now) {
            Decision::Run(call) => {
                let takes_ms = self.fleet.service.draw((call.rows, call.bucket), in_milliseconds(self.now), &mut self.fleet_chance);
                replica.start(self.now, call);
                self.schedule(self.now_ms() + takes_ms, Event::Done(number));
            }
            // A policy that waits for the present moment would be asked for ever.
            Decision::WaitUntil(until) => self.schedule(in_milliseconds(until).max(self.now_ms() + 1e-6), Event::Wake(number)),
            Decision::Nothing => {}
        }
    }

    fn finish(&mut self, number: usize) {
        let Some(place) = self.place(number) else { return };
        for id in self.replicas[place].finish(self.now) {
            let Some(arrived) = self.arrived.remove(&id) else { continue };
            let took_ms = self.now_ms() - in_milliseconds(arrived);
            self.report.answered += 1;
            self.report.late += u64::from(took_ms > self.fleet.latency_target_ms);
            self.latencies.add(took_ms);
            self.of_minute.0.add(took_ms);
        }
        self.serve_at(place);
        self.let_go(place);
    }

    /// A replica that drains and has nothing to do is gone.
    fn let_go(&mut self, place: usize) {
        let replica = &self.replicas[place];
        if replica.phase == Phase::Draining && replica.is_idle() {
            self.report.replica_hours += (self.now_ms() - in_milliseconds(replica.since)) / MS_PER_HOUR;
            self.replicas.remove(place);
        }
    }

    fn decide(&mut self) {
        let ready = self.ready();
        let replicas = self.replicas.iter().filter(|replica| replica.phase != Phase::Draining).count();
        let ratio = signals::ratio(self.fleet, &self.replicas, self.now);
        let next = self.autoscaler.decide(self.now_ms() / 1e3, Seen { replicas, ready, ratio });
        self.report.changes += usize::from(next != replicas);
        self.report.most_replicas = self.report.most_replicas.max(next);
        for _ in replicas..next {
            let number = self.add_replica();
            let (least_ms, most_ms) = self.fleet.start_ms;
            let takes_ms = least_ms + (most_ms - least_ms) * self.fleet_chance.random::<f64>();
            self.schedule(self.now_ms() + takes_ms, Event::Ready(number));
        }
        for _ in next..replicas {
            self.dismiss_newest();
        }
    }

    fn dismiss_newest(&mut self) {
        // Numbers rise with age, so the last is the newest; those that are being started are newer than those that answer.
        if let Some(place) = (0..self.replicas.len()).rev().find(|place| self.replicas[*place].phase != Phase::Draining) {
            self.replicas[place].phase = Phase::Draining;
            self.let_go(place);
        }
    }

    fn note_minute(&mut self) {
        let (latencies, requests) = &mut self.of_minute;
        let (p99_ms, requests) = (latencies.quantile_ms(0.99), std::mem::take(requests));
        latencies.clear();
        self.report.minutes.push(Minute { at_s: self.now_ms() / 1e3, requests, ready: self.ready(), p99_ms });
    }

    fn end(mut self) -> FleetReport {
        let until_ms = self.fleet.span_ms;
        let lived_ms = self.replicas.iter().map(|replica| until_ms - in_milliseconds(replica.since)).sum::<f64>();
        self.report.replica_hours += lived_ms / MS_PER_HOUR;
        self.report.p50_ms = self.latencies.quantile_ms(0.5);
        self.report.p99_ms = self.latencies.quantile_ms(0.99);
        self.report
    }
}

/// The rate at a moment, and when the step of that moment ends.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
fn step(per_ms: &[f64], at_ms: f64, step_ms: f64) -> (f64, f64) {
    let place = (at_ms / step_ms + 1e-9) as usize;
    (per_ms.get(place).copied().unwrap_or(0.0), (place + 1) as f64 * step_ms)
}

//! The clockwork: events in the order of simulated time, policies asked whenever something has happened.
//!
//! Models on one machine share its cores: with more micro-batches running than cores, each runs slower in proportion.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Serialize;
use shoal_batch::Moment;

use crate::clients::{Clients, Speaker, in_milliseconds, milliseconds};
use crate::event_loop::{Chore, Chores, EventLoop};
use crate::report::{Outcome, Report, Tally};
use crate::request::Request;
use crate::rivals::{Call, Decision, Policy};
use crate::service::Service;
use crate::workload::Workload;

/// A model of a simulated machine: its policy, what its micro-batches cost, and how many may run at once.
pub struct Model {
    /// When a micro-batch goes.
    pub policy: Box<dyn Policy>,
    /// What it costs.
    pub service: Service,
    /// How many at once.
    pub executors: usize,
    /// Where they run.
    pub place: Place,
}

/// Where the executors of a model run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Nowhere in particular: they look at the queue the moment something happens, and sending costs nothing.
    #[default]
    Anywhere,
    /// On threads of their own; one that is idle looks at the queue so long after a request came.
    Thread {
        /// In milliseconds.
        notice_ms: f64,
    },
    /// On the event loop, between its chores.
    EventLoop(Chores),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Speak(Speaker),
    Vanish(u64),
    Wake(usize),
    /// The event loop of a model has done something.
    Chore(usize),
}

struct Running {
    model: usize,
    call: Call,
    left_ms: f64,
    started: Moment,
}

struct World<'w> {
    models: &'w mut [Model],
    cores: usize,
    clients: Clients,
    /// Of those who send.
    chance: SmallRng,
    /// Of the models: apart, so that the same strangers come whatever the policy does.
    model_chance: SmallRng,
    now: Moment,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    open: HashMap<u64, Request>,
    running: Vec<Running>,
    wakes: Vec<Option<Moment>>,
    /// Of those models that run on one.
    loops: Vec<Option<EventLoop>>,
    tally: Tally,
}

/// Plays a load against the models of one machine.
pub fn play(workload: &Workload, models: &mut [Model], cores: usize) -> Report {
    let wakes = models.iter().map(|_| None).collect();
    let of_place = |place: &Place| if let Place::EventLoop(chores) = place { Some(EventLoop::new(chores.clone())) } else { None };
    let loops = models.iter().map(|model| of_place(&model.place)).collect();
    let mut world = World {
        models,
        cores,
        clients: Clients::new(&workload.sources, workload.span_ms),
        chance: SmallRng::seed_from_u64(workload.seed),
        model_chance: SmallRng::seed_from_u64(!workload.seed),
        now: Moment::EPOCH,
        events: BinaryHeap::new(),
        order: 0,
        open: HashMap::new(),
        running: Vec::new(),
        wakes,
        loops,
        tally: Tally::new(workload.sources.len(), workload.span_ms),
    };
    for (at, speaker) in world.clients.start(&mut world.chance) {
        world.schedule(at, Event::Speak(speaker));
    }
    let end = Moment::EPOCH + milliseconds(workload.span_ms);
    while world.step(end) {}
    world.tally.report()
}

impl World<'_> {
    fn schedule(&mut self, at_ms: f64, event: Event) {
        self.order += 1;
        let at = (Moment::EPOCH + milliseconds(at_ms)).max(self.now);
        self.events.push(Reverse((at.as_nanos(), self.order, event)));
    }

    /// The next thing that happens; false when the play is over.
    fn step(&mut self, end: Moment) -> bool {
        let next_event = self.events.peek().map(|Reverse((at, ..))| Moment::from_nanos(*at));
        let next_done = self.next_done();
        let is_done_first = next_done.is_some_and(|(at, _)| next_event.is_none_or(|event| at <= event));
        let Some(at) = (if is_done_first { next_done.map(|(at, _)| at) } else { next_event }).filter(|at| *at <= end) else {
            return false;
        };
        self.pass(at);
        match (is_done_first, next_done) {
            (true, Some((_, index))) => {
                let model = self.done(index);
                self.go_on(model);
            }
            _ => self.happen(),
        }
        true
    }

    /// Lets a model do what is next: a chore of its event loop, or a micro-batch.
    fn go_on(&mut self, model: usize) {
        if self.loops[model].is_none() {
            return self.serve(model);
        }
        // Who was given up meanwhile gets an answer, too.
        for _ in 0..2 {
            if self.is_running(model) || self.has_begun_a_chore(model) {
                return;
            }
            self.serve(model);
        }
    }

    fn is_running(&self, model: usize) -> bool {
        self.running.iter().any(|running| running.model == model)
    }

    /// Whether the event loop of a model has something else to do.
    fn has_begun_a_chore(&mut self, model: usize) -> bool {
        let Some(event_loop) = &mut self.loops[model] else { return false };
        if let Some(takes_ms) = event_loop.begin(&mut self.model_chance) {
            self.schedule(in_milliseconds(self.now) + takes_ms, Event::Chore(model));
            return true;
        }
        event_loop.is_busy()
    }

    fn end_chore(&mut self, model: usize) {
        match self.loops[model].as_mut().and_then(EventLoop::end) {
            Some(Chore::Read(speaker)) => drop(self.speak(speaker)),
            Some(Chore::Write(request)) => self.answer(&request),
            None => {}
        }
        self.go_on(model);
    }

    /// How fast each running micro-batch is.
    fn speed(&self) -> f64 {
        (self.cores as f64 / self.running.len().max(1) as f64).min(1.0)
    }

    fn next_done(&self) -> Option<(Moment, usize)> {
        let (index, first) = self.running.iter().enumerate().min_by(|(_, a), (_, b)| a.left_ms.total_cmp(&b.left_ms))?;
        Some((self.now + milliseconds(first.left_ms.max(0.0) / self.speed()), index))
    }

    fn pass(&mut self, until: Moment) {
        let done = in_milliseconds(until) - in_milliseconds(self.now);
        let speed = self.speed();
        self.running.iter_mut().for_each(|running| running.left_ms -= done * speed);
        self.now = until;
    }

    fn done(&mut self, index: usize) -> usize {
        let Running { model, call, started, .. } = self.running.swap_remove(index);
        let answered: Vec<u64> = call.members.iter().filter(|(_, is_last)| *is_last).map(|(id, _)| *id).collect();
        self.tally.called(call.rows);
        self.models[model].policy.finish(self.now, call, self.now - started);
        for id in answered {
            self.end(id, Outcome::Answered);
        }
        model
    }

    fn happen(&mut self) {
        let Some(Reverse((_, _, event))) = self.events.pop() else { return };
        match event {
            Event::Speak(speaker) => self.knock(speaker),
            Event::Chore(model) => self.end_chore(model),
            Event::Vanish(id) => {
                let model = self.vanish(id);
                self.go_on(model);
            }
            Event::Wake(model) => {
                self.wakes[model] = None;
                self.go_on(model);
            }
        }
    }

    fn knock(&mut self, speaker: Speaker) {
        if let Some((at, next)) = self.clients.follower(self.now, speaker, &mut self.chance) {
            self.schedule(at, Event::Speak(next));
        }
        let model = self.clients.model(speaker.source);
        if let Some(event_loop) = &mut self.loops[model] {
            event_loop.knock(speaker);
            return self.go_on(model);
        }
        self.speak(speaker);
        match self.models[model].place {
            Place::Thread { notice_ms } if !self.is_running(model) => self.wake_at(model, self.now + milliseconds(notice_ms)),
            _ => self.serve(model),
        }
    }

    fn speak(&mut self, speaker: Speaker) -> usize {
        let request = self.clients.speak(self.now, speaker, &mut self.chance);
        if let Some(after) = self.clients.vanishes_after(&request, &mut self.chance) {
            self.schedule(in_milliseconds(self.now + after), Event::Vanish(request.id));
        }
        let model = self.clients.model(request.source);
        let is_accepted = self.models[model].policy.submit(self.now, &request);
        let id = request.id;
        self.open.insert(id, request);
        if !is_accepted {
            self.end(id, Outcome::Refused);
        }
        model
    }

    fn vanish(&mut self, id: u64) -> usize {
        let Some(request) = self.open.get(&id) else { return 0 };
        let model = self.clients.model(request.source);
        self.models[model].policy.cancel(id);
        self.end(id, Outcome::Vanished);
        model
    }

    fn end(&mut self, id: u64, outcome: Outcome) {
        let Some(request) = self.open.remove(&id) else { return };
        self.tally.ended(self.now, &request, outcome);
        match &mut self.loops[self.clients.model(request.source)] {
            Some(event_loop) => event_loop.answer(request),
            None => self.answer(&request),
        }
    }

    fn answer(&mut self, request: &Request) {
        if let Some((at, speaker)) = self.clients.after_answer(self.now, request, &mut self.chance) {
            self.schedule(at, Event::Speak(speaker));
        }
    }

    /// Lets the free executors of a model take what there is.
    fn serve(&mut self, model: usize) {
        let late = self.models[model].policy.expired(self.now);
        for id in late {
            self.end(id, Outcome::Expired);
        }
        while self.running.iter().filter(|running| running.model == model).count() < self.models[model].executors {
            match self.models[model].policy.next(self.now) {
                Decision::Run(call) => self.start(model, call),
                Decision::WaitUntil(until) => return self.wake_at(model, until),
                Decision::Nothing => return,
            }
        }
    }

    fn start(&mut self, model: usize, call: Call) {
        let left_ms = self.models[model].service.draw((call.rows, call.bucket), in_milliseconds(self.now), &mut self.model_chance);
        self.running.push(Running { model, call, left_ms, started: self.now });
    }

    fn wake_at(&mut self, model: usize, until: Moment) {
        // A policy that waits for the present moment would be asked for ever.
        let until = until.max(self.now + Duration::from_nanos(1));
        if self.wakes[model].is_none_or(|planned| until < planned) {
            self.wakes[model] = Some(until);
            self.schedule(in_milliseconds(until), Event::Wake(model));
        }
    }
}

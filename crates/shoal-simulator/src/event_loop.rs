//! An event loop that does everything itself, as a server does whose model is quick: it writes answers, reads requests,
//! and runs micro-batches, one thing at a time.
//!
//! Answers go first, then every request that is at the door is read, and only when nobody is there does the executor look
//! at the queue. A client begins to think when its own answer was written.

use std::collections::VecDeque;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::clients::Speaker;
use crate::request::Request;

/// What the loop takes for each request beside the micro-batch, in milliseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Chores {
    /// To read one request, until it is in the queue.
    pub read_ms: f64,
    /// Where it differs: recorded times, of which one is drawn.
    #[serde(skip)]
    pub readings_ms: Vec<f64>,
    /// To write one answer.
    pub write_ms: f64,
}

impl Chores {
    fn reading(&self, chance: &mut SmallRng) -> f64 {
        match self.readings_ms.len() {
            0 => self.read_ms,
            many => self.readings_ms[chance.random_range(0..many)],
        }
    }
}

/// One thing that the loop does.
#[derive(Debug)]
pub(crate) enum Chore {
    Write(Request),
    Read(Speaker),
}

/// An event loop and what waits for it.
#[derive(Debug)]
pub(crate) struct EventLoop {
    chores: Chores,
    answers: VecDeque<Request>,
    door: VecDeque<Speaker>,
    doing: Option<Chore>,
}

impl EventLoop {
    pub(crate) fn new(chores: Chores) -> Self {
        Self { chores, answers: VecDeque::new(), door: VecDeque::new(), doing: None }
    }

    /// Somebody is at the door.
    pub(crate) fn knock(&mut self, speaker: Speaker) {
        self.door.push_back(speaker);
    }

    /// An answer is to be written.
    pub(crate) fn answer(&mut self, request: Request) {
        self.answers.push_back(request);
    }

    /// Begins the next chore: how long it takes, in milliseconds. None if there is none, or one is being done.
    pub(crate) fn begin(&mut self, chance: &mut SmallRng) -> Option<f64> {
        if self.doing.is_some() {
            return None;
        }
        let (chore, takes_ms) = match self.answers.pop_front() {
            Some(request) => (Chore::Write(request), self.chores.write_ms),
            None => (Chore::Read(self.door.pop_front()?), self.chores.reading(chance)),
        };
        self.doing = Some(chore);
        Some(takes_ms)
    }

    /// Whether a chore is being done.
    pub(crate) const fn is_busy(&self) -> bool {
        self.doing.is_some()
    }

    /// Ends the chore that was begun.
    pub(crate) const fn end(&mut self) -> Option<Chore> {
        self.doing.take()
    }
}

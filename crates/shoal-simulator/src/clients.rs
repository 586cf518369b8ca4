//! Those who send: when each of them speaks, and what it does when it is answered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use shoal_batch::Moment;

use crate::request::Request;
use crate::workload::{Source, Timing, gap, turnaround};

/// Clients of different sources are different.
const CLIENTS_PER_SOURCE: u64 = 1 << 32;
/// Within this a client vanishes that has no timeout, in milliseconds.
const VANISHING_WITHIN_MS: f64 = 10.0;

/// A client of a source that is about to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Speaker {
    pub(crate) source: usize,
    pub(crate) client: u64,
}

/// What a client sends next: after its last request came, or after it was answered.
#[derive(Clone, Copy, Debug)]
enum Cue {
    AfterArrival(f64),
    AfterAnswer(f64),
}

/// Everybody who sends.
pub(crate) struct Clients {
    sources: Vec<Source>,
    span_ms: f64,
    /// What recorded clients have still to send: the cue, and rows.
    scripts: HashMap<Speaker, VecDeque<(Cue, usize)>>,
    requests: u64,
}

impl Clients {
    pub(crate) fn new(sources: &[Source], span_ms: f64) -> Self {
        Self { sources: sources.to_vec(), span_ms, scripts: HashMap::new(), requests: 0 }
    }

    /// Who speaks first, and when, in milliseconds.
    pub(crate) fn start(&mut self, chance: &mut SmallRng) -> Vec<(f64, Speaker)> {
        let sources = self.sources.clone();
        sources.iter().enumerate().flat_map(|(source, each)| self.start_source(source, &each.timing, chance)).collect()
    }

    fn start_source(&mut self, source: usize, timing: &Timing, chance: &mut SmallRng) -> Vec<(f64, Speaker)> {
        match timing {
            Timing::Closed { clients, turnaround_ms, in_flight } => {
                let each = (0..*clients as u64).flat_map(|client| std::iter::repeat_n(client, *in_flight));
                each.map(|client| (chance.random_range(0.0..*turnaround_ms), Speaker { source, client })).collect()
            }
            Timing::Open { per_ms, .. } => {
                vec![(gap(per_ms.first().copied().unwrap_or(0.0), chance), Speaker { source, client: 0 })]
            }
            Timing::Recorded { requests } => self.start_recorded(source, requests),
        }
    }

    fn start_recorded(&mut self, source: usize, requests: &[(f64, u64, usize, f64)]) -> Vec<(f64, Speaker)> {
        let mut last: HashMap<u64, (f64, f64)> = HashMap::new();
        let mut first = Vec::new();
        for (at, client, rows, answered) in requests {
            let speaker = Speaker { source, client: *client };
            let cue = match last.insert(*client, (*at, *answered)) {
                None => {
                    first.push((*at, speaker));
                    Cue::AfterArrival(0.0)
                }
                Some((_, before)) if before <= *at => Cue::AfterAnswer(at - before),
                Some((came, _)) => Cue::AfterArrival(at - came),
            };
            self.scripts.entry(speaker).or_default().push_back((cue, *rows));
        }
        first
    }

    /// A client speaks: its request, and who speaks after it whatever is answered.
    pub(crate) fn speak(&mut self, now: Moment, speaker: Speaker, chance: &mut SmallRng) -> (Request, Option<(f64, Speaker)>) {
        let source = self.sources[speaker.source].clone();
        let scripted = self.scripts.get_mut(&speaker).and_then(VecDeque::pop_front);
        let rows = scripted.map_or_else(|| source.request.rows.draw(chance), |(_, rows)| rows);
        let client = match source.timing {
            Timing::Open { connections, .. } => chance.random_range(0..connections.max(1)),
            _ => speaker.client,
        };
        self.requests += 1;
        let request = Request {
            id: self.requests,
            client: speaker.source as u64 * CLIENTS_PER_SOURCE + client + 1,
            bucket: source.request.lengths.map_or(self.requests % source.request.buckets.max(1), |lengths| lengths.draw(chance)),
            rows,
            arrived: now,
            deadline: source.request.timeout_ms.map(|timeout| now + milliseconds(timeout)),
            priority: source.request.priority,
            source: speaker.source,
        };
        (request, self.follower(now, speaker, &source, chance))
    }

    fn follower(&self, now: Moment, speaker: Speaker, source: &Source, chance: &mut SmallRng) -> Option<(f64, Speaker)> {
        let at = in_milliseconds(now);
        match &source.timing {
            Timing::Open { per_ms, .. } => Some((at + gap(rate(per_ms, at / self.span_ms), chance), speaker)),
            Timing::Recorded { .. } => match self.scripts.get(&speaker)?.front()? {
                (Cue::AfterArrival(later), _) => Some((at + later, speaker)),
                (Cue::AfterAnswer(_), _) => None,
            },
            Timing::Closed { .. } => None,
        }
    }

    /// When the client of a request that ended speaks again, because it ended.
    pub(crate) fn after_answer(&self, now: Moment, request: &Request, chance: &mut SmallRng) -> Option<(f64, Speaker)> {
        let at = in_milliseconds(now);
        let speaker = Speaker { source: request.source, client: (request.client - 1) % CLIENTS_PER_SOURCE };
        match &self.sources[request.source].timing {
            Timing::Closed { turnaround_ms, .. } => Some((at + turnaround(*turnaround_ms, chance), speaker)),
            Timing::Open { .. } => None,
            Timing::Recorded { .. } => match self.scripts.get(&speaker)?.front()? {
                (Cue::AfterAnswer(later), _) => Some((at + later, speaker)),
                (Cue::AfterArrival(_), _) => None,
            },
        }
    }

    /// After how long the client of a request goes away, if it does.
    pub(crate) fn vanishes_after(&self, request: &Request, chance: &mut SmallRng) -> Option<Duration> {
        let kind = &self.sources[request.source].request;
        let within = kind.timeout_ms.unwrap_or(VANISHING_WITHIN_MS);
        (kind.vanishing > 0.0 && chance.random_bool(kind.vanishing)).then(|| milliseconds(chance.random_range(0.0..within)))
    }

    /// The model that a source asks.
    pub(crate) fn model(&self, source: usize) -> usize {
        self.sources[source].model
    }
}

/// The rate at a share of the span.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short list")]
fn rate(per_ms: &[f64], share: f64) -> f64 {
    let step = (share * per_ms.len() as f64) as usize;
    per_ms.get(step).or(per_ms.last()).copied().unwrap_or(0.0)
}

pub(crate) fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1e3).unwrap_or(Duration::MAX)
}

pub(crate) fn in_milliseconds(moment: Moment) -> f64 {
    moment.as_nanos() as f64 / 1e6
}

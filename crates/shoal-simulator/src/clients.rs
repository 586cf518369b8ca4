//! Those who send: when each of them speaks, and what it does when it is answered.

use std::collections::HashMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use shoal_batch::Moment;

use crate::request::Request;
use crate::workload::{Pace, Source, Spoken, Timing, gap, turnaround};

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

/// A recorded request, and those that follow from it: so many milliseconds later, at these places of the recording.
#[derive(Clone, Copy, Debug)]
struct Scripted {
    spoken: Spoken,
    after_arrival: Option<(f64, usize)>,
    after_answer: Option<(f64, usize)>,
}

/// Everybody who sends.
pub(crate) struct Clients {
    sources: Vec<Source>,
    span_ms: f64,
    /// Recorded sources, whose speakers are places in them.
    scripts: HashMap<usize, Vec<Scripted>>,
    /// The places of recorded requests that are under way.
    places: HashMap<u64, usize>,
    requests: u64,
}

impl Clients {
    pub(crate) fn new(sources: &[Source], span_ms: f64) -> Self {
        Self { sources: sources.to_vec(), span_ms, scripts: HashMap::new(), places: HashMap::new(), requests: 0 }
    }

    /// Who speaks first, and when, in milliseconds.
    pub(crate) fn start(&mut self, chance: &mut SmallRng) -> Vec<(f64, Speaker)> {
        let sources = self.sources.clone();
        // A recording is in the scripts from here on.
        self.sources.iter_mut().for_each(|source| source.timing.forget_recording());
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
            Timing::Recorded { requests, .. } => self.start_recorded(source, requests),
        }
    }

    fn start_recorded(&mut self, source: usize, requests: &[Spoken]) -> Vec<(f64, Speaker)> {
        let (script, first) = scripted(requests);
        self.scripts.insert(source, script);
        first.into_iter().map(|place| (requests[place].at_ms, Speaker { source, client: place as u64 })).collect()
    }

    /// What a speaker of a recording says.
    fn script(&self, speaker: Speaker) -> Option<(usize, Scripted)> {
        let place = usize::try_from(speaker.client).ok()?;
        Some((place, *self.scripts.get(&speaker.source)?.get(place)?))
    }

    /// The request of a client that speaks.
    pub(crate) fn speak(&mut self, now: Moment, speaker: Speaker, chance: &mut SmallRng) -> Request {
        let source = self.sources[speaker.source].clone();
        let number = self.requests + 1;
        let script = self.script(speaker);
        let (rows, bucket) = match script {
            Some((place, Scripted { spoken, .. })) => {
                self.places.insert(number, place);
                (spoken.rows, spoken.bucket)
            }
            None => (
                source.request.rows.draw(chance),
                source.request.lengths.map_or(number % source.request.buckets.max(1), |lengths| lengths.draw(chance)),
            ),
        };
        let client = match (&source.timing, script) {
            (Timing::Open { connections, .. }, _) => chance.random_range(0..(*connections).max(1)),
            (_, Some((_, script))) => script.spoken.client,
            _ => speaker.client,
        };
        self.requests = number;
        Request {
            id: number,
            client: speaker.source as u64 * CLIENTS_PER_SOURCE + client + 1,
            bucket,
            rows,
            arrived: now,
            deadline: source.request.timeout_ms.map(|timeout| now + milliseconds(timeout)),
            priority: source.request.priority,
            source: speaker.source,
        }
    }

    /// Who speaks after a client that came now, whatever is answered.
    pub(crate) fn follower(&self, now: Moment, speaker: Speaker, chance: &mut SmallRng) -> Option<(f64, Speaker)> {
        let at = in_milliseconds(now);
        match &self.sources[speaker.source].timing {
            Timing::Open { per_ms, .. } => Some((at + gap(rate(per_ms, at / self.span_ms), chance), speaker)),
            Timing::Recorded { pace, .. } => self.follows(at, (speaker, *pace), |script| script.after_arrival),
            Timing::Closed { .. } => None,
        }
    }

    /// When the client of a request that ended speaks again, because it ended.
    pub(crate) fn after_answer(&mut self, now: Moment, request: &Request, chance: &mut SmallRng) -> Option<(f64, Speaker)> {
        let at = in_milliseconds(now);
        let speaker = Speaker { source: request.source, client: (request.client - 1) % CLIENTS_PER_SOURCE };
        match &self.sources[request.source].timing {
            Timing::Closed { turnaround_ms, .. } => Some((at + turnaround(*turnaround_ms, chance), speaker)),
            Timing::Open { .. } => None,
            Timing::Recorded { pace, .. } => {
                let client = self.places.remove(&request.id)? as u64;
                self.follows(at, (Speaker { client, ..speaker }, *pace), |script| script.after_answer)
            }
        }
    }

    fn follows(
        &self,
        at: f64,
        (speaker, pace): (Speaker, Pace),
        next: impl FnOnce(Scripted) -> Option<(f64, usize)>,
    ) -> Option<(f64, Speaker)> {
        let (later, follower) = next(self.script(speaker)?.1)?;
        let speaker = Speaker { client: follower as u64, ..speaker };
        match pace {
            Pace::Turnarounds => Some((at + later, speaker)),
            Pace::Times => Some((self.script(speaker)?.1.spoken.at_ms.max(at + later), speaker)),
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

/// What follows from what, and the places of those that follow from nothing. A request follows from the oldest answer on
/// its connection that nothing has followed from yet; where there is none, from the request before it there.
fn scripted(requests: &[Spoken]) -> (Vec<Scripted>, Vec<usize>) {
    let alone = |spoken: &Spoken| Scripted { spoken: *spoken, after_arrival: None, after_answer: None };
    let mut script: Vec<Scripted> = requests.iter().map(alone).collect();
    let (mut first, mut under_way) = (Vec::new(), HashMap::<u64, (usize, Vec<usize>)>::new());
    for (place, spoken) in requests.iter().enumerate() {
        let Some((before, answers)) = under_way.get_mut(&spoken.client) else {
            under_way.insert(spoken.client, (place, vec![place]));
            first.push(place);
            continue;
        };
        let oldest = (0..answers.len()).min_by(|one, other| {
            let answered = |index: &usize| requests[answers[*index]].answered_ms;
            answered(one).total_cmp(&answered(other))
        });
        match oldest.filter(|index| requests[answers[*index]].answered_ms <= spoken.at_ms) {
            Some(index) => {
                let answer = answers.swap_remove(index);
                script[answer].after_answer = Some((spoken.at_ms - requests[answer].answered_ms, place));
            }
            None => script[*before].after_arrival = Some((spoken.at_ms - requests[*before].at_ms, place)),
        }
        answers.push(place);
        *before = place;
    }
    (script, first)
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

//! What a recording says of an event loop, and of its clients' own time.
//!
//! The engine sees a request when it was read, and the end of a micro-batch before its answers are written. In between lie
//! chores of the loop and the client's own time; a client that is played again must bring only its own.
//!
//! 1. **Reading** one request takes the gap between requests of one micro-batch that came while nothing ran: the executor
//!    would have run if the loop had had nothing to read. The median is taken where turnarounds are kept; where times are,
//!    any of them by chance, stalls and waits among them, but none of more than [`STALLED`] medians.
//! 2. **Writing** one answer: the time from a micro-batch to the next request, for each of its answers. A loop that is
//!    busy reads at once when it has written, so a low quantile of these times has no waiting in it.
//! 3. **When a client was at the door.** Requests that were read right behind each other were there when the first of them
//!    was. Where the loop was idle before, that one was read at once. Where it was busy, clients came some time between
//!    their own answer, or the moment the loop had looked before, and this one: the latest is taken where times are kept,
//!    for all that were read between the same two micro-batches, and any of them by chance where turnarounds are.

use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::event_loop::Chores;
use crate::recording::Request;
use crate::replay::{Batch, milliseconds, number, share};
use crate::workload::{Pace, Spoken};

/// The quantile that has no waiting in it.
const BUSY: f64 = 0.05;
/// Reading takes no longer than so many times the usual: what does is a wait of the policy, or of clients.
const STALLED: f64 = 16.0;
/// A loop that does nothing for so many readings was idle.
const IDLE_READINGS: f64 = 1.0;

/// What the loop takes for a request beside the micro-batch.
pub(crate) fn chores(requests: &[&Request], batches: &[Batch], pace: Pace) -> Chores {
    let (mut reading, mut writing) = (Vec::new(), Vec::new());
    let (mut end_us, mut answers) = (0, 0);
    for batch in batches {
        let arrivals: Vec<u64> = batch.members.iter().map(|place| requests[*place].arrived_us).filter(|at| *at >= end_us).collect();
        reading.extend(arrivals.iter().zip(arrivals.iter().skip(1)).map(|(one, next)| milliseconds(next - one)));
        if let (Some(first), 1..) = (arrivals.first(), answers) {
            writing.push((milliseconds(first - end_us), f64::from(answers)));
        }
        (end_us, answers) = (batch.end_us, u32::try_from(batch.members.len()).unwrap_or(u32::MAX));
    }
    let read_ms = share(reading.clone(), 0.5);
    let stalled_ms = STALLED * read_ms;
    let readings_ms = if pace == Pace::Times { reading.into_iter().map(|each| each.min(stalled_ms)).collect() } else { Vec::new() };
    let each = writing.into_iter().map(|(gap_ms, answers)| (gap_ms - read_ms).max(0.0) / answers).collect();
    Chores { read_ms, readings_ms, write_ms: share(each, BUSY) }
}

/// The requests as their clients send them: when each was at the door, and when its answer was written.
pub(crate) fn at_the_door(requests: &[&Request], batches: &[Batch], (chores, pace): (&Chores, Pace)) -> Vec<Spoken> {
    let began_us = requests.first().map_or(0, |request| request.arrived_us);
    let mut all: Vec<Spoken> = requests.iter().map(|request| read_at_once(request, began_us, chores)).collect();
    let looks = looks(requests, batches, &all);
    let chance = SmallRng::seed_from_u64(0);
    let mut door = Door { chores, pace, chance, last: HashMap::new(), busy_until_ms: 0.0, looked_ms: (0.0, 0.0) };
    for batch in batches {
        let end_ms = milliseconds(batch.end_us - began_us);
        for (index, place) in batch.members.iter().enumerate() {
            let (came_ms, before) = door.came(&all[*place], (index == 0, looks[*place]));
            all[*place].at_ms = came_ms;
            if let Some(before) = before {
                // The answer had been written when the client came, whatever an answer usually takes.
                all[before].answered_ms = all[before].answered_ms.min(came_ms);
            }
        }
        door.busy_until_ms = end_ms;
        for place in &batch.members {
            all[*place].answered_ms = door.written(all[*place].client, (*place, end_ms));
        }
    }
    all.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    all
}

/// For each request, when the first was read of those that were read between the same two micro-batches.
fn looks(requests: &[&Request], batches: &[Batch], all: &[Spoken]) -> Vec<f64> {
    let (mut after, mut look_ms) = (usize::MAX, 0.0);
    let look = |(request, spoken): (&&Request, &Spoken)| {
        let done = batches.partition_point(|batch| batch.end_us <= request.arrived_us);
        if done != after {
            (after, look_ms) = (done, spoken.at_ms);
        }
        look_ms
    };
    requests.iter().zip(all).map(look).collect()
}

/// What is known of an event loop at one moment of a recording.
struct Door<'c> {
    chores: &'c Chores,
    pace: Pace,
    chance: SmallRng,
    /// Of each client its last request that was answered, and the end of its micro-batch.
    last: HashMap<u64, (usize, f64)>,
    busy_until_ms: f64,
    /// When the loop looked who is there: the time before the last, and the last.
    looked_ms: (f64, f64),
}

impl Door<'_> {
    /// When a client came whose request was read without waiting at `at_ms`, and its request before.
    fn came(&mut self, spoken: &Spoken, (is_first, look_ms): (bool, f64)) -> (f64, Option<usize>) {
        let idle_ms = spoken.at_ms - self.busy_until_ms;
        let was_idle = idle_ms > IDLE_READINGS * self.chores.read_ms;
        if self.pace == Pace::Times {
            self.looked_ms = (self.looked_ms.1, look_ms);
        } else if is_first || was_idle {
            self.looked_ms = (self.looked_ms.1, spoken.at_ms);
        }
        self.busy_until_ms = f64::max(self.busy_until_ms, spoken.at_ms + self.chores.read_ms);
        let before = self.last.get(&spoken.client).copied();
        let answered_ms = before.map_or(0.0, |(_, end_ms)| end_ms).min(spoken.at_ms);
        let latest_ms = self.looked_ms.1.max(answered_ms);
        let earliest_ms = self.looked_ms.0.max(answered_ms);
        let is_known = was_idle || self.pace == Pace::Times || earliest_ms >= latest_ms;
        let came_ms = if is_known { latest_ms } else { self.chance.random_range(earliest_ms..latest_ms) };
        (came_ms, before.map(|(place, _)| place))
    }

    /// Writes one answer: when it is done.
    fn written(&mut self, client: u64, request: (usize, f64)) -> f64 {
        self.busy_until_ms += self.chores.write_ms;
        self.last.insert(client, request);
        self.busy_until_ms
    }
}

fn read_at_once(request: &Request, began_us: u64, chores: &Chores) -> Spoken {
    Spoken {
        at_ms: (milliseconds(request.arrived_us - began_us) - chores.read_ms).max(0.0),
        answered_ms: milliseconds(request.answered_us - began_us),
        client: number(request.client),
        rows: request.rows,
        bucket: request.bucket,
    }
}

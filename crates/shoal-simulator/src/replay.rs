//! Plays a recording again, and compares what it predicts with what was measured.
//!
//! 1. **Both are of one interval**: from the moment a request enters the queue of its model to the end of its last
//!    micro-batch. What the wire, reading and writing take is in the turnarounds of the clients, which are recorded.
//! 2. **Clients** never speak before they are answered, as they did not. They are played twice. With `times` each request
//!    comes when it came, or later where its client was answered later: so what made many pause at once is kept. With
//!    `turnarounds` it comes as long after the answer as it did, so that sooner answers are followed by sooner questions.
//! 3. **Micro-batches** take as long as one of the recorded ones of that size, drawn at random where turnarounds are kept. Where
//!    times are, the one that ran at that time says how slow the machine was then.
//! 4. **The event loop** reads, writes and runs micro-batches one at a time, where the executor sits on it (`at_the_door`
//!    says how its chores and the clients' own time are told apart). The time that a free executor took to look at the
//!    queue counts as part of the micro-batch there; on a thread it is idle for the median of them, and with times what is
//!    beyond that counts, too.
//! 5. **The policy** is the one that serves, under the limits it had, taught what it was taught.
//!
//! Requests of the first fifth of the time do not count, on either side, nor do those that were not answered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use shoal_batch::{Bucket, Limits, Measured, Policy as Bounds};

use crate::at_the_door::{at_the_door, chores};
use crate::play::{Model, Place, play};
use crate::recording::{Recording, Request};
use crate::report::{Report, WARM_UP, quantile};
use crate::service::{Service, average};
use crate::shoal::Shoal;
use crate::workload::{Kind, Pace, Source, Spoken, Timing, Workload};

/// Bytes of a micro-batch are not recorded.
const NO_LIMIT: usize = 1 << 40;
/// Rows that may wait, as in the server.
const QUEUE_ROWS: usize = 100_000;

/// Latency of one side of the comparison.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Requests that count.
    pub answered: usize,
    /// The median, in microseconds.
    pub p50_us: f64,
    /// Only one in a hundred is slower, in microseconds.
    pub p99_us: f64,
    /// Rows of a micro-batch, on average.
    pub mean_rows: f64,
}

/// What was measured beside what the simulator predicts.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Which of its queues.
    pub lane: u64,
    /// All requests of the recording.
    pub requests: usize,
    /// Lines that the server could not write; none where the end of the trace is missing.
    pub lost: Option<u64>,
    /// Where the executor was, and what that costs.
    pub place: Place,
    /// In the recording.
    pub measured: Latency,
    /// Simulated, with the times of the recording.
    pub times: Prediction,
    /// Simulated, with the turnarounds of its clients.
    pub turnarounds: Prediction,
}

/// What a simulation says.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Prediction {
    /// In the simulator.
    pub predicted: Latency,
    /// Predicted over measured.
    pub p50_ratio: f64,
    /// Predicted over measured.
    pub p99_ratio: f64,
}

/// A micro-batch of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    pub(crate) rows: usize,
    /// Places of its requests in the recording, in order of arrival.
    pub(crate) members: Vec<usize>,
}

/// Plays a recording again. `lost` is how many lines of its trace are missing.
#[must_use]
pub fn replay(recording: &Recording, lost: Option<u64>) -> Comparison {
    let requests = together(recording);
    let requests: Vec<&Request> = requests.iter().collect();
    let batches = batches(&requests);
    let inline = |pace: Pace| recording.model.inline.then_some(pace);
    let place = |pace: Pace| place(&requests, &batches, inline(pace));
    let began_us = requests.first().map_or(0, |request| request.arrived_us);
    let span_ms = requests.iter().map(|request| milliseconds(request.answered_us - began_us)).fold(0.0, f64::max);
    let again = |place: &Place, pace: Pace| match place {
        Place::EventLoop(chores) => at_the_door(&requests, &batches, (chores, pace)),
        _ => requests.iter().map(|request| spoken(request, began_us)).collect(),
    };
    let measured = measured(&requests, &batches, (began_us, span_ms));
    let predict = |pace: Pace| {
        let place = place(pace);
        let source = Source { timing: Timing::Recorded { requests: again(&place, pace), pace }, request: Kind::default(), model: 0 };
        let workload = Workload { sources: vec![source], span_ms, seed: 0 };
        let executors = recording.model.executors;
        let model = Model {
            policy: Box::new(policy(recording)),
            service: service(&requests, &batches, (pace, recording.model.inline)),
            executors,
            place,
        };
        prediction(&play(&workload, &mut [model], executors), measured)
    };
    Comparison {
        model: recording.model.model.clone(),
        version: recording.model.version.clone(),
        lane: recording.model.lane,
        requests: recording.requests.len(),
        lost,
        place: place(Pace::Turnarounds),
        measured,
        times: predict(Pace::Times),
        turnarounds: predict(Pace::Turnarounds),
    }
}

/// The requests that were answered. Buckets that shared a micro-batch count as one: a recording knows no lengths.
fn together(recording: &Recording) -> Vec<Request> {
    let mut requests: Vec<Request> = recording.requests.iter().filter(|request| request.batch().is_some()).cloned().collect();
    let batches = batches(&requests.iter().collect::<Vec<_>>());
    let mut joined: BTreeMap<u64, u64> = BTreeMap::new();
    for batch in &batches {
        let [first, others @ ..] = &batch.members[..] else { continue };
        for other in others {
            let (one, another) = (root(&joined, requests[*first].bucket), root(&joined, requests[*other].bucket));
            if one != another {
                joined.insert(one.max(another), one.min(another));
            }
        }
    }
    for request in &mut requests {
        request.bucket = root(&joined, request.bucket);
    }
    requests
}

/// The bucket that stands for all those that it was joined with: the smallest.
fn root(joined: &BTreeMap<u64, u64>, mut bucket: u64) -> u64 {
    while let Some(smaller) = joined.get(&bucket) {
        bucket = *smaller;
    }
    bucket
}

fn prediction(report: &Report, measured: Latency) -> Prediction {
    let predicted = Latency {
        answered: report.all.answered,
        p50_us: report.all.p50_ms * 1e3,
        p99_us: report.all.p99_ms * 1e3,
        mean_rows: report.mean_rows,
    };
    Prediction { predicted, p50_ratio: predicted.p50_us / measured.p50_us, p99_ratio: predicted.p99_us / measured.p99_us }
}

pub(crate) fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

fn spoken(request: &Request, began_us: u64) -> Spoken {
    Spoken {
        at_ms: milliseconds(request.arrived_us - began_us),
        answered_ms: milliseconds(request.answered_us - began_us),
        client: number(request.client),
        rows: request.rows,
        bucket: request.bucket,
    }
}

/// The number of a connection, as small as those of the simulator.
pub(crate) const fn number(client: u64) -> u64 {
    client % (1 << 32)
}

/// The micro-batches that answered somebody, in the order of their starts.
fn batches(requests: &[&Request]) -> Vec<Batch> {
    let mut found: BTreeMap<(u64, usize), Batch> = BTreeMap::new();
    for (place, request) in requests.iter().enumerate() {
        let Some((start_us, rows)) = request.batch() else { continue };
        let batch = || Batch { start_us, end_us: request.answered_us, rows, members: Vec::new() };
        found.entry((start_us, rows)).or_insert_with(batch).members.push(place);
    }
    found.into_values().collect()
}

/// The times of micro-batches. On an event loop the look at the queue is one with them: each its own where times are kept,
/// else the median. Where times are kept, so is when the machine was slow.
fn service(requests: &[&Request], batches: &[Batch], (pace, is_inline): (Pace, bool)) -> Service {
    let looks = looks(requests, batches);
    let usual = usual(&looks);
    let took_ms = |(batch, (own_ms, _)): (&Batch, &(f64, bool))| {
        let look_ms = if pace == Pace::Times { *own_ms } else { usual };
        // An executor on a thread idles for the usual look in any case.
        milliseconds(batch.end_us - batch.start_us) + if is_inline { look_ms } else { (look_ms - usual).max(0.0) }
    };
    let took: Vec<f64> = batches.iter().zip(&looks).map(took_ms).collect();
    let mut by_rows: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    batches.iter().zip(&took).for_each(|(batch, took_ms)| by_rows.entry(batch.rows).or_default().push(*took_ms));
    if pace == Pace::Turnarounds {
        return Service::Recorded(by_rows.into_iter().collect());
    }
    let averages: BTreeMap<usize, f64> = by_rows.into_iter().map(|(rows, each)| (rows, average(&each))).collect();
    let began_us = requests.first().map_or(0, |request| request.arrived_us);
    let moment = |(batch, took_ms): (&Batch, &f64)| (milliseconds(batch.start_us - began_us), took_ms / averages[&batch.rows].max(1e-9));
    let moments = batches.iter().zip(&took).map(moment).collect();
    Service::Remembered { sizes: averages.into_iter().collect(), moments }
}

/// The median of those of a free executor.
fn usual(looks: &[(f64, bool)]) -> f64 {
    share(looks.iter().filter(|(_, was_free)| *was_free).map(|(look_ms, _)| *look_ms).collect(), 0.5)
}

/// For each micro-batch, how long the executor took to look after its newest request had come, or after the micro-batch
/// before, and whether it was free when that request came.
fn looks(requests: &[&Request], batches: &[Batch]) -> Vec<(f64, bool)> {
    let mut busy_until_us = 0;
    let look = |batch: &Batch| {
        let newest_us = batch.members.last().map_or(0, |place| requests[*place].arrived_us);
        let was_free = newest_us > busy_until_us;
        let since_us = newest_us.max(busy_until_us);
        busy_until_us = busy_until_us.max(batch.end_us);
        (milliseconds(batch.start_us.saturating_sub(since_us)), was_free)
    };
    batches.iter().map(look).collect()
}

fn place(requests: &[&Request], batches: &[Batch], inline: Option<Pace>) -> Place {
    match inline {
        Some(pace) => Place::EventLoop(chores(requests, batches, pace)),
        None => Place::Thread { notice_ms: usual(&looks(requests, batches)) },
    }
}

/// The value below which this share of the values lies.
pub(crate) fn share(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, share)
}

fn policy(recording: &Recording) -> Shoal {
    let model = &recording.model;
    let limits = Limits { max_rows: model.max_rows, max_bytes: NO_LIMIT, queue_rows: QUEUE_ROWS, queue_bytes: NO_LIMIT };
    let bounds = Bounds {
        executors: model.executors,
        max_wait: Duration::from_micros(model.max_wait_us),
        latency_target: model.latency_target_us.map(Duration::from_micros),
    };
    let mut shoal = Shoal::new(limits, bounds);
    for learned in &model.learned {
        let took = Duration::try_from_secs_f64(learned.took_us / 1e6).unwrap_or_default();
        shoal.scheduler().learn(Bucket(0), Measured { rows: learned.rows, took });
    }
    shoal
}

fn measured(requests: &[&Request], batches: &[Batch], (began_us, span_ms): (u64, f64)) -> Latency {
    let counts = |request: &&&Request| milliseconds(request.answered_us - began_us) >= WARM_UP * span_ms;
    let counted = requests.iter().filter(counts);
    let mut latencies_us: Vec<f64> = counted.map(|request| (request.answered_us - request.arrived_us) as f64).collect();
    latencies_us.sort_unstable_by(f64::total_cmp);
    let rows: usize = batches.iter().map(|batch| batch.rows).sum();
    Latency {
        answered: latencies_us.len(),
        p50_us: quantile(&latencies_us, 0.50),
        p99_us: quantile(&latencies_us, 0.99),
        mean_rows: rows as f64 / batches.len().max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Trace;

    /// Requests of these buckets, each with the micro-batch of two rows that it was in.
    fn recorded(requests: &[(u64, u64)]) -> Trace {
        let model = r#"{"event":"model","model":"m","version":"1","lane":0,"inline":true,"executors":1,"max_rows":64,"max_wait_us":0,"latency_target_us":null,"learned":[]}"#;
        let request = |(place, (bucket, batch)): (usize, &(u64, u64))| {
            format!(
                r#"{{"event":"request","model":"m","version":"1","lane":0,"client":{place},"rows":1,"bucket":{bucket},"arrived_us":{batch},"started_us":{batch},"batch_rows":2,"answered_us":{},"outcome":"ok"}}"#,
                batch + 5
            )
        };
        let lines =
            [r#"{"event":"start","format":1}"#.to_owned(), model.to_owned()].into_iter().chain(requests.iter().enumerate().map(request));
        let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
        Trace::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn buckets_that_shared_a_micro_batch_are_one_and_others_stay_apart() {
        let trace = recorded(&[(5, 10), (4, 10), (4, 20), (3, 20), (7, 30), (7, 30)]);
        let buckets: Vec<u64> = together(trace.recordings().next().unwrap()).iter().map(|request| request.bucket).collect();
        assert_eq!(buckets, [3, 3, 3, 3, 7, 7]);
    }
}

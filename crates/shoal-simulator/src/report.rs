//! What came of a play.

use serde::Serialize;
use shoal_batch::Moment;

use crate::clients::in_milliseconds;
use crate::request::Request;

/// What happens before this share of the span is warm-up and does not count.
pub(crate) const WARM_UP: f64 = 0.2;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Refused,
    Expired,
    Vanished,
}

/// Latency and counts of some requests. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Requests that were answered.
    pub answered: usize,
    /// Rows answered within their deadline, for each millisecond.
    pub goodput_rows_per_ms: f64,
    /// Turned away at the door.
    pub refused: usize,
    /// Given up because of their deadline, or answered after it.
    pub late: usize,
    /// Whose clients went away.
    pub vanished: usize,
    /// Of the answered ones.
    pub mean_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// Only one in a hundred is slower.
    pub p99_ms: f64,
}

/// What came of a play.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// All sources together.
    pub all: Summary,
    /// Source by source.
    pub sources: Vec<Summary>,
    /// Calls of the model.
    pub calls: usize,
    /// Rows in a call, on average.
    pub mean_rows: f64,
}

pub(crate) struct Tally {
    sources: Vec<Counts>,
    span_ms: f64,
    calls: usize,
    rows: usize,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    latencies_ms: Vec<f64>,
    rows_in_time: usize,
    refused: usize,
    late: usize,
    vanished: usize,
}

impl Tally {
    pub(crate) fn new(sources: usize, span_ms: f64) -> Self {
        Self { sources: vec![Counts::default(); sources], span_ms, calls: 0, rows: 0 }
    }

    pub(crate) fn called(&mut self, rows: usize) {
        self.calls += 1;
        self.rows += rows;
    }

    pub(crate) fn ended(&mut self, now: Moment, request: &Request, outcome: Outcome) {
        if in_milliseconds(now) < WARM_UP * self.span_ms {
            return;
        }
        let counts = &mut self.sources[request.source];
        match outcome {
            Outcome::Answered if request.is_late(now) => counts.late += 1,
            Outcome::Answered => {
                counts.latencies_ms.push(in_milliseconds(now) - in_milliseconds(request.arrived));
                counts.rows_in_time += request.rows;
            }
            Outcome::Refused => counts.refused += 1,
            Outcome::Expired => counts.late += 1,
            Outcome::Vanished => counts.vanished += 1,
        }
    }

    pub(crate) fn report(self) -> Report {
        let counted_ms = self.span_ms * (1.0 - WARM_UP);
        let mut all = Counts::default();
        for counts in &self.sources {
            all.latencies_ms.extend(&counts.latencies_ms);
            all.rows_in_time += counts.rows_in_time;
            all.refused += counts.refused;
            all.late += counts.late;
            all.vanished += counts.vanished;
        }
        Report {
            all: all.summary(counted_ms),
            sources: self.sources.into_iter().map(|counts| counts.summary(counted_ms)).collect(),
            calls: self.calls,
            mean_rows: self.rows as f64 / self.calls.max(1) as f64,
        }
    }
}

impl Counts {
    fn summary(mut self, counted_ms: f64) -> Summary {
        self.latencies_ms.sort_unstable_by(f64::total_cmp);
        let answered = self.latencies_ms.len();
        Summary {
            answered,
            goodput_rows_per_ms: self.rows_in_time as f64 / counted_ms,
            refused: self.refused,
            late: self.late,
            vanished: self.vanished,
            mean_ms: self.latencies_ms.iter().sum::<f64>() / answered.max(1) as f64,
            p50_ms: quantile(&self.latencies_ms, 0.50),
            p99_ms: quantile(&self.latencies_ms, 0.99),
        }
    }
}

/// The value below which this share of the sorted values lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

//! Who sends what and when: the loads a policy is played against.

use rand::Rng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Exp, LogNormal};
use serde::{Deserialize, Serialize};
use shoal_batch::rounded_length;

/// Everything that is played at once on one machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Workload {
    /// All who send.
    pub sources: Vec<Source>,
    /// How long it is played, in milliseconds of simulated time.
    pub span_ms: f64,
    /// The seed of all chances.
    #[serde(default)]
    pub seed: u64,
}

/// One kind of sender. Times are in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// When its requests come.
    pub timing: Timing,
    /// What each of them is.
    #[serde(default)]
    pub request: Kind,
    /// The model it asks, where several are served on one machine.
    #[serde(default)]
    pub model: usize,
}

/// When requests come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Clients that wait for their answer and speak again after a turnaround, give or take a half.
    Closed {
        /// How many clients.
        clients: usize,
        /// The mean time from an answer to the next request.
        turnaround_ms: f64,
        /// Requests each client has in flight.
        #[serde(default = "one")]
        in_flight: usize,
    },
    /// Poisson arrivals, whoever is answered; on so many connections.
    Open {
        /// Requests per millisecond in each step; steps are of equal length and fill the span.
        per_ms: Vec<f64>,
        /// Connections they come over.
        connections: u64,
    },
    /// Recorded requests, in order of arrival. One that came after an answer on its connection comes after it again.
    Recorded {
        /// All of them.
        requests: Vec<Spoken>,
        /// How long after the answer.
        #[serde(default)]
        pace: Pace,
    },
}

impl Timing {
    pub(crate) fn forget_recording(&mut self) {
        if let Self::Recorded { requests, .. } = self {
            requests.clear();
        }
    }
}

/// When a recorded client speaks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// As long after its answer as it did.
    #[default]
    Turnarounds,
    /// When it did, or as long after its answer as it did if that is later: what made many of them speak or pause at once
    /// stays.
    Times,
}

/// A recorded request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spoken {
    /// When it came.
    pub at_ms: f64,
    /// When it was answered.
    pub answered_ms: f64,
    /// Its connection.
    pub client: u64,
    /// How many rows.
    pub rows: usize,
    /// The requests it may be batched with.
    #[serde(default)]
    pub bucket: u64,
}

const fn one() -> usize {
    1
}

/// What a request is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// How many rows.
    pub rows: Rows,
    /// Buckets it may be of; they alternate.
    pub buckets: u64,
    /// How long its records are: the bucket is the length that they are padded to.
    pub lengths: Option<Lengths>,
    /// From arrival on, how long an answer is of use.
    pub timeout_ms: Option<f64>,
    /// The share of clients that go away before they are answered, at a moment within the timeout or 10 ms.
    pub vanishing: f64,
    /// As the protocol counts: 0 the default, 1 the most urgent.
    pub priority: u8,
}

/// How many rows a request has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Always so many.
    Exactly(usize),
    /// Log-normal with this median and this standard deviation of the logarithm; at least one.
    LogNormal {
        /// The median.
        median: f64,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
}

/// How long the records of a request are: log-normal, in whole units.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Lengths {
    /// The median.
    pub median: f64,
    /// The standard deviation of the logarithm.
    pub sigma: f64,
    /// None is longer.
    pub longest: usize,
}

impl Lengths {
    /// Draws a length and rounds it up as a package does that says nothing else.
    pub(crate) fn draw(self, chance: &mut SmallRng) -> u64 {
        let length = Rows::LogNormal { median: self.median, sigma: self.sigma }.draw(chance);
        rounded_length(length.min(self.longest)) as u64
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Exactly(1)
    }
}

impl Rows {
    /// Draws a number of rows.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows are few and positive")]
    pub(crate) fn draw(self, chance: &mut SmallRng) -> usize {
        match self {
            Self::Exactly(rows) => rows.max(1),
            Self::LogNormal { median, sigma } => {
                LogNormal::new(median.ln(), sigma).map_or(1, |rows| (rows.sample(chance).round() as usize).max(1))
            }
        }
    }
}

/// A turnaround: the mean, give or take a half.
pub(crate) fn turnaround(mean_ms: f64, chance: &mut SmallRng) -> f64 {
    mean_ms * chance.random_range(0.5..1.5)
}

/// The time to the next of Poisson arrivals.
pub(crate) fn gap(per_ms: f64, chance: &mut SmallRng) -> f64 {
    Exp::new(per_ms).map_or(f64::INFINITY, |gap| gap.sample(chance))
}

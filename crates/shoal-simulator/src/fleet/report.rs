//! What came of a play of replicas.

use serde::Serialize;

/// Steps of a latency within a factor of ten: each is 1.2 % wide.
const STEPS: f64 = 200.0;
/// From 10 us on.
const LEAST_MS: f64 = 1e-2;
/// Over eight powers of ten.
const BINS: usize = 1600;

/// Latencies, counted by size.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    bins: Vec<u64>,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { bins: vec![0; BINS], count: 0 }
    }
}

impl Latencies {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list; below zero is the first")]
    pub(super) fn add(&mut self, took_ms: f64) {
        let bin = (STEPS * (took_ms / LEAST_MS).log10()).max(0.0) as usize;
        self.bins[bin.min(BINS - 1)] += 1;
        self.count += 1;
    }

    /// The upper end of the step in which the quantile lies; 0 where there is nothing.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        let mut left = share * self.count as f64;
        let place = self.bins.iter().position(|many| {
            left -= *many as f64;
            left <= 0.0 && *many > 0
        });
        place.map_or(0.0, |place| LEAST_MS * 10_f64.powf((place + 1) as f64 / STEPS))
    }

    pub(super) fn clear(&mut self) {
        self.bins.fill(0);
        self.count = 0;
    }
}

/// One minute of a play.
#[derive(Clone, Debug, Serialize)]
pub struct Minute {
    /// When it ended, in seconds.
    pub at_s: f64,
    /// Requests that came.
    pub requests: u64,
    /// Replicas that answered at its end.
    pub ready: usize,
    /// Of the requests that were answered; 0 where there was none.
    pub p99_ms: f64,
}

/// What came of a play of replicas.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FleetReport {
    /// Requests that came; each was answered or refused.
    pub requests: u64,
    /// Answered.
    pub answered: u64,
    /// Turned away at the door.
    pub refused: u64,
    /// Answered later than the latency target.
    pub late: u64,
    /// The median.
    pub p50_ms: f64,
    /// One in a hundred is slower.
    pub p99_ms: f64,
    /// From the moment each replica was asked for until it was gone.
    pub replica_hours: f64,
    /// The most that were asked for at once.
    pub most_replicas: usize,
    /// How often the number changed.
    pub changes: usize,
    /// Minute by minute.
    pub minutes: Vec<Minute>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_within_a_step() {
        let mut latencies = Latencies::default();
        for tenth in 1..=1000 {
            latencies.add(f64::from(tenth) / 10.0);
        }
        for (share, exact) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let seen = latencies.quantile_ms(share);
            assert!(seen >= exact && seen < 1.025 * exact, "{share}: {seen}");
        }
        latencies.clear();
        assert!(latencies.quantile_ms(0.5) < 1e-9);
    }
}

//! What an autoscaler sees of replicas: counters that were scraped, and values made of them.

use shoal_batch::Moment;

use super::replica::{Counters, Phase, Replica};
use super::{Fleet, Scaler};
use crate::clients::in_milliseconds;

/// Seconds between two scrapes, as usual for Prometheus and for the metrics server.
pub(super) const SCRAPE_S: f64 = 15.0;
/// Scrapes that are remembered: a minute of them, and the one before.
const SCRAPES: usize = 5;
/// A minute, within which the increase of a counter is taken.
const WINDOW_S: f64 = 60.0;

/// Scrapes a replica that is up.
pub(super) fn scrape(replica: &mut Replica, now: Moment) {
    if replica.phase == Phase::Starting {
        return;
    }
    let counted = replica.counted(now);
    replica.samples.push_back((in_milliseconds(now) / 1e3, counted));
    if replica.samples.len() > SCRAPES {
        replica.samples.pop_front();
    }
}

/// The value of the metric over its target.
pub(super) fn ratio(fleet: &Fleet, replicas: &[Replica], now: Moment) -> Option<f64> {
    match fleet.scaler {
        Scaler::Fixed => None,
        Scaler::Cpu { utilisation } => Some(cpu(replicas)? / utilisation),
        Scaler::QueueWait { of_one_row } => {
            let wait_ms = queue_wait_ms(replicas, in_milliseconds(now) / 1e3)?;
            Some(wait_ms / fleet.service.mean(1) / of_one_row)
        }
    }
}

/// The share of its processor that a ready replica used between its latest two scrapes, on average.
fn cpu(replicas: &[Replica]) -> Option<f64> {
    let used = |replica: &Replica| {
        let mut latest = replica.samples.iter().rev();
        let (after_s, after) = latest.next()?;
        let (before_s, before) = latest.next()?;
        Some((after.busy_ms - before.busy_ms) / (1e3 * (after_s - before_s)))
    };
    let seen: Vec<f64> = replicas.iter().filter(|replica| replica.phase == Phase::Ready).filter_map(used).collect();
    (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / seen.len() as f64)
}

/// `sum(rate(shoal_queue_seconds_sum[1m])) / sum(rate(shoal_queue_seconds_count[1m]))`, in milliseconds; 0 where there was
/// no micro-batch.
fn queue_wait_ms(replicas: &[Replica], now_s: f64) -> Option<f64> {
    let grown = |replica: &Replica| {
        let mut within = replica.samples.iter().filter(|(at_s, _)| now_s - at_s <= WINDOW_S).map(|(_, counted)| counted);
        let first: &Counters = within.next()?;
        let last = within.next_back()?;
        Some((last.waited_ms - first.waited_ms, last.batches - first.batches))
    };
    let seen: Vec<(f64, f64)> = replicas.iter().filter_map(grown).collect();
    let (waited_ms, batches) = seen.iter().fold((0.0, 0.0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    (!seen.is_empty()).then(|| if batches > 0.0 { waited_ms / batches } else { 0.0 })
}

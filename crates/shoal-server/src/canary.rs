//! How requests that name no version are shared between the versions of a model.
//!
//! Weights are whole numbers for each version. Requests are dealt in a fixed order, smooth and without chance
//! (the smooth weighted round robin of nginx): in every run of as many requests as the reduced weights add up
//! to, each version gets exactly its weight, spread as evenly as whole requests allow. The order is worked out
//! when the weights are set, so that a request costs one counter and one look into a list.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fault::{Code, Fault, Outcome};

/// What reduced weights add up to, at most: a hundredth of a percent can be said.
const LONGEST: u64 = 10_000;

/// The weight of each version, by its name.
pub(crate) type Weights = BTreeMap<String, u32>;

/// The order in which requests are dealt.
#[derive(Debug)]
pub(crate) struct Canary {
    weights: Weights,
    order: Vec<u16>,
    next: AtomicUsize,
}

impl Canary {
    /// Deals between `versions`; those without a weight get nothing.
    ///
    /// # Errors
    /// `UnknownVersion` for a weight of a version that is not there; `InvalidRequest` when all weights are 0, or add
    /// up to more than 10,000 after being divided by what they have in common.
    pub(crate) fn new(weights: Weights, versions: &[&str]) -> Outcome<Self> {
        if let Some(unknown) = weights.keys().find(|version| !versions.contains(&version.as_str())) {
            let known = versions.iter().map(|version| format!("{version:?}")).collect::<Vec<_>>().join(", ");
            let shown: String = unknown.chars().take(64).collect();
            return Err(Fault::new(Code::UnknownVersion, format!("version {shown:?} is not served; served are {known}")));
        }
        let of_each: Vec<u64> = versions.iter().map(|version| u64::from(weights.get(*version).copied().unwrap_or(0))).collect();
        let divisor = of_each.iter().copied().fold(0, greatest_common_divisor);
        if divisor == 0 {
            return Err(Fault::new(Code::InvalidRequest, "every weight is 0; at least one version must answer")
                .hint("send {\"weights\": {}} to end the sharing"));
        }
        let reduced: Vec<u64> = of_each.iter().map(|weight| weight / divisor).collect();
        let total: u64 = reduced.iter().sum();
        if total > LONGEST {
            let message = format!("the weights add up to {total}, after division by {divisor}; at most {LONGEST} are possible");
            return Err(Fault::new(Code::InvalidRequest, message).hint("use rounder weights, such as percentages"));
        }
        Ok(Self { weights, order: deal(&reduced, total), next: AtomicUsize::new(0) })
    }

    /// The version of the next request, by its place among the versions.
    pub(crate) fn choose(&self) -> usize {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.order.len();
        usize::from(self.order[turn])
    }

    /// The weights as they were set.
    pub(crate) const fn weights(&self) -> &Weights {
        &self.weights
    }
}

const fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

/// Smooth weighted round robin: each turn, everybody is credited its weight, and whoever has most pays `total`.
fn deal(weights: &[u64], total: u64) -> Vec<u16> {
    let total = i128::from(total);
    let mut credits = vec![0_i128; weights.len()];
    let turn = |_| {
        for (credit, weight) in credits.iter_mut().zip(weights) {
            *credit += i128::from(*weight);
        }
        // The first of equals, so that the order is the same every time.
        let chosen = (0..credits.len()).rev().max_by_key(|index| credits[*index]).unwrap_or(0);
        credits[chosen] -= total;
        u16::try_from(chosen).unwrap_or(u16::MAX)
    };
    (0..total).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(weights: &[(&str, u32)], versions: &[&str]) -> Outcome<Canary> {
        Canary::new(weights.iter().map(|(version, weight)| ((*version).to_owned(), *weight)).collect(), versions)
    }

    fn shares(canary: &Canary, requests: usize, versions: usize) -> Vec<usize> {
        let mut shares = vec![0; versions];
        (0..requests).for_each(|_| shares[canary.choose()] += 1);
        shares
    }

    #[test]
    fn every_hundred_requests_are_shared_exactly() {
        let canary = canary(&[("1", 95), ("2", 5)], &["1", "2", "3"]).unwrap();
        for _ in 0..5 {
            assert_eq!(shares(&canary, 100, 3), [95, 5, 0]);
        }
    }

    #[test]
    fn a_share_is_spread_evenly() {
        let canary = canary(&[("1", 75), ("2", 25)], &["1", "2"]).unwrap();
        assert_eq!((0..8).map(|_| canary.choose()).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn no_version_is_ever_more_than_a_request_away_from_its_share() {
        let canary = canary(&[("a", 61), ("b", 26), ("c", 13)], &["a", "b", "c"]).unwrap();
        let mut counts = [0_i64; 3];
        for turn in 1..=1000_i64 {
            counts[canary.choose()] += 1;
            for (count, weight) in counts.iter().zip([61, 26, 13]) {
                assert!((count * 100 - turn * weight).abs() <= 200, "turn {turn}: {counts:?}");
            }
        }
    }

    #[test]
    fn weights_that_mean_nothing_are_refused_by_name() {
        assert_eq!(canary(&[("9", 1)], &["1"]).unwrap_err().code, Code::UnknownVersion);
        assert_eq!(canary(&[("1", 0)], &["1"]).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(canary(&[("1", 10_001), ("2", 10_000)], &["1", "2"]).unwrap_err().code, Code::InvalidRequest);
        assert_eq!(shares(&canary(&[("1", 4_000_000_000), ("2", 2_000_000_000)], &["1", "2"]).unwrap(), 3, 2), [2, 1]);
    }
}

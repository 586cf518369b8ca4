//! The costs of all buckets: a model for each, and one of all together for a bucket that was not seen yet.

use std::time::Duration;

use crate::Bucket;
use crate::cost::CostModel;
use crate::hash::NumberMap;

/// Buckets whose costs are remembered at most; the one that ran the longest ago is forgotten first.
const BUCKETS_KEPT: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Costs {
    known: NumberMap<Bucket, (u64, Box<CostModel>)>,
    overall: Box<CostModel>,
    observed: u64,
}

impl Costs {
    pub(crate) fn of(&self, bucket: Bucket) -> &CostModel {
        self.known.get(&bucket).map_or(&self.overall, |(_, cost)| cost)
    }

    /// None if the bucket was not seen.
    pub(crate) fn known(&self, bucket: Bucket) -> Option<&CostModel> {
        self.known.get(&bucket).map(|(_, cost)| &**cost)
    }

    pub(crate) fn overall(&self) -> &CostModel {
        &self.overall
    }

    pub(crate) fn observe(&mut self, bucket: Bucket, rows: usize, took: Duration) {
        self.observed += 1;
        self.overall.observe(rows, took);
        if self.known.len() == BUCKETS_KEPT && !self.known.contains_key(&bucket) {
            self.forget_one();
        }
        let (last, cost) = self.known.entry(bucket).or_default();
        *last = self.observed;
        cost.observe(rows, took);
    }

    fn forget_one(&mut self) {
        let stalest = self.known.iter().min_by_key(|(_, (last, _))| *last).map(|(bucket, _)| *bucket);
        stalest.map(|bucket| self.known.remove(&bucket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_was_not_seen_costs_what_others_do() {
        let mut costs = Costs::default();
        assert_eq!(costs.of(Bucket(1)).predict(4), None);
        costs.observe(Bucket(1), 4, Duration::from_micros(80));
        assert_eq!(costs.of(Bucket(2)).predict(4), Some(Duration::from_micros(80)));
    }

    #[test]
    fn the_bucket_that_ran_the_longest_ago_is_forgotten() {
        let mut costs = Costs::default();
        for bucket in 0..=BUCKETS_KEPT as u64 {
            costs.observe(Bucket(bucket), 1, Duration::from_micros(bucket + 1));
            costs.observe(Bucket(0), 1, Duration::from_micros(1));
        }
        assert_eq!(costs.known.len(), BUCKETS_KEPT);
        assert!(costs.known.contains_key(&Bucket(0)) && !costs.known.contains_key(&Bucket(1)));
    }
}

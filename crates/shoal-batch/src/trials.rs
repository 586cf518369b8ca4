//! Now and then another size than the best known one: what was measured badly, or long ago, is measured again.
//!
//! 1. **When.** At a micro-batch whose rows are there already: nobody waits for a trial, and no limit or latency target is
//!    passed. One in [`CROWDED`] where more waits than goes along, one in [`USUAL`] where all that waits would go.
//! 2. **Which.** The sizes within a factor of two of the chosen one, in a crowd that stays within a factor of eight, the
//!    nearest first. Only those of which little is known, or nothing that was confirmed lately: sizes that come by
//!    themselves need no trial.
//! 3. **What it may cost.** One part in [`SHARE`] of the time of the micro-batches that were released, together: a trial
//!    that is expected to cost more waits until so much was saved up.
//!
//! Counted, not drawn: the same play has the same trials.

use std::time::Duration;

use crate::cost::CostModel;

/// Micro-batches from one trial to the next while more waits than goes along.
const CROWDED: u32 = 100;
/// The same where all that waits would go: who is left behind waits for one more call.
const USUAL: u32 = 400;
/// Trials cost one part in so many of the time in the model.
const SHARE: f64 = 400.0;
/// Steps of the table of costs, two to each power of two. A cost that jumps hides what lies behind the nearest.
const STEPS: [isize; 12] = [-1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6];

/// So many of them are within a factor of two.
const NEAR: usize = 4;

/// What was chosen, and what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) rows: usize,
    pub(crate) waiting: usize,
    /// The most rows that a micro-batch may have.
    pub(crate) limit: usize,
    pub(crate) target: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Trials {
    since: u32,
    /// Micro-batches in a row that left somebody behind.
    crowded: u32,
    /// What trials may cost by now.
    saved_seconds: f64,
}

impl Trials {
    /// Counts a micro-batch that is about to go; the size to try in its place, if its turn has come.
    pub(crate) fn instead(&mut self, cost: &CostModel, choice: Choice) -> Option<usize> {
        self.since = self.since.saturating_add(1);
        self.crowded = if choice.waiting > choice.rows { self.crowded.saturating_add(1) } else { 0 };
        self.saved_seconds += seconds(cost, choice.rows) / SHARE;
        if self.since < if self.crowded > 0 { CROWDED } else { USUAL } {
            return None;
        }
        let steps = if self.crowded < CROWDED { NEAR } else { STEPS.len() };
        let (rows, excess) = STEPS[..steps].iter().find_map(|step| self.affordable(*step, cost, choice))?;
        self.since = 0;
        self.saved_seconds -= excess;
        Some(rows)
    }

    fn affordable(&self, step: isize, cost: &CostModel, choice: Choice) -> Option<(usize, f64)> {
        let rows = CostModel::stepped(choice.rows, step)?;
        let is_within = choice.target.is_none_or(|target| cost.predict(rows).is_none_or(|took| 2 * took <= target));
        let excess = excess(cost, choice, rows);
        let is_there = rows <= choice.waiting.min(choice.limit);
        (is_there && is_within && cost.is_doubtful(rows) && excess <= self.saved_seconds).then_some((rows, excess))
    }
}

/// What a trial is expected to cost: that its rows are dearer, or that those left behind need a call of their own.
fn excess(cost: &CostModel, choice: Choice, rows: usize) -> f64 {
    let chosen = seconds(cost, choice.rows);
    let extra = if choice.waiting > choice.rows {
        seconds(cost, rows) - chosen * rows as f64 / choice.rows as f64
    } else {
        seconds(cost, rows) + seconds(cost, choice.rows.saturating_sub(rows)) - chosen
    };
    extra.max(0.0)
}

fn seconds(cost: &CostModel, rows: usize) -> f64 {
    cost.predict(rows).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: Choice = Choice { rows: 16, waiting: 1000, limit: 64, target: None };

    fn learned(cost: impl Fn(usize) -> u64) -> CostModel {
        let mut model = CostModel::default();
        for rows in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].repeat(5) {
            model.observe(rows, Duration::from_micros(cost(rows)));
        }
        // Of all others nothing was seen for long.
        (0..1100).for_each(|_| model.observe(16, Duration::from_micros(cost(16))));
        model
    }

    /// The sizes tried in so many micro-batches, all of which cost what is known.
    fn tried(cost: &CostModel, choice: Choice, batches: usize) -> Vec<usize> {
        let (mut trials, mut cost) = (Trials::default(), cost.clone());
        let mut tried = Vec::new();
        for _ in 0..batches {
            let trial = trials.instead(&cost, choice);
            let rows = trial.unwrap_or(choice.rows);
            cost.observe(rows, cost.predict(rows).unwrap_or_default());
            tried.extend(trial);
        }
        tried
    }

    #[test]
    fn one_micro_batch_in_a_hundred_tries_a_size_of_which_nothing_was_seen_for_long() {
        let steady = learned(|rows| 10 * rows as u64);
        assert_eq!(tried(&steady, CROWD, 1199), [12, 24, 8, 32, 6, 48, 4, 64, 3, 2, 12]);
    }

    #[test]
    fn only_rows_that_wait_are_tried_and_no_limit_is_passed() {
        let steady = learned(|rows| 10 * rows as u64);
        assert!(tried(&steady, Choice { limit: 20, ..CROWD }, 1000).iter().all(|rows| *rows < 16));
        assert!(tried(&steady, Choice { waiting: 16, ..CROWD }, 4000).iter().all(|rows| *rows < 16));
        let target = Some(Duration::from_micros(330));
        assert!(tried(&steady, Choice { target, ..CROWD }, 1000).iter().all(|rows| *rows < 17));
        assert_eq!(tried(&steady, Choice { rows: 1, waiting: 1, ..CROWD }, 4000), []);
    }

    #[test]
    fn trials_cost_no_more_than_their_share_however_dear_they_are() {
        let cost = |rows: usize| if rows <= 16 { 100 + rows as u64 } else { 100 * rows as u64 };
        for choice in [CROWD, Choice { waiting: 16, ..CROWD }] {
            let jumps = learned(cost);
            let spent: f64 = tried(&jumps, choice, 20_000).iter().map(|rows| excess(&jumps, choice, *rows)).sum();
            assert!(spent > 0.0 && spent <= 1.1 * 20_000.0 / SHARE * seconds(&jumps, choice.rows), "{spent}");
        }
        let dear_above = learned(|rows| if rows <= 16 { 10 * rows as u64 } else { 100 * rows as u64 });
        assert!(tried(&dear_above, CROWD, 40_000).contains(&24), "dear sizes are tried, but rarely");
    }

    #[test]
    fn where_all_that_waits_goes_along_trials_are_rare() {
        let calls = learned(|rows| 1000 + rows as u64);
        assert!(tried(&calls, Choice { waiting: 16, ..CROWD }, 4000).len() <= 10);
    }

    #[test]
    fn what_was_confirmed_lately_is_not_tried_again_and_what_surprises_is() {
        let mut model = learned(|rows| 10 * rows as u64);
        model.observe(12, Duration::from_micros(125));
        model.observe(24, Duration::from_micros(150));
        assert_eq!(tried(&model, CROWD, 499), [24, 8, 32, 6]);
    }

    #[test]
    fn nothing_known_nothing_tried() {
        assert!(tried(&CostModel::default(), Choice { rows: 64, waiting: 64, ..CROWD }, 300).is_empty());
    }
}

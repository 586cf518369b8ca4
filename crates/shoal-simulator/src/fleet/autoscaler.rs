//! The rule by which Kubernetes decides how many replicas there are to be.
//!
//! 1. From one metric: desired = ceil(ready replicas x value / target), and no change within a tolerance of 10 %.
//! 2. A fall is held back: the most that was desired within the stabilisation window counts.
//! 3. Within a period no more replicas come, or go, than the policies allow; of several policies the most generous counts.
//! 4. Never fewer than the least, never more than the most.
//!
//! Source: kubernetes.io, "Horizontal Pod Autoscaling": "Algorithm details", "Configurable scaling behavior"; the
//! controller, `pkg/controller/podautoscaler/horizontal.go`, whose names for these steps are `stabilizeRecommendation
//! WithBehaviors` and `convertDesiredReplicasWithBehaviorRate`.

use std::collections::VecDeque;

use serde::Deserialize;

/// A value this near to its target changes nothing.
pub const TOLERANCE: f64 = 0.1;

/// How many replicas may come or go within a period.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// In percent of those at the beginning of the period.
    pub percent: f64,
    /// Or so many.
    #[serde(default)]
    pub replicas: usize,
    /// The period, in seconds.
    pub period_s: f64,
}

/// How fast the number of replicas follows what is desired.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Upwards.
    pub up: Allowed,
    /// Downwards.
    pub down: Allowed,
    /// For so many seconds a fall is held back.
    pub down_window_s: f64,
}

/// What Kubernetes does where nothing is said.
impl Default for Behaviour {
    fn default() -> Self {
        Self {
            up: Allowed { percent: 100.0, replicas: 4, period_s: 15.0 },
            down: Allowed { percent: 100.0, replicas: 0, period_s: 15.0 },
            down_window_s: 300.0,
        }
    }
}

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Replicas that there are, or are being started.
    pub replicas: usize,
    /// Those of them that answer.
    pub ready: usize,
    /// The value of the metric over its target, if there is a value.
    pub ratio: Option<f64>,
}

/// An autoscaler and what it remembers.
#[derive(Debug)]
pub struct Autoscaler {
    bounds: (usize, usize),
    behaviour: Behaviour,
    /// (when, how many were desired), the oldest first.
    desired: VecDeque<(f64, usize)>,
    /// (when, how many came), the oldest first; a fall is negative.
    changes: VecDeque<(f64, f64)>,
}

impl Autoscaler {
    /// One that keeps between so many and so many replicas.
    #[must_use]
    pub fn new(bounds: (usize, usize), behaviour: Behaviour) -> Self {
        Self { bounds, behaviour, desired: VecDeque::new(), changes: VecDeque::new() }
    }

    /// How many replicas there are to be from now on.
    pub fn decide(&mut self, now_s: f64, seen: Seen) -> usize {
        let stable = self.stabilised(now_s, (seen.replicas, wanted(seen).clamp(self.bounds.0, self.bounds.1)));
        let next = self.allowed(now_s, (seen.replicas, stable)).clamp(self.bounds.0, self.bounds.1);
        if next != seen.replicas {
            self.changes.push_back((now_s, next as f64 - seen.replicas as f64));
        }
        let longest_s = self.behaviour.up.period_s.max(self.behaviour.down.period_s);
        self.changes.retain(|(at_s, _)| now_s - at_s < longest_s);
        next
    }

    fn stabilised(&mut self, now_s: f64, (replicas, wanted): (usize, usize)) -> usize {
        if self.desired.is_empty() {
            // It begins with what it finds.
            self.desired.push_back((now_s, replicas));
        }
        self.desired.push_back((now_s, wanted));
        self.desired.retain(|(at_s, _)| now_s - at_s < self.behaviour.down_window_s);
        let most = self.desired.iter().map(|(_, desired)| *desired).max().unwrap_or(wanted);
        // Upwards nothing is held back: the window is 0.
        replicas.max(wanted).min(most.max(wanted))
    }

    fn allowed(&self, now_s: f64, (replicas, wanted): (usize, usize)) -> usize {
        let came = |period_s: f64| self.changes.iter().filter(|(at_s, _)| now_s - at_s < period_s).map(|(_, many)| many).sum::<f64>();
        let Behaviour { up, down, .. } = self.behaviour;
        if wanted > replicas {
            let before = replicas as f64 - came(up.period_s);
            let most = (before + up.replicas as f64).max((before * (1.0 + up.percent / 100.0)).ceil());
            wanted.min(count(most).max(replicas))
        } else {
            let before = replicas as f64 - came(down.period_s);
            let least = (before - down.replicas as f64).min((before * (1.0 - down.percent / 100.0)).floor());
            wanted.max(count(least).min(replicas))
        }
    }
}

/// What the metric says.
fn wanted(seen: Seen) -> usize {
    match seen.ratio {
        Some(ratio) if (ratio - 1.0).abs() > TOLERANCE => count((ratio * seen.ready as f64).ceil()),
        _ => seen.replicas,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of replicas; below zero is none")]
fn count(replicas: f64) -> usize {
    replicas.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn autoscaler(behaviour: Behaviour) -> Autoscaler {
        Autoscaler::new((1, 100), behaviour)
    }

    fn seen(replicas: usize, ratio: f64) -> Seen {
        Seen { replicas, ready: replicas, ratio: Some(ratio) }
    }

    #[test]
    fn replicas_follow_the_ratio_and_small_differences_change_nothing() {
        for (replicas, ratio, next) in [(4, 1.5, 6), (4, 1.26, 6), (4, 1.09, 4), (4, 0.91, 4), (10, 0.0, 10)] {
            assert_eq!(autoscaler(Behaviour::default()).decide(0.0, seen(replicas, ratio)), next, "{replicas} at {ratio}");
        }
    }

    #[test]
    fn without_a_value_nothing_changes() {
        let unknown = Seen { replicas: 3, ready: 3, ratio: None };
        assert_eq!(autoscaler(Behaviour::default()).decide(0.0, unknown), 3);
    }

    #[test]
    fn a_fall_waits_until_nothing_higher_was_desired_for_the_window() {
        let mut one = autoscaler(Behaviour::default());
        let falls = |one: &mut Autoscaler, at_s| one.decide(at_s, seen(8, 0.25));
        assert_eq!(one.decide(0.0, seen(8, 1.0)), 8);
        for at_s in [15.0, 150.0, 285.0] {
            assert_eq!(falls(&mut one, at_s), 8, "{at_s}");
        }
        assert_eq!(falls(&mut one, 300.0), 2);
    }

    #[test]
    fn within_a_period_replicas_double_or_grow_by_four_at_most() {
        let mut one = autoscaler(Behaviour::default());
        assert_eq!(one.decide(0.0, seen(1, 50.0)), 5);
        assert_eq!(one.decide(10.0, seen(5, 50.0)), 5, "the period is not over");
        assert_eq!(one.decide(15.0, seen(5, 50.0)), 10);
        assert_eq!(one.decide(30.0, seen(10, 50.0)), 20);
    }

    #[test]
    fn a_fall_takes_no_more_than_its_policy_allows() {
        let slow = Allowed { percent: 20.0, replicas: 1, period_s: 60.0 };
        let mut one = autoscaler(Behaviour { down: slow, down_window_s: 0.0, ..Behaviour::default() });
        assert_eq!(one.decide(0.0, seen(10, 0.1)), 8);
        assert_eq!(one.decide(15.0, seen(8, 0.1)), 8, "the period is not over");
        assert_eq!(one.decide(60.0, seen(8, 0.1)), 6);
        assert_eq!(one.decide(120.0, seen(2, 0.1)), 1, "one always may go");
    }

    #[test]
    fn replicas_that_are_being_started_do_not_count_as_ready() {
        let starting = Seen { replicas: 6, ready: 3, ratio: Some(1.5) };
        assert_eq!(autoscaler(Behaviour::default()).decide(0.0, starting), 6, "5 are desired, and a fall is not what was asked for");
    }

    #[test]
    fn bounds_hold_whatever_the_metric_says() {
        let mut one = Autoscaler::new((2, 6), Behaviour { down_window_s: 0.0, ..Behaviour::default() });
        assert_eq!(one.decide(0.0, seen(4, 1e9)), 6);
        assert_eq!(one.decide(15.0, seen(6, 0.0)), 2);
    }
}

//! The laws of the batcher, over random plays of submit, cancel, expire, release and drain.
//!
//! A play is run once and leaves a history (`history`). Two laws judge the history alone, without knowing how the
//! batcher works (`judges`); the third replays it on a naive model of the whole rule book (`model`).
//! `SHOAL_PROVE_SCALE` multiplies the number of plays; the seed is fixed, so a failure repeats.

#![expect(clippy::expect_used, reason = "a test may fail loudly")]

mod history;
mod judges;
mod model;

use std::env;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::history::play;

/// Faults of order, size and counting that were planted to try the laws were all found by this many.
const PLAYS: u32 = 1000;

fn plays() -> ProptestConfig {
    let scale = env::var("SHOAL_PROVE_SCALE").map_or(1, |scale| scale.parse().expect("SHOAL_PROVE_SCALE is a positive whole number"));
    let cases = PLAYS.saturating_mul(scale);
    println!("cases: {cases}");
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(20_261_121), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(plays())]

    #[test]
    fn every_accepted_request_is_answered_exactly_once(script in history::any_play()) {
        judges::each_request_ends_once(&play(&script));
    }

    #[test]
    fn no_limit_is_broken_and_a_free_executor_leaves_nothing_waiting(script in history::any_play()) {
        judges::limits_are_kept(&script, &play(&script));
    }

    #[test]
    fn the_batcher_does_what_the_rule_book_says(script in history::any_play()) {
        model::replay(&script, &play(&script));
    }

    #[test]
    fn padded_buckets_keep_every_law_and_nobody_is_passed_over_for_long(script in history::padded_play()) {
        let history = play(&script);
        judges::each_request_ends_once(&history);
        judges::limits_are_kept(&script, &history);
        judges::nobody_is_passed_over_for_long(&script, &history);
        model::replay(&script, &history);
    }

    #[test]
    fn the_same_play_has_the_same_history(script in history::any_play()) {
        prop_assert_eq!(play(&script), play(&script));
    }
}

/// A law over plays in which nothing happens would prove nothing.
#[test]
fn the_plays_reach_every_reason_every_refusal_and_every_end() {
    let histories: Vec<_> = history::sample(300).iter().map(play).collect();
    let reached = judges::reached(&histories);
    assert_eq!(reached, judges::TO_BE_REACHED.into_iter().collect());
}

#[test]
fn the_padded_plays_pass_somebody_over() {
    let passes: usize =
        history::padded_sample(100).iter().map(|script| judges::nobody_is_passed_over_for_long(script, &play(script))).sum();
    assert!(passes > 1000, "{passes}");
}

/// Who goes in company goes whole: of the plays' random companies some fit.
#[test]
fn the_padded_plays_send_buckets_together() {
    let mixed: usize = history::padded_sample(300).iter().map(|script| judges::mixed(&play(script))).sum();
    assert!(mixed > 100, "{mixed}");
}

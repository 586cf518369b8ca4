//! What a server tells its operator: one line for each event, on stderr.
//!
//! - Each server has a log of its own, for its own thread: two servers in one process, or a program that logs in its
//!   own way, are not in each other's way.
//! - Nothing is logged for each request unless the level is "debug".
//! - A line never has a body, a key, a token, a header or a path: what clients send stays out of it. Of a refused
//!   request the code of its error is told, of a model that failed the kind of its exception.
//! - What may happen very often is told at most once a second ([`Seldom`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// From which level on events are logged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// What must be mended.
    Error,
    /// What should be looked at.
    Warning,
    /// Start, end, and what was read anew.
    Info,
    /// Every request that is refused.
    Debug,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object: `timestamp`, `level`, `message`, and what the event is about.
    Json,
}

/// The log of one server, to be made the default of its thread.
pub(crate) fn open(level: Level, format: Format) -> Dispatch {
    // The libraries below have logs of their own, which tell what clients send.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), filter(level));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    match format {
        Format::Text => dispatch(lines.with_filter(ours)),
        Format::Json => dispatch(lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_filter(ours)),
    }
}

fn dispatch(lines: impl Layer<Registry> + Send + Sync) -> Dispatch
where
    Registry: Subscriber,
{
    Dispatch::new(Registry::default().with(lines))
}

const fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warning => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    }
}

/// Lets one event of a kind through in a second, and counts the others.
pub(crate) struct Seldom {
    epoch: Instant,
    next_ms: AtomicU64,
    missed: AtomicU64,
}

impl Seldom {
    pub(crate) fn new() -> Self {
        Self { epoch: Instant::now(), next_ms: AtomicU64::new(0), missed: AtomicU64::new(0) }
    }

    /// How many events were not told since the last one that was; None when this one is not to be told.
    pub(crate) fn may_speak(&self) -> Option<u64> {
        self.may_speak_at(self.epoch.elapsed())
    }

    fn may_speak_at(&self, now: Duration) -> Option<u64> {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if now_ms < self.next_ms.load(Ordering::Relaxed) {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next_ms.store(now_ms + 1000, Ordering::Relaxed);
        Some(self.missed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_events_in_a_second_one_is_told_and_the_next_says_how_many_were_not() {
        let seldom = Seldom::new();
        assert_eq!(seldom.may_speak_at(Duration::ZERO), Some(0));
        assert_eq!(seldom.may_speak_at(Duration::from_millis(10)), None);
        assert_eq!(seldom.may_speak_at(Duration::from_millis(999)), None);
        assert_eq!(seldom.may_speak_at(Duration::from_secs(1)), Some(2));
    }
}

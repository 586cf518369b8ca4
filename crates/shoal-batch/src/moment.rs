//! Time as a number: this crate has no clock, so its owner says what time it is.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: nanoseconds since an epoch that the owner of the batcher chose.
///
/// The owner's clock must not run backwards. If it does all the same, waits read as zero and nothing else breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The owner's epoch itself.
    pub const EPOCH: Self = Self(0);

    /// The moment `nanos` nanoseconds after the epoch; 64 bits last for 584 years.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

/// How long after the epoch; what lies beyond 584 years is the last moment there is.
impl From<Duration> for Moment {
    fn from(since_epoch: Duration) -> Self {
        Self(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::from(duration).0))
    }
}

/// The time from `earlier` to `self`; zero if `earlier` is in fact later.
impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_moments_is_a_duration() {
        let start = Moment::from(Duration::from_millis(5));
        let end = start + Duration::from_millis(7);
        assert_eq!(end - start, Duration::from_millis(7));
        assert_eq!(end.as_nanos(), 12_000_000);
    }

    #[test]
    fn a_clock_that_runs_backwards_reads_as_no_time_at_all() {
        assert_eq!(Moment::EPOCH - Moment::from_nanos(5), Duration::from_nanos(0));
    }

    #[test]
    fn the_end_of_time_is_not_overrun() {
        let end = Moment::from(Duration::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
    }
}

//! Connections: how many there may be, what each is waiting for, and when its client has been too slow.
//!
//! - Both doors count in one place ([`Connections`]); a connection holds its [`Place`] until it is closed.
//! - A [`Wire`](crate::wire::Wire), the connection itself, notes in its [`Watch`] what passes; a note is a store, no clock is
//!   read and no timer is set for a request.
//! - [`Patience::exhausted`] looks at the watch now and then, and says when the client owes something for too long:
//!   the head of a request, its body (which may take longer the more of it has arrived), the next request, or the
//!   reading of an answer. The server's own time is never counted. So a client is given up between its timeout and
//!   a quarter more than that.
//! - Over gRPC HTTP/2 stands between the wire and the answers: there [`crate::untaken`] knows what a client has not taken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::options::Options;

/// How many connections are open, and how many may be.
pub(crate) struct Connections {
    open: AtomicUsize,
    limit: usize,
}

impl Connections {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { open: AtomicUsize::new(0), limit }
    }

    /// A place for one more connection; None when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        // The place gives itself back when it is one too many.
        (self.open.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(place)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Those who are connected, as one of so many threads sees them.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) connections: Arc<Connections>,
    pub(crate) threads: usize,
}

impl Crowd {
    /// Whether so many are all of them who are this thread's, as far as it can tell.
    pub(crate) fn is_all(&self, asked: usize) -> bool {
        asked * self.threads >= self.connections.open()
    }
}

/// The place of one connection.
pub(crate) struct Place(Arc<Connections>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The client owes the first byte of a request.
const IDLE: u8 = 0;
/// The client owes the rest of a head.
const HEAD: u8 = 1;
/// The client owes the rest of a body.
const BODY: u8 = 2;
/// The server owes an answer.
const ANSWER: u8 = 3;

/// What passes on one connection.
#[derive(Default)]
pub(crate) struct Watch {
    phase: AtomicU8,
    turn: AtomicU32,
    read_bytes: AtomicU64,
    /// What had been read before the present request.
    base_bytes: AtomicU64,
    written_bytes: AtomicU64,
    is_stalled: AtomicBool,
}

impl Watch {
    /// A request has its head; is there a body to wait for?
    pub(crate) fn has_head(&self, expects_body: bool) {
        self.enter(if expects_body { BODY } else { ANSWER });
    }

    /// A request has arrived whole.
    pub(crate) fn has_body(&self) {
        self.enter(ANSWER);
    }

    /// A request is answered.
    pub(crate) fn is_answered(&self) {
        self.enter(IDLE);
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        self.turn.store(self.turn.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn has_read(&self, bytes: usize) {
        let before = self.read_bytes.load(Ordering::Relaxed);
        self.read_bytes.store(before + bytes as u64, Ordering::Relaxed);
        if bytes > 0 && self.phase.load(Ordering::Relaxed) == IDLE {
            self.base_bytes.store(before, Ordering::Relaxed);
            self.enter(HEAD);
        }
    }

    pub(crate) fn has_written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.written_bytes.store(self.written_bytes.load(Ordering::Relaxed) + *bytes as u64, Ordering::Relaxed);
        }
        self.set_stalled(written.is_pending());
    }

    /// Whether the client takes nothing at this moment.
    pub(crate) fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    fn seen(&self) -> Seen {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            phase: self.phase.load(Ordering::Relaxed),
            turn: self.turn.load(Ordering::Relaxed),
            request_bytes: load(&self.read_bytes).saturating_sub(load(&self.base_bytes)),
            written_bytes: load(&self.written_bytes),
            is_stalled: self.is_stalled.load(Ordering::Relaxed),
        }
    }
}

/// What a watch said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    phase: u8,
    turn: u32,
    request_bytes: u64,
    written_bytes: u64,
    is_stalled: bool,
}

impl Seen {
    /// Whether the client owes the same thing as before, and did nothing about it that counts.
    fn is_same_debt(&self, before: &Self) -> bool {
        let is_same_turn = (self.phase, self.turn) == (before.phase, before.turn);
        match (self.is_stalled, self.phase) {
            (true, _) => before.is_stalled && self.written_bytes == before.written_bytes,
            (false, IDLE) => !before.is_stalled && is_same_turn && self.written_bytes == before.written_bytes,
            (false, _) => !before.is_stalled && is_same_turn,
        }
    }
}

/// Why a client is given up; the name is its label in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Head,
    Body,
    Idle,
    Write,
}

impl Late {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Head => "header_timeout",
            Self::Body => "body_timeout",
            Self::Idle => "idle_timeout",
            Self::Write => "write_timeout",
        }
    }
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    body: Duration,
    body_bytes_per_s: u64,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

impl Patience {
    pub(crate) const fn new(options: &Options) -> Self {
        Self {
            head: Duration::from_millis(options.header_timeout_ms),
            body: Duration::from_millis(options.body_timeout_ms),
            body_bytes_per_s: options.slowest_body_bytes_per_s,
            idle: Duration::from_millis(options.idle_timeout_ms),
            write: Duration::from_millis(options.write_timeout_ms),
        }
    }

    /// How long a body may take of which so much has arrived.
    pub(crate) fn for_body(&self, bytes: u64) -> Duration {
        self.body + Duration::from_millis(bytes.saturating_mul(1000) / self.body_bytes_per_s.max(1))
    }

    /// What the client is late with, when it has owed the same thing for so long.
    fn judge(&self, seen: &Seen, owed: Duration) -> Option<Late> {
        let (limit, late) = match (seen.is_stalled, seen.phase) {
            (true, _) => (self.write, Late::Write),
            (false, IDLE) => (self.idle, Late::Idle),
            (false, HEAD) => (self.head, Late::Head),
            (false, BODY) => (self.for_body(seen.request_bytes), Late::Body),
            (false, _) => return None,
        };
        (owed >= limit).then_some(late)
    }

    /// How often to look, so that nobody is given more than a quarter of the shortest time on top.
    fn step(&self) -> Duration {
        let shortest = self.head.min(self.body).min(self.idle).min(self.write);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(10))
    }

    /// Ends when the client of this connection has been too slow.
    pub(crate) async fn exhausted(&self, watch: &Watch) -> Late {
        let (mut first, mut since) = (watch.seen(), Instant::now());
        loop {
            tokio::time::sleep(self.step()).await;
            let seen = watch.seen();
            if !seen.is_same_debt(&first) {
                (first, since) = (seen, Instant::now());
            } else if let Some(late) = self.judge(&seen, since.elapsed()) {
                return late;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience::new(&Options {
            header_timeout_ms: 100,
            body_timeout_ms: 200,
            slowest_body_bytes_per_s: 1000,
            idle_timeout_ms: 400,
            write_timeout_ms: 300,
            ..Options::default()
        })
    }

    fn seen(phase: u8, request_bytes: u64, is_stalled: bool) -> Seen {
        Seen { phase, turn: 1, request_bytes, written_bytes: 0, is_stalled }
    }

    #[test]
    fn each_debt_has_its_own_time_and_the_servers_own_has_none() {
        let judge = |phase, is_stalled, ms| patience().judge(&seen(phase, 0, is_stalled), Duration::from_millis(ms));
        assert_eq!((judge(HEAD, false, 99), judge(HEAD, false, 100)), (None, Some(Late::Head)));
        assert_eq!((judge(BODY, false, 199), judge(BODY, false, 200)), (None, Some(Late::Body)));
        assert_eq!((judge(IDLE, false, 399), judge(IDLE, false, 400)), (None, Some(Late::Idle)));
        assert_eq!((judge(IDLE, true, 299), judge(IDLE, true, 300)), (None, Some(Late::Write)));
        assert_eq!(judge(ANSWER, false, 1_000_000), None);
    }

    #[test]
    fn a_body_that_arrives_at_the_slowest_rate_is_waited_for() {
        let judge = |bytes, ms| patience().judge(&seen(BODY, bytes, false), Duration::from_millis(ms));
        assert_eq!((judge(1000, 1199), judge(1000, 1200)), (None, Some(Late::Body)));
    }

    #[test]
    fn a_trickle_of_bytes_pays_no_debt_of_a_head_but_taking_an_answer_does() {
        assert!(seen(HEAD, 9, false).is_same_debt(&seen(HEAD, 1, false)));
        let taking = Seen { written_bytes: 7, ..seen(IDLE, 0, true) };
        assert!(!taking.is_same_debt(&seen(IDLE, 0, true)));
    }

    #[test]
    fn a_place_that_was_given_back_can_be_taken_again() {
        let connections = Arc::new(Connections::new(1));
        let place = connections.enter();
        assert!(place.is_some() && connections.enter().is_none());
        assert_eq!(connections.open(), 1);
        drop(place);
        assert!(connections.enter().is_some());
    }
}

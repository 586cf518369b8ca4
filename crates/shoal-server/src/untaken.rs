//! Answers that a gRPC client has not taken yet, and when it has had its time.
//!
//! HTTP/2 holds an answer for as long as the client opens no window for it, or reads nothing at all. Here each piece of an
//! answer counts from the moment in which HTTP/2 gets it until its last byte has gone out: the piece itself tells
//! when it is dropped. A connection has a ring of counters, one for each turn of a slow clock; a piece counts where it
//! came in, so that a look at one counter says whether a piece is too old. No clock is read for a request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Turns of the clock for one timeout; a client is given up between its timeout and one turn more.
const TURNS: u32 = 4;
/// A power of two above that, so that the count of turns may wrap.
const SLOTS: usize = 8;
/// So much of an answer must be taken in one timeout, at least.
const PIECE_BYTES: usize = 64 << 10;

/// What one connection has not taken.
#[derive(Default)]
pub(crate) struct Untaken {
    turn: AtomicU32,
    pieces: [AtomicU32; SLOTS],
}

impl Untaken {
    fn enter(self: &Arc<Self>) -> Ticket {
        let slot = self.turn.load(Ordering::Relaxed) as usize % SLOTS;
        self.pieces[slot].fetch_add(1, Ordering::Relaxed);
        Ticket { untaken: Arc::clone(self), slot }
    }

    /// Turns the clock on: whether a piece came in more than [`TURNS`] turns before.
    fn has_old_after_turn(&self) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let oldest = turn.wrapping_sub(TURNS + 1) as usize % SLOTS;
        self.pieces[oldest].load(Ordering::Relaxed) > 0
    }

    /// Ends when a piece of an answer was not taken for so long.
    pub(crate) async fn until_late(&self, write: Duration) {
        let step = (write / TURNS).max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(step).await;
            if self.has_old_after_turn() {
                return;
            }
        }
    }

    /// The same answer, counted here while it is taken.
    pub(crate) fn count(self: Arc<Self>, inner: Body) -> Body {
        Body::new(Answer { inner, rest: Bytes::new(), untaken: self })
    }
}

/// The place of one piece in the ring.
struct Ticket {
    untaken: Arc<Untaken>,
    slot: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.untaken.pieces[self.slot].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that HTTP/2 drops when the last of them has gone out.
struct Piece {
    bytes: Bytes,
    _ticket: Ticket,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer, handed to HTTP/2 piece by piece.
struct Answer {
    inner: Body,
    rest: Bytes,
    untaken: Arc<Untaken>,
}

impl Answer {
    fn next_piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Frame::data(Bytes::from_owner(Piece { bytes, _ticket: self.untaken.enter() }))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.inner.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(untaken: &Untaken, count: usize) -> Vec<bool> {
        (0..count).map(|_| untaken.has_old_after_turn()).collect()
    }

    #[test]
    fn a_piece_is_too_old_after_a_whole_timeout_and_at_most_a_turn_more() {
        let untaken = Arc::new(Untaken::default());
        turns(&untaken, 3);
        let held = untaken.enter();
        assert_eq!(turns(&untaken, 5), [false, false, false, false, true]);
        drop(held);
        assert_eq!(turns(&untaken, 20), [false; 20]);
    }

    #[test]
    fn one_piece_that_is_held_is_seen_among_many_that_are_taken() {
        let untaken = Arc::new(Untaken::default());
        let _held = untaken.enter();
        let seen = (0..5).map(|_| {
            drop(untaken.enter());
            untaken.has_old_after_turn()
        });
        assert_eq!(seen.collect::<Vec<_>>(), [false, false, false, false, true]);
    }

    #[test]
    fn a_piece_counts_until_all_of_its_bytes_are_dropped() {
        let untaken = Arc::new(Untaken::default());
        let mut answer = Answer { inner: Body::empty(), rest: vec![7; PIECE_BYTES + 1].into(), untaken: Arc::clone(&untaken) };
        let pieces = [answer.next_piece(), answer.next_piece()].map(|frame| frame.into_data().unwrap());
        assert_eq!(pieces.each_ref().map(Bytes::len), [PIECE_BYTES, 1]);
        assert_eq!(untaken.pieces[0].load(Ordering::Relaxed), 2);
        let part = pieces[0].slice(..10);
        drop(pieces);
        assert_eq!(untaken.pieces[0].load(Ordering::Relaxed), 1);
        drop(part);
        assert_eq!(untaken.pieces[0].load(Ordering::Relaxed), 0);
    }
}

//! Who attends to a connection while it is served: says when its client has been too slow, and when the server stops.
//!
//! The attendant is a task of its own. The connection looks at one number each time it is polled, and sets no timer and
//! takes no lock for a request; it is woken when there is something to hear.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connections::{Late, Patience, Watch};
use crate::server::until_stopped;

const NOTHING: u8 = 0;
const STOPS: u8 = 1;
const IS_LATE: u8 = 2;

/// What the attendant has said so far.
#[derive(Default)]
struct Word {
    said: AtomicU8,
    late: Mutex<Option<Late>>,
    waker: Mutex<Option<Waker>>,
}

impl Word {
    fn say(&self, word: u8) {
        self.said.store(word, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn listen(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }
}

/// A connection with its attendant, who goes when it ends.
pub(crate) struct Attended<C> {
    connection: Pin<Box<C>>,
    /// Lets it end once nothing is under way.
    finish: fn(Pin<&mut C>),
    word: Arc<Word>,
    heard: u8,
    is_listening: bool,
    attendant: AbortHandle,
}

impl<C> Attended<C> {
    /// A connection that `finish` lets end once nothing is under way, and what passes on it; on an event loop.
    pub(crate) fn new(
        connection: C,
        finish: fn(Pin<&mut C>),
        (watch, patience): (Arc<Watch>, Patience),
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let word = Arc::new(Word::default());
        let attendant = tokio::spawn(attend(Arc::clone(&word), watch, patience, stopped)).abort_handle();
        Self { connection: Box::pin(connection), finish, word, heard: NOTHING, is_listening: false, attendant }
    }
}

async fn attend(word: Arc<Word>, watch: Arc<Watch>, patience: Patience, mut stopped: watch::Receiver<bool>) {
    let mut late = std::pin::pin!(patience.exhausted(&watch));
    let late = tokio::select! {
        late = late.as_mut() => late,
        () = until_stopped(&mut stopped) => {
            word.say(STOPS);
            late.await
        }
    };
    *word.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(late);
    word.say(IS_LATE);
}

impl<C: Future> Future for Attended<C> {
    /// What the connection says itself, or what its client was late with.
    type Output = Result<C::Output, Late>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let said = self.word.said.load(Ordering::Acquire);
        if (said != self.heard || !self.is_listening)
            && let Some(late) = self.hear(context.waker())
        {
            return Poll::Ready(Err(late));
        }
        self.connection.as_mut().poll(context).map(Ok)
    }
}

impl<C> Attended<C> {
    /// Listens from here on, and does what was said until now; what the client is late with, if that was it.
    fn hear(&mut self, waker: &Waker) -> Option<Late> {
        self.word.listen(waker);
        self.is_listening = true;
        // Read once more: what was said before anybody listened woke nobody.
        self.heard = self.word.said.load(Ordering::Acquire);
        if self.heard == STOPS {
            (self.finish)(self.connection.as_mut());
        }
        self.word.late.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<C> Drop for Attended<C> {
    fn drop(&mut self) {
        self.attendant.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::threads::event_loop;

    /// Never ends by itself; ends when it is told to.
    #[derive(Default)]
    struct Endless {
        is_told: bool,
    }

    impl Future for Endless {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.is_told { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    fn attended(idle_timeout_ms: u64, stopped: watch::Receiver<bool>) -> Attended<Endless> {
        let patience = Patience::new(&Options { idle_timeout_ms, ..Options::default() });
        Attended::new(Endless::default(), |mut connection| connection.is_told = true, (Arc::default(), patience), stopped)
    }

    #[test]
    fn a_connection_hears_that_the_server_stops_whenever_that_is() {
        event_loop().unwrap().block_on(async {
            let (stop, stopped) = watch::channel(false);
            let mut early = Box::pin(attended(60_000, stopped.clone()));
            assert!(polled_once(early.as_mut()).await.is_pending());
            stop.send_replace(true);
            assert_eq!(early.await, Ok(()));
            assert_eq!(attended(60_000, stopped).await, Ok(()));
        });
    }

    #[test]
    fn a_connection_whose_client_is_too_slow_ends_with_what_it_was_late_with() {
        event_loop().unwrap().block_on(async {
            let (_stop, stopped) = watch::channel(false);
            assert_eq!(attended(20, stopped).await, Err(Late::Idle));
        });
    }

    /// Polls once.
    async fn polled_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}

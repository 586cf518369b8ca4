//! The threads of a server, each with an event loop.
//!
//! The first accepts every connection and deals them out in turn; a connection stays where it was dealt. A quick model
//! has a lane for each of them: a queue and an executor that no other thread touches, so that nothing on the way of a
//! request crosses from one thread to another. All other models have one lane, from whatever thread they are asked.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};
use tokio::sync::watch;
use tracing::dispatcher;

use crate::fault::{Code, Fault, Outcome};

/// The stack of an event loop; no input may need more.
pub(crate) const STACK_BYTES: usize = 2 << 20;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of this thread among those of its server; 0 on any other thread.
pub(crate) fn number() -> usize {
    NUMBER.get()
}

/// An event loop for one thread.
///
/// # Errors
/// `Internal` when the system has none to give.
pub(crate) fn event_loop() -> Outcome<Runtime> {
    let failed = |error: io::Error| Fault::new(Code::Internal, format!("the event loop cannot run: {error}"));
    Builder::new_current_thread().enable_all().build().map_err(failed)
}

/// The event loops of a server, the first one first.
pub(crate) struct Threads {
    loops: Vec<Handle>,
    turn: AtomicUsize,
}

/// The threads beside the first. Their event loops end when this is dropped, and with them what still runs there.
pub(crate) struct Others {
    end: Option<watch::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts the others, so that there are `count` with this one; on the first event loop.
    ///
    /// # Errors
    /// `Internal` when the system has no more threads to give.
    pub(crate) fn start(count: usize) -> Outcome<(Self, Others)> {
        let (end, ended) = watch::channel(());
        let mut others = Others { end: Some(end), threads: Vec::new() };
        let mut loops = vec![Handle::current()];
        for number in 1..count {
            let runtime = event_loop()?;
            loops.push(runtime.handle().clone());
            others.threads.push(spawn(number, runtime, ended.clone())?);
        }
        Ok((Self { loops, turn: AtomicUsize::new(0) }, others))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.loops.len()
    }

    /// The event loop of a thread.
    pub(crate) fn event_loop(&self, number: usize) -> &Handle {
        &self.loops[number]
    }

    /// What is spawned until the guard is dropped runs on that thread.
    pub(crate) fn enter(&self, number: usize) -> EnterGuard<'_> {
        self.loops[number].enter()
    }

    /// Whose turn it is to get a connection, and the connection for it.
    ///
    /// # Errors
    /// Those of the socket, which is closed then.
    pub(crate) fn deal(&self, stream: TcpStream) -> io::Result<(usize, Dealt)> {
        let number = self.turn.fetch_add(1, Ordering::Relaxed) % self.loops.len();
        Ok((number, if number == 0 { Dealt::Here(stream) } else { Dealt::Elsewhere(stream.into_std()?) }))
    }
}

/// A connection on its way to its thread.
pub(crate) enum Dealt {
    Here(TcpStream),
    Elsewhere(std::net::TcpStream),
}

impl Dealt {
    /// The connection on the event loop that it was dealt to.
    ///
    /// # Errors
    /// Those of the socket, which is closed then.
    pub(crate) fn settle(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Elsewhere(stream) => TcpStream::from_std(stream),
        }
    }
}

fn spawn(number: usize, runtime: Runtime, mut ended: watch::Receiver<()>) -> Outcome<JoinHandle<()>> {
    let log = dispatcher::get_default(Clone::clone);
    let body = move || {
        NUMBER.set(number);
        let _log = dispatcher::set_default(&log);
        // Nothing is ever sent; it ends when the sender is gone.
        drop(runtime.block_on(ended.changed()));
    };
    let thread = std::thread::Builder::new().name(format!("shoal-server-{number}")).stack_size(STACK_BYTES).spawn(body);
    thread.map_err(|error| Fault::new(Code::Internal, format!("no thread can be started: {error}")))
}

impl Drop for Others {
    fn drop(&mut self) {
        drop(self.end.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has told why.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_dealt_in_turn_and_each_thread_knows_its_number() {
        let runtime = event_loop().unwrap();
        runtime.block_on(async {
            let (threads, others) = Threads::start(3).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            for turn in 0..6 {
                let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
                let (number, dealt) = threads.deal(accepted.unwrap().0).unwrap();
                let settled = threads.event_loop(number).spawn(async move { dealt.settle().map(|_| super::number()) });
                assert_eq!((number, settled.await.unwrap().unwrap()), (turn % 3, turn % 3));
            }
            drop(others);
        });
    }
}

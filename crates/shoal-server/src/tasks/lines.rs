//! Answers as they are ready: one JSON object a line, in any order.
//!
//! What has come by the time the client takes more is one piece. Large results, and the one that all are joined into, are written
//! on a thread of their own. A client that leaves drops the lines, and with them gives up its tasks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::door::{LARGE_BYTES, by_size};
use super::run::Run;
use super::{Done, Merge, Merged, json};
use crate::bodies::Holding;
use crate::catalog::Catalog;
use crate::connections::Watch;
use crate::fault::Fault;
use crate::guard::Turn;

/// A piece is sent when it is so long, although more is ready.
const PIECE_BYTES: usize = 64 << 10;

/// The lines of one answer.
pub(crate) struct Lines {
    run: Run,
    /// What is to be joined, and the tasks that have ended.
    merge: Option<(Merge, Vec<Option<Done>>)>,
    /// A line that is being written.
    writing: Option<Pin<Box<dyn Future<Output = Vec<u8>> + Send>>>,
    has_ended: bool,
    watch: Arc<Watch>,
    turn: Turn<Box<dyn Fn() + Send>>,
    _held: Holding,
}

impl Lines {
    /// The lines of a run of so many tasks, on a connection that is watched, while the body of the request is held.
    pub(crate) fn new(catalog: &Arc<Catalog>, (run, merge): (Run, Option<(Merge, usize)>), watch: Arc<Watch>, held: Holding) -> Self {
        let counted = Arc::clone(catalog);
        let turn = Turn::new(Box::new(move || counted.metrics.abandon()) as Box<dyn Fn() + Send>);
        let merge = merge.map(|(merge, tasks)| (merge, (0..tasks).map(|_| None).collect()));
        Self { run, merge, writing: None, has_ended: false, watch, turn, _held: held }
    }

    /// The next piece; None when all have been sent.
    pub(crate) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut piece = Vec::new();
        while !self.has_ended && piece.len() < PIECE_BYTES {
            match self.poll_line(context, &mut piece) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => self.end(),
                Poll::Pending if piece.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((!piece.is_empty()).then(|| piece.into()))
    }

    /// Writes what is ready; false when that was all.
    fn poll_line(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Poll<bool> {
        if let Some(writing) = &mut self.writing {
            piece.append(&mut ready!(writing.as_mut().poll(context)));
            self.writing = None;
            return Poll::Ready(true);
        }
        match (ready!(self.run.poll_next(context)), &mut self.merge) {
            (Some((place, done)), Some((_, results))) => {
                json::write_line(piece, &done, false);
                results[place] = Some(done);
            }
            (Some((_, done)), None) if done.size_bytes() < LARGE_BYTES => json::write_line(piece, &done, true),
            (Some((_, done)), None) => self.writing = Some(Box::pin(line(done))),
            (None, merge) => match merge.take() {
                Some((merge, results)) => self.writing = Some(Box::pin(merged_line(merge, results.into_iter().flatten().collect()))),
                None => return Poll::Ready(false),
            },
        }
        Poll::Ready(true)
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.watch.is_answered();
        self.turn.answered();
    }
}

/// The line of a task that has ended.
async fn line(done: Done) -> Vec<u8> {
    let (id, bytes) = (done.id.clone(), done.size_bytes());
    let failed = |fault| Done { id, author: None, outcome: Err(fault), batch_rows: 0, weight: 1.0 };
    let tell = |out: &mut Vec<u8>, fault| json::write_line(out, &failed(fault), true);
    written(bytes, move |out| json::write_line(out, &done, true), tell).await
}

/// The last line, where a merge was asked for.
async fn merged_line(merge: Merge, results: Vec<Done>) -> Vec<u8> {
    let bytes = results.iter().map(Done::size_bytes).sum();
    let tell = |out: &mut Vec<u8>, fault| json::write_merged_line(out, &Merged { outcome: Err(fault), left_out: Vec::new() });
    written(bytes, move |out| json::write_merged_line(out, &merge.join(&results)), tell).await
}

/// What is written of so many bytes, on a thread of its own if they are many; what is told instead where that cannot be.
async fn written(
    bytes: usize,
    write: impl FnOnce(&mut Vec<u8>) + Send + 'static,
    tell: impl FnOnce(&mut Vec<u8>, Fault) + Send,
) -> Vec<u8> {
    match by_size(bytes, move || into(write)).await {
        Ok(out) => out,
        Err(fault) => into(|out| tell(out, fault)),
    }
}

fn into(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};

    use super::*;
    use crate::fault::Code;
    use crate::threads::event_loop;

    #[test]
    fn large_lines_are_written_on_a_thread_of_their_own() {
        let thread_of = |bytes: usize| -> ThreadId {
            let (sender, receiver) = std::sync::mpsc::channel();
            let write = move |_: &mut Vec<u8>| sender.send(current().id()).unwrap();
            event_loop().unwrap().block_on(written(bytes, write, |_, _| ()));
            receiver.recv().unwrap()
        };
        assert_eq!(thread_of(LARGE_BYTES - 1), current().id());
        assert_ne!(thread_of(LARGE_BYTES), current().id());
    }

    #[test]
    fn a_line_that_cannot_be_written_tells_of_it() {
        let fails = |_: &mut Vec<u8>| panic!("on purpose");
        let tell = |out: &mut Vec<u8>, fault: Fault| out.extend_from_slice(fault.code.name().as_bytes());
        let line = event_loop().unwrap().block_on(written(LARGE_BYTES, fails, tell));
        assert_eq!(line, Code::Internal.name().as_bytes());
    }
}

//! Answers as they are ready: one JSON object a line, in any order.
//!
//! What has come by the time the client takes more is one piece. A client that leaves drops the lines, and with them gives
//! up its tasks.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::run::Run;
use super::{Done, Merge, json};
use crate::bodies::Holding;
use crate::catalog::Catalog;
use crate::connections::Watch;
use crate::guard::Turn;

/// A piece is sent when it is so long, although more is ready.
const PIECE_BYTES: usize = 64 << 10;

/// The lines of one answer.
pub(crate) struct Lines {
    run: Run,
    /// What is to be joined, and the tasks that have ended.
    merge: Option<(Merge, Vec<Option<Done>>)>,
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
        Self { run, merge, has_ended: false, watch, turn, _held: held }
    }

    /// The next piece; None when all have been sent.
    pub(crate) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut piece = Vec::new();
        while !self.has_ended && piece.len() < PIECE_BYTES {
            match self.run.poll_next(context) {
                Poll::Ready(Some((place, done))) => self.write(&mut piece, place, done),
                Poll::Ready(None) => self.end(&mut piece),
                Poll::Pending if piece.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((!piece.is_empty()).then(|| piece.into()))
    }

    fn write(&mut self, piece: &mut Vec<u8>, place: usize, done: Done) {
        json::write_line(piece, &done, self.merge.is_none());
        if let Some((_, results)) = &mut self.merge {
            results[place] = Some(done);
        }
    }

    fn end(&mut self, piece: &mut Vec<u8>) {
        if let Some((merge, results)) = self.merge.take() {
            let results: Vec<Done> = results.into_iter().flatten().collect();
            json::write_merged_line(piece, &merge.join(&results));
        }
        self.has_ended = true;
        self.watch.is_answered();
        self.turn.answered();
    }
}

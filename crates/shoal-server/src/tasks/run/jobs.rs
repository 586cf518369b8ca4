//! What a run knows of each task, and of what it asks of its models.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use smol_str::SmolStr;

use super::super::Output;
use super::super::convoy::Answered;
use super::super::gathered::Gathered;
use super::super::kept::Ticket;
use crate::description::Author;
use crate::fault::Outcome;
use crate::lineup::Offer;

/// A task, which has ended or not.
pub(super) struct Job {
    pub(super) id: SmolStr,
    pub(super) weight: f64,
    pub(super) ticket: Option<Ticket>,
    pub(super) pieces: Range<usize>,
    /// Of a task for a router: the answers of its models.
    pub(super) gathered: Option<Box<Gathered>>,
    pub(super) deadline: Option<Instant>,
    pub(super) is_open: bool,
}

/// What one task asks of one model.
pub(super) struct Piece {
    pub(super) job: usize,
    pub(super) offer: Arc<Offer>,
    pub(super) rows: usize,
    pub(super) wanted: Arc<[usize]>,
    /// The number of the convoy that it travels in.
    pub(super) convoy: Option<usize>,
}

/// How a task ended.
pub(super) struct Ended {
    pub(super) author: Option<Arc<Author>>,
    pub(super) outcome: Outcome<Output>,
    pub(super) batch_rows: usize,
}

impl Ended {
    /// A model has answered.
    pub(super) fn well(author: Arc<Author>, Answered { output, batch_rows }: Answered) -> Self {
        Self { author: Some(author), outcome: Ok(output), batch_rows }
    }
}

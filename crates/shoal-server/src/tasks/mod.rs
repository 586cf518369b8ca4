//! Many tasks in one request: envelopes, whatever door they come through, and the answer to each task.
//!
//! - An [`Envelope`] is what a reader makes of a body, and says nothing of how it was encoded. Its tables are read once, each
//!   for itself: one that is wrong is the fault of the tasks that refer to it, and of no other.
//! - [`run`] answers all tasks of an envelope, in their order. A [`Run`] yields each as soon as it is answered. Dropping either
//!   gives up what is not answered yet.
//! - `merge` makes one table of the answers, `route` the tables of a router's models of one; both are pure.

mod arrow;
mod check;
mod convoy;
pub(crate) mod digest;
pub(crate) mod door;
mod draft;
#[cfg(test)]
pub(crate) mod fuzz;
mod gathered;
mod json;
pub(crate) mod kept;
pub(crate) mod lines;
mod merge;
mod number;
pub(crate) mod openapi;
pub(crate) mod protobuf;
pub(crate) mod room;
pub(crate) mod route;
pub(crate) mod run;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sha2::Sha256;
use shoal_batch::Client;
use smol_str::SmolStr;

use self::digest::Digest;
use self::merge::{By, Part, merged};
use crate::bodies::Holding;
use crate::description::Author;
use crate::fault::Outcome;
use crate::tables::Typed;
use crate::tables::stack::{Span, Stacked};

/// Tasks in one envelope, at most.
pub(crate) const TASKS_LIMIT: usize = 10_000;
/// Records in all tables of an envelope, at most; those of a shared one count for each task.
pub(crate) const ROWS_LIMIT: usize = 1_000_000;
/// Bytes of an id, and of a key of idempotency, at most.
pub(crate) const NAME_BYTES: usize = 256;

/// Many tasks, as they came in one request.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// In the order of the request; every id stands once.
    pub(crate) tasks: Vec<Task>,
    pub(crate) merge: Option<Merge>,
    /// When the envelope had arrived: budgets count from here.
    pub(crate) arrived: Instant,
    /// What its tables take in memory.
    pub(crate) bytes: usize,
}

/// Who is asked, and for what. Tasks that say the same share it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// The name of a model, or of a router.
    pub(crate) model: String,
    /// None is whichever version answers requests that name none.
    pub(crate) version: Option<String>,
    /// The output columns that are wanted, in this order; None is all.
    pub(crate) outputs: Option<Vec<String>>,
}

/// One unit of work.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: SmolStr,
    pub(crate) query: Arc<Query>,
    /// The table, or why there is none.
    pub(crate) input: Outcome<Input>,
    /// 0 is the default, 1 the most urgent.
    pub(crate) priority: u8,
    /// How long after the arrival of the envelope an answer is of use; the envelope's own budget is in it.
    pub(crate) timeout: Option<Duration>,
    /// The key of idempotency.
    pub(crate) key: Option<String>,
    /// What is asked for, of a task with a key and a table.
    pub(crate) digest: Option<Digest>,
    /// How much each record counts in a merge.
    pub(crate) weight: f64,
}

#[cfg(test)]
impl Query {
    /// For all that a model answers.
    pub(crate) fn of(model: &str) -> Arc<Self> {
        Arc::new(Self { model: model.to_owned(), ..Self::default() })
    }
}

impl Task {
    /// A task with no wishes; its id is its place in the envelope.
    pub(crate) fn new(query: Arc<Query>, input: Outcome<Input>) -> Self {
        Self { id: SmolStr::default(), query, input, priority: 0, timeout: None, key: None, digest: None, weight: 1.0 }
    }

    /// The task apart from those on its stack: what is made of it is not made of all of them.
    pub(crate) fn by_itself(mut self) -> Self {
        if let Ok(Input::Stacked(stacked)) = &self.input {
            self.input = Ok(Input::Own(stacked.table().into_owned()));
        }
        self
    }
}

/// The table of a task.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Its own.
    Own(Typed),
    /// One that lies among those of other tasks.
    Stacked(Stacked),
    /// One that other tasks refer to as well.
    Shared(Arc<SharedTable>),
}

impl Input {
    /// The table by itself.
    pub(crate) fn table(&self) -> Cow<'_, Typed> {
        match self {
            Self::Own(table) => Cow::Borrowed(table),
            Self::Stacked(stacked) => stacked.table(),
            Self::Shared(shared) => Cow::Borrowed(&shared.table),
        }
    }

    /// How many records it has.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Own(table) => table.rows,
            Self::Stacked(stacked) => stacked.span.rows,
            Self::Shared(shared) => shared.table.rows,
        }
    }
}

/// The table of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Its own.
    Own(Typed),
    /// One that lies among those of other tasks.
    Stacked(Stacked),
}

impl Output {
    /// The table that its records are in, and which of them they are.
    pub(crate) fn within(&self) -> (&Typed, Span) {
        match self {
            Self::Own(table) => table.all(),
            Self::Stacked(stacked) => (&stacked.whole, stacked.span),
        }
    }

    /// The table by itself.
    pub(crate) fn table(&self) -> Cow<'_, Typed> {
        match self {
            Self::Own(table) => Cow::Borrowed(table),
            Self::Stacked(stacked) => stacked.table(),
        }
    }

    /// The table by itself.
    pub(crate) fn into_table(self) -> Typed {
        match self {
            Self::Own(table) => table,
            Self::Stacked(stacked) => stacked.table().into_owned(),
        }
    }

    /// Bytes that it takes by itself.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Own(table) => table.size_bytes(),
            Self::Stacked(stacked) => stacked.size_bytes(),
        }
    }

    /// What is kept of it for other tasks: nothing that it is a part of, and otherwise the same numbers.
    fn keep(&mut self) -> Self {
        Self::Own(match self {
            Self::Stacked(stacked) => stacked.table().copied(),
            Self::Own(table) => {
                table.share();
                table.clone()
            }
        })
    }
}

/// A table that tasks refer to, and what all of them need of it once.
#[derive(Debug)]
pub(crate) struct SharedTable {
    pub(crate) table: Typed,
    /// Its content, hashed as soon as a task with a key refers to it.
    hashed: OnceLock<Sha256>,
    /// What it counts among all bodies, for as long as anybody refers to it.
    _held: Option<Holding>,
}

impl SharedTable {
    pub(crate) fn new(mut table: Typed, held: Option<Holding>) -> Self {
        table.share();
        Self { table, hashed: OnceLock::new(), _held: held }
    }
}

/// How results are joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Merge {
    pub(crate) by: By,
    /// The columns that are meant; all when none is named.
    pub(crate) columns: Vec<String>,
}

impl Merge {
    /// The results of tasks, joined in their order.
    pub(crate) fn join(&self, results: &[Done]) -> Merged {
        let answered: Vec<_> = results.iter().filter_map(|done| Some((done, done.outcome.as_ref().ok()?.table()))).collect();
        let parts: Vec<_> = answered.iter().map(|(done, table)| Part { id: &done.id, table, weight: done.weight }).collect();
        let left_out = results.iter().filter(|done| done.outcome.is_err()).map(|done| done.id.clone()).collect();
        Merged { outcome: merged(self.by, &self.columns, &parts), left_out }
    }
}

/// A task that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) id: SmolStr,
    /// Who answered; None where nobody did.
    pub(crate) author: Option<Arc<Author>>,
    pub(crate) outcome: Outcome<Output>,
    /// Rows of the largest micro-batch in which it travelled.
    pub(crate) batch_rows: usize,
    /// How much each record counts in a merge.
    pub(crate) weight: f64,
}

impl Done {
    /// Bytes that the answer takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.outcome.as_ref().map_or(0, Output::size_bytes)
    }

    /// What is kept of it for other tasks.
    pub(crate) fn keep(&mut self) -> Self {
        let outcome = self.outcome.as_mut().map(Output::keep).map_err(|fault| fault.clone());
        Self { id: SmolStr::default(), author: self.author.clone(), outcome, ..*self }
    }
}

/// The results of an envelope, joined.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) outcome: Outcome<Typed>,
    /// The ids of the tasks that failed.
    pub(crate) left_out: Vec<SmolStr>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// The connection, by which clients are told apart.
    pub(crate) client: Client,
    /// The SHA-256 of the API key, where the server asks for one.
    pub(crate) owner: Option<[u8; 32]>,
}

//! Many tasks in one request: envelopes, whatever door they come through, and the answer to each task.
//!
//! - An [`Envelope`] is what a reader makes of a body, and says nothing of how it was encoded. Its tables are read once, each
//!   for itself: one that is wrong is the fault of the tasks that refer to it, and of no other.
//! - [`run`] answers all tasks of an envelope, in their order. A [`Run`] yields each as soon as it is answered. Dropping either
//!   gives up what is not answered yet.
//! - `merge` makes one table of the answers, `route` the tables of a router's models of one; both are pure.

mod merge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_batch::Client;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::Typed;

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
}

/// One unit of work.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// The name of a model, or of a router.
    pub(crate) model: String,
    /// None is whichever version answers requests that name none.
    pub(crate) version: Option<String>,
    /// The table, or why there is none.
    pub(crate) input: Outcome<Input>,
    /// The output columns that are wanted, in this order; None is all.
    pub(crate) outputs: Option<Vec<String>>,
    /// 0 is the default, 1 the most urgent.
    pub(crate) priority: u8,
    /// How long after the arrival of the envelope an answer is of use; the envelope's own budget is in it.
    pub(crate) timeout: Option<Duration>,
    /// The key of idempotency.
    pub(crate) key: Option<String>,
    /// How much each record counts in a merge.
    pub(crate) weight: f64,
}

/// The table of a task.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Its own.
    Own(Typed),
    /// One that other tasks refer to as well.
    Shared(Arc<Typed>),
}

/// How results are joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Merge {
    pub(crate) by: By,
    /// The columns that are meant; None is all.
    pub(crate) columns: Option<Vec<String>>,
}

/// The named merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Concat,
    Sum,
    Mean,
    Min,
    Max,
    Count,
    Variance,
}

impl By {
    const ALL: [(&'static str, Self); 7] = [
        ("concat", Self::Concat),
        ("sum", Self::Sum),
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("variance", Self::Variance),
    ];

    /// The merge of that name.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn named(name: &str) -> Outcome<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, by)| *by).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let known = Self::ALL.map(|(known, _)| known).join(", ");
            Fault::new(Code::InvalidRequest, format!("there is no merge {shown:?}; known are {known}"))
        })
    }
}

/// A task that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) id: String,
    /// Who answered; empty where nobody did.
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) outcome: Outcome<Typed>,
    /// Rows of the largest micro-batch in which it travelled.
    pub(crate) batch_rows: usize,
    /// How much each record counts in a merge.
    pub(crate) weight: f64,
}

/// The results of an envelope, joined.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) outcome: Outcome<Typed>,
    /// The ids of the tasks that failed.
    pub(crate) left_out: Vec<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// The connection, by which clients are told apart.
    pub(crate) client: Client,
    /// The SHA-256 of the API key, where the server asks for one.
    pub(crate) owner: Option<[u8; 32]>,
}

// Doors call these; bodies follow:
//
//   Run::begin(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller) -> Run     submits everything at once
//   Run::poll_next(&mut self, context) -> Poll<Option<Done>>, Run::next(&mut self).await -> Option<Done>
//   run(catalog, envelope, caller).await -> Vec<Done>                                 in the order of the tasks
//   Envelope::new(tasks, merge, timeout) -> Outcome<Envelope>                         ids, counts and budgets are checked
//   merge::merge(merge: &Merge, done: &[Done]) -> Merged
//   route::split(router: &Router, table: &Typed) -> Outcome<Vec<Part>>                Part { model, version, places: Vec<usize>, table: Typed }
//   route::join(rows: usize, parts: Vec<(Vec<usize>, Typed)>) -> Outcome<Typed>

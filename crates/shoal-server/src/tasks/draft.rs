//! From a task to the requests that the queues of its models take: one, or one for each model to which a router leads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::route::{Guide, legs};
use super::{Input, Query, SharedTable};
use crate::answer::chosen;
use crate::catalog::Catalog;
use crate::fault::{Code, Fault, Outcome};
use crate::lineup::{Lineup, Offer};
use crate::tables::Typed;
use crate::tables::admit::{Extra, admit};
use crate::tables::stack::Span;
use crate::values::{Dtype, Payload, Table, Values};

/// What a task asks for, before it is in any queue.
pub(crate) enum Draft {
    /// A model.
    Asked(Request),
    /// The models of a router, whose answers become one.
    Routed(Routed),
}

/// What is asked of the models of a router.
pub(crate) struct Routed {
    pub(crate) router: Arc<Offer>,
    /// One for each leg of the way.
    pub(crate) requests: Vec<Request>,
    pub(crate) way: Arc<Way>,
    /// Its output columns are those that are wanted.
    pub(crate) query: Arc<Query>,
}

/// A request before it is in the queue of its model.
pub(crate) struct Request {
    pub(crate) offer: Arc<Offer>,
    pub(crate) records: Records,
    /// The output columns that are wanted.
    pub(crate) wanted: Arc<[usize]>,
}

/// The table of a request.
pub(crate) enum Records {
    /// Its own.
    Own(Table),
    /// Some records of one.
    Part(Rows),
    /// That of other requests as well.
    Shared(Arc<Table>),
}

impl Default for Records {
    fn default() -> Self {
        Self::Own(Table::default())
    }
}

/// Records of a table in which those of other requests lie before and behind them.
pub(crate) struct Rows {
    pub(crate) table: Arc<Table>,
    pub(crate) span: Span,
}

impl Records {
    /// The table that they are in, and which of its records they are.
    pub(crate) fn within(&self) -> (&Table, Span) {
        match self {
            Self::Own(table) => (table, Span { start: 0, rows: table.rows }),
            Self::Part(Rows { table, span }) => (table, *span),
            Self::Shared(table) => (table, Span { start: 0, rows: table.rows }),
        }
    }

    /// Bytes that their values take.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Own(table) => table.size_bytes(),
            // All of them take as many: their values have a fixed width.
            Self::Part(Rows { table, span }) => table.size_bytes() / table.rows.max(1) * span.rows,
            Self::Shared(table) => table.size_bytes(),
        }
    }

    /// A table of nothing else.
    pub(crate) fn into_table(self, dtypes: &[Dtype]) -> Arc<Table> {
        match self {
            Self::Own(table) => Arc::new(table),
            Self::Part(Rows { table, span }) if span.rows == table.rows => table,
            Self::Part(Rows { table, span }) => Arc::new(table.slice(dtypes, span.start, span.rows)),
            Self::Shared(table) => table,
        }
    }
}

/// Where a router sends the records of a table.
pub(crate) struct Way {
    pub(crate) rows: usize,
    pub(crate) legs: Vec<Leg>,
}

/// Records that one model answers.
pub(crate) struct Leg {
    pub(crate) places: Vec<usize>,
    offer: Arc<Offer>,
    table: Arc<Table>,
}

/// Why there is no request, and the model that was asked, if there is one.
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) offer: Option<Arc<Offer>>,
}

/// What was made of a shared table. What is held keeps its address to itself.
struct Made<T> {
    outcome: Outcome<Arc<T>>,
    _held: (Arc<SharedTable>, Arc<Offer>),
}

/// The addresses of a shared table, and of the model or router that takes it.
type Key = (usize, usize);

/// The tables of a stack, and what they are for a model.
struct Whole {
    tables: Arc<Typed>,
    offer: Arc<Offer>,
    admitted: Option<Arc<Table>>,
}

/// The last query, the model that it was for, and the outputs that it asks of that.
struct Last {
    query: Arc<Query>,
    offer: Arc<Offer>,
    wanted: Arc<[usize]>,
}

/// Makes requests of tasks; each shared table is read once for each model and router.
pub(crate) struct Drafts {
    lineup: Arc<Lineup>,
    admitted: HashMap<Key, Made<Table>>,
    routed: HashMap<Key, Made<Way>>,
    wholes: Vec<Whole>,
    last: Option<Last>,
}

impl Drafts {
    /// For what is served at this moment.
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self { lineup: catalog.lineup(), admitted: HashMap::new(), routed: HashMap::new(), wholes: Vec::new(), last: None }
    }

    /// The requests of a task.
    pub(crate) fn draft(&mut self, query: &Arc<Query>, input: Outcome<Input>) -> Result<Draft, Refused> {
        let found = self.lineup.choose(&query.model, query.version.as_deref());
        let offer = found.map_err(|fault| Refused { fault, offer: None })?;
        if offer.description().is_router() {
            return self.routed(&offer, query, input).map(Draft::Routed).map_err(|fault| Refused { fault, offer: Some(offer) });
        }
        match self.asked(&offer, query, input) {
            Ok((records, wanted)) => Ok(Draft::Asked(Request { offer, records, wanted })),
            Err(fault) => Err(Refused { fault, offer: Some(offer) }),
        }
    }

    /// What a model is asked, and for which of its columns.
    fn asked(&mut self, offer: &Arc<Offer>, query: &Arc<Query>, input: Outcome<Input>) -> Outcome<(Records, Arc<[usize]>)> {
        let wanted = self.wanted(offer, query)?;
        let admitted = |table| admit(offer.description(), table, Extra::Refused);
        let records = match input? {
            Input::Own(table) => Records::Own(admitted(table)?),
            Input::Stacked(stacked) => match self.admitted_whole(offer, &stacked.whole) {
                Some(table) => Records::Part(Rows { table, span: stacked.span }),
                None => Records::Own(admitted(stacked.table().into_owned())?),
            },
            Input::Shared(table) => Records::Shared(once(&mut self.admitted, (&table, offer), |table| admitted(table).map(Arc::new))?),
        };
        Ok((records, wanted))
    }

    /// All tables on a stack, as a model takes them; None where it does not take them all, or not as values of a fixed width:
    /// what is wrong with one of them is not the others' fault.
    fn admitted_whole(&mut self, offer: &Arc<Offer>, whole: &Arc<Typed>) -> Option<Arc<Table>> {
        let is_it = |known: &&Whole| Arc::ptr_eq(&known.tables, whole) && Arc::ptr_eq(&known.offer, offer);
        if let Some(known) = self.wholes.iter().find(is_it) {
            return known.admitted.clone();
        }
        let admitted = admit(offer.description(), Typed::clone(whole), Extra::Refused).ok();
        let admitted = admitted.filter(|table| table.rows == whole.rows && table.columns.iter().all(is_fixed)).map(Arc::new);
        self.wholes.push(Whole { tables: Arc::clone(whole), offer: Arc::clone(offer), admitted: admitted.clone() });
        admitted
    }

    /// The output columns that a query of a model asks for: mostly those of the one before.
    fn wanted(&mut self, offer: &Arc<Offer>, query: &Arc<Query>) -> Outcome<Arc<[usize]>> {
        let is_last = |last: &&Last| Arc::ptr_eq(&last.query, query) && Arc::ptr_eq(&last.offer, offer);
        if let Some(last) = self.last.as_ref().filter(is_last) {
            return Ok(Arc::clone(&last.wanted));
        }
        let names = query.outputs.as_ref().map(|names| names.iter().map(String::as_str));
        let wanted: Arc<[usize]> = chosen(offer.description(), names)?.into();
        self.last = Some(Last { query: Arc::clone(query), offer: Arc::clone(offer), wanted: Arc::clone(&wanted) });
        Ok(wanted)
    }

    /// The requests to the models of a router.
    fn routed(&mut self, offer: &Arc<Offer>, query: &Arc<Query>, input: Outcome<Input>) -> Outcome<Routed> {
        let outputs = query.outputs.as_deref();
        refuse_twice(outputs.unwrap_or_default())?;
        let lineup = Arc::clone(&self.lineup);
        let routed = |table| way(&lineup, offer, table).map(Arc::new);
        let way = match input? {
            Input::Own(table) => routed(table)?,
            Input::Stacked(stacked) => routed(stacked.table().into_owned())?,
            Input::Shared(table) => once(&mut self.routed, (&table, offer), routed)?,
        };
        let request = |leg: &Leg| Request {
            offer: Arc::clone(&leg.offer),
            records: Records::Shared(Arc::clone(&leg.table)),
            wanted: known(&leg.offer, outputs),
        };
        let requests = way.legs.iter().map(request).collect();
        Ok(Routed { router: Arc::clone(offer), requests, way, query: Arc::clone(query) })
    }
}

/// Whether each record takes as many bytes as any other.
pub(super) fn is_fixed(values: &Values) -> bool {
    matches!(values.payload, Payload::Fixed(_)) && values.missing.is_empty()
}

/// What is made of a shared table, once.
fn once<T>(
    known: &mut HashMap<Key, Made<T>>,
    (shared, offer): (&Arc<SharedTable>, &Arc<Offer>),
    make: impl FnOnce(Typed) -> Outcome<Arc<T>>,
) -> Outcome<Arc<T>> {
    let key = (Arc::as_ptr(shared).addr(), Arc::as_ptr(offer).addr());
    let fresh = || Made { outcome: make(shared.table.clone()), _held: (Arc::clone(shared), Arc::clone(offer)) };
    known.entry(key).or_insert_with(fresh).outcome.clone()
}

/// The records of a table by the models to which a router leads, each as its model takes them.
fn way(lineup: &Lineup, router: &Arc<Offer>, table: Typed) -> Outcome<Way> {
    let find = |name: &str, version: Option<&str>| lineup.choose(name, version);
    let guide = Guide { find: &find, description: |offer: &Arc<Offer>| offer.description() };
    let table = table.into_mixed()?;
    let rows = table.rows;
    let admitted = legs(&guide, Arc::clone(router), table)?.into_iter().map(|leg| {
        let table = admit(leg.model.description(), leg.table, Extra::Dropped)?;
        Ok(Leg { places: leg.places, offer: leg.model, table: Arc::new(table) })
    });
    Ok(Way { rows, legs: admitted.collect::<Outcome<_>>()? })
}

/// No column is asked for twice.
fn refuse_twice(outputs: &[String]) -> Outcome<()> {
    let mut seen = HashSet::new();
    let twice = outputs.iter().find(|name| !seen.insert(name.as_str()));
    twice.map_or(Ok(()), |name| Err(Fault::new(Code::DuplicateColumn, format!("output {name:?} was asked for twice"))))
}

/// Those of the wanted outputs that a model of a router has; all when none is named.
fn known(offer: &Offer, outputs: Option<&[String]>) -> Arc<[usize]> {
    let columns = &offer.description().signature.outputs;
    let place = |name: &String| columns.iter().position(|column| column.name == *name);
    outputs.map_or_else(|| (0..columns.len()).collect(), |names| names.iter().filter_map(place).collect())
}

//! From a task to a request that the queue of its model takes.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Input, Task};
use crate::answer::chosen;
use crate::catalog::Catalog;
use crate::fault::{Fault, Outcome};
use crate::lineup::Offer;
use crate::tables::Typed;
use crate::tables::admit::{Extra, admit};
use crate::values::Table;

/// A request before it is in the queue of its model.
pub(crate) struct Draft {
    pub(crate) offer: Arc<Offer>,
    pub(crate) table: Arc<Table>,
    /// The output columns that are wanted.
    pub(crate) wanted: Vec<usize>,
}

/// Why there is no request, and the model that was asked, if there is one.
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) offer: Option<Arc<Offer>>,
}

/// A shared table as a model takes it. What is held keeps its address to itself.
struct Admitted {
    table: Outcome<Arc<Table>>,
    _held: (Arc<Typed>, Arc<Offer>),
}

/// Makes requests of tasks; each shared table is admitted once for each model.
pub(crate) struct Drafts<'c> {
    catalog: &'c Catalog,
    /// By the addresses of table and model.
    admitted: HashMap<(usize, usize), Admitted>,
}

impl<'c> Drafts<'c> {
    pub(crate) fn new(catalog: &'c Catalog) -> Self {
        Self { catalog, admitted: HashMap::new() }
    }

    /// The request of a task.
    pub(crate) fn draft(&mut self, task: Task) -> Result<Draft, Refused> {
        let found = self.catalog.choose(&task.model, task.version.as_deref());
        let offer = found.map_err(|fault| Refused { fault, offer: None })?;
        match self.requested(&offer, task) {
            Ok((table, wanted)) => Ok(Draft { offer, table, wanted }),
            Err(fault) => Err(Refused { fault, offer: Some(offer) }),
        }
    }

    fn requested(&mut self, offer: &Arc<Offer>, task: Task) -> Outcome<(Arc<Table>, Vec<usize>)> {
        let wanted = chosen(offer.description(), task.outputs.as_ref().map(|names| names.iter().map(String::as_str)))?;
        let table = match task.input? {
            Input::Own(table) => Arc::new(admit(offer.description(), table, Extra::Refused)?),
            Input::Shared(table) => self.shared(offer, &table)?,
        };
        Ok((table, wanted))
    }

    fn shared(&mut self, offer: &Arc<Offer>, table: &Arc<Typed>) -> Outcome<Arc<Table>> {
        let key = (Arc::as_ptr(table).addr(), Arc::as_ptr(offer).addr());
        let admitted = self.admitted.entry(key).or_insert_with(|| Admitted {
            table: admit(offer.description(), Typed::clone(table), Extra::Refused).map(Arc::new),
            _held: (Arc::clone(table), Arc::clone(offer)),
        });
        admitted.table.clone()
    }
}

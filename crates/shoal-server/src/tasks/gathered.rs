//! The answers of the models to which a router leads, until they are one.

use std::sync::Arc;

use super::Query;
use super::draft::Way;
use super::route::join;
use crate::fault::Outcome;
use crate::lineup::Offer;
use crate::tables::Typed;

/// The answers of a router's models, as far as they have come.
pub(super) struct Gathered {
    pub(super) router: Arc<Offer>,
    pub(super) way: Arc<Way>,
    pub(super) query: Arc<Query>,
    /// In the order of the legs.
    pub(super) answers: Vec<Option<Typed>>,
    pub(super) batch_rows: usize,
}

impl Gathered {
    /// All answers as one; None while some have not come.
    pub(super) fn joined(&mut self) -> Option<Outcome<Typed>> {
        if self.answers.iter().any(Option::is_none) {
            return None;
        }
        let answers = std::mem::take(&mut self.answers).into_iter().flatten();
        let places = self.way.legs.iter().map(|leg| leg.places.as_slice());
        Some(join(self.way.rows, places.zip(answers).collect(), self.query.outputs.as_deref()))
    }
}

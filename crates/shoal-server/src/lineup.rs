//! What is served at one moment: models by name, each in its versions. A line-up never changes; the catalogue puts
//! another in its place.
//!
//! Of several versions, the last one answers requests that name none: the one named last when the server started,
//! or, of a repository, the highest. Versions are compared piece by piece, a run of digits as a number and
//! anything else as text, so that 10 is above 9 and 1.10 above 1.9.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::canary::{Canary, Weights};
use crate::description::Description;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::threads;

/// A model that is on offer. As long as somebody holds it, the model takes requests.
pub(crate) struct Offer {
    lanes: Vec<Arc<Served>>,
}

impl Deref for Offer {
    type Target = Served;

    /// The lane of this thread.
    fn deref(&self) -> &Served {
        self.lane()
    }
}

impl Offer {
    /// A model with one lane for each thread, or one for all; there is at least one.
    pub(crate) const fn new(lanes: Vec<Arc<Served>>) -> Self {
        Self { lanes }
    }

    pub(crate) fn lanes(&self) -> &[Arc<Served>] {
        &self.lanes
    }

    /// The lane of this thread, to be held.
    pub(crate) fn lane(&self) -> &Arc<Served> {
        self.lanes.get(threads::number()).unwrap_or(&self.lanes[0])
    }

    /// Whether nobody waits for this model.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_idle())
    }

    /// How many requests this model has not answered yet.
    pub(crate) fn owed(&self) -> usize {
        self.lanes.iter().map(|lane| lane.owed()).sum()
    }

    /// Brings the gauges of the queue, of costs and of the workers up to date.
    pub(crate) fn gauge(&self) {
        let waiting = self.lanes.iter().map(|lane| lane.waiting()).fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
        self.metrics().waiting(waiting);
        self.metrics().one_row(self.lanes.iter().filter_map(|lane| lane.one_row()).min());
        self.gauge_workers();
    }

    fn version(&self) -> &str {
        &self.description().version
    }

    fn is_router(&self) -> bool {
        self.description().is_router()
    }
}

/// What is on offer, if it is a model: a router has no columns of its own.
///
/// # Errors
/// `InvalidRequest` with the hint to send a task.
pub(crate) fn as_model(offer: Arc<Offer>) -> Outcome<Arc<Offer>> {
    if !offer.is_router() {
        return Ok(offer);
    }
    let message =
        format!("{:?} is a router: it sends the records of tasks to models, and has no columns of its own", offer.description().name);
    Err(Fault::new(Code::InvalidRequest, message).hint("send it a task: POST /v1/tasks, or shoal.v1.Tasks/Run over gRPC"))
}

/// Everything that is served.
#[derive(Clone, Default)]
pub(crate) struct Lineup {
    models: BTreeMap<String, Versions>,
}

/// The versions of one model, the last of which answers requests that name none.
#[derive(Clone, Default)]
struct Versions {
    offers: Vec<Arc<Offer>>,
    canary: Option<Arc<Canary>>,
}

impl Versions {
    fn names(&self) -> Vec<&str> {
        self.offers.iter().map(|offer| offer.version()).collect()
    }

    /// The version that speaks for the model: the heaviest, or the last.
    fn main(&self) -> Option<&Arc<Offer>> {
        let Some(canary) = &self.canary else { return self.offers.last() };
        let weight = |offer: &&Arc<Offer>| canary.weights().get(offer.version()).copied().unwrap_or(0);
        self.offers.iter().max_by_key(weight)
    }

    /// The version for the next request that names none.
    fn next(&self) -> Option<&Arc<Offer>> {
        match &self.canary {
            None => self.offers.last(),
            Some(canary) => self.offers.get(canary.choose()),
        }
    }

    /// Deals anew between the versions that are left, as far as they have weights.
    fn deal_again(&mut self) {
        let Some(canary) = self.canary.take() else { return };
        let names = self.names();
        let weights: Weights =
            canary.weights().iter().filter(|(version, _)| names.contains(&version.as_str())).map(|(v, w)| (v.clone(), *w)).collect();
        // Where nobody with a weight is left, the last version answers again.
        self.canary = Canary::new(weights, &names).ok().map(Arc::new);
    }
}

impl Lineup {
    fn versions(&self, name: &str) -> Outcome<&Versions> {
        self.models.get(name).ok_or_else(|| {
            let known = self.models.keys().map(|known| format!("{known:?}")).collect::<Vec<_>>().join(", ");
            Fault::new(Code::UnknownModel, format!("no model {:?} is served; served are {known}", shown(name)))
        })
    }

    fn find_with(&self, name: &str, version: Option<&str>, unnamed: fn(&Versions) -> Option<&Arc<Offer>>) -> Outcome<Arc<Offer>> {
        let versions = self.versions(name)?;
        let found = match version {
            None => unnamed(versions),
            Some(version) => versions.offers.iter().find(|offer| offer.version() == version),
        };
        found.cloned().ok_or_else(|| {
            let known = versions.names().iter().map(|version| format!("{version:?}")).collect::<Vec<_>>().join(", ");
            let version = shown(version.unwrap_or_default());
            Fault::new(Code::UnknownVersion, format!("model {name:?} has no version {version:?}; it has {known}"))
        })
    }

    /// The model of that name, in that version or the one that speaks for it.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Outcome<Arc<Offer>> {
        self.find_with(name, version, Versions::main)
    }

    /// The same for an inference, which without a version goes to whose turn it is.
    pub(crate) fn choose(&self, name: &str, version: Option<&str>) -> Outcome<Arc<Offer>> {
        self.find_with(name, version, Versions::next)
    }

    /// The only model, for an inference that names none.
    pub(crate) fn choose_only(&self) -> Outcome<Arc<Offer>> {
        let mut all = self.models.values().filter(|versions| versions.main().is_some_and(|offer| !offer.is_router()));
        match (all.next().and_then(Versions::next), all.next()) {
            (Some(offer), None) => Ok(Arc::clone(offer)),
            _ => Err(Fault::new(
                Code::InvalidRequest,
                format!("POST /predict needs exactly one served model; {} are served", self.names().count()),
            )
            .hint("use POST /v2/models/NAME/infer")),
        }
    }

    /// The versions of a model, in their order.
    pub(crate) fn version_names(&self, name: &str) -> Vec<String> {
        self.models.get(name).into_iter().flat_map(Versions::names).map(str::to_owned).collect()
    }

    /// Every model in every version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.models.values().flat_map(|versions| &versions.offers)
    }

    /// Names of the models; routers are none.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let is_model = |versions: &Versions| versions.main().is_some_and(|offer| !offer.is_router());
        self.models.iter().filter(move |(_, versions)| is_model(versions)).map(|(name, _)| name.as_str())
    }

    /// Whether everything is served to which a router leads; a model leads nowhere.
    ///
    /// # Errors
    /// `ModelUnavailable`, naming the first route that leads nowhere.
    pub(crate) fn follow(&self, router: &Description) -> Outcome<()> {
        router.routes.iter().try_for_each(|route| {
            let found = self.find(&route.model, route.version.as_deref());
            found.map(drop).map_err(|fault| {
                let message = format!("a route of router {:?} leads nowhere: {}", router.name, fault.message);
                Fault::new(Code::ModelUnavailable, message).hint("serve that model beside the router")
            })
        })
    }

    /// The weights of a model's versions; none are set unless requests are shared.
    pub(crate) fn weights(&self, name: &str) -> Option<&Weights> {
        self.models.get(name)?.canary.as_ref().map(|canary| canary.weights())
    }

    /// With one more model, or one in the place of the same version, which comes back. With `sorted`, versions
    /// stand in their natural order; otherwise the new one is the last.
    pub(crate) fn with(&self, offer: Arc<Offer>, sorted: bool) -> (Self, Option<Arc<Offer>>) {
        let mut lineup = self.clone();
        let versions = lineup.models.entry(offer.description().name.clone()).or_default();
        let found = versions.offers.iter().position(|other| other.version() == offer.version());
        let replaced = if let Some(place) = found {
            Some(std::mem::replace(&mut versions.offers[place], offer))
        } else {
            let is_lower = |other: &Arc<Offer>| !sorted || compare(other.version(), offer.version()) == Ordering::Less;
            let place = versions.offers.partition_point(is_lower);
            versions.offers.insert(place, offer);
            None
        };
        versions.deal_again();
        (lineup, replaced)
    }

    /// Without a model, or without one version of it; these come back.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`.
    pub(crate) fn without(&self, name: &str, version: Option<&str>) -> Outcome<(Self, Vec<Arc<Offer>>)> {
        self.find(name, version)?;
        let mut lineup = self.clone();
        let mut versions = lineup.models.remove(name).unwrap_or_default();
        let goes = |offer: &mut Arc<Offer>| version.is_none_or(|version| offer.version() == version);
        let gone = versions.offers.extract_if(.., goes).collect();
        versions.deal_again();
        if !versions.offers.is_empty() {
            lineup.models.insert(name.to_owned(), versions);
        }
        Ok((lineup, gone))
    }

    /// With other weights for the versions of a model; none ends the sharing.
    ///
    /// # Errors
    /// `UnknownModel`, and those of [`Canary::new`].
    pub(crate) fn with_weights(&self, name: &str, weights: Weights) -> Outcome<Self> {
        let mut lineup = self.clone();
        let mut versions = self.versions(name)?.clone();
        versions.canary = if weights.is_empty() { None } else { Some(Arc::new(Canary::new(weights, &versions.names())?)) };
        lineup.models.insert(name.to_owned(), versions);
        Ok(lineup)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The order of two versions: runs of digits as numbers, anything between them as text.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let (mut one_left, mut other_left) = (one, other);
    while !one_left.is_empty() && !other_left.is_empty() {
        let (one_piece, other_piece) = (piece(one_left), piece(other_left));
        let order = match (number(one_piece), number(other_piece)) {
            (Some(one), Some(other)) => (one.len(), one).cmp(&(other.len(), other)),
            _ => one_piece.cmp(other_piece),
        };
        if order != Ordering::Equal {
            return order;
        }
        (one_left, other_left) = (&one_left[one_piece.len()..], &other_left[other_piece.len()..]);
    }
    one_left.len().cmp(&other_left.len()).then_with(|| one.cmp(other))
}

/// The run of digits, or of anything else, at the start.
fn piece(text: &str) -> &str {
    let is_digit = text.starts_with(|letter: char| letter.is_ascii_digit());
    let end = text.find(|letter: char| letter.is_ascii_digit() != is_digit);
    &text[..end.unwrap_or(text.len())]
}

/// The digits without zeros before them, if these are digits.
fn number(piece: &str) -> Option<&str> {
    piece.starts_with(|letter: char| letter.is_ascii_digit()).then(|| piece.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers_and_anything_else_as_text() {
        let sorted = ["1", "1.2", "1.9", "1.10", "1.10-a", "2", "9", "10", "v2", "v10"];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), place.cmp(&other_place), "{one} {other}");
            }
        }
    }

    #[test]
    fn versions_that_differ_in_zeros_only_have_an_order_too() {
        assert_eq!((compare("01", "1"), compare("1", "01"), compare("1", "1")), (Ordering::Less, Ordering::Greater, Ordering::Equal));
    }
}

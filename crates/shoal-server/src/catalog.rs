//! The models that are served, by name and version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shoal_batch::Client;

use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::options::Options;

/// What every front door needs: the models, the metrics, the options, its guard, and whether the server still takes work.
pub(crate) struct Catalog {
    models: BTreeMap<String, Vec<Arc<Served>>>,
    pub(crate) metrics: Metrics,
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    draining: AtomicBool,
    clients: AtomicU64,
}

/// A connection, by the name under which its requests wait. Dropped when it ends: nobody waits for it then.
pub(crate) struct Connected {
    pub(crate) name: Client,
    catalog: Arc<Catalog>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.catalog.all().for_each(|served| served.gone(self.name));
    }
}

impl Catalog {
    pub(crate) fn new(metrics: Metrics, options: Options, guard: Guard) -> Self {
        Self { models: BTreeMap::new(), metrics, options, guard, draining: AtomicBool::new(false), clients: AtomicU64::new(1) }
    }

    /// Adds a model. Of several versions, the one added last answers requests that name none.
    pub(crate) fn add(&mut self, served: Arc<Served>) -> Outcome<()> {
        let description = served.description();
        let versions = self.models.entry(description.name.clone()).or_default();
        if versions.iter().any(|other| other.description().version == description.version) {
            let message = format!("model {:?} version {:?} was given twice", description.name, description.version);
            return Err(Fault::new(Code::InvalidRequest, message));
        }
        versions.push(served);
        Ok(())
    }

    /// The model of that name, in that version or the one added last.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Outcome<&Arc<Served>> {
        let shown = |text: &str| text.chars().take(64).collect::<String>();
        let versions = self.models.get(name).ok_or_else(|| {
            let known = self.models.keys().map(|known| format!("{known:?}")).collect::<Vec<_>>().join(", ");
            Fault::new(Code::UnknownModel, format!("no model {:?} is served; served are {known}", shown(name)))
        })?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|served| served.description().version == version),
        };
        found.ok_or_else(|| {
            let known = versions.iter().map(|served| format!("{:?}", served.description().version)).collect::<Vec<_>>().join(", ");
            Fault::new(
                Code::UnknownVersion,
                format!("model {name:?} has no version {:?}; it has {known}", shown(version.unwrap_or_default())),
            )
        })
    }

    /// The only model, for requests that name none.
    pub(crate) fn only(&self) -> Outcome<&Arc<Served>> {
        let mut all = self.models.values();
        match (all.next(), all.next()) {
            (Some(versions), None) if !versions.is_empty() => Ok(&versions[versions.len() - 1]),
            _ => Err(Fault::new(
                Code::InvalidRequest,
                format!("POST /predict needs exactly one served model; {} are served", self.models.len()),
            )
            .hint("use POST /v2/models/NAME/infer")),
        }
    }

    /// The versions of a model, in the order in which they were added.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        self.models.get(name).into_iter().flatten().map(|served| served.description().version.clone()).collect()
    }

    /// Every model in every version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.models.values().flatten()
    }

    /// Names of the models.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// A name for a new connection.
    pub(crate) fn new_client(self: &Arc<Self>) -> Connected {
        Connected { name: Client(self.clients.fetch_add(1, Ordering::Relaxed)), catalog: Arc::clone(self) }
    }

    /// Says that the server is going away.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server takes new work.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire)
    }
}

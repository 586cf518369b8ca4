//! The models that are served, swapped while requests flow.
//!
//! A request reads the line-up of the moment, without a lock, and holds the model that it found. A model that is
//! taken away is answered to its end: nobody new finds it, those who hold it may still put their requests into
//! its queue, and when the last has let go, the queue closes, its executors end and its memory is free.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use shoal_batch::Client;
use tokio::sync::watch;

use crate::canary::Weights;
use crate::connections::Crowd;
use crate::crew::Crew;
use crate::engine::{Archive, Served};
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::guard::Guard;
use crate::lineup::{Lineup, Offer, as_model};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::repository::Store;
use crate::server::Model;
use crate::tasks::kept::Kept;
use crate::threads::Threads;

/// How long a model that was taken away waits for requests that have found it and still arrive.
const HOLD_LIMIT: Duration = Duration::from_secs(30);
/// How often it looks whether they have.
const HOLD_STEP: Duration = Duration::from_millis(5);

/// What every front door needs: the models, the metrics, the options, its guard, and whether the server still takes work.
pub(crate) struct Catalog {
    lineup: ArcSwap<Lineup>,
    /// Held by whoever changes the line-up.
    changing: Mutex<()>,
    pub(crate) crew: Crew,
    pub(crate) store: Option<Store>,
    pub(crate) metrics: Metrics,
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    threads: OnceLock<Threads>,
    pub(crate) archive: Archive,
    /// Results of tasks, by their keys of idempotency.
    pub(crate) kept: Arc<Kept>,
    draining: AtomicBool,
    /// Tells those who wait for it that the server drains.
    leaving: watch::Sender<bool>,
    clients: AtomicU64,
}

/// A connection, by the name under which its requests wait. Dropped when it ends: nobody waits for it then.
pub(crate) struct Connected {
    pub(crate) name: Client,
    catalog: Arc<Catalog>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        for offer in self.catalog.lineup.load().all() {
            offer.gone(self.name);
        }
    }
}

/// A model before its executors run.
pub(crate) type Prepared = (Arc<Offer>, Vec<Box<dyn Executor>>);

impl Catalog {
    pub(crate) fn new(options: Options, guard: Guard, store: Option<Store>, archive: Archive) -> Self {
        let lost = archive.trace.as_ref().map(|trace| trace.lost.clone());
        Self {
            lineup: ArcSwap::default(),
            changing: Mutex::default(),
            crew: Crew::default(),
            store,
            metrics: Metrics::new(lost),
            options,
            guard,
            threads: OnceLock::new(),
            archive,
            kept: Arc::default(),
            draining: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            clients: AtomicU64::new(1),
        }
    }

    /// What serves these models, which have not been started.
    #[cfg(test)]
    pub(crate) fn of(models: Vec<Model>) -> Arc<Self> {
        let options = Options::default();
        let guard = Guard::new(&options).unwrap();
        let catalog = Self::new(options, guard, None, Archive::default());
        for model in models {
            catalog.add(catalog.prepare(model).0).unwrap();
        }
        Arc::new(catalog)
    }

    /// Says which threads there are; once, before anything runs.
    pub(crate) fn run_on(&self, threads: Threads) {
        drop(self.threads.set(threads));
    }

    /// The threads of this server.
    ///
    /// # Errors
    /// `Internal` before there are any.
    pub(crate) fn threads(&self) -> Outcome<&Threads> {
        self.threads.get().ok_or_else(|| Fault::new(Code::Internal, "the server does not run yet"))
    }

    /// Starts the executors of a model, those of a lane on its thread.
    ///
    /// # Errors
    /// `ShuttingDown`, `Internal`.
    pub(crate) fn start(&self, offer: &Offer, mut executors: Vec<Box<dyn Executor>>) -> Outcome<()> {
        let (threads, in_a_lane) = (self.threads()?, executors.len() / offer.lanes().len());
        for (number, lane) in offer.lanes().iter().enumerate() {
            let _there = threads.enter(number);
            self.crew.start(lane, executors.drain(..in_a_lane).collect())?;
        }
        Ok(())
    }

    /// Warms a model up.
    pub(crate) fn prepare(&self, (mut description, mut executors): Model) -> Prepared {
        description.policy.prefer(&self.options);
        // They have been answered; nobody reads them again.
        description.golden = None;
        let metrics = Arc::new(self.metrics.of_model(&description.name, &description.version));
        let crowd = Crowd { connections: Arc::clone(&self.guard.connections), threads: self.options.threads };
        // Sessions are given one for each thread; workers take from one queue.
        let in_a_lane = if description.runtime == "onnx" { 1 } else { executors.len().max(1) };
        let lane = |team: &mut [Box<dyn Executor>]| {
            Arc::new(Served::new(description.clone(), team, Arc::clone(&metrics), crowd.clone(), self.archive.clone()))
        };
        // A router has no executors, and one lane in which nothing ever waits.
        let lanes = if executors.is_empty() { vec![lane(&mut [])] } else { executors.chunks_mut(in_a_lane).map(lane).collect() };
        (Arc::new(Offer::new(lanes)), executors)
    }

    /// Puts a model in the line-up, of which there must be none in the same version.
    pub(crate) fn add(&self, offer: Arc<Offer>) -> Outcome<()> {
        let (name, version) = (offer.description().name.clone(), offer.description().version.clone());
        match self.put(offer) {
            None => Ok(()),
            Some(_) => Err(Fault::new(Code::InvalidRequest, format!("model {name:?} version {version:?} was given twice"))),
        }
    }

    /// Puts a model in the line-up; one of the same version goes, and comes back.
    pub(crate) fn put(&self, offer: Arc<Offer>) -> Option<Arc<Offer>> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = offer.description().name.clone();
        let (lineup, replaced) = self.lineup.load().with(offer, self.store.is_some());
        self.metrics.weigh(&name, &lineup);
        self.lineup.store(Arc::new(lineup));
        replaced
    }

    /// Takes a model, or one version of it, out of the line-up.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`.
    pub(crate) fn take(&self, name: &str, version: Option<&str>) -> Outcome<Vec<Arc<Offer>>> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (lineup, gone) = self.lineup.load().without(name, version)?;
        self.metrics.weigh(name, &lineup);
        self.lineup.store(Arc::new(lineup));
        Ok(gone)
    }

    /// Shares requests that name no version between the versions of a model; no weights end it.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`, `InvalidRequest`.
    pub(crate) fn weigh(&self, name: &str, weights: Weights) -> Outcome<()> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let lineup = self.lineup.load().with_weights(name, weights)?;
        self.metrics.weigh(name, &lineup);
        self.lineup.store(Arc::new(lineup));
        Ok(())
    }

    /// Waits until nobody holds a model that was taken away, then ends it; on the event loop.
    pub(crate) async fn retire(&self, offer: Arc<Offer>) {
        let since = tokio::time::Instant::now();
        while Arc::strong_count(&offer) > 1 && since.elapsed() < HOLD_LIMIT {
            tokio::time::sleep(HOLD_STEP).await;
        }
        for lane in offer.lanes() {
            self.crew.dismiss(lane).await;
        }
        let description = offer.description();
        if !self.versions(&description.name).contains(&description.version) {
            self.metrics.forget(&description.name, &description.version);
        }
    }

    /// The model of that name, in that version or the one that speaks for it.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Outcome<Arc<Offer>> {
        self.lineup.load().find(name, version)
    }

    /// The same for an inference, which without a version goes to whose turn it is.
    pub(crate) fn choose(&self, name: &str, version: Option<&str>) -> Outcome<Arc<Offer>> {
        self.lineup.load().choose(name, version)
    }

    /// The same for those who need a model's columns, which a router does not have.
    pub(crate) fn choose_model(&self, name: &str, version: Option<&str>) -> Outcome<Arc<Offer>> {
        self.choose(name, version).and_then(as_model)
    }

    /// The only model, for an inference that names none.
    pub(crate) fn choose_only(&self) -> Outcome<Arc<Offer>> {
        self.lineup.load().choose_only()
    }

    /// The versions of a model, in their order.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        self.lineup.load().version_names(name)
    }

    /// Everything that is served at this moment. It is not held while anything is waited for.
    pub(crate) fn lineup(&self) -> Arc<Lineup> {
        self.lineup.load_full()
    }

    /// Name and version of everything that is served.
    pub(crate) fn served(&self) -> BTreeSet<(String, String)> {
        let of = |offer: &Arc<Offer>| (offer.description().name.clone(), offer.description().version.clone());
        self.lineup.load().all().map(of).collect()
    }

    /// A name for a new connection.
    pub(crate) fn new_client(self: &Arc<Self>) -> Connected {
        Connected { name: Client(self.clients.fetch_add(1, Ordering::Relaxed)), catalog: Arc::clone(self) }
    }

    /// Says that the server is going away.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.leaving.send_replace(true);
    }

    /// Turns true when the server is going away.
    pub(crate) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Whether the server means to stay: others should bring it their work.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire)
    }
}

//! A repository: a place that holds packages by name and version, from which a running server loads.
//!
//! A package is opened, verified, answers its golden rows and is warmed up before anybody can find it; then it
//! takes its place in one step. A version that fails changes nothing: what served before goes on serving, and the
//! index says why. Models are named, never located: a name that the repository does not list is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::catalog::{Catalog, Prepared};
use crate::fault::{Code, Fault, Outcome};
use crate::golden;
use crate::lineup::compare;
use crate::server::Model;

/// One package of a repository, as it says itself; not yet verified.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What the repository knows it by.
    pub place: String,
    /// The model's name; the place, if it is no package.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// What tells one content from another.
    pub digest: String,
    /// Why it cannot be a package.
    pub problem: Option<Fault>,
}

/// Where packages are. It is asked on threads that may wait, never on the event loop.
pub trait Repository: Send + Sync {
    /// Everything that is there now.
    ///
    /// # Errors
    /// `PathNotFound` when the place itself cannot be read.
    fn packages(&self) -> Outcome<Vec<Listed>>;

    /// Verifies the package at a place and opens its model.
    ///
    /// # Errors
    /// `CorruptPackage`, `UnsupportedModel` and the like: why it cannot be served.
    fn open(&self, place: &str) -> Outcome<Model>;
}

/// A repository, and what is known of its packages.
pub(crate) struct Store {
    repository: Box<dyn Repository>,
    notes: Mutex<BTreeMap<Key, Note>>,
    /// Held while something is loaded: one at a time, so that memory is needed for one.
    loading: Mutex<()>,
}

/// Name and version.
type Key = (String, String);

/// What is known of one version.
#[derive(Default)]
struct Note {
    is_loading: bool,
    /// Why the last attempt to load it failed.
    reason: String,
    /// The digest of what serves.
    digest: String,
}

/// One line of the index.
#[derive(Serialize)]
pub(crate) struct Indexed {
    name: String,
    version: String,
    state: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

impl Indexed {
    pub(crate) fn is_ready(&self) -> bool {
        self.state == "READY"
    }
}

impl Store {
    pub(crate) const fn new(repository: Box<dyn Repository>) -> Self {
        Self { repository, notes: Mutex::new(BTreeMap::new()), loading: Mutex::new(()) }
    }

    fn notes(&self) -> MutexGuard<'_, BTreeMap<Key, Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, package: &Listed, change: impl FnOnce(&mut Note) -> T) -> T {
        change(self.notes().entry((package.name.clone(), package.version.clone())).or_default())
    }

    /// Opens a package and proves it: a model that may take its place.
    fn open(&self, catalog: &Catalog, package: &Listed) -> Outcome<Prepared> {
        if let Some(problem) = &package.problem {
            return Err(problem.clone());
        }
        let (mut description, mut executors) = self.repository.open(&package.place)?;
        if (&description.name, &description.version) != (&package.name, &package.version) {
            let message = format!("the package at {:?} changed while it was opened", package.place);
            return Err(Fault::new(Code::CorruptPackage, message));
        }
        golden::check(&description, &mut executors)?;
        description.digest.clone_from(&package.digest);
        Ok(catalog.prepare((description, executors)))
    }

    /// Notes how an attempt to load ended.
    fn settle<T>(&self, package: &Listed, outcome: Outcome<T>) -> Outcome<T> {
        let reason = outcome.as_ref().err().map_or_else(String::new, |fault| fault.message.clone());
        self.note(package, |note| {
            if outcome.is_ok() {
                note.digest.clone_from(&package.digest);
            }
            (note.is_loading, note.reason) = (false, reason);
        });
        outcome
    }

    /// The packages in the order of their versions; two of the same version are a problem of both.
    fn packages(&self) -> Outcome<Vec<Listed>> {
        let mut packages = self.repository.packages()?;
        packages.sort_by(|one, other| one.name.cmp(&other.name).then_with(|| compare(&one.version, &other.version)));
        for place in 1..packages.len() {
            let (before, behind) = packages.split_at_mut(place);
            let (one, other) = (&mut before[place - 1], &mut behind[0]);
            if (&one.name, &one.version) == (&other.name, &other.version) {
                let message = format!("{:?} and {:?} are the same model and version: {} {}", one.place, other.place, one.name, one.version);
                let fault = Fault::new(Code::InvalidRequest, message).hint("leave one of them in the repository");
                (one.problem, other.problem) = (Some(fault.clone()), Some(fault));
            }
        }
        Ok(packages)
    }

    /// The packages of a model, or the one of that version.
    fn matching(&self, name: &str, version: Option<&str>) -> Outcome<Vec<Listed>> {
        let shown = |text: &str| text.chars().take(64).collect::<String>();
        let mut packages = self.packages()?;
        packages.retain(|package| package.name == name);
        if packages.is_empty() {
            return Err(Fault::new(Code::UnknownModel, format!("the repository holds no model {:?}", shown(name))));
        }
        let Some(version) = version else { return Ok(packages) };
        let known = packages.iter().map(|package| format!("{:?}", package.version)).collect::<Vec<_>>().join(", ");
        packages.retain(|package| package.version == version);
        if packages.is_empty() {
            let message = format!("the repository holds no version {:?} of model {name:?}; it holds {known}", shown(version));
            return Err(Fault::new(Code::UnknownVersion, message));
        }
        Ok(packages)
    }

    /// Everything that a server begins with. What cannot be opened is left out, and the index says why.
    ///
    /// # Errors
    /// That of the repository itself.
    pub(crate) fn open_all(&self, catalog: &Catalog) -> Outcome<Vec<Prepared>> {
        let mut opened = Vec::new();
        for package in self.packages()? {
            let outcome = self.open(catalog, &package).and_then(|prepared| catalog.add(Arc::clone(&prepared.0)).map(|()| prepared));
            opened.extend(self.settle(&package, outcome));
        }
        Ok(opened)
    }

    /// Why packages do not serve: (name, version, reason).
    pub(crate) fn problems(&self) -> Vec<(String, String, String)> {
        let notes = self.notes();
        let failed = notes.iter().filter(|(_, note)| !note.reason.is_empty());
        failed.map(|((name, version), note)| (name.clone(), version.clone(), note.reason.clone())).collect()
    }

    /// Forgets what a version was loaded from.
    pub(crate) fn unloaded(&self, name: &str, version: &str) {
        self.notes().remove(&(name.to_owned(), version.to_owned()));
    }
}

/// Loads a model, or one version of it: whatever of it the repository holds, and is not served already. Waits; to be
/// called on a thread of the runtime, not on the event loop. Returns the versions that serve then.
///
/// # Errors
/// The first reason for which a version cannot be served, after all have been tried; `UnknownModel` and
/// `UnknownVersion` for what the repository does not hold; `InvalidRequest` without a repository.
pub(crate) fn load(catalog: &Arc<Catalog>, name: &str, version: Option<&str>) -> Outcome<Vec<String>> {
    let store = catalog.store.as_ref().ok_or_else(|| {
        Fault::new(Code::InvalidRequest, "this server has no repository to load from").hint("start it with --repository DIR")
    })?;
    let _alone = store.loading.lock().unwrap_or_else(PoisonError::into_inner);
    let mut refused = None;
    for package in store.matching(name, version)? {
        if let Err(fault) = load_one(catalog, store, &package) {
            refused.get_or_insert(fault);
        }
    }
    refused.map_or_else(|| Ok(catalog.versions(name)), Err)
}

fn load_one(catalog: &Arc<Catalog>, store: &Store, package: &Listed) -> Outcome<()> {
    let is_served = catalog.versions(&package.name).contains(&package.version);
    if is_served && store.note(package, |note| note.digest == package.digest) {
        return store.settle(package, Ok(()));
    }
    store.note(package, |note| note.is_loading = true);
    let outcome = store.open(catalog, package).and_then(|(offer, executors)| {
        catalog.start(&offer, executors)?;
        Ok(catalog.put(offer))
    });
    if let Some(replaced) = store.settle(package, outcome)? {
        let catalog = Arc::clone(catalog);
        tokio::spawn(async move { catalog.retire(replaced).await });
    }
    Ok(())
}

/// Takes a model, or one version of it, out of service; returns when its memory is free. What it had accepted is
/// answered first.
///
/// # Errors
/// `UnknownModel`, `UnknownVersion`.
pub(crate) async fn unload(catalog: &Arc<Catalog>, name: &str, version: Option<&str>) -> Outcome<Vec<String>> {
    let mut gone = Vec::new();
    for offer in catalog.take(name, version)? {
        let version = offer.description().version.clone();
        // Spawned, so that it comes to its end when the caller does not wait for it.
        let of = Arc::clone(catalog);
        drop(tokio::spawn(async move { of.retire(offer).await }).await);
        catalog.store.iter().for_each(|store| store.unloaded(name, &version));
        gone.push(version);
    }
    Ok(gone)
}

/// Every package of the repository and everything that is served, with its state. Waits, as [`load`] does.
///
/// # Errors
/// That of the repository itself.
pub(crate) fn index(catalog: &Catalog) -> Outcome<Vec<Indexed>> {
    let listed = catalog.store.as_ref().map_or_else(|| Ok(Vec::new()), Store::packages)?;
    let mut reasons: BTreeMap<Key, String> = BTreeMap::new();
    for package in listed {
        let problem = package.problem.map_or_else(String::new, |fault| fault.to_string());
        reasons.insert((package.name, package.version), problem);
    }
    let served = catalog.served();
    for key in &served {
        reasons.entry(key.clone()).or_default();
    }
    let notes = catalog.store.as_ref().map(Store::notes);
    let lineup = catalog.lineup();
    let line = |(key, problem): (Key, String)| {
        let note = notes.as_ref().and_then(|notes| notes.get(&key));
        let (state, reason) = state(served.contains(&key), note, problem);
        let weight = lineup.weights(&key.0).filter(|_| served.contains(&key)).map(|all| all.get(&key.1).copied().unwrap_or(0));
        Indexed { name: key.0, version: key.1, state, reason, weight }
    };
    Ok(reasons.into_iter().map(line).collect())
}

fn state(is_served: bool, note: Option<&Note>, problem: String) -> (&'static str, String) {
    let failed = note.map_or_else(String::new, |note| note.reason.clone());
    match note {
        _ if is_served => ("READY", failed),
        Some(note) if note.is_loading => ("LOADING", String::new()),
        _ if !failed.is_empty() => ("UNAVAILABLE", failed),
        _ if !problem.is_empty() => ("UNAVAILABLE", problem),
        _ => ("UNAVAILABLE", "not loaded".to_owned()),
    }
}

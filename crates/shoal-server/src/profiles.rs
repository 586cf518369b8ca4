//! What was learned of a model's costs, kept for its next life: a small JSON file for each package, processor and number
//! of threads.
//!
//! 1. **Place.** The folder that the operator names, or `$XDG_CACHE_HOME/shoal/profiles` (`~/.cache` where that is not
//!    set). "off" keeps and reads nothing.
//! 2. **Key.** Package digest, processor, threads and the format: another of any of these is another file. The file says
//!    them again, and one that says anything else is not used.
//! 3. **Trust.** A file is a hint and never an error. What is damaged, foreign or beyond [`sane`] bounds is passed over with
//!    a warning; so is what is far from what the warm-up measured ([`is_plausible`]).
//! 4. **Writing.** A temporary file, then a rename: a reader sees all of it or nothing. A file has at most one entry for
//!    each bin of the cost model, a folder at most [`FILES_KEPT`] files. A folder that cannot be written is told once.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shoal_batch::{CostModel, Measured};
use tracing::{Dispatch, info, warn};

use crate::description::Description;
use crate::executor::Executor;

/// What the file means; another number when that changes.
const FORMAT: u32 = 1;
/// Sizes in a profile, at most: the bins of a cost model.
const SIZES_LIMIT: usize = 64;
/// A profile on disk, at most.
const FILE_LIMIT_BYTES: u64 = 16 << 10;
/// Profiles in a folder, at most; the oldest are removed first.
const FILES_KEPT: usize = 512;
/// No micro-batch takes longer.
const LONGEST: Duration = Duration::from_hours(1);
/// A profile that differs from the warm-up by more than so many times is not of this machine as it is.
const FAR_OFF: f64 = 10.0;
/// How often what was kept is learned: enough for a bin to count, few enough to be forgotten soon.
const LESSONS: usize = 3;

/// The profiles of one server.
pub(crate) struct Profiles {
    folder: PathBuf,
    processor: String,
    log: Dispatch,
    has_failed: AtomicBool,
}

/// What a profile is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    digest: String,
    processor: String,
    threads: usize,
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    key: Key,
    costs: Vec<Cost>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    rows: usize,
    took_ns: u64,
}

impl Profiles {
    /// The profiles in the folder that was chosen; none where nothing is kept.
    pub(crate) fn new(chosen: Option<&Path>) -> Option<Self> {
        let folder = match chosen {
            Some(folder) if folder == Path::new("off") => return None,
            Some(folder) => folder.to_owned(),
            None => usual_folder()?,
        };
        let log = tracing::dispatcher::get_default(Clone::clone);
        Some(Self { folder, processor: processor(), log, has_failed: AtomicBool::new(false) })
    }

    /// What a profile of this package is found by; none without a digest.
    fn key(&self, digest: &str, threads: usize) -> Option<Key> {
        let (digest, processor) = (digest.to_owned(), self.processor.clone());
        (!digest.is_empty()).then_some(Key { digest, processor, threads, format: FORMAT })
    }

    /// What was kept, smallest size first; empty where there is nothing, or nothing that can be used.
    fn read(&self, key: &Key, max_rows: usize) -> Vec<Measured> {
        let path = self.path(key);
        match read(&path) {
            Ok(None) => Vec::new(),
            Ok(Some(text)) => checked(&text, key, max_rows).unwrap_or_else(|why| self.passed_over(&path, &why)),
            Err(error) => self.passed_over(&path, &error.to_string()),
        }
    }

    /// Says that a profile is not used.
    fn passed_over(&self, path: &Path, why: &str) -> Vec<Measured> {
        tracing::dispatcher::with_default(&self.log, || warn!(file = %path.display(), "a profile of costs is not used: {why}"));
        Vec::new()
    }

    /// Keeps what is known now.
    fn write(&self, key: &Key, costs: &CostModel) {
        let cost = |measured: Measured| Cost { rows: measured.rows, took_ns: u64::try_from(measured.took.as_nanos()).unwrap_or(u64::MAX) };
        let profile = Profile { key: key.clone(), costs: costs.profile().map(cost).collect() };
        if profile.costs.is_empty() {
            return;
        }
        let written = serde_json::to_vec(&profile).map_err(std::io::Error::from).and_then(|text| self.replace(&self.path(key), &text));
        let Err(error) = written else { return prune(&self.folder) };
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            let tell = || warn!(folder = %self.folder.display(), "profiles of costs cannot be kept: {error}");
            tracing::dispatcher::with_default(&self.log, tell);
        }
    }

    fn replace(&self, path: &Path, text: &[u8]) -> std::io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(&self.folder)?;
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let staging = self.folder.join(format!(".writing-{}-{number}", std::process::id()));
        let written = std::fs::File::create_new(&staging).and_then(|mut file| file.write_all(text));
        written.and_then(|()| std::fs::rename(&staging, path)).inspect_err(|_| drop(std::fs::remove_file(&staging)))
    }

    fn path(&self, key: &Key) -> PathBuf {
        let made_from = [&key.digest, &key.processor, &key.threads.to_string(), &key.format.to_string()].map(String::as_str).join("\0");
        let name = Sha256::digest(made_from).iter().fold(String::new(), |mut name, byte| {
            // Writing to a String does not fail.
            let _ = write!(name, "{byte:02x}");
            name
        });
        self.folder.join(format!("{name}.json"))
    }
}

/// Where the profile of one model is kept.
pub(crate) struct Kept {
    profiles: Arc<Profiles>,
    key: Key,
}

impl Kept {
    /// The place of a model; none where nothing is kept.
    pub(crate) fn of(profiles: Option<Arc<Profiles>>, description: &Description, executors: &[Box<dyn Executor>]) -> Option<Self> {
        let profiles = profiles?;
        let key = profiles.key(&description.digest, executors.iter().map(|executor| executor.threads()).sum())?;
        Some(Self { profiles, key })
    }

    /// See [`Profiles::read`].
    pub(crate) fn read(&self, max_rows: usize) -> Vec<Measured> {
        self.profiles.read(&self.key, max_rows)
    }

    /// See [`Profiles::write`].
    pub(crate) fn write(&self, costs: &CostModel) {
        self.profiles.write(&self.key, costs);
    }

    /// Says that the profile is not used because the warm-up measured something else: no fault, a machine is not always
    /// equally busy, and costs are learned anew.
    pub(crate) fn contradicted(&self) {
        let path = self.profiles.path(&self.key);
        let log = &self.profiles.log;
        tracing::dispatcher::with_default(log, || {
            info!(file = %path.display(), "a profile of costs is not used: the warm-up measured something else");
        });
    }
}

/// What a model learns from a profile, in the order of learning.
pub(crate) fn lessons(profile: &[Measured]) -> Vec<Measured> {
    profile.repeat(LESSONS)
}

/// Whether a profile says about what was measured just now, as far as it was.
pub(crate) fn is_plausible(profile: &[Measured], measured: &[Measured]) -> bool {
    let mut costs = CostModel::default();
    for each in lessons(profile) {
        costs.observe(each.rows, each.took);
    }
    let best = |rows: usize| measured.iter().filter(|each| each.rows == rows).map(|each| each.took).min();
    measured.iter().all(|each| {
        let (Some(kept), Some(best)) = (costs.predict(each.rows), best(each.rows)) else { return true };
        let times = kept.as_secs_f64() / best.as_secs_f64().max(1e-9);
        (1.0 / FAR_OFF..=FAR_OFF).contains(&times)
    })
}

fn usual_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("shoal").join("profiles"))
}

/// The processor's own name, where the system tells it.
fn processor() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The text of a profile; none where there is no file.
fn read(path: &Path) -> std::io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(std::io::Error::other(format!("it has more than {FILE_LIMIT_BYTES} bytes")));
    }
    Ok(Some(text))
}

/// The costs in a text that is a profile of `key`.
fn checked(text: &str, key: &Key, max_rows: usize) -> Result<Vec<Measured>, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| format!("it is damaged: {error}"))?;
    if profile.key != *key {
        return Err("it is of another package, processor, number of threads or format".to_owned());
    }
    let costs: Vec<Measured> =
        profile.costs.iter().map(|cost| Measured { rows: cost.rows, took: Duration::from_nanos(cost.took_ns) }).collect();
    sane(&costs, max_rows).map(|()| costs)
}

/// Holds costs to what a model could have measured: ascending sizes that a micro-batch may have, times above nothing.
fn sane(costs: &[Measured], max_rows: usize) -> Result<(), String> {
    if costs.len() > SIZES_LIMIT {
        return Err(format!("it has {} sizes, expected at most {SIZES_LIMIT}", costs.len()));
    }
    if !costs.is_sorted_by(|one, next| one.rows < next.rows) {
        return Err("its sizes do not ascend".to_owned());
    }
    let is_wrong = |cost: &&Measured| !(1..=max_rows).contains(&cost.rows) || cost.took.is_zero() || cost.took > LONGEST;
    match costs.iter().find(is_wrong) {
        Some(Measured { rows, took }) => Err(format!("it says that {rows} rows take {took:?}; a micro-batch has at most {max_rows} rows")),
        None => Ok(()),
    }
}

/// Removes the oldest profiles of a folder that has too many.
fn prune(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_profile = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let age = |path: PathBuf| (path.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH), path);
    let mut found: Vec<(SystemTime, PathBuf)> = entries.flatten().map(|entry| entry.path()).filter(is_profile).map(age).collect();
    let surplus = found.len().saturating_sub(FILES_KEPT);
    found.sort();
    // Another server may have removed one meanwhile.
    found.iter().take(surplus).for_each(|(_, path)| drop(std::fs::remove_file(path)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("shoal-profiles-{}-{name}", std::process::id())))
        }

        fn profiles(&self) -> Profiles {
            Profiles::new(Some(&self.0)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn measured(rows: usize, micros: u64) -> Measured {
        Measured { rows, took: Duration::from_micros(micros) }
    }

    fn learned(costs: &[Measured]) -> CostModel {
        let mut model = CostModel::default();
        for each in costs {
            model.observe(each.rows, each.took);
        }
        model
    }

    #[test]
    fn what_was_learned_comes_back_for_the_same_key_only() {
        let folder = Folder::new("same");
        let profiles = folder.profiles();
        let key = profiles.key("sha256:abc", 1).unwrap();
        let costs = [measured(1, 20), measured(8, 50), measured(64, 200)];
        profiles.write(&key, &learned(&costs));
        assert_eq!(profiles.read(&key, 64), costs);
        for other in [profiles.key("sha256:abd", 1), profiles.key("sha256:abc", 2)] {
            assert_eq!(profiles.read(&other.unwrap(), 64), []);
        }
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_damaged_or_foreign_file_and_senseless_numbers_are_not_used() {
        let folder = Folder::new("damaged");
        let profiles = folder.profiles();
        let key = profiles.key("sha256:abc", 1).unwrap();
        profiles.write(&key, &learned(&[measured(1, 20), measured(8, 50)]));
        let (path, good) = (profiles.path(&key), std::fs::read_to_string(profiles.path(&key)).unwrap());
        assert_eq!(profiles.read(&key, 4), [], "8 rows are more than a micro-batch may have");
        let wrong = [
            good.replace("sha256:abc", "sha256:abd"),
            good.replace("\"rows\":8", "\"rows\":1"),
            good.replace("50000", "0"),
            good.replace("50000", "18446744073709551615"),
            good.replace("50000", "1e999"),
            good[..good.len() / 2].to_owned(),
            " ".repeat(usize::try_from(FILE_LIMIT_BYTES).unwrap()) + &good,
            String::new(),
        ];
        for text in wrong {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(profiles.read(&key, 64), [], "{}", text.trim());
        }
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(profiles.read(&key, 64), []);
    }

    #[test]
    fn a_profile_far_from_the_warm_up_is_not_plausible() {
        let profile = [measured(1, 20), measured(64, 200)];
        assert!(is_plausible(&profile, &[measured(1, 90), measured(1, 30), measured(64, 150)]));
        assert!(!is_plausible(&profile, &[measured(1, 300), measured(1, 250)]));
        assert!(!is_plausible(&profile, &[measured(64, 4)]));
        assert!(is_plausible(&profile, &[]));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_nothing_else_happens() {
        let profiles = Profiles::new(Some(Path::new("/dev/null/profiles"))).unwrap();
        let key = profiles.key("sha256:abc", 1).unwrap();
        profiles.write(&key, &learned(&[measured(1, 20)]));
        assert!(profiles.has_failed.load(Ordering::Relaxed));
    }

    #[test]
    fn a_folder_keeps_a_bounded_number_of_profiles() {
        let folder = Folder::new("many");
        std::fs::create_dir_all(&folder.0).unwrap();
        for number in 0..FILES_KEPT + 5 {
            std::fs::write(folder.0.join(format!("{number}.json")), "").unwrap();
        }
        let profiles = folder.profiles();
        let key = profiles.key("sha256:abc", 1).unwrap();
        profiles.write(&key, &learned(&[measured(1, 20)]));
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), FILES_KEPT);
        assert_eq!(profiles.read(&key, 64), [measured(1, 20)]);
    }

    #[test]
    fn off_keeps_nothing_and_neither_does_a_package_without_digest() {
        assert!(Profiles::new(Some(Path::new("off"))).is_none());
        assert!(Folder::new("none").profiles().key("", 1).is_none());
    }
}

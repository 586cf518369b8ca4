//! The search: try, keep what is new, and make small what fails.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Target;
use super::mutation::{Input, Random, mutate};

const SECONDS: u64 = 20;
/// Inputs to be changed, at most.
const CORPUS: usize = 4096;
/// How long what fails is made smaller.
const MINIMISE: Duration = Duration::from_secs(20);

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn seed() -> u64 {
    match setting("SHOAL_FUZZ_SEED").as_deref() {
        None => 1,
        Some("fresh") => UNIX_EPOCH.elapsed().unwrap().as_secs(),
        Some(text) => text.parse().expect("SHOAL_FUZZ_SEED is a number or fresh"),
    }
}

/// Runs the targets that are asked for, at the same time.
pub(super) fn all(targets: &'static [Target]) {
    let chosen = setting("SHOAL_FUZZ_TARGET");
    let targets: Vec<&Target> = targets.iter().filter(|target| chosen.as_deref().is_none_or(|name| name == target.name)).collect();
    assert!(!targets.is_empty(), "SHOAL_FUZZ_TARGET is {chosen:?}, which is no target");
    if let Some(path) = setting("SHOAL_FUZZ_INPUT") {
        let input = Input::from_bytes(&std::fs::read(path).unwrap());
        return targets.into_iter().for_each(|target| println!("{}: {}", target.name, (target.run)(&input)));
    }
    let seconds = setting("SHOAL_FUZZ_SECONDS").map_or(SECONDS, |text| text.parse().expect("SHOAL_FUZZ_SECONDS is a number"));
    let (seed, time) = (seed(), Duration::from_secs(seconds));
    let hunts: Vec<_> = targets.into_iter().map(|target| std::thread::spawn(move || hunt(target, seed, time))).collect();
    let failures: Vec<String> = hunts.into_iter().filter_map(|hunt| hunt.join().expect("a hunt ends")).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Tries one target for a while: what failed, if anything did.
fn hunt(target: &'static Target, seed: u64, time: Duration) -> Option<String> {
    let mut corpus = (target.corpus)();
    let mut known: HashSet<u64> = HashSet::new();
    let (start, mut random, mut cases) = (Instant::now(), Random(seed), 0_u64);
    while start.elapsed() < time {
        let (one, other) = (random.below(corpus.len()), random.below(corpus.len()));
        let input = mutate(&corpus[one], &corpus[other], &mut random);
        cases += 1;
        let Some(answer) = tried(target, &input) else { return Some(report(target, &input, seed)) };
        if known.insert(kind(&answer)) && corpus.len() < CORPUS {
            corpus.push(input);
        }
    }
    println!("{}: seed {seed}, {} answers of different kinds, {} inputs", target.name, known.len(), corpus.len());
    println!("cases: {cases}");
    None
}

/// The answer; None for a panic.
fn tried(target: &Target, input: &Input) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).ok()
}

/// What an answer says, numbers and quoted parts aside.
fn kind(answer: &str) -> u64 {
    let words = answer.split('"').step_by(2).collect::<String>();
    let mut hasher = DefaultHasher::new();
    words.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>().hash(&mut hasher);
    hasher.finish()
}

fn report(target: &Target, input: &Input, seed: u64) -> String {
    let small = minimised(target, input.clone());
    let path = folder().join(format!("{}-{:?}.bin", target.name, SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()));
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(&path, small.to_bytes()).unwrap();
    format!(
        "decoder {:?} panicked (seed {seed}) on {} bytes: {small:?}\nagain: SHOAL_FUZZ_TARGET={} SHOAL_FUZZ_INPUT={} cargo test -p shoal-server no_decoder_panics",
        target.name,
        small.body.len(),
        target.name,
        path.display()
    )
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz")
}

/// Leaves pieces out, large ones first, as long as the rest still fails.
fn minimised(target: &Target, mut input: Input) -> Input {
    let start = Instant::now();
    let mut size = input.body.len() / 2;
    while size > 0 && start.elapsed() < MINIMISE {
        let smaller = (0..input.body.len()).step_by(size).find_map(|place| {
            let mut smaller = input.clone();
            smaller.body.drain(place..(place + size).min(input.body.len()));
            tried(target, &smaller).is_none().then_some(smaller)
        });
        match smaller {
            Some(smaller) => input = smaller,
            None => size /= 2,
        }
    }
    input
}

#[test]
fn a_decoder_that_panics_is_found_and_its_input_made_small() {
    fn run(input: &Input) -> String {
        assert!(!input.body.contains(&b'7'), "a seven");
        "ok".into()
    }
    static TARGET: Target = Target { name: "test", corpus: || vec![Input::from(b"[1,2,3,4,5,6]".to_vec())], run };
    let report = hunt(&TARGET, 1, Duration::from_mins(1)).expect("it fails");
    assert!(report.contains("on 1 bytes") && report.contains("body: [55]"), "{report}");
    let path = report.split("SHOAL_FUZZ_INPUT=").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(Input::from_bytes(&std::fs::read(path).unwrap()), Input::from(b"7".to_vec()));
    std::fs::remove_file(path).unwrap();
}

//! `shoal-simulator < PLAYS > REPORTS`: one JSON object a line, a play in and its report out.
//! `shoal-simulator fleet < FLEETS > REPORTS`: the same for replicas that are scaled; see [`fleet`].
//! `shoal-simulator replay TRACE`: one JSON object a line for each model of a trace: measured and predicted latency.
//!
//! A play is `{"workload": {...}, "models": [{"policy": {...}, "service": {...}}], "cores": 1}`; see `workload`, `service`
//! and [`Chosen`]. Plays are independent of each other.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use serde::Deserialize;
use shoal_batch::{Bucket, Limits, Measured, Policy as Bounds};
use shoal_simulator::fleet::{self, Fleet};
use shoal_simulator::play::{Model, Place, play};
use shoal_simulator::recording::Trace;
use shoal_simulator::replay::replay;
use shoal_simulator::rivals::{FixedDelay, MlServer, Mosec, Policy, Tei};
use shoal_simulator::service::Service;
use shoal_simulator::shoal::Shoal;
use shoal_simulator::workload::Workload;

/// Bytes of a micro-batch are not what these plays are about.
const NO_LIMIT: usize = 1 << 40;
/// Batches of each size that a warm-up runs.
const WARM_UPS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    workload: Workload,
    models: Vec<Chosen>,
    #[serde(default = "one")]
    cores: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    policy: Name,
    service: Service,
    #[serde(default = "one")]
    executors: usize,
    #[serde(default = "sixty_four")]
    max_rows: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Name {
    Shoal {
        #[serde(default)]
        max_wait_ms: Option<f64>,
        #[serde(default)]
        latency_target_ms: Option<f64>,
        #[serde(default)]
        queue_rows: Option<usize>,
        /// Whether it was warmed up before the first request.
        #[serde(default)]
        warm: bool,
    },
    FixedDelay {
        delay_ms: f64,
        /// Whether requests of different lengths go together, padded to the longest.
        #[serde(default)]
        mixes: bool,
    },
    Mosec {
        max_wait_ms: f64,
    },
    MlServer {
        max_wait_ms: f64,
    },
    Tei,
}

const fn one() -> usize {
    1
}

const fn sixty_four() -> usize {
    64
}

fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1e3).unwrap_or(Duration::MAX)
}

fn policy(chosen: &Chosen) -> Box<dyn Policy> {
    let max_rows = chosen.max_rows;
    match chosen.policy {
        Name::FixedDelay { delay_ms, mixes: false } => Box::new(FixedDelay::new(milliseconds(delay_ms), max_rows)),
        Name::FixedDelay { delay_ms, mixes: true } => Box::new(FixedDelay::new(milliseconds(delay_ms), max_rows).mixing()),
        Name::Mosec { max_wait_ms } => Box::new(Mosec::new(milliseconds(max_wait_ms), max_rows)),
        Name::MlServer { max_wait_ms } => Box::new(MlServer::new(milliseconds(max_wait_ms), max_rows)),
        Name::Tei => Box::new(Tei::new(max_rows)),
        Name::Shoal { max_wait_ms, latency_target_ms, queue_rows, warm } => {
            let limits = Limits { max_rows, max_bytes: NO_LIMIT, queue_rows: queue_rows.unwrap_or(100_000), queue_bytes: NO_LIMIT };
            let bounds = Bounds {
                executors: chosen.executors,
                max_wait: max_wait_ms.map_or(Bounds::default().max_wait, milliseconds),
                latency_target: latency_target_ms.map(milliseconds),
            };
            let mut shoal = Shoal::new(limits, bounds);
            if warm {
                warm_up(&mut shoal, chosen);
            }
            let pads = matches!(chosen.service, Service::Padded { .. });
            Box::new(if pads { shoal.padding() } else { shoal })
        }
    }
}

/// What a server measures before its first request: each power of two.
fn warm_up(shoal: &mut Shoal, chosen: &Chosen) {
    let sizes = (0..).map(|power| 1 << power).take_while(|rows| *rows <= chosen.max_rows);
    for rows in sizes {
        for _ in 0..WARM_UPS {
            shoal.scheduler().learn(Bucket(0), Measured { rows, took: milliseconds(chosen.service.mean(rows)) });
        }
    }
}

fn run(line: &str) -> Result<String, serde_json::Error> {
    let Play { workload, models, cores } = serde_json::from_str(line)?;
    let model = |chosen: Chosen| {
        let policy = policy(&chosen);
        Model { policy, executors: chosen.executors, service: chosen.service, place: Place::Anywhere }
    };
    let mut models: Vec<Model> = models.into_iter().map(model).collect();
    serde_json::to_string(&play(&workload, &mut models, cores))
}

fn run_fleet(line: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(&fleet::play(&serde_json::from_str::<Fleet>(line)?))
}

fn each_line(run: fn(&str) -> Result<String, serde_json::Error>) -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(output, "{}", run(&line?)?)?;
        output.flush()?;
    }
    Ok(())
}

fn replay_all(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let trace = Trace::read(BufReader::new(File::open(path)?))?;
    let mut output = std::io::stdout().lock();
    for recording in trace.recordings() {
        writeln!(output, "{}", serde_json::to_string(&replay(recording, trace.lost))?)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => each_line(run),
        ["fleet"] => each_line(run_fleet),
        ["replay", path] => replay_all(path),
        _ => Err("usage: shoal-simulator < PLAYS, shoal-simulator fleet < FLEETS, or shoal-simulator replay TRACE".into()),
    }
}

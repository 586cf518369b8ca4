//! Reads the trace that a server wrote (`shoal serve --trace-file FILE`): one JSON object a line.
//!
//! A file may hold several lives of a server, each from its `start` on: the last one counts. A server that was killed may
//! leave half a line at the end, which is passed over; any other line that is none of a trace is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;

/// The format that is read.
const FORMAT: u32 = 1;
/// How a request ended that was answered.
const ANSWERED: &str = "ok";

/// Everything that is told of one model.
#[derive(Debug)]
pub struct Recording {
    /// The model.
    pub model: Model,
    /// Its requests, in order of arrival.
    pub requests: Vec<Request>,
}

/// A model as it was loaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Model {
    /// Its name.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Which of its queues: a server of several threads has one on each.
    pub lane: u64,
    /// Rows of a micro-batch, at most.
    pub max_rows: usize,
    /// A request with a free executor waited no longer, in microseconds.
    pub max_wait_us: u64,
    /// From arrival to answer, in microseconds, where the operator wanted it.
    pub latency_target_us: Option<u64>,
    /// Micro-batches that ran at once, at most.
    pub executors: usize,
    /// Whether its executor sits on the event loop, which reads requests and writes answers.
    pub inline: bool,
    /// What its policy was taught before the first request, in this order.
    pub learned: Vec<Learned>,
}

/// What a micro-batch of some rows was said to take.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Learned {
    /// Rows.
    pub rows: usize,
    /// Microseconds.
    pub took_us: f64,
}

/// A request that ended. Times are in microseconds, in the engine: from the queue to the end of its last micro-batch.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// Its connection.
    pub client: u64,
    /// How many rows.
    pub rows: usize,
    /// With which requests it might be batched.
    pub bucket: u64,
    /// When it came.
    pub arrived_us: u64,
    /// When its last micro-batch began, if it had one.
    pub started_us: Option<u64>,
    /// How many rows that had.
    pub batch_rows: Option<usize>,
    /// When it ended.
    pub answered_us: u64,
    /// How: "ok", or a code.
    pub outcome: String,
}

impl Request {
    fn is_in_order(&self) -> bool {
        self.arrived_us <= self.answered_us && self.started_us.is_none_or(|at| at <= self.answered_us)
    }

    /// Whether it was answered, and by what: (start, rows) of its last micro-batch.
    #[must_use]
    pub fn batch(&self) -> Option<(u64, usize)> {
        if self.outcome == ANSWERED { self.started_us.zip(self.batch_rows) } else { None }
    }
}

#[derive(Deserialize)]
struct OfModel {
    lane: u64,
    #[serde(flatten)]
    request: Request,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Start { format: u32 },
    Model(Model),
    Request(OfModel),
    End { lost: u64 },
}

/// Why a file is no trace.
#[derive(Debug)]
pub struct NoTrace(String);

impl fmt::Display for NoTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NoTrace {}

/// A whole trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// By lane, of which no two models have the same.
    models: BTreeMap<u64, Recording>,
    /// Lines that the server could not write; none where the end is missing.
    pub lost: Option<u64>,
}

impl Trace {
    /// Reads the last life in a file.
    ///
    /// # Errors
    /// What cannot be read, and lines that are none of a trace.
    pub fn read(mut input: impl BufRead) -> Result<Self, NoTrace> {
        let mut trace = Self::default();
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            let length = input.read_line(&mut text).map_err(|error| NoTrace(format!("line {number} cannot be read: {error}")))?;
            if length == 0 || !text.ends_with('\n') {
                break;
            }
            trace.add(&text).map_err(|why| NoTrace(format!("line {number} is none of a trace: {why}")))?;
        }
        trace.models.values_mut().for_each(|recording| recording.requests.sort_by_key(|request| request.arrived_us));
        Ok(trace)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Line::Start { format } if format != FORMAT => return Err(format!("its format is {format}, expected {FORMAT}")),
            Line::Start { .. } => *self = Self::default(),
            Line::End { lost } => self.lost = Some(lost),
            Line::Model(model) => drop(self.models.insert(model.lane, Recording { model, requests: Vec::new() })),
            Line::Request(OfModel { request, .. }) if !request.is_in_order() => return Err("it ended before it came".to_owned()),
            Line::Request(OfModel { lane, request }) => {
                let known = self.models.get_mut(&lane);
                known.ok_or_else(|| format!("lane {lane} was not told of"))?.requests.push(request);
            }
        }
        Ok(())
    }

    /// The models with at least one request.
    pub fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.models.values().filter(|recording| !recording.requests.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","format":1}"#;
    const MODEL: &str = r#"{"event":"model","model":"m","version":"1","lane":0,"max_rows":8,"max_wait_us":100,"latency_target_us":null,"executors":1,"inline":true,"learned":[{"rows":1,"took_us":12.5}]}"#;

    fn request(arrived_us: u64) -> String {
        format!(
            r#"{{"event":"request","model":"m","version":"1","lane":0,"client":7,"rows":2,"bucket":0,"arrived_us":{arrived_us},"started_us":90,"batch_rows":4,"answered_us":100,"outcome":"ok"}}"#
        )
    }

    fn read(lines: &[&str]) -> Result<Trace, NoTrace> {
        Trace::read(lines.join("\n").as_bytes())
    }

    #[test]
    fn requests_come_in_order_of_arrival_and_half_a_line_at_the_end_is_passed_over() {
        let (late, early) = (request(50), request(10));
        let trace = read(&[START, MODEL, &late, &early, &early[..20]]).unwrap();
        let [recording] = trace.recordings().collect::<Vec<_>>()[..] else { panic!("one model") };
        assert_eq!(recording.requests.iter().map(|request| request.arrived_us).collect::<Vec<_>>(), [10, 50]);
        assert_eq!((recording.requests[0].batch(), trace.lost), (Some((90, 4)), None));
    }

    #[test]
    fn the_last_life_counts() {
        let (first, second) = (request(10), request(20));
        let trace = read(&[START, MODEL, &first, r#"{"event":"end","requests":1,"lost":3}"#, START, MODEL, &second, ""]).unwrap();
        assert_eq!((trace.recordings().map(|recording| recording.requests.len()).sum::<usize>(), trace.lost), (1, None));
    }

    #[test]
    fn anything_else_is_refused_with_its_line() {
        let of_nobody = request(1).replace("\"lane\":0", "\"lane\":1");
        for wrong in ["{}", "text", r#"{"event":"start","format":2}"#, &of_nobody, &request(101)] {
            let refusal = read(&[START, MODEL, wrong, ""]).unwrap_err().to_string();
            assert!(refusal.starts_with("line 3 "), "{refusal}");
        }
    }
}

//! What the operator of a server may choose. Every choice has a default that is safe on a network.
//!
//! One field here is one field of `shoal.serve.Options`, of the same name and default; a server gets them as JSON.
//! A number carries its unit in its name.

use std::path::PathBuf;

use serde::Deserialize;

use crate::fault::{Code, Fault, Outcome};
use crate::log::{Format, Level};

/// Event loops, at most.
const THREADS_LIMIT: usize = 256;
/// Workers of one model, at most.
const WORKERS_LIMIT: usize = 1024;
/// A day: no time here is longer.
const TIME_LIMIT_MS: u64 = 86_400_000;

/// The choices of one server.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where to listen for HTTP, as "HOST:PORT"; port 0 picks a free one.
    pub http: String,
    /// The same for gRPC.
    pub grpc: String,
    /// Where to listen for the calls of an operator; None is nowhere.
    pub admin: Option<String>,
    /// The file of the token that they need.
    pub admin_token_file: Option<PathBuf>,
    /// Event loops, each on a thread of its own: who reads requests, runs quick models and writes answers.
    pub threads: usize,
    /// Processors that one call of an ONNX model may use; nothing said is all that there are.
    pub cores: Option<usize>,
    /// A request body or message, at most.
    pub body_limit_bytes: usize,
    /// Instead of what packages say: a request with a free executor waits for company no longer than this.
    pub max_wait_ms: Option<f64>,
    /// Instead of what packages say: from arrival to answer; micro-batches stay small enough for it.
    pub latency_target_ms: Option<f64>,
    /// Processes that run each python package.
    pub workers: usize,
    /// Memory that one of them may allocate; nothing said is no limit.
    pub worker_memory_limit_bytes: Option<u64>,
    /// One micro-batch in a worker, at most; a worker that takes longer is killed.
    pub worker_timeout_ms: u64,
    /// Opening the model in a worker, at most.
    pub worker_start_timeout_ms: u64,
    /// The wait before a worker is started once more after two lives in which it answered nothing; it doubles
    /// from there. The first restart comes at once.
    pub worker_restart_wait_ms: u64,
    /// The longest such wait.
    pub worker_restart_wait_limit_ms: u64,
    /// What workers may import.
    pub worker_environment: WorkerEnvironment,
    /// All bodies that are being read or answered, over both doors, at most.
    pub bodies_in_flight_limit_bytes: usize,
    /// The head of a request, at most.
    pub header_limit_bytes: usize,
    /// Open connections over both doors, at most.
    pub max_connections: usize,
    /// Calls at once on one gRPC connection, at most.
    pub max_streams: u32,
    /// For the head of a request, and for the TLS handshake.
    pub header_timeout_ms: u64,
    /// For the body of a request, beyond what its size takes at the slowest rate.
    pub body_timeout_ms: u64,
    /// A body that comes slower, after its timeout, is given up.
    pub slowest_body_bytes_per_s: u64,
    /// How long a connection may wait between two requests.
    pub idle_timeout_ms: u64,
    /// How long a client may take none of its answer.
    pub write_timeout_ms: u64,
    /// From SIGTERM or SIGINT on, how long requests are still taken while readiness says no: whoever shares out requests
    /// learns of the end, and clients leave at their own pace.
    pub drain_notice_ms: u64,
    /// The certificates of this server in PEM, its own first; with `tls_key`, all doors speak TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the certificate in PEM.
    pub tls_key: Option<PathBuf>,
    /// The file of API keys; without it nobody needs one.
    pub api_keys: Option<PathBuf>,
    /// Origins whose pages may read answers; "*" is any.
    pub allow_origin: Vec<String>,
    /// Whether there is a page on which models are asked by hand, at `/docs/try`.
    pub try_page: bool,
    /// What is logged: "off", "error", "warning", "info" or "debug".
    pub log_level: Level,
    /// The form of a line of the log: "text" or "json".
    pub log_format: Format,
    /// Where each request to a model is told in a line of its own; nowhere by default.
    pub trace_file: Option<PathBuf>,
    /// The folder of what was learned of costs; nothing said is the user's cache, "off" is none.
    pub profile_cache: Option<PathBuf>,
}

/// What the workers of a python package may import. Whoever starts the server prepares it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WorkerEnvironment {
    /// What the server's own interpreter has.
    Current,
    /// What the package's hashed lock lists.
    Locked,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:0".into(),
            grpc: "127.0.0.1:0".into(),
            admin: None,
            admin_token_file: None,
            // One answers as many requests as most machines are ever sent; more are the operator's choice.
            threads: 1,
            cores: None,
            body_limit_bytes: 64 << 20, // What Triton takes by default.
            max_wait_ms: None,
            latency_target_ms: None,
            // Each holds the model in memory once more, so more are the operator's choice.
            workers: 1,
            worker_memory_limit_bytes: None,
            worker_timeout_ms: 60_000,
            worker_start_timeout_ms: 120_000,
            worker_restart_wait_ms: 50,
            worker_restart_wait_limit_ms: 10_000,
            worker_environment: WorkerEnvironment::Current,
            bodies_in_flight_limit_bytes: 512 << 20,
            header_limit_bytes: 32 << 10,
            max_connections: 4096,
            max_streams: 256,
            header_timeout_ms: 30_000,
            body_timeout_ms: 30_000,
            slowest_body_bytes_per_s: 64 << 10,
            // Longer than the 60 s of common load balancers, so that it is they who close.
            idle_timeout_ms: 75_000,
            write_timeout_ms: 30_000,
            drain_notice_ms: 0,
            tls_certificate: None,
            tls_key: None,
            api_keys: None,
            allow_origin: Vec::new(),
            try_page: false,
            log_level: Level::Warning,
            log_format: Format::Text,
            trace_file: None,
            profile_cache: None,
        }
    }
}

impl Options {
    /// Reads the choices.
    ///
    /// # Errors
    /// `InvalidRequest` when the text is not JSON, names an option that does not exist, or a number makes no sense.
    pub fn from_json(text: &str) -> Outcome<Self> {
        let wrong = |why: &dyn std::fmt::Display| Fault::new(Code::InvalidRequest, format!("these are no options of a server: {why}"));
        let options: Self = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if !(1..=THREADS_LIMIT).contains(&options.threads) {
            return Err(wrong(&format!("threads is {}, expected 1 to {THREADS_LIMIT}", options.threads)));
        }
        if let Some(cores) = options.cores.filter(|cores| !(1..=THREADS_LIMIT).contains(cores)) {
            return Err(wrong(&format!("cores is {cores}, expected 1 to {THREADS_LIMIT}")));
        }
        if !(1..=WORKERS_LIMIT).contains(&options.workers) {
            return Err(wrong(&format!("workers is {}, expected 1 to {WORKERS_LIMIT}", options.workers)));
        }
        for (name, value_ms, least_ms) in options.times_ms() {
            if !(least_ms..=TIME_LIMIT_MS).contains(&value_ms) {
                return Err(wrong(&format!("{name} is {value_ms}, expected {least_ms} to {TIME_LIMIT_MS}")));
            }
        }
        Ok(options)
    }

    /// (name, value, least).
    const fn times_ms(&self) -> [(&'static str, u64, u64); 5] {
        [
            ("worker_timeout_ms", self.worker_timeout_ms, 1),
            ("worker_start_timeout_ms", self.worker_start_timeout_ms, 1),
            ("worker_restart_wait_ms", self.worker_restart_wait_ms, 1),
            ("worker_restart_wait_limit_ms", self.worker_restart_wait_limit_ms, 1),
            ("drain_notice_ms", self.drain_notice_ms, 0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default_and_an_unknown_option_is_refused() {
        let some = Options::from_json(r#"{"body_limit_bytes":5}"#).unwrap();
        assert_eq!(some, Options { body_limit_bytes: 5, ..Options::default() });
        for wrong in [
            r#"{"bodies":5}"#,
            r#"{"workers":0}"#,
            r#"{"threads":0}"#,
            r#"{"threads":257}"#,
            r#"{"cores":0}"#,
            r#"{"worker_timeout_ms":0}"#,
            r#"{"drain_notice_ms":86400001}"#,
            r#"{"worker_environment":"any"}"#,
        ] {
            assert_eq!(Options::from_json(wrong).unwrap_err().code, Code::InvalidRequest, "{wrong}");
        }
    }
}

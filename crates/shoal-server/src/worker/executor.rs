//! Runs micro-batches in the worker processes of a model.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::connection::{Broken, Connection};
use super::frames::{self, Kind};
use super::pool::{Plan, Pool, Shared};
use super::process::Launch;
use crate::description::Description;
use crate::executor::{Executor, Health, check_answer};
use crate::fault::{Code, Fault, Outcome};
use crate::options::Options;
use crate::values::{Dtype, Table};

/// How often a micro-batch that no worker took is offered to another one.
const OFFERS: usize = 3;

/// What the first frame tells a worker.
#[derive(Serialize)]
struct Setup<'a> {
    description: &'a RawValue,
    directory: &'a str,
    memory_limit_bytes: Option<u64>,
    server_process: u32,
}

/// One executor of a model whose workers are shared by all its executors.
struct WorkerModel {
    // The last executor ends the workers.
    pool: Arc<Pool>,
    description: Arc<Description>,
    dtypes: Vec<Dtype>,
    call_limit: Duration,
}

/// Starts the workers of a package; `text` is its description. One executor for each worker. Opening a model may
/// take minutes, and ends early once it is not wanted.
///
/// # Errors
/// `CorruptPackage` for a text that is no description; what a worker says that cannot open the model;
/// `ModelUnavailable` when it cannot even say that.
pub fn open(text: &str, launch: Launch, options: &Options, is_wanted: &dyn Fn() -> bool) -> Outcome<(Description, Vec<Box<dyn Executor>>)> {
    let description = Arc::new(Description::from_json(text)?);
    let pool = Arc::new(Pool::start(plan(text, &description, launch, options)?, is_wanted)?);
    let executor = |_| -> Box<dyn Executor> {
        Box::new(WorkerModel {
            pool: Arc::clone(&pool),
            description: Arc::clone(&description),
            dtypes: description.input_dtypes(),
            call_limit: Duration::from_millis(options.worker_timeout_ms),
        })
    };
    let executors = (0..options.workers.max(1)).map(executor).collect();
    Ok(((*description).clone(), executors))
}

fn plan(text: &str, description: &Description, launch: Launch, options: &Options) -> Outcome<Plan> {
    let internal = |error: serde_json::Error| Fault::new(Code::Internal, format!("a worker cannot be told what to run: {error}"));
    let setup = Setup {
        description: serde_json::from_str(text).map_err(internal)?,
        directory: &launch.directory,
        memory_limit_bytes: options.worker_memory_limit_bytes,
        server_process: std::process::id(),
    };
    Ok(Plan {
        setup: serde_json::to_vec(&setup).map_err(internal)?,
        launch,
        model: description.name.clone(),
        workers: options.workers,
        call_limit: Duration::from_millis(options.worker_timeout_ms),
        start_limit: Duration::from_millis(options.worker_start_timeout_ms),
        restart_wait: Duration::from_millis(options.worker_restart_wait_ms),
        restart_wait_limit: Duration::from_millis(options.worker_restart_wait_limit_ms),
        memory_limit_bytes: options.worker_memory_limit_bytes,
    })
}

impl Executor for WorkerModel {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        let parts = frames::columns(Kind::Batch, inputs, &self.dtypes);
        let mut offers = 0;
        loop {
            let mut connection = self.pool.shared.borrow()?;
            let exchanged = connection.exchange(&parts);
            let read = exchanged
                .and_then(|(kind, body)| frames::read_answer(kind, body, &self.description.signature.outputs).map_err(Broken::Garbled));
            offers += 1;
            match read {
                Ok(outcome) => {
                    self.pool.shared.give_back(connection);
                    return outcome.and_then(|table| check_answer(&self.description, inputs.rows, &table).map(|()| table));
                }
                // It died while it was idle, and has seen nothing of the micro-batch.
                Err(Broken::NotSent) if offers < OFFERS => connection.process.kill(),
                Err(broken) => return Err(self.lost(&connection, &broken)),
            }
        }
    }

    fn health(&self) -> Option<Arc<dyn Health>> {
        let shared: Arc<Shared> = Arc::clone(&self.pool.shared);
        Some(shared)
    }
}

impl WorkerModel {
    /// Ends a worker that no longer answers in step, and says what became of the micro-batch.
    fn lost(&self, connection: &Connection, broken: &Broken) -> Fault {
        let model = &self.description.name;
        let process = &connection.process;
        if !matches!(broken, Broken::Ended) {
            process.kill();
        }
        match broken {
            Broken::TooLate => {
                let limit_ms = self.call_limit.as_millis();
                let message = format!("model {model:?} had not answered its micro-batch after {limit_ms} ms, and its worker was killed");
                Fault::new(Code::WorkerTimeout, message)
                    .hint("give it more time with worker_timeout_ms, or send fewer records in one request")
            }
            Broken::Garbled(why) => {
                let message = format!("the worker of model {model:?} broke the protocol and was killed: {why}");
                Fault::new(Code::WorkerLost, message).hint("nothing but the worker may write to its socket")
            }
            Broken::Ended | Broken::NotSent => {
                let message = format!("the worker of model {model:?} {} while it answered a micro-batch", process.end());
                Fault::new(Code::WorkerLost, message)
                    .hint("it crashed, ended itself, or ran out of memory; see the error output of the server")
            }
        }
    }
}

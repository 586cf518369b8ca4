//! The server, started from Python.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use shoal_server::description::Description;
use shoal_server::fault::Outcome;
use shoal_server::onnx::open_to_serve;
use shoal_server::options::Options;
use shoal_server::repository::Repository;
use shoal_server::server::Model;
use shoal_server::signals::Signals;
use shoal_server::worker::{self, Launch};

use crate::columns::outcome;
use crate::repository::PythonRepository;
use crate::session::Payload;

/// What runs a model: a file for ONNX Runtime, or worker processes. A router is run by nothing, and comes with an empty file.
#[derive(FromPyObject)]
pub(crate) enum Runs {
    #[pyo3(transparent)]
    File(Payload),
    #[pyo3(transparent)]
    Workers(Workers),
}

/// A `shoal.runtime.Launch`.
#[derive(FromPyObject)]
pub(crate) struct Workers {
    command: Vec<String>,
    directory: String,
}

/// Listens at once, serves on its own threads, answers all accepted requests before it ends.
#[pyclass(frozen, module = "shoal._native")]
pub(crate) struct Server {
    server: shoal_server::server::Server,
}

impl Drop for Server {
    /// Closing waits for executors; other threads of Python need not.
    fn drop(&mut self) {
        drop(Python::attach(|py| self.close(py)));
    }
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (models, *, options, library, repository=None))]
    fn new(
        py: Python<'_>,
        models: Vec<(String, String, Runs)>,
        options: &str,
        library: &str,
        repository: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let interrupt = Mutex::new(None);
        let is_wanted = || Python::attach(|py| py.check_signals().map_err(|error| keep(&interrupt, error)).is_ok());
        let server = py.detach(|| {
            let options = Options::from_json(options)?;
            let opened = models.into_iter().map(|(text, digest, runs)| {
                let (mut description, executors) = open(&text, runs, library, (&options, &is_wanted))?;
                description.digest = digest;
                Ok((description, executors))
            });
            let models: Vec<Model> = opened.collect::<Outcome<_>>()?;
            let repository = repository.map(|object| -> Box<dyn Repository> {
                Box::new(PythonRepository { object, library: library.into(), options: options.clone() })
            });
            shoal_server::server::Server::start(models, repository, options)
        });
        if let Some(error) = interrupt.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        Ok(Self { server: outcome(server)? })
    }

    /// Where HTTP is served, as "HOST:PORT".
    #[getter]
    fn http(&self) -> String {
        self.server.http().to_string()
    }

    /// Where gRPC is served, as "HOST:PORT".
    #[getter]
    fn grpc(&self) -> String {
        self.server.grpc().to_string()
    }

    /// Where an operator's calls are served, as "HOST:PORT", or None.
    #[getter]
    fn admin(&self) -> Option<String> {
        self.server.admin().map(|address| address.to_string())
    }

    /// What the repository holds and is not served: (name, version, reason).
    #[getter]
    fn problems(&self) -> Vec<(String, String, String)> {
        self.server.problems().to_vec()
    }

    /// Answers everything accepted, then ends. A second call does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        outcome(py.detach(|| self.server.close()))
    }

    /// Serves until SIGTERM or SIGINT arrives, then closes. A second one ends the process at once, with exit code 1:
    /// the interpreter is not asked, because a model that hangs may hold it.
    /// `caught` is called when both are caught: from then on they are the server's.
    #[pyo3(signature = (caught = None))]
    fn serve_until_signal(&self, py: Python<'_>, caught: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let mut signals = outcome(py.detach(Signals::catch))?;
        // One that came before is Python's, and its handler runs now.
        py.check_signals()?;
        if let Some(caught) = caught {
            caught.call0()?;
        }
        if !py.detach(|| signals.drain(&self.server)) {
            std::process::exit(1);
        }
        self.close(py)
    }
}

/// Keeps what a signal handler of Python raised while a model was being opened.
fn keep(interrupt: &Mutex<Option<PyErr>>, error: PyErr) {
    *interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
}

pub(crate) fn open(text: &str, runs: Runs, library: &str, (options, is_wanted): (&Options, &dyn Fn() -> bool)) -> Outcome<Model> {
    match runs {
        Runs::File(payload) => {
            let description = Description::from_json(text)?;
            if description.is_router() {
                return Ok((description, Vec::new()));
            }
            let executors = open_to_serve(&description, &payload.into(), library, options.threads, options.cores)?;
            Ok((description, executors))
        }
        Runs::Workers(Workers { command, directory }) => worker::open(text, Launch { command, directory }, options, is_wanted),
    }
}

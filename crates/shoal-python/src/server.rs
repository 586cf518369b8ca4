//! The server, started from Python.

use pyo3::prelude::*;
use pyo3::types::PyList;
use shoal_server::description::{Column, Description};
use shoal_server::executor::{Executor, check_answer};
use shoal_server::fault::{Code, Fault, Outcome};
use shoal_server::onnx::open_to_serve;
use shoal_server::options::Options;
use shoal_server::server::Model;
use shoal_server::signals::Signals;
use shoal_server::values::Table;

use crate::columns::{outcome, received, sent};
use crate::session::Payload;

/// What runs a model: a file for ONNX Runtime, or a callable from wire columns to wire columns.
#[derive(FromPyObject)]
enum Runs {
    #[pyo3(transparent)]
    File(Payload),
    #[pyo3(transparent)]
    Callable(Py<PyAny>),
}

/// Calls Python once for each micro-batch.
struct PythonModel {
    description: Description,
    callable: Py<PyAny>,
}

impl Executor for PythonModel {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        let table = Python::attach(|py| self.call(py, inputs).map_err(|error| failed(py, &error)))??;
        check_answer(&self.description, inputs.rows, &table)?;
        Ok(table)
    }
}

impl PythonModel {
    fn call(&self, py: Python<'_>, inputs: &Table) -> PyResult<Outcome<Table>> {
        let columns = sent(py, &self.description.signature.inputs, inputs)?;
        let answer = self.callable.bind(py).call1((columns,))?;
        Ok(answered(&self.description.signature.outputs, received(answer.cast::<PyList>()?)?, inputs.rows))
    }
}

/// The columns of an answer in the order of the signature.
fn answered(outputs: &[Column], mut columns: Vec<shoal_server::intake::Received>, rows: usize) -> Outcome<Table> {
    let mut table = Table { rows, columns: Vec::with_capacity(outputs.len()) };
    for output in outputs {
        let index = columns.iter().position(|column| column.name == output.name && column.dtype == output.dtype);
        let index = index.ok_or_else(|| {
            Fault::new(Code::ModelFailed, format!("the model did not answer column {:?} as {}", output.name, output.dtype.name()))
        })?;
        table.columns.push(columns.swap_remove(index).into_values());
    }
    Ok(table)
}

/// The exception of a model: its type and text, on one line; errors of Shoal say both already.
fn failed(py: Python<'_>, error: &PyErr) -> Fault {
    if error.value(py).hasattr("code").unwrap_or(false) {
        return Fault::new(Code::ModelFailed, error.value(py).to_string());
    }
    let kind = error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    Fault::new(Code::ModelFailed, format!("the model raised {kind}: {}", error.value(py)))
}

/// Listens at once, serves on its own threads, answers all accepted requests before it ends.
#[pyclass(frozen, module = "shoal._native")]
pub(crate) struct Server {
    server: shoal_server::server::Server,
}

impl Drop for Server {
    /// Closing waits for executors, and one of them may be waiting for the GIL.
    fn drop(&mut self) {
        drop(Python::attach(|py| self.close(py)));
    }
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (models, *, options, library))]
    fn new(py: Python<'_>, models: Vec<(String, Runs)>, options: &str, library: &str) -> PyResult<Self> {
        let server = py.detach(|| {
            let models: Vec<Model> = models.into_iter().map(|(text, runs)| open(&text, runs, library)).collect::<Outcome<_>>()?;
            shoal_server::server::Server::start(models, Options::from_json(options)?)
        });
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

fn open(text: &str, runs: Runs, library: &str) -> Outcome<Model> {
    let description = Description::from_json(text)?;
    let executor: Box<dyn Executor> = match runs {
        Runs::File(payload) => open_to_serve(&description, &payload.into(), library)?,
        Runs::Callable(callable) => Box::new(PythonModel { description: description.clone(), callable }),
    };
    Ok((description, vec![executor]))
}

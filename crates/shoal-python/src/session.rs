//! ONNX sessions, for `Model.predict`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use shoal_server::cut::Cut;
use shoal_server::description::Description;
use shoal_server::executor::Executor;
use shoal_server::fault::Outcome;
use shoal_server::intake::admit;
use shoal_server::onnx::{OnnxModel, Source, TensorInfo, inspect};
use shoal_server::values::Table;

use crate::columns::{outcome, received, sent};

/// Bytes of a model, or the path of its file.
#[derive(FromPyObject)]
pub(crate) enum Payload {
    #[pyo3(transparent)]
    Path(String),
    #[pyo3(transparent)]
    Memory(Vec<u8>),
}

impl From<Payload> for Source {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Path(path) => Self::Path(path),
            Payload::Memory(bytes) => Self::Memory(bytes),
        }
    }
}

/// An ONNX model. Thread-safe; releases the GIL while it runs.
#[pyclass(frozen, module = "shoal._native")]
pub(crate) struct Session {
    description: Description,
    model: Model,
}

enum Model {
    /// One call at a time, on all cores, of the table as it is.
    Whole(Box<Mutex<OnnxModel>>),
    /// As many calls at a time as there are, each on its share of the cores, in micro-batches of the cheapest size.
    Cut(Vec<Mutex<Cut<OnnxModel>>>),
}

impl Model {
    fn run(&self, table: &Table) -> Outcome<Table> {
        match self {
            Self::Whole(model) => lock(model).run(table),
            Self::Cut(models) => {
                let free = models.iter().find_map(|model| model.try_lock().ok());
                free.unwrap_or_else(|| lock(&models[0])).run(table)
            }
        }
    }
}

fn lock<T>(model: &Mutex<T>) -> MutexGuard<'_, T> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (description, model, library, workers=None))]
    fn new(py: Python<'_>, description: &str, model: Payload, library: &str, workers: Option<usize>) -> PyResult<Self> {
        let description = outcome(Description::from_json(description))?;
        let source = Source::from(model);
        let model = outcome(py.detach(|| open(&description, &source, library, workers)))?;
        Ok(Self { description, model })
    }

    /// Answers each record of the columns in its place.
    fn run<'py>(&self, py: Python<'py>, columns: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
        let columns = received(columns)?;
        let answer = py.detach(|| self.model.run(&admit(&self.description, columns, usize::MAX)?));
        sent(py, &self.description.signature.outputs, &outcome(answer)?)
    }
}

fn open(description: &Description, source: &Source, library: &str, workers: Option<usize>) -> Outcome<Model> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let open = |threads: usize| OnnxModel::open(description.clone(), source, library, threads);
    let Some(workers) = workers else { return open(cores).map(|model| Model::Whole(Box::new(Mutex::new(model)))) };
    let threads = (cores / workers.max(1)).max(1);
    let cut = |_| open(threads).map(|model| Mutex::new(Cut::new(description, model)));
    (0..workers.max(1)).map(cut).collect::<Outcome<Vec<_>>>().map(Model::Cut)
}

/// The inputs and outputs of a model as ONNX Runtime sees them, as JSON.
#[pyfunction]
pub(crate) fn inspect_onnx(py: Python<'_>, model: Payload, library: &str) -> PyResult<String> {
    let (inputs, outputs) = outcome(py.detach(|| inspect(&model.into(), library)))?;
    let list = |tensors: Vec<TensorInfo>| -> Vec<serde_json::Value> {
        tensors.into_iter().map(|(name, dtype, shape)| serde_json::json!({"name": name, "dtype": dtype, "shape": shape})).collect()
    };
    Ok(serde_json::json!({"inputs": list(inputs), "outputs": list(outputs)}).to_string())
}

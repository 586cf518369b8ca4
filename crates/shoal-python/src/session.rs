//! One ONNX session, for `Model.predict`.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use shoal_server::description::Description;
use shoal_server::executor::Executor;
use shoal_server::intake::admit;
use shoal_server::onnx::{OnnxModel, Source, TensorInfo, inspect};

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

/// One ONNX session. Thread-safe; releases the GIL while it runs.
#[pyclass(frozen, module = "shoal._native")]
pub(crate) struct Session {
    model: Mutex<OnnxModel>,
    description: Description,
}

#[pymethods]
impl Session {
    #[new]
    fn new(py: Python<'_>, description: &str, model: Payload, library: &str) -> PyResult<Self> {
        let description = outcome(Description::from_json(description))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let model = py.detach(|| OnnxModel::open(description.clone(), &model.into(), library, threads));
        Ok(Self { model: Mutex::new(outcome(model)?), description })
    }

    /// Answers each record of the columns in its place.
    fn run<'py>(&self, py: Python<'py>, columns: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
        let columns = received(columns)?;
        let answer = py.detach(|| {
            let table = admit(&self.description, columns, usize::MAX)?;
            self.model.lock().unwrap_or_else(PoisonError::into_inner).run(&table)
        });
        sent(py, &self.description.signature.outputs, &outcome(answer)?)
    }
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

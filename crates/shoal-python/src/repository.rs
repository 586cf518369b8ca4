//! A repository of packages that Python keeps.
//!
//! The object has `packages()`, a list of `(place, name, version, digest, problem)` with `problem` None or
//! `(code, message, hint)`, and `open(place)`, a context manager of the description's text and what runs the model.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use shoal_server::executor::{Executor, Health};
use shoal_server::fault::{Code, Fault, Outcome};
use shoal_server::options::Options;
use shoal_server::repository::{Listed, Repository};
use shoal_server::server::Model;
use shoal_server::values::Table;

use crate::server::{Runs, open};

/// A Python object that lists and opens packages.
pub(crate) struct PythonRepository {
    pub(crate) object: Py<PyAny>,
    pub(crate) library: String,
    pub(crate) options: Options,
}

/// An executor whose files Python keeps as long as it lives.
struct Kept {
    executor: Box<dyn Executor>,
    _files: Py<PyAny>,
}

impl Executor for Kept {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        self.executor.run(inputs)
    }

    fn threads(&self) -> usize {
        self.executor.threads()
    }

    fn health(&self) -> Option<Arc<dyn Health>> {
        self.executor.health()
    }
}

type Problem = (String, String, Option<String>);
type Package = (String, String, String, String, Option<Problem>);

impl Repository for PythonRepository {
    fn packages(&self) -> Outcome<Vec<Listed>> {
        Python::attach(|py| {
            let call = || -> PyResult<Vec<Package>> { self.object.bind(py).call_method0("packages")?.extract() };
            Ok(call().map_err(|error| fault(py, &error))?.into_iter().map(listed).collect())
        })
    }

    fn open(&self, place: &str) -> Outcome<Model> {
        Python::attach(|py| {
            let entered = || -> PyResult<(Bound<'_, PyAny>, String, Py<PyAny>, Runs)> {
                let context = self.object.bind(py).call_method1("open", (place,))?;
                let (text, files): (String, Bound<'_, PyAny>) = context.call_method0("__enter__")?.extract()?;
                let runs = files.extract::<Runs>()?;
                Ok((context, text, files.unbind(), runs))
            };
            let (context, text, files, runs) = entered().map_err(|error| fault(py, &error))?;
            let is_process = matches!(runs, Runs::Workers(_));
            let model = py.detach(|| open(&text, runs, &self.library, (&self.options, &|| true)));
            let model = if is_process { model.map(|model| kept(py, model, &files)) } else { model };
            let none = PyTuple::new(py, [py.None(), py.None(), py.None()]);
            let left = none.and_then(|none| context.call_method1("__exit__", none));
            left.map_err(|error| fault(py, &error)).and(model)
        })
    }
}

/// A model whose executors hold on to their files.
fn kept(py: Python<'_>, (description, executors): Model, files: &Py<PyAny>) -> Model {
    let hold = |executor| -> Box<dyn Executor> { Box::new(Kept { executor, _files: files.clone_ref(py) }) };
    (description, executors.into_iter().map(hold).collect())
}

fn listed((place, name, version, digest, problem): Package) -> Listed {
    let problem = problem.map(|(code, message, hint)| known(&code, message, hint));
    Listed { place, name, version, digest, problem }
}

/// An error of Shoal keeps its code; any other exception is a defect.
fn fault(py: Python<'_>, error: &PyErr) -> Fault {
    let value = error.value(py);
    let code = value.getattr("code").and_then(|code| code.extract::<String>()).unwrap_or_default();
    let hint = value.getattr("hint").and_then(|hint| hint.extract::<Option<String>>()).unwrap_or_default();
    known(&code, error.value(py).to_string(), hint)
}

fn known(code: &str, message: String, hint: Option<String>) -> Fault {
    let mut fault = Fault::new(Code::from_name(code).unwrap_or(Code::Internal), message);
    fault.hint = hint;
    fault
}

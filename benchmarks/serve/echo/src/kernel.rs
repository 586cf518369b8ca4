//! The cost of one ONNX Runtime call on one thread, without a server around it.

use std::collections::BTreeMap;
use std::error::Error;

use ort::environment::Environment;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

use crate::parse::Request;
use crate::stopwatch::nanoseconds_per_call;

/// Runs the model at `path` with each batch size in `sizes`; gives one line of JSON.
///
/// Inputs are rows of the file `bodies`, repeated; only the first output is asked for, as `/predict` does.
pub(crate) fn measure(library: &str, path: &str, bodies: &str, sizes: &[&str]) -> Result<String, Box<dyn Error>> {
    let environment = ort::init_from(library)?.build()?;
    let mut session = open(&environment, path)?;
    let rows = rows(bodies)?;
    let mut costs = BTreeMap::new();
    for size in sizes {
        costs.insert((*size).to_owned(), call(&mut session, &rows, size.parse()?)?);
    }
    Ok(serde_json::json!({"kernel_ns_per_call": costs}).to_string())
}

fn open(environment: &Environment, path: &str) -> Result<Session, Box<dyn Error>> {
    let mut builder = Session::builder(environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
    Ok(builder.commit_from_file(path)?)
}

fn rows(path: &str) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let parsed = std::fs::read_to_string(path)?
        .lines()
        .map(|line| serde_json::from_str::<Request>(line).map(|request| request.features))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(parsed)
}

fn call(session: &mut Session, rows: &[Vec<f32>], size: usize) -> Result<f64, Box<dyn Error>> {
    let width = rows.first().map_or(0, Vec::len);
    let batch: Vec<f32> = rows.iter().cycle().take(size).flatten().copied().collect();
    let options = first_output(session)?;
    nanoseconds_per_call(|| {
        let input = TensorRef::from_array_view(([size, width], batch.as_slice()))?;
        session.run_with_options(ort::inputs![input], &options)?;
        Ok(())
    })
}

fn first_output(session: &Session) -> Result<RunOptions<HasSelectedOutputs>, Box<dyn Error>> {
    let name = session.outputs().first().ok_or("the model has no output")?.name().to_owned();
    Ok(RunOptions::new()?.with_outputs(OutputSelector::no_default().with(name)))
}

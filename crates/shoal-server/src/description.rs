//! What a package says of its model: the `shoal.json` of a package, as far as running needs it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fault::{Code, Fault, Outcome};
use crate::options::Options;
use crate::padding::{Padding, Rule};
use crate::tasks::route::{self, Route};
use crate::values::Dtype;

/// What a package says instead of a runtime if it says where records go.
const ROUTER: &str = "router";

/// Who answers: a model or a router, and in which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) model: String,
    pub(crate) version: String,
}

/// The description of a package.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    /// The name under which the model is served.
    pub name: String,
    /// The version, any text.
    pub version: String,
    /// `onnx`, `python`, or `router`.
    pub runtime: String,
    /// Whether a record may be run again after a failure.
    #[serde(default = "yes")]
    pub pure: bool,
    /// The named, typed columns; a router has none of its own.
    #[serde(default = "Signature::absent")]
    pub signature: Signature,
    /// Where a router sends records; a model has none.
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
    /// How the columns meet the file.
    #[serde(default)]
    pub binding: Binding,
    /// Limits of a micro-batch.
    #[serde(default)]
    pub policy: Policy,
    /// How far two answers to the same record may lie apart.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// A few records and their answers, as they stand in the text.
    #[serde(default)]
    pub golden: Option<Box<RawValue>>,
    /// The digest of the package, which stands beside the text; empty where it is not known.
    #[serde(skip)]
    pub digest: String,
    /// How records of different lengths share a micro-batch, where columns say so.
    #[serde(skip)]
    pub(crate) padding: Option<Arc<Padding>>,
}

/// Named, typed input and output columns.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Signature {
    /// What a request carries.
    pub inputs: Vec<Column>,
    /// What an answer carries.
    pub outputs: Vec<Column>,
    /// Whether the description has none; one without columns is one.
    #[serde(skip)]
    is_absent: bool,
}

impl Signature {
    const fn absent() -> Self {
        Self { inputs: Vec::new(), outputs: Vec::new(), is_absent: true }
    }

    /// Columns without any that are asked for.
    pub(crate) const fn of_inputs(inputs: Vec<Column>) -> Self {
        Self { inputs, outputs: Vec::new(), is_absent: false }
    }

    fn check_moments(&self) -> Outcome<()> {
        let is_sound = |column: &Column| column.dtype == Dtype::Int64 && column.shape.is_empty();
        let wrong = self.inputs.iter().find(|column| column.moment && !is_sound(column));
        wrong.or(self.outputs.iter().find(|column| column.moment)).map_or(Ok(()), |column| {
            let message = format!("column {:?} holds moments; only inputs of INT64 scalars can", column.name);
            Err(Fault::new(Code::CorruptPackage, message))
        })
    }
}

/// One column of a signature.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The dtype of its values.
    pub dtype: Dtype,
    /// The shape of one record; -1 is variable.
    #[serde(default)]
    pub shape: Vec<i64>,
    /// Whether a value may be missing.
    #[serde(default)]
    pub nullable: bool,
    /// How an input is padded along its variable dimension.
    #[serde(default)]
    pub padding: Option<Rule>,
    /// The input whose padded length the variable dimension of an output has.
    #[serde(default)]
    pub follows: Option<String>,
    /// Whether the values of an input are moments: whole seconds since 1970-01-01 UTC, which may also come as dates.
    #[serde(default)]
    pub moment: bool,
}

/// How columns meet the tensors of a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Binding {
    /// One entry for each input column (onnx).
    #[serde(default)]
    pub inputs: Vec<InputBinding>,
    /// One entry for each output column (onnx).
    #[serde(default)]
    pub outputs: Vec<OutputBinding>,
}

/// How one input column meets its tensor.
#[derive(Clone, Debug, Deserialize)]
pub struct InputBinding {
    /// The column.
    pub column: String,
    /// The tensor.
    pub tensor: String,
    /// 1 for `[N]`, 2 for `[N,1]` or `[N,k]`, and so on.
    pub rank: usize,
    /// What a missing value becomes.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// Names of the k scalar columns that pack into this one.
    #[serde(default)]
    pub features: Option<Vec<String>>,
}

/// What a missing value becomes: `"NaN"`, a number or a text.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Missing {
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text; `"NaN"` for a column of floats.
    Text(String),
}

/// How one output column meets its tensor.
#[derive(Clone, Debug, Deserialize)]
pub struct OutputBinding {
    /// The column.
    pub column: String,
    /// The tensor.
    pub tensor: String,
}

/// Limits of a micro-batch.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// At most so many rows.
    pub max_rows: usize,
    /// At most so many bytes of input.
    pub max_bytes: usize,
    /// A request with a free executor waits for company no longer than this.
    pub max_wait_ms: Option<f64>,
    /// From arrival to answer: micro-batches stay small enough for it.
    pub latency_target_ms: Option<f64>,
}

/// How far two answers to the same record may lie apart.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Tolerance {
    /// By so much in any case.
    pub absolute: f64,
    /// By this part of the answer.
    pub relative: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { absolute: 1e-5, relative: 1e-5 }
    }
}

const fn yes() -> bool {
    true
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_rows: 64, max_bytes: 16 << 20, max_wait_ms: None, latency_target_ms: None }
    }
}

impl Policy {
    /// Takes what the operator of a server says instead of what the package says.
    pub(crate) fn prefer(&mut self, options: &Options) {
        self.max_wait_ms = options.max_wait_ms.or(self.max_wait_ms);
        self.latency_target_ms = options.latency_target_ms.or(self.latency_target_ms);
    }
}

impl Description {
    /// Reads a `shoal.json`.
    ///
    /// # Errors
    /// `CorruptPackage` when the text is not a description, limits are zero, a column cannot hold moments, or padding cannot
    /// be done as it says.
    pub fn from_json(text: &str) -> Outcome<Self> {
        let mut description: Self = serde_json::from_str(text)
            .map_err(|error| Fault::new(Code::CorruptPackage, format!("shoal.json is not a description of a package: {error}")))?;
        if description.policy.max_rows == 0 || description.policy.max_bytes == 0 {
            return Err(Fault::new(
                Code::CorruptPackage,
                "shoal.json allows no rows or no bytes in a micro-batch; both limits must be at least 1",
            ));
        }
        description.check_runtime()?;
        description.signature.check_moments()?;
        description.padding = Padding::of(&description)?.map(Arc::new);
        Ok(description)
    }

    /// Whether it has no model, and says where records go.
    #[must_use]
    pub fn is_router(&self) -> bool {
        self.runtime == ROUTER
    }

    /// A router has routes and no columns, a model has no routes.
    fn check_runtime(&self) -> Outcome<()> {
        let (has_columns, has_routes) = (!(self.signature.inputs.is_empty() && self.signature.outputs.is_empty()), !self.routes.is_empty());
        if self.is_router() && !has_columns {
            return route::check(&self.routes);
        }
        if !self.is_router() && !self.signature.is_absent && !has_routes {
            return Ok(());
        }
        let message =
            format!("shoal.json of runtime {:?} does not describe a model by its columns, or a router by its routes", self.runtime);
        Err(Fault::new(Code::CorruptPackage, message))
    }

    /// The dtypes of the input columns, in order.
    #[must_use]
    pub fn input_dtypes(&self) -> Vec<Dtype> {
        self.signature.inputs.iter().map(|column| column.dtype).collect()
    }

    /// The dtypes of the output columns, in order.
    #[must_use]
    pub fn output_dtypes(&self) -> Vec<Dtype> {
        self.signature.outputs.iter().map(|column| column.dtype).collect()
    }

    /// The binding of an input column, if the runtime has one.
    #[must_use]
    pub fn input_binding(&self, column: &str) -> Option<&InputBinding> {
        self.binding.inputs.iter().find(|binding| binding.column == column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_inputs_of_int64_scalars_and_nothing_else() {
        let read = |inputs: &str, outputs: &str| {
            let signature = format!(r#"{{"inputs":[{inputs}],"outputs":[{outputs}]}}"#);
            Description::from_json(&format!(r#"{{"name":"m","version":"1","runtime":"onnx","signature":{signature}}}"#))
        };
        let moment = r#"{"name":"at","dtype":"INT64","shape":[],"moment":true}"#;
        assert!(read(moment, "").unwrap().signature.inputs[0].moment);
        assert!(!read(r#"{"name":"at","dtype":"INT64"}"#, "").unwrap().signature.inputs[0].moment);
        for (inputs, outputs) in [
            (moment.replace("64", "32"), ""),
            (moment.replace("[]", "[2]"), ""),
            (moment.replace("INT64", "FP64"), ""),
            (String::new(), moment),
        ] {
            assert_eq!(read(&inputs, outputs).unwrap_err().code, Code::CorruptPackage, "{inputs} {outputs}");
        }
    }
}

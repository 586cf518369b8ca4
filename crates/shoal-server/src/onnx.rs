//! The ONNX runtime: one session type for `Model.predict` and for the server.
//!
//! ONNX Runtime is loaded once per process from the library that the caller names (the one inside the
//! `onnxruntime` wheel). A session takes a [`Table`] in signature order, hands each column to its tensor
//! without copying where it is of fixed width, and copies the answers out once.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, TensorRef, ValueType};

use crate::description::{Column, Description};
use crate::executor::{Executor, check_answer};
use crate::fault::{Code, Fault, Outcome};
use crate::values::{Buffer, Dtype, Payload, Table, Values};
use crate::warm_up::is_quick;

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Where the bytes of a model are.
#[derive(Clone, Debug)]
pub enum Source {
    /// The file itself.
    Memory(Vec<u8>),
    /// A path, for models whose tensors lie in files beside it.
    Path(String),
}

/// Loads ONNX Runtime from `library`, the first time.
fn environment(library: &str) -> Outcome<&'static Environment> {
    let _alone = LOADING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let unusable = |error: String| {
        Fault::new(Code::Internal, format!("ONNX Runtime cannot be loaded from {library:?}: {error}"))
            .hint("reinstall the onnxruntime wheel")
    };
    if !Path::new(library).is_file() {
        return Err(unusable("no such file".into()));
    }
    let environment = ort::init_from(library)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("shoal")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

/// Opens a session.
fn open(source: &Source, library: &str, threads: usize) -> Outcome<Session> {
    let broken = |error: String| Fault::new(Code::UnsupportedModel, format!("ONNX Runtime cannot load the model: {error}"));
    let mut builder = Session::builder(environment(library)?)
        .and_then(|builder| builder.with_intra_threads(threads).map_err(Into::into))
        .and_then(|builder| builder.with_inter_threads(1).map_err(Into::into))
        .and_then(|builder| builder.with_intra_op_spinning(false).map_err(Into::into))
        .map_err(|error| broken(error.to_string()))?;
    match source {
        Source::Memory(bytes) => builder.commit_from_memory(bytes),
        Source::Path(path) => builder.commit_from_file(path),
    }
    .map_err(|error| broken(error.to_string()))
}

/// A tensor of a model file as ONNX Runtime sees it: (name, dtype or kind, full shape with -1 for variable).
pub type TensorInfo = (String, String, Vec<i64>);

/// The inputs and outputs of a model file.
///
/// # Errors
/// `UnsupportedModel` when the file cannot be loaded.
pub fn inspect(source: &Source, library: &str) -> Outcome<(Vec<TensorInfo>, Vec<TensorInfo>)> {
    let session = open(source, library, 1)?;
    let list = |outlets: &[Outlet]| outlets.iter().map(describe).collect();
    Ok((list(session.inputs()), list(session.outputs())))
}

fn describe(outlet: &Outlet) -> TensorInfo {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => match dtype_of(*ty) {
            Some(dtype) => (name, dtype.name().to_owned(), shape.to_vec()),
            None => (name, ty.to_string().to_uppercase(), shape.to_vec()),
        },
        ValueType::Sequence(_) => (name, "SEQUENCE".to_owned(), Vec::new()),
        ValueType::Map { .. } => (name, "MAP".to_owned(), Vec::new()),
        ValueType::Optional(_) => (name, "OPTIONAL".to_owned(), Vec::new()),
    }
}

fn dtype_of(element: TensorElementType) -> Option<Dtype> {
    Some(match element {
        TensorElementType::Bool => Dtype::Bool,
        TensorElementType::Uint8 => Dtype::Uint8,
        TensorElementType::Uint16 => Dtype::Uint16,
        TensorElementType::Uint32 => Dtype::Uint32,
        TensorElementType::Uint64 => Dtype::Uint64,
        TensorElementType::Int8 => Dtype::Int8,
        TensorElementType::Int16 => Dtype::Int16,
        TensorElementType::Int32 => Dtype::Int32,
        TensorElementType::Int64 => Dtype::Int64,
        TensorElementType::Float16 => Dtype::Fp16,
        TensorElementType::Float32 => Dtype::Fp32,
        TensorElementType::Float64 => Dtype::Fp64,
        TensorElementType::String => Dtype::Bytes,
        _ => return None,
    })
}

/// One input of the session: the column it takes and the rank it wants.
struct BoundInput {
    tensor: String,
    column: usize,
    rank: usize,
}

/// An opened ONNX model.
pub struct OnnxModel {
    session: Session,
    description: Description,
    inputs: Vec<BoundInput>,
    /// For each output column, the name of its tensor.
    outputs: Vec<String>,
    threads: usize,
}

impl OnnxModel {
    /// Opens a model and holds its tensors to its description.
    ///
    /// # Errors
    /// `UnsupportedModel` when the file cannot be loaded; `CorruptPackage` when the binding names a tensor
    /// or column that is not there, or gives a tensor another dtype.
    pub fn open(mut description: Description, source: &Source, library: &str, threads: usize) -> Outcome<Self> {
        // Whoever compares with the golden rows has them; a session does not keep them.
        description.golden = None;
        let session = open(source, library, threads)?;
        let inputs = bind_inputs(&description, session.inputs())?;
        let outputs = bind_outputs(&description, session.outputs())?;
        Ok(Self { session, description, inputs, outputs, threads })
    }

    /// The description it was opened with.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }
}

/// Opens a model for a server: if its micro-batches are quick, once for each of its `threads` and on that one
/// alone, since waking others would cost more than they give; otherwise once, on all `cores` (of the machine, if
/// nothing is said).
///
/// # Errors
/// Those of [`OnnxModel::open`].
pub fn open_to_serve(
    description: &Description,
    source: &Source,
    library: &str,
    threads: usize,
    cores: Option<usize>,
) -> Outcome<Vec<Box<dyn Executor>>> {
    let open = |cores| OnnxModel::open(description.clone(), source, library, cores).map(|model| -> Box<dyn Executor> { Box::new(model) });
    let mut first = open(1)?;
    let cores = cores.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if cores == 1 && threads == 1 {
        return Ok(vec![first]);
    }
    if !is_quick(description, &mut *first) {
        return Ok(vec![if cores > 1 { open(cores)? } else { first }]);
    }
    std::iter::once(Ok(first)).chain((1..threads).map(|_| open(1))).collect()
}

fn bind_inputs(description: &Description, outlets: &[Outlet]) -> Outcome<Vec<BoundInput>> {
    let columns = &description.signature.inputs;
    let mut bound = Vec::with_capacity(outlets.len());
    for (index, column) in columns.iter().enumerate() {
        let binding = description
            .input_binding(&column.name)
            .ok_or_else(|| unbound(&format!("input column {:?} is bound to no tensor", column.name)))?;
        find_tensor(outlets, &binding.tensor, column)?;
        bound.push(BoundInput { tensor: binding.tensor.clone(), column: index, rank: binding.rank });
    }
    Ok(bound)
}

fn bind_outputs(description: &Description, outlets: &[Outlet]) -> Outcome<Vec<String>> {
    let bind = |column: &Column| {
        let binding = description.binding.outputs.iter().find(|binding| binding.column == column.name);
        let tensor = binding.map_or(column.name.as_str(), |binding| binding.tensor.as_str());
        find_tensor(outlets, tensor, column).map(|()| tensor.to_owned())
    };
    description.signature.outputs.iter().map(bind).collect()
}

fn find_tensor(outlets: &[Outlet], tensor: &str, column: &Column) -> Outcome<()> {
    let outlet = outlets.iter().find(|outlet| outlet.name() == tensor);
    let (_, dtype, _) =
        describe(outlet.ok_or_else(|| unbound(&format!("the model has no tensor {tensor:?} for column {:?}", column.name)))?);
    if dtype == column.dtype.name() {
        return Ok(());
    }
    Err(unbound(&format!("tensor {tensor:?} of the model is {dtype}, column {:?} is {}", column.name, column.dtype.name())))
}

fn unbound(message: &str) -> Fault {
    Fault::new(Code::CorruptPackage, message)
}

impl Executor for OnnxModel {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        let mut feed: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for bound in &self.inputs {
            let (column, values) = (&self.description.signature.inputs[bound.column], &inputs.columns[bound.column]);
            feed.push((Cow::Borrowed(&bound.tensor), tensor_of(column, values, inputs.rows, bound.rank)?));
        }
        let answers = self.session.run(feed).map_err(failed)?;
        let mut columns = Vec::with_capacity(self.outputs.len());
        for (tensor, column) in self.outputs.iter().zip(&self.description.signature.outputs) {
            let value = answers.get(tensor).ok_or_else(|| failed(format!("it has no output {tensor:?}")))?;
            columns.push(values_of(column, value, inputs.rows)?);
        }
        let answer = Table { rows: inputs.rows, columns };
        check_answer(&self.description, inputs.rows, &answer)?;
        Ok(answer)
    }
}

fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::ModelFailed, format!("the model failed: {error}"))
}

/// `[N]`, `[N,1]` or `[N, shape...]`.
fn full_shape(values: &Values, rows: usize, rank: usize) -> Vec<usize> {
    let mut shape = Vec::with_capacity(rank.max(1));
    shape.push(rows);
    shape.extend_from_slice(&values.shape);
    shape.resize(shape.len().max(rank), 1);
    shape
}

/// Views fixed-width values as a tensor of `$kind`, without a copy.
macro_rules! view {
    ($kind:ty, $shape:expr, $bytes:expr) => {
        TensorRef::from_array_view(($shape, bytemuck::cast_slice::<u8, $kind>($bytes))).map(SessionInputValue::from)
    };
}

fn tensor_of<'v>(column: &Column, values: &'v Values, rows: usize, rank: usize) -> Outcome<SessionInputValue<'v>> {
    let shape = full_shape(values, rows, rank);
    let bytes = match &values.payload {
        Payload::Bytes(list) => return texts(column, list, shape),
        Payload::Fixed(buffer) => buffer.bytes(),
    };
    let tensor = match column.dtype {
        Dtype::Bool => {
            let flags = bytemuck::checked::try_cast_slice::<u8, bool>(bytes)
                .map_err(|_| Fault::new(Code::WrongDtype, format!("column {:?} is BOOL; its bytes must be 0 or 1", column.name)))?;
            TensorRef::from_array_view((shape, flags)).map(SessionInputValue::from)
        }
        Dtype::Uint8 => view!(u8, shape, bytes),
        Dtype::Uint16 => view!(u16, shape, bytes),
        Dtype::Uint32 => view!(u32, shape, bytes),
        Dtype::Uint64 => view!(u64, shape, bytes),
        Dtype::Int8 => view!(i8, shape, bytes),
        Dtype::Int16 => view!(i16, shape, bytes),
        Dtype::Int32 => view!(i32, shape, bytes),
        Dtype::Int64 => view!(i64, shape, bytes),
        Dtype::Fp16 => view!(half::f16, shape, bytes),
        Dtype::Fp32 => view!(f32, shape, bytes),
        Dtype::Fp64 => view!(f64, shape, bytes),
        Dtype::Bytes => return texts(column, &[], shape),
    };
    tensor.map_err(failed)
}

fn texts<'v>(column: &Column, list: &[Vec<u8>], shape: Vec<usize>) -> Outcome<SessionInputValue<'v>> {
    let mut texts = Vec::with_capacity(list.len());
    for item in list {
        let text = std::str::from_utf8(item).ok().filter(|text| !text.contains('\0'));
        let text =
            text.ok_or_else(|| Fault::new(Code::WrongDtype, format!("column {:?} takes UTF-8 text without NUL characters", column.name)))?;
        texts.push(text.to_owned());
    }
    Tensor::from_string_array((shape, &*texts)).map(SessionInputValue::from).map_err(failed)
}

/// Copies the tensor of `$kind` out.
macro_rules! copy {
    ($kind:ty, $value:expr) => {
        $value
            .try_extract_tensor::<$kind>()
            .map(|(shape, data)| (shape.to_vec(), Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(data)))))
    };
}

fn values_of(column: &Column, value: &DynValue, rows: usize) -> Outcome<Values> {
    let (full, payload) = match column.dtype {
        Dtype::Bool => copy!(bool, value),
        Dtype::Uint8 => copy!(u8, value),
        Dtype::Uint16 => copy!(u16, value),
        Dtype::Uint32 => copy!(u32, value),
        Dtype::Uint64 => copy!(u64, value),
        Dtype::Int8 => copy!(i8, value),
        Dtype::Int16 => copy!(i16, value),
        Dtype::Int32 => copy!(i32, value),
        Dtype::Int64 => copy!(i64, value),
        Dtype::Fp16 => copy!(half::f16, value),
        Dtype::Fp32 => copy!(f32, value),
        Dtype::Fp64 => copy!(f64, value),
        Dtype::Bytes => value
            .try_extract_strings()
            .map(|(shape, list)| (shape.to_vec(), Payload::Bytes(list.into_iter().map(String::into_bytes).collect()))),
    }
    .map_err(failed)?;
    Ok(Values { shape: record_shape(column, &full, rows)?, payload, missing: Vec::new() })
}

/// The shape of one record: without the first dimension, and without a trailing 1 for a scalar column.
fn record_shape(column: &Column, full: &[i64], rows: usize) -> Outcome<Vec<usize>> {
    let dims: Vec<usize> = full.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
    match dims.split_first() {
        Some((first, rest)) if *first == rows => Ok(if column.shape.is_empty() && rest == [1] { Vec::new() } else { rest.to_vec() }),
        _ => Err(Fault::new(
            Code::ModelFailed,
            format!("the model answered column {:?} with shape {full:?} for {rows} records", column.name),
        )
        .hint("the first dimension of every output must be the records")),
    }
}

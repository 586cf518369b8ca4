//! The inference request of the Open Inference Protocol, as JSON or as the JSON header before binary tensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::elements::{Elements, Sink};
use super::{Trouble, raise, settle, unknown_field};
use crate::description::Column;
use crate::fault::{Code, Fault, Outcome};
use crate::intake::{Received, check_dtype, twice, unexpected};
use crate::values::{Dtype, Payload};

/// A decoded inference request.
#[derive(Debug, Default)]
pub(crate) struct InferRequest {
    pub(crate) id: Option<String>,
    /// 0 is the default, 1 the most urgent.
    pub(crate) priority: u8,
    /// How long the caller waits, in microseconds.
    pub(crate) timeout_us: Option<u64>,
    /// Whether outputs are to be binary, unless one says otherwise.
    pub(crate) binary_output: bool,
    /// Which outputs, and whether each is to be binary; None is all.
    pub(crate) outputs: Option<Vec<(String, Option<bool>)>>,
    pub(crate) columns: Vec<Received>,
    /// For each column whose values follow the JSON: its index and how many bytes.
    pub(crate) binary: Vec<(usize, usize)>,
}

/// The value of a parameter.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
    Bool(bool),
    Unsigned(u64),
    Number(f64),
    Text(String),
}

impl Parameter {
    fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Unsigned(_) | Self::Number(_) | Self::Text(_) => None,
        }
    }

    /// The value as a message shows it.
    fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", text.chars().take(64).collect::<String>()),
        }
    }
}

type Parameters = HashMap<String, Parameter>;

/// Reads a request for a model with these input columns.
pub(crate) fn decode(body: &[u8], columns: &[Column]) -> Outcome<InferRequest> {
    let trouble = Trouble::default();
    let mut parser = serde_json::Deserializer::from_slice(body);
    let result = Request { columns, trouble: &trouble }.deserialize(&mut parser);
    settle(result.and_then(|request| parser.end().map(|()| request)), &trouble)
}

struct Request<'a> {
    columns: &'a [Column],
    trouble: &'a Trouble,
}

seed!(Request<'_>, InferRequest, deserialize_map);

impl<'de> Visitor<'de> for Request<'_> {
    type Value = InferRequest;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an inference request: an object with inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InferRequest, A::Error> {
        let mut request = InferRequest::default();
        let mut seen = Seen::default();
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            seen.check(&field).map_err(|fault| raise(self.trouble, fault))?;
            match &*field {
                "id" => request.id = map.next_value()?,
                "parameters" => {
                    let parameters: Option<Parameters> = map.next_value()?;
                    request.apply(&parameters.unwrap_or_default()).map_err(|fault| raise(self.trouble, fault))?;
                }
                "inputs" => map.next_value_seed(Inputs { request: &mut request, columns: self.columns, trouble: self.trouble })?,
                "outputs" => {
                    let outputs: Vec<RequestedOutput> = map.next_value()?;
                    request.outputs = Some(wanted(outputs).map_err(|fault| raise(self.trouble, fault))?);
                }
                _ => return Err(raise(self.trouble, unknown_field(&field, "the request", "id, parameters, inputs, outputs"))),
            }
        }
        if !seen.has("inputs") {
            return Err(raise(self.trouble, Fault::new(Code::InvalidRequest, "the request has no field \"inputs\"")));
        }
        Ok(request)
    }
}

/// The fields of one object that were seen: a second one of the same name is refused, never merged.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn check(&mut self, field: &str) -> Outcome<()> {
        if self.has(field) {
            let shown: String = field.chars().take(64).collect();
            return Err(Fault::new(Code::InvalidRequest, format!("the field {shown:?} stands twice in one object")));
        }
        self.0.push(field.to_owned());
        Ok(())
    }

    fn has(&self, field: &str) -> bool {
        self.0.iter().any(|seen| seen == field)
    }
}

impl InferRequest {
    fn apply(&mut self, parameters: &Parameters) -> Outcome<()> {
        refuse_unsupported(parameters.keys())?;
        if let Some(value) = parameters.get("timeout") {
            let timeout = value.unsigned().ok_or_else(|| wrong_parameter("timeout", value, "a whole number of microseconds"))?;
            self.timeout_us = Some(timeout).filter(|us| *us > 0);
        }
        if let Some(value) = parameters.get("priority") {
            let priority = value.unsigned().and_then(|number| u8::try_from(number).ok());
            self.priority = priority.ok_or_else(|| wrong_parameter("priority", value, "a whole number from 0 to 255"))?;
        }
        if let Some(value) = parameters.get("binary_data_output") {
            self.binary_output = flag("binary_data_output", value)?;
        }
        Ok(())
    }
}

fn wrong_parameter(name: &str, value: &Parameter, want: &str) -> Fault {
    Fault::new(Code::InvalidRequest, format!("parameter {name:?} is {}; expected {want}", value.shown()))
}

fn flag(name: &str, value: &Parameter) -> Outcome<bool> {
    value.boolean().ok_or_else(|| wrong_parameter(name, value, "true or false"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestedOutput {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

fn wanted(outputs: Vec<RequestedOutput>) -> Outcome<Vec<(String, Option<bool>)>> {
    let one = |output: RequestedOutput| {
        refuse_unsupported(output.parameters.keys())?;
        let binary = output.parameters.get("binary_data").map(|value| flag("binary_data", value));
        Ok((output.name, binary.transpose()?))
    };
    outputs.into_iter().map(one).collect()
}

/// A client that asks for what is not implemented is told so, not answered otherwise.
pub(crate) fn refuse_unsupported<'n>(mut parameters: impl Iterator<Item = &'n String>) -> Outcome<()> {
    let is_unsupported = |name: &&String| name.starts_with("shared_memory") || name.starts_with("sequence_") || *name == "classification";
    let asked = parameters.find(is_unsupported);
    asked.map_or(Ok(()), |name| Err(Fault::new(Code::InvalidRequest, format!("parameter {name:?} is not supported"))))
}

struct Inputs<'a> {
    request: &'a mut InferRequest,
    columns: &'a [Column],
    trouble: &'a Trouble,
}

seed!(Inputs<'_>, (), deserialize_seq);

impl<'de> Visitor<'de> for Inputs<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of input columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some((received, binary)) = list.next_element_seed(Input { columns: self.columns, trouble: self.trouble })? {
            // At once, not when all are read: what one column may take is bounded, and so is the number of columns.
            if self.request.columns.iter().any(|column| column.name == received.name) {
                return Err(raise(self.trouble, twice(&received.name)));
            }
            if let Some(bytes) = binary {
                self.request.binary.push((self.request.columns.len(), bytes));
            }
            self.request.columns.push(received);
        }
        Ok(())
    }
}

struct Input<'a> {
    columns: &'a [Column],
    trouble: &'a Trouble,
}

/// What is known of an input while its object is being read.
#[derive(Default)]
struct Draft<'de, 'a> {
    name: Option<String>,
    shape: Option<Vec<usize>>,
    dtype: Option<Dtype>,
    parameters: Parameters,
    values: Option<Sink<'a>>,
    /// Data that came before the name; read once the name is known.
    early: Option<&'de RawValue>,
}

seed!(Input<'_>, (Received, Option<usize>), deserialize_map);

impl<'de> Visitor<'de> for Input<'_> {
    type Value = (Received, Option<usize>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an input column: an object with name, shape, datatype and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut draft = Draft::default();
        let mut seen = Seen::default();
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            seen.check(&field).map_err(|fault| raise(self.trouble, fault))?;
            match &*field {
                "name" => draft.name = Some(map.next_value()?),
                "shape" => draft.shape = Some(map.next_value()?),
                "datatype" => {
                    let name: String = map.next_value()?;
                    draft.dtype = Some(dtype(&name).map_err(|fault| raise(self.trouble, fault))?);
                }
                "parameters" => draft.parameters = map.next_value::<Option<Parameters>>()?.unwrap_or_default(),
                "data" => self.data(&mut draft, &mut map)?,
                _ => return Err(raise(self.trouble, unknown_field(&field, "an input", "name, shape, datatype, parameters, data"))),
            }
        }
        self.finish(draft).map_err(|fault| raise(self.trouble, fault))
    }
}

fn dtype(name: &str) -> Outcome<Dtype> {
    Dtype::from_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(32).collect();
        let known = Dtype::ALL.map(Dtype::name).join(", ");
        Fault::new(Code::WrongDtype, format!("unknown datatype {shown:?}; known are {known}"))
    })
}

impl<'a> Input<'a> {
    fn column(&self, name: &str) -> Outcome<&'a Column> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| unexpected(self.columns, name))
    }

    fn data<'de, A: MapAccess<'de>>(&self, draft: &mut Draft<'de, 'a>, map: &mut A) -> Result<(), A::Error> {
        let Some(name) = &draft.name else {
            draft.early = Some(map.next_value()?);
            return Ok(());
        };
        let column = self.column(name).map_err(|fault| raise(self.trouble, fault))?;
        let mut sink = Self::sink(column, draft).map_err(|fault| raise(self.trouble, fault))?;
        map.next_value_seed(Elements { sink: &mut sink, trouble: self.trouble, depth: 0 })?;
        draft.values = Some(sink);
        Ok(())
    }

    /// A sink for the data of a column. A dtype other than the column's is refused before its data is read.
    fn sink<'c>(column: &'c Column, draft: &Draft<'_, '_>) -> Outcome<Sink<'c>> {
        if let Some(dtype) = draft.dtype {
            check_dtype(column, dtype)?;
        }
        if column.dtype == Dtype::Fp16 {
            return Err(Fault::new(Code::WrongDtype, format!("column {:?} is FP16, which has no JSON form", column.name))
                .hint("send it as a binary tensor"));
        }
        let values = draft.shape.iter().flatten().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        Ok(Sink::new(column, values.unwrap_or(0).min(1 << 16)))
    }

    fn finish(&self, mut draft: Draft<'_, 'a>) -> Outcome<(Received, Option<usize>)> {
        let absent = |field: &str| Fault::new(Code::InvalidRequest, format!("an input has no field {field:?}"));
        let name = draft.name.take().ok_or_else(|| absent("name"))?;
        let dtype = draft.dtype.ok_or_else(|| absent("datatype"))?;
        let shape = draft.shape.take().ok_or_else(|| absent("shape"))?;
        let column = self.column(&name)?;
        check_dtype(column, dtype)?;
        refuse_unsupported(draft.parameters.keys())?;
        let binary = binary_size(&draft.parameters)?;
        if binary.is_some() && (draft.values.is_some() || draft.early.is_some()) {
            let message = format!("column {name:?} has both data and binary_data_size; send one of them");
            return Err(Fault::new(Code::InvalidBinary, message));
        }
        if let Some(early) = draft.early {
            draft.values = Some(self.read_early(column, &draft, early)?);
        }
        let (payload, missing) = match draft.values {
            Some(sink) => settle_values(sink, &name, &shape)?,
            None if binary.is_some() => (Payload::with_capacity(dtype, 0), Vec::new()),
            None => return Err(absent("data")),
        };
        Ok((Received { name, dtype, shape, payload, missing }, binary))
    }

    fn read_early<'c>(&self, column: &'c Column, draft: &Draft<'_, '_>, early: &RawValue) -> Outcome<Sink<'c>> {
        let mut sink = Self::sink(column, draft)?;
        let mut parser = serde_json::Deserializer::from_str(early.get());
        settle(Elements { sink: &mut sink, trouble: self.trouble, depth: 0 }.deserialize(&mut parser), self.trouble)?;
        Ok(sink)
    }
}

/// The values of a column whose shape is known.
fn settle_values(mut sink: Sink<'_>, name: &str, shape: &[usize]) -> Outcome<(Payload, Vec<bool>)> {
    sink.finish(shape.first().copied())?;
    check_nesting(name, shape, &sink.dims)?;
    Ok((sink.payload, sink.missing))
}

fn binary_size(parameters: &Parameters) -> Outcome<Option<usize>> {
    let Some(value) = parameters.get("binary_data_size") else { return Ok(None) };
    let size = value.unsigned().and_then(|number| usize::try_from(number).ok());
    size.map(Some).ok_or_else(|| wrong_parameter("binary_data_size", value, "a whole number of bytes").coded(Code::InvalidBinary))
}

/// Flat data fits any shape; nested data must be nested as the shape says.
fn check_nesting(name: &str, shape: &[usize], dims: &[usize]) -> Outcome<()> {
    // Below an empty list nothing says how deep the data would have been.
    let is_empty = dims.contains(&0) || dims.contains(&usize::MAX);
    if dims.len() == 1 || dims == shape || (is_empty && shape.contains(&0)) {
        return Ok(());
    }
    Err(Fault::new(Code::WrongShape, format!("column {name:?} says shape {shape:?} but its data is nested as {dims:?}")))
}

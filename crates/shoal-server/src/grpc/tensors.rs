//! Tensors of gRPC messages, raw or typed, to columns and back.

use bytes::Bytes;

use super::inference::model_infer_request::InferInputTensor;
use super::inference::model_infer_response::InferOutputTensor;
use super::inference::{InferTensorContents, ModelInferResponse};
use crate::answer::refuse_nulls;
use crate::binary;
use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::intake::Received;
use crate::values::{Buffer, Dtype, Payload, Values};

/// The columns of a request. If any tensor is raw, all are.
pub(super) fn received(inputs: Vec<InferInputTensor>, raw: &[Bytes]) -> Outcome<Vec<Received>> {
    if !raw.is_empty() && raw.len() != inputs.len() {
        let message = format!("the request has {} inputs and {} raw_input_contents; each input needs one", inputs.len(), raw.len());
        return Err(Fault::new(Code::InvalidBinary, message));
    }
    inputs.into_iter().enumerate().map(|(index, input)| column(input, raw.get(index))).collect()
}

fn column(input: InferInputTensor, raw: Option<&Bytes>) -> Outcome<Received> {
    let name = input.name;
    let dtype = Dtype::from_name(&input.datatype)
        .ok_or_else(|| Fault::new(Code::WrongDtype, format!("column {name:?} has the unknown datatype {:?}", input.datatype)))?;
    let shape: Option<Vec<usize>> = input.shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let shape = shape.ok_or_else(|| {
        Fault::new(Code::WrongShape, format!("column {name:?} has shape {:?}; no dimension may be negative", input.shape))
    })?;
    let mut received = Received { name, dtype, shape, payload: Payload::with_capacity(dtype, 0), missing: Vec::new() };
    match (raw, input.contents) {
        (Some(bytes), None) => binary::set(&mut received, bytes.clone())?,
        (Some(_), Some(_)) => {
            return Err(Fault::new(
                Code::InvalidBinary,
                format!("column {:?} has both raw and typed contents; send one of them", received.name),
            ));
        }
        (None, contents) => received.payload = typed(&received.name, dtype, contents.unwrap_or_default())?,
    }
    Ok(received)
}

/// Narrows a list of wide integers to `$kind`, refusing what does not fit.
macro_rules! narrow {
    ($kind:ty, $name:expr, $list:expr) => {{
        let narrowed: Result<Vec<$kind>, _> = $list.iter().map(|number| <$kind>::try_from(*number)).collect();
        Buffer::copy_of(bytemuck::cast_slice(&narrowed.map_err(|_| out_of_range($name, stringify!($kind)))?))
    }};
}

fn out_of_range(name: &str, kind: &str) -> Fault {
    Fault::new(Code::WrongDtype, format!("column {name:?} has a value that is no {kind}"))
}

fn typed(name: &str, dtype: Dtype, contents: InferTensorContents) -> Outcome<Payload> {
    let buffer = match dtype {
        Dtype::Bool => Buffer::copy_of(&contents.bool_contents.iter().map(|flag| u8::from(*flag)).collect::<Vec<_>>()),
        Dtype::Int8 => narrow!(i8, name, contents.int_contents),
        Dtype::Int16 => narrow!(i16, name, contents.int_contents),
        Dtype::Int32 => Buffer::copy_of(bytemuck::cast_slice(&contents.int_contents)),
        Dtype::Int64 => Buffer::copy_of(bytemuck::cast_slice(&contents.int64_contents)),
        Dtype::Uint8 => narrow!(u8, name, contents.uint_contents),
        Dtype::Uint16 => narrow!(u16, name, contents.uint_contents),
        Dtype::Uint32 => Buffer::copy_of(bytemuck::cast_slice(&contents.uint_contents)),
        Dtype::Uint64 => Buffer::copy_of(bytemuck::cast_slice(&contents.uint64_contents)),
        Dtype::Fp32 => Buffer::copy_of(bytemuck::cast_slice(&contents.fp32_contents)),
        Dtype::Fp64 => Buffer::copy_of(bytemuck::cast_slice(&contents.fp64_contents)),
        Dtype::Fp16 => {
            return Err(Fault::new(Code::WrongDtype, format!("column {name:?} is FP16, which has no typed contents"))
                .hint("send it in raw_input_contents"));
        }
        Dtype::Bytes => return Ok(Payload::Bytes(contents.bytes_contents.into_iter().map(Vec::from).collect())),
    };
    Ok(Payload::Fixed(buffer))
}

/// Writes the outputs asked for into a response, in the form in which the request came; raw if one is FP16.
pub(super) fn write(
    response: &mut ModelInferResponse,
    description: &Description,
    answer: &Answer,
    indices: &[usize],
    raw: bool,
) -> Outcome<()> {
    // Raw contents belong to outputs by their place, so either all are raw or none; FP16 has no other form.
    let is_raw = raw || indices.iter().any(|index| description.signature.outputs[*index].dtype == Dtype::Fp16);
    for index in indices {
        let (column, values) = (&description.signature.outputs[*index], &answer.table.columns[*index]);
        refuse_nulls(column, values, answer)?;
        let mut shape = vec![answer.rows];
        shape.extend_from_slice(&values.shape);
        let contents = (!is_raw).then(|| contents(column.dtype, values, answer));
        if is_raw {
            let mut bytes = Vec::new();
            binary::write(&mut bytes, column.dtype, &values.payload, answer.start * values.per_row(), answer.rows * values.per_row());
            response.raw_output_contents.push(bytes.into());
        }
        response.outputs.push(InferOutputTensor {
            name: column.name.clone(),
            datatype: column.dtype.name().into(),
            shape: shape.into_iter().map(|dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
            contents,
            ..Default::default()
        });
    }
    Ok(())
}

/// Widens values of `$kind` to what the message holds. Values start at a multiple of their width in an aligned buffer.
macro_rules! widen {
    ($kind:ty, $bytes:expr) => {
        bytemuck::cast_slice::<u8, $kind>($bytes).iter().map(|value| (*value).into()).collect()
    };
}

fn contents(dtype: Dtype, values: &Values, answer: &Answer) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    let (start, end) = (answer.start * values.per_row(), (answer.start + answer.rows) * values.per_row());
    let bytes = match &values.payload {
        Payload::Fixed(buffer) => &buffer.bytes()[start * dtype.width()..end * dtype.width()],
        Payload::Bytes(list) => {
            contents.bytes_contents = list[start..end].iter().map(|item| Bytes::copy_from_slice(item)).collect();
            return contents;
        }
    };
    match dtype {
        Dtype::Bool => contents.bool_contents = bytes.iter().map(|byte| *byte != 0).collect(),
        Dtype::Int8 => contents.int_contents = widen!(i8, bytes),
        Dtype::Int16 => contents.int_contents = widen!(i16, bytes),
        Dtype::Int32 => contents.int_contents = widen!(i32, bytes),
        Dtype::Int64 => contents.int64_contents = widen!(i64, bytes),
        Dtype::Uint8 => contents.uint_contents = widen!(u8, bytes),
        Dtype::Uint16 => contents.uint_contents = widen!(u16, bytes),
        Dtype::Uint32 => contents.uint_contents = widen!(u32, bytes),
        Dtype::Uint64 => contents.uint64_contents = widen!(u64, bytes),
        Dtype::Fp32 => contents.fp32_contents = widen!(f32, bytes),
        Dtype::Fp64 => contents.fp64_contents = widen!(f64, bytes),
        // Both travel in other ways: FP16 raw, texts above.
        Dtype::Fp16 | Dtype::Bytes => {}
    }
    contents
}

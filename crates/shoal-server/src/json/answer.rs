//! Answers as JSON: written straight from the bytes of the columns.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::description::Column;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::values::{Dtype, Payload, Values};

/// Writes a text with its quotes and escapes.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    // Writing to a Vec does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes `[n,...]`.
pub(crate) fn shape(out: &mut Vec<u8>, rows: usize, record: &[usize]) {
    out.push(b'[');
    number(out, rows);
    for dim in record {
        out.push(b',');
        number(out, *dim);
    }
    out.push(b']');
}

/// How texts are written.
#[derive(Clone, Copy)]
pub(crate) enum Texts {
    Plain,
    /// `{"b64": text}`, which carries any bytes.
    Base64,
}

/// Writes the records of one column as a flat list, row-major.
pub(crate) fn flat(out: &mut Vec<u8>, column: &Column, answer: &Answer, values: &Values) -> Outcome<()> {
    out.push(b'[');
    list(out, column, values, (answer.start * values.per_row(), answer.rows * values.per_row()), Texts::Plain)?;
    out.push(b']');
    Ok(())
}

/// Writes `{"prediction":[...]}`: one entry for each record of the first output.
pub(crate) fn prediction(out: &mut Vec<u8>, column: &Column, answer: &Answer) -> Outcome<()> {
    let values = &answer.table.columns[0];
    out.extend_from_slice(b"{\"prediction\":");
    if values.shape.is_empty() {
        flat(out, column, answer, values)?;
    } else {
        out.push(b'[');
        for row in 0..answer.rows {
            if row > 0 {
                out.push(b',');
            }
            nested(out, column, values, (answer.start + row) * values.per_row(), (&values.shape, Texts::Plain))?;
        }
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

/// Writes one record: its value, or its nested list.
pub(crate) fn record(out: &mut Vec<u8>, column: &Column, values: &Values, row: usize, texts: Texts) -> Outcome<()> {
    if values.shape.is_empty() {
        return list(out, column, values, (row, 1), texts);
    }
    nested(out, column, values, row * values.per_row(), (&values.shape, texts))
}

fn nested(out: &mut Vec<u8>, column: &Column, values: &Values, start: usize, (shape, texts): (&[usize], Texts)) -> Outcome<()> {
    let Some((dim, rest)) = shape.split_first() else { return Ok(()) };
    out.push(b'[');
    if rest.is_empty() {
        list(out, column, values, (start, *dim), texts)?;
    } else {
        let size: usize = rest.iter().product();
        for index in 0..*dim {
            if index > 0 {
                out.push(b',');
            }
            nested(out, column, values, start + index * size, (rest, texts))?;
        }
    }
    out.push(b']');
    Ok(())
}

/// Writes values `start..start + count`, separated by commas.
fn list(out: &mut Vec<u8>, column: &Column, values: &Values, (start, count): (usize, usize), texts: Texts) -> Outcome<()> {
    for index in start..start + count {
        if index > start {
            out.push(b',');
        }
        if !values.missing.is_empty() && values.missing[index / values.per_row()] {
            out.extend_from_slice(b"null");
            continue;
        }
        match &values.payload {
            Payload::Fixed(buffer) => value(out, column, &buffer.bytes()[index * column.dtype.width()..])?,
            Payload::Bytes(items) => match texts {
                Texts::Plain => text(out, std::str::from_utf8(&items[index]).map_err(|_| not_text(column))?),
                Texts::Base64 => encoded(out, &items[index]),
            },
        }
    }
    Ok(())
}

/// Writes the whole number of `$kind` at the start of `$bytes`.
macro_rules! integer {
    ($kind:ty, $out:expr, $bytes:expr) => {
        $out.extend_from_slice(itoa::Buffer::new().format(bytemuck::pod_read_unaligned::<$kind>(&$bytes[..size_of::<$kind>()])).as_bytes())
    };
}

fn value(out: &mut Vec<u8>, column: &Column, bytes: &[u8]) -> Outcome<()> {
    match column.dtype {
        Dtype::Bool => out.extend_from_slice(if bytes[0] == 0 { b"false" } else { b"true" }),
        Dtype::Uint8 => integer!(u8, out, bytes),
        Dtype::Uint16 => integer!(u16, out, bytes),
        Dtype::Uint32 => integer!(u32, out, bytes),
        Dtype::Uint64 => integer!(u64, out, bytes),
        Dtype::Int8 => integer!(i8, out, bytes),
        Dtype::Int16 => integer!(i16, out, bytes),
        Dtype::Int32 => integer!(i32, out, bytes),
        Dtype::Int64 => integer!(i64, out, bytes),
        Dtype::Fp32 => float(out, column, bytemuck::pod_read_unaligned::<f32>(&bytes[..4]))?,
        Dtype::Fp64 => float(out, column, bytemuck::pod_read_unaligned::<f64>(&bytes[..8]))?,
        Dtype::Fp16 | Dtype::Bytes => {
            let message = format!("output {:?} is {}, which has no JSON form", column.name, column.dtype.name());
            return Err(Fault::new(Code::InvalidRequest, message).hint(BINARY_HINT));
        }
    }
    Ok(())
}

fn encoded(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(b"{\"b64\":\"");
    out.extend_from_slice(STANDARD.encode(octets).as_bytes());
    out.extend_from_slice(b"\"}");
}

const BINARY_HINT: &str = "ask for binary output with the parameter \"binary_data_output\", or use gRPC";

fn float<F: ryu::Float + Into<f64> + Copy>(out: &mut Vec<u8>, column: &Column, number: F) -> Outcome<()> {
    let wide: f64 = number.into();
    if !wide.is_finite() {
        let message = format!("output {:?} holds {wide}, which JSON cannot carry", column.name);
        return Err(Fault::new(Code::InvalidRequest, message).hint(BINARY_HINT));
    }
    out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    Ok(())
}

fn not_text(column: &Column) -> Fault {
    Fault::new(Code::InvalidRequest, format!("output {:?} holds bytes that are no UTF-8 text, which JSON cannot carry", column.name))
        .hint(BINARY_HINT)
}

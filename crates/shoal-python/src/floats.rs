//! FP32 as JSON has it, for clients: each number in the fewest digits that read back to it.
//!
//! Python has no shortest digits of FP32; those of the FP64 it equals are twice as many.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

const WIDTH: usize = 4;

/// Records of FP32 as a list of JSON, nested as their shape says; `null` where one is missing.
///
/// `data` is little-endian, record by record; `missing` has one byte for each record.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python gives is owned")]
pub(crate) fn fp32_as_json<'py>(py: Python<'py>, data: &[u8], shape: Vec<usize>, missing: Option<&[u8]>) -> PyResult<Bound<'py, PyBytes>> {
    let Some((&rows, dims)) = shape.split_first() else { return Err(PyValueError::new_err("a shape has at least the records")) };
    let size: usize = dims.iter().product();
    let flags = missing.unwrap_or_default();
    if rows * size * WIDTH != data.len() || !(flags.is_empty() || flags.len() == rows) {
        return Err(PyValueError::new_err(format!("{} bytes and {} flags do not fill {shape:?}", data.len(), flags.len())));
    }
    let mut out = Vec::with_capacity(rows * (size * 10 + 2) + 2);
    list(&mut out, rows, |out, row| {
        if flags.get(row).is_some_and(|flag| *flag != 0) {
            out.extend_from_slice(b"null");
        } else {
            nested(out, dims, &data[row * size * WIDTH..]);
        }
    });
    Ok(PyBytes::new(py, &out))
}

fn nested(out: &mut Vec<u8>, dims: &[usize], data: &[u8]) {
    let Some((&dim, rest)) = dims.split_first() else { return number(out, data) };
    let size: usize = rest.iter().product::<usize>() * WIDTH;
    list(out, dim, |out, index| nested(out, rest, &data[index * size..]));
}

fn list(out: &mut Vec<u8>, count: usize, mut entry: impl FnMut(&mut Vec<u8>, usize)) {
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        entry(out, index);
    }
    out.push(b']');
}

fn number(out: &mut Vec<u8>, data: &[u8]) {
    let value = f32::from_le_bytes([data[0], data[1], data[2], data[3]]);
    if let Some(whole) = whole(value) {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        return out.extend_from_slice(b".0");
    }
    let word: &[u8] = match value {
        _ if value.is_nan() => b"\"NaN\"",
        f32::INFINITY => b"\"Infinity\"",
        f32::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"",
    };
    out.extend_from_slice(word);
    if word.is_empty() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

/// The number that a value is, if it is a small one without a fraction and without a sign: counts and pixels are.
fn whole(value: f32) -> Option<u16> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what does not fit is another number than it was")]
    let whole = value as u16;
    (f32::from(whole).to_bits() == value.to_bits()).then_some(whole)
}

//! Wire columns: the tuple `(name, dtype, shape, data, missing)` that crosses the border.
//!
//! `data` is anything with the buffer protocol (little-endian, row-major) or, for `BYTES`, a list of bytes. What comes
//! from Python is read where it lies, for as long as the call takes: nobody may change it meanwhile.
//! `missing` is `None` or a buffer of one byte per record, 1 where it is missing.

use bytes::Bytes;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyTuple};
use shoal_server::description::Column;
use shoal_server::fault::{Code, Fault, Outcome};
use shoal_server::intake::Received;
use shoal_server::values::{Buffer, Dtype, Payload, Table, Values};

create_exception!(shoal._native, NativeError, PyException, "A fault of the native core: (code, message, hint or None).");

/// The fault as a Python exception.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
pub(crate) fn raise(fault: Fault) -> PyErr {
    NativeError::new_err((fault.code.name(), fault.to_string(), fault.hint.clone()))
}

/// What Python hands over, as the intake takes it.
pub(crate) fn received(columns: &Bound<'_, PyList>) -> PyResult<Vec<Received>> {
    columns.iter().map(|column| received_column(column.cast::<PyTuple>()?)).collect()
}

fn received_column(column: &Bound<'_, PyTuple>) -> PyResult<Received> {
    type Wire<'py> = (String, String, Vec<usize>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);
    let (name, dtype, shape, data, missing): Wire<'_> = column.extract()?;
    let dtype = Dtype::from_name(&dtype)
        .ok_or_else(|| raise(Fault::new(Code::WrongDtype, format!("column {name:?} has the unknown dtype {dtype:?}"))))?;
    let payload = if dtype == Dtype::Bytes { Payload::Bytes(texts(&data)?) } else { Payload::Fixed(Buffer::aligned(bytes(&data)?)) };
    if let Payload::Fixed(buffer) = &payload
        && buffer.len() % dtype.width() != 0
    {
        let message = format!("column {name:?} has {} bytes, which is no whole number of {} values", buffer.len(), dtype.name());
        return Err(raise(Fault::new(Code::WrongShape, message)));
    }
    let flags = missing.map(|flags| bytes(&flags)).transpose()?.unwrap_or_default();
    let size: usize = shape.iter().skip(1).product();
    let missing = flags.into_iter().flat_map(|flag| std::iter::repeat_n(flag != 0, size)).collect();
    Ok(Received { name, dtype, shape, payload, missing })
}

fn texts(data: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    data.try_iter()?.map(|item| Ok(item?.extract::<&[u8]>()?.to_vec())).collect()
}

fn bytes(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let view = PyMemoryView::from(data)?;
    // A view of nothing has no place to be read at.
    if view.getattr("nbytes")?.extract::<usize>()? == 0 {
        return Ok(Bytes::new());
    }
    Ok(view.call_method1("cast", ("B",))?.extract::<pyo3_bytes::PyBytes>()?.into_inner())
}

/// A table as wire columns.
pub(crate) fn sent<'py>(py: Python<'py>, columns: &[Column], table: &Table) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (column, values) in columns.iter().zip(&table.columns) {
        list.append(sent_column(py, column, values, table.rows)?)?;
    }
    Ok(list)
}

fn sent_column<'py>(py: Python<'py>, column: &Column, values: &Values, rows: usize) -> PyResult<Bound<'py, PyTuple>> {
    let mut shape = vec![rows];
    shape.extend_from_slice(&values.shape);
    let data = match &values.payload {
        Payload::Fixed(buffer) => PyBytes::new(py, buffer.bytes()).into_any(),
        Payload::Bytes(list) => PyList::new(py, list.iter().map(|item| PyBytes::new(py, item)))?.into_any(),
    };
    let flags: Vec<u8> = values.missing.iter().map(|flag| u8::from(*flag)).collect();
    let missing = (!flags.is_empty()).then(|| PyBytes::new(py, &flags));
    (&column.name, column.dtype.name(), shape, data, missing).into_pyobject(py)
}

/// An [`Outcome`] as a Python result.
pub(crate) fn outcome<T>(outcome: Outcome<T>) -> PyResult<T> {
    outcome.map_err(raise)
}

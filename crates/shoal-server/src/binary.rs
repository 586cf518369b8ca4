//! The binary tensor extension of the Open Inference Protocol: JSON, then raw tensors.
//!
//! The header `Inference-Header-Content-Length` says where the JSON ends. The raw bytes of the inputs follow
//! in their order, little-endian, row-major, without padding; an element of `BYTES` is its length as 32 bits,
//! then its bytes. Every byte must belong to a tensor. The same framing of elements is used in gRPC.

use bytes::Bytes;

use crate::fault::{Code, Fault, Outcome};
use crate::intake::Received;
use crate::json::infer::InferRequest;
use crate::values::{Buffer, Dtype, Payload};

/// Splits a body into its JSON and the raw tensors.
pub(crate) fn split(body: &Bytes, header_length: Option<usize>) -> Outcome<(&[u8], Bytes)> {
    let length = header_length.unwrap_or(body.len());
    let header = body.get(..length).ok_or_else(|| {
        let message = format!("Inference-Header-Content-Length is {length}, the body has {} bytes", body.len());
        Fault::new(Code::InvalidBinary, message)
    })?;
    Ok((header, body.slice(length..)))
}

/// Gives the binary columns of a request their bytes.
pub(crate) fn fill(request: &mut InferRequest, mut raw: Bytes) -> Outcome<()> {
    for (index, size) in std::mem::take(&mut request.binary) {
        let column = &mut request.columns[index];
        if size > raw.len() {
            let message = format!("column {:?} says {size} bytes of binary data, {} are left", column.name, raw.len());
            return Err(Fault::new(Code::InvalidBinary, message));
        }
        set(column, raw.split_to(size))?;
    }
    if raw.is_empty() {
        return Ok(());
    }
    Err(Fault::new(Code::InvalidBinary, format!("{} bytes are left over after the last binary input", raw.len())))
}

/// Gives a column its raw bytes, which must fill its shape exactly. Those of fixed width stay where they are.
pub(crate) fn set(column: &mut Received, bytes: Bytes) -> Outcome<()> {
    let values = column.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    if column.dtype == Dtype::Bytes {
        column.payload = Payload::Bytes(elements(&column.name, &bytes, values.unwrap_or(usize::MAX))?);
        return Ok(());
    }
    let expected = values.and_then(|values| values.checked_mul(column.dtype.width()));
    if expected != Some(bytes.len()) {
        let message =
            format!("column {:?} of shape {:?} and dtype {} has {} raw bytes", column.name, column.shape, column.dtype.name(), bytes.len());
        return Err(Fault::new(Code::InvalidBinary, message));
    }
    column.payload = Payload::Fixed(Buffer::from(bytes));
    Ok(())
}

fn elements(name: &str, mut bytes: &[u8], values: usize) -> Outcome<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    let broken =
        |place: usize| Fault::new(Code::InvalidBinary, format!("the length of element {place} of column {name:?} runs beyond its bytes"));
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (element, rest) = rest.split_at_checked(length).ok_or_else(|| broken(list.len()))?;
        list.push(element.to_vec());
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(broken(list.len()));
    }
    if list.len() == values {
        return Ok(list);
    }
    Err(Fault::new(Code::InvalidBinary, format!("column {name:?} has {} elements in its raw bytes, its shape says {values}", list.len())))
}

/// Appends values `start..start + count` of a column as raw bytes; returns how many bytes.
pub(crate) fn write(out: &mut Vec<u8>, dtype: Dtype, payload: &Payload, start: usize, count: usize) -> usize {
    let before = out.len();
    match payload {
        Payload::Fixed(buffer) => out.extend_from_slice(&buffer.bytes()[start * dtype.width()..(start + count) * dtype.width()]),
        Payload::Bytes(list) => {
            for element in &list[start..start + count] {
                out.extend_from_slice(&u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(element);
            }
        }
    }
    out.len() - before
}

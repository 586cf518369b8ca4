//! The written form of a table, straight into the body that it is a part of: no message is made of anything.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::tables::stack::Span;
use crate::tables::{Column, Content, Kind, Scalar, Typed};

/// Writes the fields of some records of a table whose columns all say their dtype, and miss records only whole: every answer is
/// one.
pub(crate) fn write(out: &mut Vec<u8>, (table, span): (&Typed, Span)) {
    number(out, 1, span.rows as u64);
    for column in &table.columns {
        nested(out, 2, |out| write_column(out, column, span));
    }
}

fn write_column(out: &mut Vec<u8>, column: &Column, Span { start, rows }: Span) {
    let per_row = column.per_row();
    let within = |each: usize| start * each..(start + rows) * each;
    text(out, 1, &column.name);
    text(out, 2, column.kind.name());
    if !column.shape.is_empty() {
        nested(out, 3, |out| column.shape.iter().for_each(|dim| encode_varint(*dim as u64, out)));
    }
    match &column.content {
        Content::Fixed(buffer) => match &buffer.bytes()[within(per_row * column.kind.width())] {
            [] => {}
            values => bytes(out, 4, values),
        },
        Content::Items(list) => list[within(per_row)].iter().for_each(|item| bytes(out, 5, item)),
        Content::Mixed(list) => list[within(1)].iter().for_each(|scalar| nested(out, 6, |out| write_scalar(out, scalar))),
        Content::Text(_) => {}
    }
    if !column.missing.is_empty() {
        nested(out, 7, |out| out.extend(within(1).map(|row| u8::from(column.is_missing(row)))));
    }
    if let Kind::Timestamp(unit, zone) = &column.kind {
        text(out, 8, unit.name());
        text(out, 9, zone);
    }
}

/// Writes the field that a scalar has, whatever its value; none where it is missing.
fn write_scalar(out: &mut Vec<u8>, scalar: &Scalar) {
    match scalar {
        Scalar::Missing => {}
        Scalar::Int64(value) => {
            encode_key(1, WireType::Varint, out);
            encode_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
        }
        Scalar::Fp64(value) => {
            encode_key(2, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Utf8(value) => bytes(out, 3, value.as_bytes()),
        Scalar::Bool(value) => {
            encode_key(4, WireType::Varint, out);
            out.push(u8::from(*value));
        }
    }
}

/// Writes a whole number; 0 is left out.
pub(crate) fn number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number > 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(number, out);
    }
}

/// Writes a text; an empty one is left out.
pub(crate) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

/// Writes bytes, also where there are none.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes what stands in a message or a list of its own, behind its length.
pub(crate) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    // Most lengths take one byte: for others what was written makes room.
    let (place, start) = (out.len(), out.len() + 1);
    out.push(0);
    write(out);
    let length = out.len() - start;
    let more = encoded_len_varint(length as u64) - 1;
    if more > 0 {
        out.resize(out.len() + more, 0);
        out.copy_within(start..start + length, start + more);
    }
    encode_varint(length as u64, &mut &mut out[place..start + more]);
}

//! The written form of a table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytemuck::Pod;
use half::f16;

use crate::json::answer::{number, text};
use crate::tables::stack::Span;
use crate::tables::{Column, Content, Kind, Scalar, Typed, moments};
use crate::values::Dtype;

/// Integers beyond it have no double of their own.
const EXACT: i128 = (1 << 53) - 1;

/// What tables say that are written alike, and where their data stand in it.
pub(crate) struct Form {
    text: Vec<u8>,
    /// Where the data of each column stand.
    places: Vec<usize>,
}

impl Form {
    /// Of tables of so many records, with what stands before and behind them.
    pub(crate) fn of(table: &Typed, rows: usize, (before, behind): (impl FnOnce(&mut Vec<u8>), impl FnOnce(&mut Vec<u8>))) -> Self {
        let (mut text, mut places) = (Vec::new(), Vec::with_capacity(table.columns.len()));
        before(&mut text);
        write_table(&mut text, table, rows, |text, _| places.push(text.len()));
        behind(&mut text);
        Self { text, places }
    }

    /// Writes all of it, with some records of a table of this form.
    pub(crate) fn write(&self, out: &mut Vec<u8>, (table, span): (&Typed, Span)) {
        let mut start = 0;
        for (column, place) in table.columns.iter().zip(&self.places) {
            out.extend_from_slice(&self.text[start..*place]);
            data(out, column, span);
            start = *place;
        }
        out.extend_from_slice(&self.text[start..]);
    }
}

/// Writes some records of a table as `protocol.md` says, to the byte. Columns without a dtype stand there whole.
pub(crate) fn write(out: &mut Vec<u8>, (table, span): (&Typed, Span)) {
    write_table(out, table, span.rows, |out, column| data(out, column, span));
}

fn write_table(out: &mut Vec<u8>, table: &Typed, rows: usize, mut data: impl FnMut(&mut Vec<u8>, &Column)) {
    out.extend_from_slice(b"{\"rows\":");
    number(out, rows);
    out.extend_from_slice(b",\"columns\":[");
    for (index, column) in table.columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_head(out, column);
        data(out, column);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// Writes what a column says of itself.
fn write_head(out: &mut Vec<u8>, column: &Column) {
    field(out, b"{\"name\":", &column.name);
    if column.kind != Kind::Untyped {
        field(out, b",\"dtype\":", column.kind.name());
    }
    if !column.shape.is_empty() {
        out.extend_from_slice(b",\"shape\":");
        list(out, column.shape.len(), |out, index| number(out, column.shape[index]));
    }
    if let Kind::Timestamp(unit, zone) = &column.kind {
        field(out, b",\"unit\":", unit.name());
        field(out, b",\"zone\":", zone);
    }
    out.extend_from_slice(b",\"data\":");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    text(out, value);
}

/// Writes `count` entries in brackets.
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

fn data(out: &mut Vec<u8>, column: &Column, span: Span) {
    match (&column.content, &column.kind) {
        (Content::Text(text), _) if text.is_empty() => list(out, span.rows, |out, _| out.extend_from_slice(b"null")),
        (Content::Text(text), _) => out.extend_from_slice(text),
        (Content::Mixed(scalars), _) => list(out, span.rows, |out, row| scalar(out, &scalars[span.start + row])),
        (Content::Items(items), Kind::Bytes) => records(out, column, span, |out, at| octets(out, &items[at])),
        (Content::Items(items), _) => records(out, column, span, |out, at| text(out, &String::from_utf8_lossy(&items[at]))),
        (Content::Fixed(buffer), kind) => fixed(out, column, span, (kind, buffer.bytes())),
    }
}

/// Writes records, nested as their shape says, by what writes a value.
fn records(out: &mut Vec<u8>, column: &Column, span: Span, value: impl Fn(&mut Vec<u8>, usize)) {
    let per_row = column.per_row();
    let by_value = column.has_flags_of_values();
    let is_missing = |at: usize| by_value && column.missing[at];
    let value = |out: &mut Vec<u8>, at: usize| if is_missing(at) { out.extend_from_slice(b"null") } else { value(out, at) };
    list(out, span.rows, |out, row| {
        let row = span.start + row;
        if column.is_missing(row) {
            out.extend_from_slice(b"null");
        } else {
            nested(out, &column.shape, row * per_row, &value);
        }
    });
}

fn nested(out: &mut Vec<u8>, shape: &[usize], start: usize, value: &impl Fn(&mut Vec<u8>, usize)) {
    let Some((dim, rest)) = shape.split_first() else { return value(out, start) };
    let size: usize = rest.iter().product();
    list(out, *dim, |out, index| nested(out, rest, start + index * size, value));
}

fn fixed(out: &mut Vec<u8>, column: &Column, span: Span, (kind, bytes): (&Kind, &[u8])) {
    match kind {
        Kind::Timestamp(unit, _) => {
            records(out, column, span, |out, place| quoted(out, |out| moments::write_time(out, at(bytes, place), *unit)));
        }
        Kind::Date => records(out, column, span, |out, place| quoted(out, |out| moments::write_date(out, at(bytes, place)))),
        Kind::Plain(dtype) => plain(out, column, span, (*dtype, bytes)),
        Kind::Utf8 | Kind::Bytes | Kind::Mixed | Kind::Untyped => {}
    }
}

fn plain(out: &mut Vec<u8>, column: &Column, span: Span, (dtype, bytes): (Dtype, &[u8])) {
    match dtype {
        Dtype::Bool => records(out, column, span, |out, place| boolean(out, bytes[place] != 0)),
        Dtype::Uint8 => records(out, column, span, |out, place| small(out, at::<u8>(bytes, place))),
        Dtype::Uint16 => records(out, column, span, |out, place| small(out, at::<u16>(bytes, place))),
        Dtype::Uint32 => records(out, column, span, |out, place| small(out, at::<u32>(bytes, place))),
        Dtype::Uint64 => records(out, column, span, |out, place| whole(out, i128::from(at::<u64>(bytes, place)))),
        Dtype::Int8 => records(out, column, span, |out, place| small(out, at::<i8>(bytes, place))),
        Dtype::Int16 => records(out, column, span, |out, place| small(out, at::<i16>(bytes, place))),
        Dtype::Int32 => records(out, column, span, |out, place| small(out, at::<i32>(bytes, place))),
        Dtype::Int64 => records(out, column, span, |out, place| whole(out, i128::from(at::<i64>(bytes, place)))),
        Dtype::Fp16 => records(out, column, span, |out, place| float(out, at::<f16>(bytes, place).to_f32())),
        Dtype::Fp32 => records(out, column, span, |out, place| float(out, at::<f32>(bytes, place))),
        Dtype::Fp64 => records(out, column, span, |out, place| float(out, at::<f64>(bytes, place))),
        Dtype::Bytes => {}
    }
}

/// The value at a place, wherever the bytes begin.
fn at<T: Pod>(bytes: &[u8], place: usize) -> T {
    bytemuck::pod_read_unaligned(&bytes[place * size_of::<T>()..(place + 1) * size_of::<T>()])
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn octets(out: &mut Vec<u8>, octets: &[u8]) {
    quoted(out, |out| {
        let start = out.len();
        out.resize(start + octets.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(octets, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    });
}

fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Writes a whole number of at most 32 bits.
fn small(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a whole number, as text where a double would not hold it.
fn whole(out: &mut Vec<u8>, number: i128) {
    if (-EXACT..=EXACT).contains(&number) { small(out, number) } else { quoted(out, |out| small(out, number)) }
}

fn float<F: ryu::Float + Into<f64> + Copy>(out: &mut Vec<u8>, number: F) {
    let wide: f64 = number.into();
    if wide.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(special(wide));
    }
}

const fn special(number: f64) -> &'static [u8] {
    match number {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    }
}

fn scalar(out: &mut Vec<u8>, scalar: &Scalar) {
    match scalar {
        Scalar::Missing => out.extend_from_slice(b"null"),
        Scalar::Bool(value) => boolean(out, *value),
        Scalar::Utf8(value) => text(out, value),
        Scalar::Int64(value) if (-EXACT..=EXACT).contains(&i128::from(*value)) => small(out, *value),
        Scalar::Int64(value) => stated(out, b"{\"INT64\":", |out| whole(out, i128::from(*value))),
        Scalar::Fp64(value) if value.is_finite() && value.fract() != 0.0 => float(out, *value),
        Scalar::Fp64(value) => stated(out, b"{\"FP64\":", |out| float(out, *value)),
    }
}

fn stated(out: &mut Vec<u8>, field: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(field);
    write(out);
    out.push(b'}');
}

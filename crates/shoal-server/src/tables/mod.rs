//! Typed tables as they travel in tasks: what `protocol.md` calls a table, before it is known which model takes it.
//!
//! - Three codecs, [`json`], [`arrow`] and [`protobuf`], read and write the same [`Typed`]; none of them knows of models.
//! - [`admit`] brings a typed table into the columns of a signature, by the conversions of `protocol.md`, or says which
//!   column is wrong. [`answer`] is the way back.
//! - A column of JSON without a dtype is kept as text until it is known who reads it.
//! - A table takes memory in the order of the bytes that it came in. What a few bytes may stand for - nulls of tensors,
//!   columns of nulls, entries of a dictionary - is bounded for each table; whoever reads many adds up
//!   [`Typed::size_bytes`] and stops in time.

use bytes::Bytes;
use smol_str::SmolStr;

use self::stack::Span;
use crate::fault::Outcome;
use crate::values::{Buffer, Dtype};

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod arrow;
mod convert;
#[cfg(test)]
pub(crate) mod fuzz;
pub(crate) mod json;
mod moments;
pub(crate) mod protobuf;
mod rules;
#[cfg(test)]
mod samples;
pub(crate) mod stack;
#[cfg(test)]
pub(crate) mod vectors;

/// Rows of a table, at most: those of an envelope.
pub(crate) const ROWS_LIMIT: usize = 1_000_000;
/// Columns of a table, at most: each takes memory although nothing may stand in it.
const COLUMNS_LIMIT: usize = 65_536;
/// What the nulls of one table may stand for beyond their own bytes.
const NULLS_BYTES: usize = 8 << 20;
/// Values of one record of a column, at most: those of the largest body.
const RECORD_VALUES: usize = 64 << 20;
/// Dimensions of one record, at most.
const DIMENSIONS: usize = 8;
/// Bytes of the name of a zone, at most.
const ZONE_BYTES: usize = 64;

/// The unit of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    /// Every unit.
    pub(crate) const ALL: [Self; 4] = [Self::Second, Self::Millisecond, Self::Microsecond, Self::Nanosecond];

    /// The name in the protocol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Millisecond => "ms",
            Self::Microsecond => "us",
            Self::Nanosecond => "ns",
        }
    }

    /// The unit of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// Digits of a fraction of a second.
    pub(crate) const fn digits(self) -> usize {
        match self {
            Self::Second => 0,
            Self::Millisecond => 3,
            Self::Microsecond => 6,
            Self::Nanosecond => 9,
        }
    }

    /// How many of it a second has.
    pub(crate) const fn per_second(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1_000_000,
            Self::Nanosecond => 1_000_000_000,
        }
    }
}

/// What the values of a column are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Values of fixed width; never [`Dtype::Bytes`].
    Plain(Dtype),
    /// Text, UTF-8.
    Utf8,
    /// Bytes.
    Bytes,
    /// INT64 counts of a unit since 1970-01-01 UTC, read off in a zone; of the years 0001 to 9999.
    Timestamp(Unit, String),
    /// INT32 days since 1970-01-01; of the years 0001 to 9999.
    Date,
    /// Each record of its own type.
    Mixed,
    /// Whatever the signature says: JSON without a dtype, or a column of nulls.
    Untyped,
}

impl Kind {
    /// The dtype's name in the protocol; empty where none is said.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Utf8 => "UTF8",
            Self::Bytes => "BYTES",
            Self::Timestamp(..) => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Mixed => "MIXED",
            Self::Untyped => "",
        }
    }

    /// Bytes of one value of fixed width; 0 for others.
    pub(crate) const fn width(&self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.width(),
            Self::Timestamp(..) => 8,
            Self::Date => 4,
            Self::Utf8 | Self::Bytes | Self::Mixed | Self::Untyped => 0,
        }
    }
}

/// One record of a mixed column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Scalar {
    #[default]
    Missing,
    Bool(bool),
    Int64(i64),
    Fp64(f64),
    Utf8(String),
}

/// The values of a typed column, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Of [`Kind::Plain`], [`Kind::Timestamp`] and [`Kind::Date`]: little-endian.
    Fixed(Buffer),
    /// Of [`Kind::Utf8`] and [`Kind::Bytes`].
    Items(Vec<Vec<u8>>),
    /// Of [`Kind::Mixed`].
    Mixed(Vec<Scalar>),
    /// Of [`Kind::Untyped`]: the `data` of JSON as it stands there; empty for a column of nulls.
    Text(Bytes),
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: SmolStr,
    pub(crate) kind: Kind,
    /// The shape of one record.
    pub(crate) shape: Vec<usize>,
    pub(crate) content: Content,
    /// One flag for each record, true where it is missing; empty when none is. What stands there is zero, or empty.
    /// In a request a tensor may lack single values: then one flag for each value. Ask [`Column::is_missing`].
    pub(crate) missing: Vec<bool>,
}

/// Columns that all have the same number of records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    /// How many records. Where all columns are untyped, and tensors flat, that is known only when a model's signature has read them.
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Column>,
}

impl Column {
    /// Values of one record.
    pub(crate) fn per_row(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a record is missing as a whole.
    pub(crate) fn is_missing(&self, row: usize) -> bool {
        let per_row = self.per_row();
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Mixed(list) => list[row] == Scalar::Missing,
            _ if self.missing.is_empty() => false,
            _ if self.has_flags_of_values() => !self.missing[row * per_row..(row + 1) * per_row].contains(&false),
            _ => self.missing[row],
        }
    }

    /// How many values there are.
    fn count(&self) -> usize {
        match &self.content {
            Content::Fixed(buffer) => buffer.len() / self.kind.width().max(1),
            Content::Items(list) => list.len(),
            Content::Mixed(list) => list.len(),
            Content::Text(_) => 0,
        }
    }

    /// Whether `missing` has one flag for each value of a tensor.
    pub(crate) fn has_flags_of_values(&self) -> bool {
        let per_row = self.per_row();
        per_row > 1 && !self.missing.is_empty() && self.missing.len() == self.count()
    }

    /// Bytes that it takes, with its name, values and flags.
    pub(crate) fn size_bytes(&self) -> usize {
        let content = match &self.content {
            Content::Fixed(buffer) => buffer.len(),
            Content::Items(list) => list.iter().map(|item| item.len() + size_of::<Vec<u8>>()).sum(),
            Content::Mixed(list) => list.iter().map(Scalar::size_bytes).sum(),
            Content::Text(text) => text.len(),
        };
        size_of::<Self>() + self.name.len() + content + self.missing.len()
    }

    /// Puts zero, or nothing, in the place of missing records.
    fn clear_missing(&mut self) {
        let (per_row, width) = (self.per_row(), self.kind.width());
        for row in (0..self.missing.len()).filter(|row| self.missing[*row]) {
            match &mut self.content {
                Content::Fixed(buffer) => buffer.bytes_mut()[row * per_row * width..(row + 1) * per_row * width].fill(0),
                Content::Items(list) => list[row * per_row..(row + 1) * per_row].fill(Vec::new()),
                Content::Mixed(_) | Content::Text(_) => {}
            }
        }
    }

    fn take_rows(&self, rows: &[usize]) -> Self {
        let per_row = self.per_row();
        let content = match &self.content {
            Content::Fixed(buffer) => Content::Fixed(taken(buffer, per_row * self.kind.width(), rows)),
            Content::Items(list) => Content::Items(each(list, per_row, rows)),
            Content::Mixed(list) => Content::Mixed(each(list, 1, rows)),
            Content::Text(text) => Content::Text(json::take_records(text, rows)),
        };
        let flags = if self.has_flags_of_values() { per_row } else { 1 };
        let mut missing = if self.missing.is_empty() { Vec::new() } else { each(&self.missing, flags, rows) };
        if !missing.contains(&true) {
            missing.clear();
        }
        Self { name: self.name.clone(), kind: self.kind.clone(), shape: self.shape.clone(), content, missing }
    }
}

/// The values of some records, `per_row` in each.
fn each<T: Clone>(list: &[T], per_row: usize, rows: &[usize]) -> Vec<T> {
    let mut taken = Vec::with_capacity(rows.len() * per_row);
    for row in rows {
        taken.extend_from_slice(&list[row * per_row..(row + 1) * per_row]);
    }
    taken
}

fn taken(buffer: &Buffer, row_bytes: usize, rows: &[usize]) -> Buffer {
    let bytes = buffer.bytes();
    let mut taken = Buffer::with_capacity(rows.len() * row_bytes);
    for row in rows {
        taken.extend(&bytes[row * row_bytes..(row + 1) * row_bytes]);
    }
    taken
}

impl Scalar {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Utf8(text) = self { Some(text) } else { None }
    }

    /// The value as a message shows it.
    fn shown(&self) -> String {
        match self {
            Self::Missing => "missing".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int64(value) => value.to_string(),
            Self::Fp64(value) => format!("{value:?}"),
            Self::Utf8(value) => format!("the text {:?}", value.chars().take(64).collect::<String>()),
        }
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.text().map_or(0, str::len)
    }
}

impl Typed {
    /// The columns without a dtype as records of any type, which is how routers read them.
    ///
    /// # Errors
    /// `WrongDtype`, `WrongShape`, `MalformedJson`.
    pub(crate) fn into_mixed(mut self) -> Outcome<Self> {
        for column in &mut self.columns {
            if let Content::Text(text) = &column.content
                && !text.is_empty()
            {
                *column = json::mixed(column, text, self.rows)?;
            }
        }
        Ok(self)
    }

    /// The table, and all of its records.
    pub(crate) const fn all(&self) -> (&Self, Span) {
        (self, Span { start: 0, rows: self.rows })
    }

    /// Bytes that all columns take.
    pub(crate) fn size_bytes(&self) -> usize {
        self.columns.iter().map(Column::size_bytes).sum()
    }

    /// These records, in this order; one may come several times.
    ///
    /// # Panics
    /// Where there is no such record.
    pub(crate) fn take_rows(&self, rows: &[usize]) -> Self {
        Self { rows: rows.len(), columns: self.columns.iter().map(|column| column.take_rows(rows)).collect() }
    }

    /// The same records in buffers of their own: nothing that they are a part of stays in memory for them.
    pub(crate) fn copied(&self) -> Self {
        let column = |Column { name, kind, shape, content, missing }: &Column| {
            let content =
                if let Content::Fixed(buffer) = content { Content::Fixed(Buffer::copy_of(buffer.bytes())) } else { content.clone() };
            Column { name: name.clone(), kind: kind.clone(), shape: shape.clone(), content, missing: missing.clone() }
        };
        Self { rows: self.rows, columns: self.columns.iter().map(column).collect() }
    }

    /// From here on copies share the values of fixed width: for tables that many tasks refer to, and results that are kept.
    pub(crate) fn share(&mut self) {
        for column in &mut self.columns {
            if let Content::Fixed(buffer) = &mut column.content {
                *buffer = std::mem::take(buffer).shared();
            }
        }
    }
}

/// Flags of values as flags of records where each record is missing whole or not at all; empty when nothing is missing.
fn folded(missing: Vec<bool>, per_row: usize) -> Vec<bool> {
    if !missing.contains(&true) {
        return Vec::new();
    }
    let is_whole = |record: &[bool]| record.iter().all(|flag| *flag == record[0]);
    if per_row < 2 || !missing.chunks(per_row).all(is_whole) {
        return missing;
    }
    missing.into_iter().step_by(per_row).collect()
}

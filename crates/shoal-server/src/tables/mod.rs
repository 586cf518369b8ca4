//! Typed tables as they travel in tasks: what `protocol.md` calls a table, before it is known which model takes it.
//!
//! - Three codecs, [`json`], [`arrow`] and [`protobuf`], read and write the same [`Typed`]; none of them knows of models.
//! - [`admit`] brings a typed table into the columns of a signature, by the conversions of `protocol.md`, or says which
//!   column is wrong.
//! - A column of JSON without a dtype is kept as text until it is known who reads it.

use bytes::Bytes;

use crate::values::{Buffer, Dtype};

/// The unit of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
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
    /// INT64 counts of a unit since 1970-01-01 UTC, read off in a zone.
    Timestamp(Unit, String),
    /// INT32 days since 1970-01-01.
    Date,
    /// Each record of its own type.
    Mixed,
    /// Whatever the signature says: JSON without a dtype, or a column of nulls.
    Untyped,
}

/// One record of a mixed column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
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
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The shape of one record.
    pub(crate) shape: Vec<usize>,
    pub(crate) content: Content,
    /// One flag for each record, true where it is missing; empty when none is. What stands there is zero, or empty.
    pub(crate) missing: Vec<bool>,
}

/// Columns that all have the same number of records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Column>,
}

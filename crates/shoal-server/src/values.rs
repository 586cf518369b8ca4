//! Columns in memory: the table that travels through the server.
//!
//! A [`Table`] holds its columns in the order of a signature. Fixed-width values lie little-endian and
//! row-major in one [`Buffer`], so that cutting and joining micro-batches is a memory copy that
//! does not depend on the dtype. Texts and bytes lie in a list.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;

use crate::fault::{Code, Fault, Outcome};

/// The datatypes of the Open Inference Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Dtype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Dtype {
    /// Every dtype.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The dtype of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of one value; 0 for `BYTES`.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Bytes => 0,
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
        }
    }
}

/// Bytes of values of any dtype: written here, where they start on an 8-byte boundary, or lent by the body that carries
/// them, where they start anywhere and are copied as soon as they are to be changed.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    words: Vec<u64>,
    length: usize,
    /// In place of the words.
    lent: Option<Bytes>,
}

/// Words that own the bytes lent from them.
struct Words(Vec<u64>);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl From<Bytes> for Buffer {
    /// The bytes where they are.
    fn from(bytes: Bytes) -> Self {
        Self { words: Vec::new(), length: bytes.len(), lent: Some(bytes) }
    }
}

impl Buffer {
    /// An empty buffer with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { words: Vec::with_capacity(bytes.div_ceil(8)), length: 0, lent: None }
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(bytes.len());
        buffer.extend(bytes);
        buffer
    }

    /// The bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.lent.as_deref().unwrap_or_else(|| &bytemuck::cast_slice(&self.words)[..self.length])
    }

    /// Whether the bytes can be read as values of any dtype.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        self.bytes().as_ptr().addr().is_multiple_of(size_of::<u64>())
    }

    /// The same bytes, whose copies share them until one of them is changed.
    #[must_use]
    pub(crate) fn shared(self) -> Self {
        if self.lent.is_some() {
            return self;
        }
        let length = self.length;
        Self::from(Bytes::from_owner(Words(self.words)).slice(..length))
    }

    /// Whether the bytes are a part of others, which stay in memory for as long.
    #[cfg(test)]
    pub(crate) const fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// A part, which is aligned: lent where it can be, and copied where not.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match &self.lent {
            Some(bytes) => Self::aligned(bytes.slice(range)),
            None => Self::copy_of(&self.bytes()[range]),
        }
    }

    /// Bytes that can be read as values of any dtype: where they are if they can be read there, otherwise copied.
    #[must_use]
    pub fn aligned(bytes: impl Into<Bytes>) -> Self {
        let lent = Self::from(bytes.into());
        if lent.is_aligned() { lent } else { Self::copy_of(lent.bytes()) }
    }

    /// The bytes written so far, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.own();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }

    /// Appends.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.own();
        // Word by word behind the last one: room that is cleared first would be written twice.
        let is_at_end = self.words.len() * size_of::<u64>() == self.length;
        let (whole, rest) = if is_at_end { bytes.as_chunks::<8>() } else { (&[][..], bytes) };
        self.words.extend(whole.iter().map(|word| u64::from_ne_bytes(*word)));
        self.length += whole.as_flattened().len();
        if !rest.is_empty() {
            self.grow(rest.len()).copy_from_slice(rest);
        }
    }

    /// Appends so many bytes, which are to be written; until then they are anything.
    pub fn grow(&mut self, bytes: usize) -> &mut [u8] {
        self.own();
        let (start, end) = (self.length, self.length + bytes);
        let words = end.div_ceil(8);
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
        self.length = end;
        &mut bytemuck::cast_slice_mut(&mut self.words)[start..end]
    }

    fn own(&mut self) {
        if let Some(lent) = self.lent.take() {
            *self = Self::copy_of(&lent);
        }
    }

    /// Forgets what was written behind so many bytes, keeps the room.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.own();
        if bytes < self.length {
            self.words.truncate(bytes.div_ceil(size_of::<u64>()));
            self.length = bytes;
        }
    }

    /// Forgets what was written, keeps the room.
    pub fn clear(&mut self) {
        self.length = 0;
        self.lent = None;
    }

    /// How many bytes were written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Fixed-width values, little-endian, row-major.
    Fixed(Buffer),
    /// Texts or bytes, row-major.
    Bytes(Vec<Vec<u8>>),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Payload {
    /// An empty payload for a dtype, with room for `values`.
    #[must_use]
    pub fn with_capacity(dtype: Dtype, values: usize) -> Self {
        match dtype {
            Dtype::Bytes => Self::Bytes(Vec::with_capacity(values)),
            fixed => Self::Fixed(Buffer::with_capacity(values * fixed.width())),
        }
    }

    /// Bytes that the values take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Fixed(buffer) => buffer.len(),
            Self::Bytes(list) => list.iter().map(|item| item.len() + 4).sum(),
        }
    }

    /// How many values of that dtype there are.
    #[must_use]
    pub fn count(&self, dtype: Dtype) -> usize {
        match self {
            Self::Fixed(buffer) => buffer.len() / dtype.width().max(1),
            Self::Bytes(list) => list.len(),
        }
    }
}

/// One column: `rows` records of `shape` values each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The shape of one record; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values of all records.
    pub payload: Payload,
    /// One flag for each record, true where it is missing; empty when none is.
    pub missing: Vec<bool>,
}

impl Values {
    /// Values of one record.
    #[must_use]
    pub fn per_row(&self) -> usize {
        self.shape.iter().product()
    }

    /// Records `start..start + rows`.
    pub(crate) fn slice(&self, dtype: Dtype, (start, rows): (usize, usize)) -> Self {
        let (from, to) = (start * self.per_row(), (start + rows) * self.per_row());
        let payload = match &self.payload {
            Payload::Fixed(buffer) => Payload::Fixed(buffer.slice(from * dtype.width()..to * dtype.width())),
            Payload::Bytes(list) => Payload::Bytes(list[from..to].to_vec()),
        };
        let missing = self.missing.get(start..start + rows).unwrap_or_default().to_vec();
        Self { shape: self.shape.clone(), payload, missing }
    }

    /// Appends records `start..start + rows` of another column of the same shape; `before` are here already.
    pub(crate) fn append(&mut self, other: &Self, dtype: Dtype, before: usize, (start, rows): (usize, usize)) {
        let (from, to) = (start * other.per_row(), (start + rows) * other.per_row());
        match (&mut self.payload, &other.payload) {
            (Payload::Fixed(target), Payload::Fixed(source)) => {
                target.extend(&source.bytes()[from * dtype.width()..to * dtype.width()]);
            }
            (Payload::Bytes(target), Payload::Bytes(source)) => target.extend_from_slice(&source[from..to]),
            (Payload::Fixed(_), Payload::Bytes(_)) | (Payload::Bytes(_), Payload::Fixed(_)) => {}
        }
        self.append_missing(other, before, (start, rows));
    }

    /// Appends the flags of records `start..start + rows` of another column; `before` are here already.
    pub(crate) fn append_missing(&mut self, other: &Self, before: usize, (start, rows): (usize, usize)) {
        if !other.missing.is_empty() {
            self.missing.resize(before, false);
            self.missing.extend_from_slice(&other.missing[start..start + rows]);
        } else if !self.missing.is_empty() {
            self.missing.resize(before + rows, false);
        }
    }
}

/// Records: columns in the order of a signature, all with the same number of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// How many records.
    pub rows: usize,
    /// One entry for each column of the signature.
    pub columns: Vec<Values>,
}

impl Table {
    /// Bytes that all values take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.payload.size_bytes()).sum()
    }

    /// Whether all values can be read where they are.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        self.columns.iter().all(|column| match &column.payload {
            Payload::Fixed(buffer) => buffer.is_aligned(),
            Payload::Bytes(_) => true,
        })
    }

    /// Records `start..start + rows`, as a table of their own.
    #[must_use]
    pub fn slice(&self, dtypes: &[Dtype], start: usize, rows: usize) -> Self {
        let columns = self.columns.iter().zip(dtypes).map(|(column, dtype)| column.slice(*dtype, (start, rows)));
        Self { rows, columns: columns.collect() }
    }

    /// An empty table for `dtypes`, shaped as `like`.
    #[must_use]
    pub fn empty_like(like: &Self, dtypes: &[Dtype], rows: usize) -> Self {
        let columns = like.columns.iter().zip(dtypes).map(|(column, dtype)| Values {
            shape: column.shape.clone(),
            payload: Payload::with_capacity(*dtype, rows * column.per_row()),
            missing: Vec::new(),
        });
        Self { rows: 0, columns: columns.collect() }
    }

    /// An empty table for `dtypes`, whose records have these shapes.
    #[must_use]
    pub fn empty_of(shapes: &[Vec<usize>], dtypes: &[Dtype]) -> Self {
        let column = |(shape, dtype): (&Vec<usize>, &Dtype)| Values {
            shape: shape.clone(),
            payload: Payload::with_capacity(*dtype, 0),
            missing: Vec::new(),
        };
        Self { rows: 0, columns: shapes.iter().zip(dtypes).map(column).collect() }
    }

    /// Appends records `start..start + rows` of another table of the same columns and shapes.
    ///
    /// # Errors
    /// `Internal` when the shapes differ: the batcher never puts two shapes in one bucket.
    pub fn append(&mut self, other: &Self, dtypes: &[Dtype], start: usize, rows: usize) -> Outcome<()> {
        for ((target, source), dtype) in self.columns.iter_mut().zip(&other.columns).zip(dtypes) {
            if target.shape != source.shape {
                let message = format!("records of shape {:?} and {:?} met in one micro-batch", target.shape, source.shape);
                return Err(Fault::new(Code::Internal, message));
            }
            target.append(source, *dtype, self.rows, (start, rows));
        }
        self.rows += rows;
        Ok(())
    }

    /// Forgets the records, keeps the room.
    pub fn clear(&mut self) {
        self.rows = 0;
        for column in &mut self.columns {
            column.missing.clear();
            match &mut column.payload {
                Payload::Fixed(buffer) => buffer.clear(),
                Payload::Bytes(list) => list.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Table {
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(values)));
        Table { rows: values.len(), columns: vec![Values { shape: vec![], payload, missing: vec![] }] }
    }

    #[test]
    fn a_cut_and_joined_table_is_the_table() {
        let whole = floats(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut joined = Table::empty_like(&whole, &[Dtype::Fp32], 5);
        for (start, rows) in [(0, 2), (2, 0), (2, 3)] {
            joined.append(&whole, &[Dtype::Fp32], start, rows).unwrap();
        }
        assert_eq!(joined, whole);
    }

    #[test]
    fn lent_bytes_stay_where_they_are_until_they_are_changed() {
        let body = Bytes::from(vec![7; 33]);
        let (even, odd) = (body.as_ptr().addr() % 8, body.as_ptr().addr() % 8 + 1);
        let mut buffer = Buffer::from(body.slice(odd..24));
        assert_eq!((buffer.bytes().as_ptr(), buffer.is_aligned()), (body[odd..].as_ptr(), (even + odd) % 8 == 0));
        buffer.extend(&[8]);
        buffer.bytes_mut()[0] = 9;
        assert!(buffer.is_aligned() && body.iter().all(|byte| *byte == 7));
        assert_eq!((buffer.bytes()[0], buffer.bytes()[1], buffer.len()), (9, 7, 25 - odd));
        assert_eq!(buffer.bytes().last(), Some(&8));
    }

    #[test]
    fn parts_of_a_table_are_aligned_and_together_the_table() {
        let whole = floats(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let Payload::Fixed(own) = &whole.columns[0].payload else { panic!("fixed") };
        let lent = Payload::Fixed(Buffer::from(Bytes::copy_from_slice(own.bytes())));
        let lent = Table { rows: 5, columns: vec![Values { payload: lent, ..whole.columns[0].clone() }] };
        for table in [&whole, &lent] {
            let mut joined = Table::empty_like(table, &[Dtype::Fp32], 5);
            for (start, rows) in [(0, 1), (1, 3), (4, 1), (5, 0)] {
                let part = table.slice(&[Dtype::Fp32], start, rows);
                assert!(rows == 0 || part.is_aligned());
                joined.append(&part, &[Dtype::Fp32], 0, rows).unwrap();
            }
            assert_eq!(&joined, table);
        }
    }

    #[test]
    fn missing_flags_follow_their_values() {
        let mut some = floats(&[1.0, 2.0]);
        some.columns[0].missing = vec![false, true];
        let mut joined = Table::empty_like(&some, &[Dtype::Fp32], 4);
        for part in [&floats(&[9.0]), &some, &floats(&[8.0])] {
            joined.append(part, &[Dtype::Fp32], 0, part.rows).unwrap();
        }
        assert_eq!(joined.columns[0].missing, [false, false, true, false]);
    }

    #[test]
    fn two_shapes_never_join() {
        let one = floats(&[1.0]);
        let mut other = floats(&[1.0, 2.0]);
        other.columns[0].shape = vec![2];
        other.rows = 1;
        let mut joined = Table::empty_like(&one, &[Dtype::Fp32], 2);
        assert_eq!(joined.append(&other, &[Dtype::Fp32], 0, 1).unwrap_err().code, Code::Internal);
    }
}

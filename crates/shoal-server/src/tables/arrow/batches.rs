//! The values of a batch, column by column, and columns that grow by batches.

use arrow_ipc::{Buffer as Span, FieldNode, RecordBatch};
use bytes::Bytes;
use flatbuffers::Vector;

use super::broken;
use super::fields::{Field, Storage};
use super::texts::{Repeats, Texts, mixed};
use crate::fault::Outcome;
use crate::tables::rules::{check_extent, check_values};
use crate::tables::{Column, Content, folded};
use crate::values::Buffer;

/// A batch, and how far its columns have been read.
pub(super) struct Batch<'b> {
    nodes: Option<Vector<'b, FieldNode>>,
    spans: Option<Vector<'b, Span>>,
    body: Bytes,
    node: usize,
    span: usize,
    /// Where the last buffer ended.
    end: usize,
}

impl<'b> Batch<'b> {
    pub(super) fn new(header: &RecordBatch<'b>, body: Bytes) -> Outcome<Self> {
        if header.compression().is_some() {
            return Err(broken("its buffers are compressed; compress the body instead"));
        }
        Ok(Self { nodes: header.nodes(), spans: header.buffers(), body, node: 0, span: 0, end: 0 })
    }

    /// How many entries the next part of a column has, and whether some are null.
    pub(super) fn node(&mut self) -> Outcome<(usize, bool)> {
        let node = self.nodes.filter(|nodes| self.node < nodes.len()).map(|nodes| nodes.get(self.node));
        let node = node.ok_or_else(|| broken("a batch has fewer columns than its schema"))?;
        self.node += 1;
        let (length, nulls) = (usize::try_from(node.length()).ok(), usize::try_from(node.null_count()).ok());
        match (length, nulls) {
            (Some(length), Some(nulls)) if nulls <= length => Ok((length, nulls > 0)),
            _ => Err(broken(format!("a column has {} values and {} nulls", node.length(), node.null_count()))),
        }
    }

    /// The next buffer, which has at least so many bytes. Buffers follow each other: none is there twice.
    pub(super) fn buffer(&mut self, least: Option<usize>) -> Outcome<Bytes> {
        let span = self.spans.filter(|spans| self.span < spans.len()).map(|spans| spans.get(self.span));
        let span = span.ok_or_else(|| broken("a batch has fewer buffers than its schema asks for"))?;
        self.span += 1;
        let (start, length) = (usize::try_from(span.offset()).ok(), usize::try_from(span.length()).ok());
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length)).filter(|end| *end <= self.body.len());
        let (Some(start), Some(end), Some(length)) = (start, end, length) else {
            return Err(broken(format!("a buffer of {} bytes at {} lies outside of its batch", span.length(), span.offset())));
        };
        if least.is_none_or(|least| length < least) {
            return Err(broken(format!("a buffer has {length} bytes, less than its values take")));
        }
        if length > 0 && start < self.end {
            return Err(broken("two buffers overlap"));
        }
        self.end = self.end.max(end);
        Ok(self.body.slice(start..end))
    }

    /// How many values so many lists have, which are in the batch: each takes a bit at least.
    fn within(&self, lists: usize, size: usize, per_row: usize) -> Outcome<usize> {
        let most = if per_row == 0 { usize::MAX } else { self.body.len().saturating_mul(8) };
        let values = lists.checked_mul(size).filter(|values| *values <= most);
        values.ok_or_else(|| broken(format!("{lists} lists of {size} values are more than its batch has bits")))
    }

    /// One bit for each entry, 0 where it is null; None where none is.
    pub(super) fn validity(&mut self, length: usize, has_nulls: bool) -> Outcome<Option<Bytes>> {
        let bits = self.buffer(Some(if has_nulls { length.div_ceil(8) } else { 0 }))?;
        Ok(has_nulls.then_some(bits))
    }
}

/// Whether a bit is set; those of a byte count from its lowest.
pub(super) fn bit(bits: &[u8], place: usize) -> bool {
    bits[place / 8] >> (place % 8) & 1 == 1
}

/// Flags where something is missing; None where nothing is.
pub(super) type Flags = Option<Vec<bool>>;

/// Adds what a validity says of each entry.
fn hide(flags: &mut Flags, validity: Option<&Bytes>, length: usize) {
    if let Some(bits) = validity {
        let flags = flags.get_or_insert_with(|| vec![false; length]);
        flags.iter_mut().enumerate().for_each(|(place, flag)| *flag |= !bit(bits, place));
    }
}

/// A column to which batches are added.
pub(super) struct Growing {
    field: Field,
    per_row: usize,
    content: Content,
    /// One flag for each value, or for each record without values; empty as long as none is missing.
    missing: Vec<bool>,
    /// How many flags there should be.
    flags: usize,
}

impl Growing {
    pub(super) fn new(field: Field) -> Self {
        let content = match field.storage {
            Storage::Null => Content::Text(Bytes::new()),
            Storage::Bool | Storage::Fixed(_) => Content::Fixed(Buffer::default()),
            Storage::Texts { .. } | Storage::Dictionary { .. } => Content::Items(Vec::new()),
            Storage::Union(_) => Content::Mixed(Vec::new()),
        };
        Self { per_row: field.lists.iter().product(), field, content, missing: Vec::new(), flags: 0 }
    }

    /// Adds the next column of a batch of so many records.
    pub(super) fn add(&mut self, batch: &mut Batch<'_>, rows: usize, repeats: &mut Repeats) -> Outcome<()> {
        let (mut length, mut flags) = (rows, None);
        for (depth, size) in self.field.lists.iter().enumerate() {
            let (found, has_nulls) = batch.node()?;
            check_length(found, length, depth)?;
            let validity = batch.validity(found, has_nulls)?;
            let within = batch.within(length, *size, self.per_row)?;
            // A record without values has a flag of its own.
            if depth == 0 || self.per_row > 0 {
                hide(&mut flags, validity.as_ref(), length);
            }
            if self.per_row > 0 {
                flags = flags.map(|flags| flags.into_iter().flat_map(|flag| std::iter::repeat_n(flag, *size)).collect());
            }
            length = within;
        }
        let (found, has_nulls) = batch.node()?;
        check_length(found, length, self.field.lists.len())?;
        if !matches!(self.field.storage, Storage::Null | Storage::Union(_)) {
            let validity = batch.validity(found, has_nulls)?;
            if self.per_row > 0 {
                hide(&mut flags, validity.as_ref(), length);
            }
        }
        if self.per_row == 0 {
            self.values(batch, length, &mut None, repeats)?;
            self.flag(flags, rows);
        } else {
            self.values(batch, length, &mut flags, repeats)?;
            self.flag(flags, length);
        }
        Ok(())
    }

    fn flag(&mut self, flags: Flags, count: usize) {
        if let Some(flags) = flags.filter(|flags| flags.contains(&true)) {
            self.missing.resize(self.flags, false);
            self.missing.extend(flags);
        } else if !self.missing.is_empty() {
            self.missing.resize(self.flags + count, false);
        }
        self.flags += count;
    }

    /// Adds values, and zero or nothing where a flag hides them.
    fn values(&mut self, batch: &mut Batch<'_>, length: usize, flags: &mut Flags, repeats: &mut Repeats) -> Outcome<()> {
        let is_hidden = |place: usize| flags.as_ref().is_some_and(|flags| flags[place]);
        match (&mut self.content, &self.field.storage) {
            (Content::Fixed(target), Storage::Fixed(width)) => {
                let bytes = batch.buffer(length.checked_mul(*width))?;
                fixed(target, bytes.slice(..length * width), *width, flags.as_deref());
            }
            (Content::Fixed(target), Storage::Bool) => {
                let bits = batch.buffer(Some(length.div_ceil(8)))?;
                let slots = target.grow(length).iter_mut().enumerate();
                slots.for_each(|(place, slot)| *slot = u8::from(bit(&bits, place) && !is_hidden(place)));
            }
            (Content::Items(items), Storage::Texts { is_large }) => {
                let texts = Texts::read(batch, length, *is_large)?;
                items.extend((0..length).map(|place| if is_hidden(place) { Vec::new() } else { texts.get(place).to_vec() }));
            }
            (Content::Items(items), Storage::Dictionary { id, index }) => {
                let indices = batch.buffer(length.checked_mul(index.width))?;
                repeats.look_up(*id, (&indices, *index), length, flags, items)?;
            }
            (Content::Mixed(scalars), Storage::Union(children)) => mixed(batch, (length, children), scalars, repeats)?,
            _ => {}
        }
        Ok(())
    }
}

impl Growing {
    /// The column, when all batches were added.
    pub(super) fn finish(self, rows: usize, stream_bytes: usize) -> Outcome<Column> {
        let Field { name, kind, shape, .. } = self.field;
        let column = Column { name: name.into(), kind, shape, content: self.content, missing: folded(self.missing, self.per_row) };
        check_extent(&column, rows, stream_bytes)?;
        check_values(&column)?;
        Ok(column)
    }
}

/// Adds values of fixed width: the first ones stay where they are, as long as none of them is hidden.
fn fixed(target: &mut Buffer, bytes: Bytes, width: usize, flags: Option<&[bool]>) {
    let start = target.len();
    if start == 0 {
        *target = Buffer::from(bytes);
    } else {
        target.extend(&bytes);
    }
    for (place, _) in flags.unwrap_or_default().iter().enumerate().filter(|(_, flag)| **flag) {
        target.bytes_mut()[start + place * width..start + (place + 1) * width].fill(0);
    }
}

/// Records are as many as the batch has; within lists there may be more values than are referred to.
fn check_length(found: usize, wanted: usize, depth: usize) -> Outcome<()> {
    if found == wanted || (depth > 0 && found > wanted) {
        return Ok(());
    }
    Err(broken(format!("a column has {found} values where its batch has {wanted}")))
}

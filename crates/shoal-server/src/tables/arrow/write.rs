//! A table as one Arrow stream: a schema, one batch, and the end.
//!
//! Tensors are `arrow.fixed_shape_tensor`, mixed columns the dense union of `protocol.md`. Buffers begin at multiples of 8 bytes.

use arrow_ipc::{Buffer as Span, FieldNode, Message, MessageArgs, MessageHeader, MetadataVersion, RecordBatch, RecordBatchArgs};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::ENVELOPE;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Content, Kind, Scalar, Typed};
use crate::values::Dtype;

mod schema;

/// What stands between values, and before the length of a message.
const ALIGNMENT: usize = 8;
const MARK: [u8; 4] = [0xff; 4];
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Writes the first stream of a body: an envelope in JSON.
pub(crate) fn write_head(out: &mut Vec<u8>, json: &[u8]) {
    let mut builder = FlatBufferBuilder::new();
    let schema = schema::head(&mut builder, ENVELOPE, &String::from_utf8_lossy(json));
    message(out, builder, (MessageHeader::Schema, schema), &[]);
    out.extend_from_slice(&END);
}

/// Writes a table as one stream.
///
/// # Errors
/// `InvalidRequest` for a column without a dtype, which Arrow cannot carry, and `Internal` for one of more values than it counts.
pub(crate) fn write(out: &mut Vec<u8>, table: &Typed) -> Outcome<()> {
    let mut builder = FlatBufferBuilder::new();
    let schema = schema::schema(&mut builder, table)?;
    message(out, builder, (MessageHeader::Schema, schema), &[]);
    let mut body = Body::default();
    for column in &table.columns {
        body.column(column, table.rows)?;
    }
    let mut builder = FlatBufferBuilder::new();
    let (nodes, buffers) = (Some(builder.create_vector(&body.nodes)), Some(builder.create_vector(&body.spans)));
    let arguments = RecordBatchArgs { length: signed(table.rows)?, nodes, buffers, ..RecordBatchArgs::default() };
    let batch = RecordBatch::create(&mut builder, &arguments).as_union_value();
    message(out, builder, (MessageHeader::RecordBatch, batch), &body.bytes);
    out.extend_from_slice(&END);
    Ok(())
}

/// Writes a message and its values.
fn message(
    out: &mut Vec<u8>,
    mut builder: FlatBufferBuilder<'_>,
    (header_type, header): (MessageHeader, WIPOffset<UnionWIPOffset>),
    body: &[u8],
) {
    let arguments = MessageArgs {
        version: MetadataVersion::V5,
        header_type,
        header: Some(header),
        bodyLength: i64::try_from(body.len()).unwrap_or(i64::MAX),
        custom_metadata: None,
    };
    let message = Message::create(&mut builder, &arguments);
    builder.finish(message, None);
    let flatbuffer = builder.finished_data();
    let padding = flatbuffer.len().next_multiple_of(ALIGNMENT) - flatbuffer.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&u32::try_from(flatbuffer.len() + padding).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(flatbuffer);
    out.resize(out.len() + padding, 0);
    out.extend_from_slice(body);
}

/// A number as Arrow counts.
fn signed<T: TryFrom<usize>>(number: usize) -> Outcome<T> {
    T::try_from(number).map_err(|_| Fault::new(Code::Internal, format!("a table has {number} of something, more than Arrow counts")))
}

/// The values of a batch, and where each buffer of them is.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    nodes: Vec<FieldNode>,
    spans: Vec<Span>,
}

impl Body {
    fn node(&mut self, length: usize, nulls: usize) -> Outcome<()> {
        self.nodes.push(FieldNode::new(signed(length)?, signed(nulls)?));
        Ok(())
    }

    fn buffer(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Outcome<()> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.spans.push(Span::new(signed(start)?, signed(self.bytes.len() - start)?));
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        Ok(())
    }

    /// A node, and its validity: nothing where no flag is set.
    fn flagged(&mut self, length: usize, flags: &[bool]) -> Outcome<()> {
        let nulls = flags.iter().filter(|flag| **flag).count();
        self.node(length, nulls)?;
        self.buffer(|bytes| {
            if nulls > 0 {
                bits(bytes, flags.iter().map(|flag| !flag));
            }
        })
    }

    fn column(&mut self, column: &Column, rows: usize) -> Outcome<()> {
        let per_row = column.per_row();
        let by_value = column.has_flags_of_values();
        if !column.shape.is_empty() {
            self.flagged(rows, if by_value { &[] } else { &column.missing })?;
        }
        let length = rows * per_row;
        let flags = if column.shape.is_empty() || by_value { &column.missing[..] } else { &[] };
        match (&column.content, &column.kind) {
            (Content::Fixed(buffer), Kind::Plain(Dtype::Bool)) => {
                self.flagged(length, flags)?;
                self.buffer(|bytes| bits(bytes, buffer.bytes().iter().map(|byte| *byte != 0)))
            }
            (Content::Fixed(buffer), _) => {
                self.flagged(length, flags)?;
                self.buffer(|bytes| bytes.extend_from_slice(buffer.bytes()))
            }
            (Content::Items(items), _) => {
                self.flagged(length, flags)?;
                self.texts(items.iter().map(Vec::as_slice))
            }
            (Content::Mixed(scalars), _) => self.union(scalars),
            (Content::Text(_), _) => self.node(rows, rows),
        }
    }

    fn texts<'i>(&mut self, items: impl Iterator<Item = &'i [u8]> + Clone) -> Outcome<()> {
        let total: usize = items.clone().map(<[u8]>::len).sum();
        signed::<i32>(total)?;
        self.buffer(|bytes| {
            let mut end = 0_u32;
            bytes.extend_from_slice(&end.to_le_bytes());
            for item in items.clone() {
                // All of them together are below 2^31, as was just checked.
                end = end.wrapping_add(u32::try_from(item.len()).unwrap_or_default());
                bytes.extend_from_slice(&end.to_le_bytes());
            }
        })?;
        self.buffer(|bytes| items.for_each(|item| bytes.extend_from_slice(item)))
    }

    /// Five children, in the order of their type codes.
    fn union(&mut self, scalars: &[Scalar]) -> Outcome<()> {
        self.node(scalars.len(), 0)?;
        self.buffer(|bytes| bytes.extend(scalars.iter().map(code)))?;
        let mut counts = [0_u32; 5];
        self.buffer(|bytes| {
            for scalar in scalars {
                let count = &mut counts[usize::from(code(scalar))];
                bytes.extend_from_slice(&count.to_le_bytes());
                *count += 1;
            }
        })?;
        let counts = counts.map(|count| usize::try_from(count).unwrap_or_default());
        self.node(counts[0], counts[0])?;
        let [_, bools, integers, floats, texts] = counts;
        let bool = |scalar: &Scalar| if let Scalar::Bool(value) = scalar { Some(*value) } else { None };
        self.flagged(bools, &[])?;
        self.buffer(|bytes| bits(bytes, scalars.iter().filter_map(bool)))?;
        let integer = |scalar: &Scalar| if let Scalar::Int64(value) = scalar { Some(value.to_le_bytes()) } else { None };
        self.flagged(integers, &[])?;
        self.buffer(|bytes| bytes.extend(scalars.iter().filter_map(integer).flatten()))?;
        let float = |scalar: &Scalar| if let Scalar::Fp64(value) = scalar { Some(value.to_le_bytes()) } else { None };
        self.flagged(floats, &[])?;
        self.buffer(|bytes| bytes.extend(scalars.iter().filter_map(float).flatten()))?;
        self.flagged(texts, &[])?;
        self.texts(scalars.iter().filter_map(Scalar::text).map(str::as_bytes))
    }
}

/// The type code of a scalar: its place among the children of the union.
const fn code(scalar: &Scalar) -> u8 {
    match scalar {
        Scalar::Missing => 0,
        Scalar::Bool(_) => 1,
        Scalar::Int64(_) => 2,
        Scalar::Fp64(_) => 3,
        Scalar::Utf8(_) => 4,
    }
}

/// Packs bits, the first into the lowest of its byte.
fn bits(bytes: &mut Vec<u8>, flags: impl Iterator<Item = bool>) {
    for (place, flag) in flags.enumerate() {
        if place.is_multiple_of(8) {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(flag) << (place % 8);
        }
    }
}

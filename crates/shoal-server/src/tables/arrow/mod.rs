//! Typed tables as Arrow IPC streams, read where they lie.
//!
//! - The flatbuffers of a stream are verified by `arrow-ipc` with limits that follow from their size; everything beyond them -
//!   lengths, offsets, indices, bits - is read here, so that nothing in a stream leads outside of it, and nothing is allocated by
//!   what it merely claims. (The readers of the library slice by what a message says, and panic.)
//! - `messages` cuts a stream into messages, `fields` says what its columns are, `batches` reads their values, `texts` those that
//!   refer to others; `write` writes a table as one batch.
//! - Values of fixed width of the first batch are lent. The buffers of a batch follow each other, so that none is there twice;
//!   what dictionaries and unions repeat is bounded.

use std::collections::HashMap;

use arrow_ipc::MessageHeader;
use bytes::Bytes;

use crate::fault::{Code, Fault, Outcome};

use super::Typed;
use super::rules::{check_rows, refuse_twins};

mod batches;
mod fields;
mod messages;
mod texts;
mod write;

use batches::{Batch, Growing};
use messages::Messages;
use texts::Repeats;
pub(crate) use write::{write, write_head};

/// Columns of a stream, at most.
const COLUMNS: usize = 1_000;
/// The entry of metadata that holds an envelope.
const ENVELOPE: &str = "shoal.tasks";

/// The fault for a stream that is none.
fn broken(what: impl std::fmt::Display) -> Fault {
    Fault::new(Code::InvalidArrow, format!("the Arrow stream is broken: {what}"))
}

/// The envelope in JSON, and how many bytes of the body are the stream that holds it.
///
/// # Errors
/// `InvalidArrow`.
pub(crate) fn head(body: &Bytes) -> Outcome<(Bytes, usize)> {
    let mut messages = Messages::new(body);
    let first = messages.next()?.and_then(|part| part.message.header_as_schema());
    let schema = first.ok_or_else(|| broken("its head does not begin with a schema"))?;
    if schema.fields().is_some_and(|fields| !fields.is_empty()) || messages.next()?.is_some() {
        return Err(broken("its head has columns or batches; expected neither"));
    }
    let entry = schema.custom_metadata().into_iter().flatten().find(|entry| entry.key() == Some(ENVELOPE));
    let envelope = entry.and_then(|entry| entry.value()).ok_or_else(|| broken(format!("its head has no metadata {ENVELOPE:?}")))?;
    Ok((body.slice_ref(envelope.as_bytes()), messages.read_bytes()))
}

/// Reads one table, which is all of the stream.
///
/// # Errors
/// `InvalidArrow`, `WrongDtype`, `WrongShape`, `TimeWithoutZone`, `InvalidRequest` for a zone that is none, `DuplicateColumn`,
/// `TooManyRows`, `BodyTooLarge` where dictionaries repeat too much.
#[expect(clippy::needless_pass_by_value, reason = "the table keeps parts of it")]
pub(crate) fn read(stream: Bytes) -> Outcome<Typed> {
    let mut messages = Messages::new(&stream);
    let first = messages.next()?.and_then(|part| part.message.header_as_schema());
    let (fields, dictionaries) = fields::fields(&first.ok_or_else(|| broken("it does not begin with a schema"))?)?;
    let mut repeats = Repeats::new(dictionaries, stream.len());
    let mut columns: Vec<Growing> = fields.into_iter().map(Growing::new).collect();
    let mut rows = 0_usize;
    while let Some(part) = messages.next()? {
        match part.message.header_type() {
            MessageHeader::RecordBatch => rows = add(&mut columns, &part, rows, &mut repeats)?,
            MessageHeader::DictionaryBatch => {
                let batch = part.message.header_as_dictionary_batch().ok_or_else(|| broken("a message has no content"))?;
                repeats.define(&batch, part.body)?;
            }
            _ => return Err(broken("a message is neither a batch nor a dictionary")),
        }
    }
    if messages.read_bytes() != stream.len() {
        return Err(broken(format!("{} bytes follow its end", stream.len() - messages.read_bytes())));
    }
    let columns = columns.into_iter().map(|column| column.finish(rows, stream.len())).collect::<Outcome<Vec<_>>>()?;
    refuse_twins(&columns)?;
    Ok(Typed { rows, columns })
}

/// Adds a batch to the columns; how many rows there are then.
fn add(columns: &mut [Growing], part: &messages::Part<'_>, before: usize, repeats: &mut Repeats) -> Outcome<usize> {
    let header = part.message.header_as_record_batch().ok_or_else(|| broken("a message has no content"))?;
    let rows = usize::try_from(header.length()).map_err(|_| broken("a batch has a negative number of records"))?;
    let all = before.saturating_add(rows);
    check_rows(all)?;
    let mut batch = Batch::new(&header, part.body.clone())?;
    for column in columns {
        column.add(&mut batch, rows, repeats)?;
    }
    Ok(all)
}

/// Dictionaries by their id, and whether their texts have offsets of 64 bits.
type Dictionaries = HashMap<i64, bool>;

#[cfg(test)]
mod tests;

//! Answers in protobuf, written field by field.

use super::super::{Done, Merged};
use crate::fault::{Fault, Outcome};
use crate::tables::Typed;
use crate::tables::protobuf::{self as tables, bytes, nested, number, text};

/// Writes an answer.
pub(crate) fn write(results: &[Done], merged: Option<&Merged>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 * results.len());
    for done in results {
        nested(&mut out, 1, |out| write_result(out, done, merged.is_none()));
    }
    if let Some(merged) = merged {
        nested(&mut out, 2, |out| write_merged(out, merged));
    }
    out
}

/// Writes the result of one task.
pub(crate) fn write_result(out: &mut Vec<u8>, done: &Done, has_table: bool) {
    text(out, 1, &done.id);
    if let Some(author) = &done.author {
        text(out, 2, &author.model);
        text(out, 3, &author.version);
    }
    number(out, 4, done.batch_rows as u64);
    if has_table || done.outcome.is_err() {
        write_outcome(out, &done.outcome, (5, 6));
    }
}

fn write_merged(out: &mut Vec<u8>, merged: &Merged) {
    write_outcome(out, &merged.outcome, (1, 2));
    merged.left_out.iter().for_each(|id| bytes(out, 3, id.as_bytes()));
}

/// Writes a table or an error, into the field of each.
fn write_outcome(out: &mut Vec<u8>, outcome: &Outcome<Typed>, (table_field, error_field): (u32, u32)) {
    match outcome {
        Ok(table) => nested(out, table_field, |out| tables::write(out, table)),
        Err(fault) => nested(out, error_field, |out| write_error(out, fault)),
    }
}

fn write_error(out: &mut Vec<u8>, fault: &Fault) {
    text(out, 1, fault.code.name());
    text(out, 2, &fault.message);
    text(out, 3, fault.hint.as_deref().unwrap_or_default());
    if let Some(after) = fault.retry_after {
        let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        prost::encoding::uint64::encode(4, &milliseconds, out);
    }
}

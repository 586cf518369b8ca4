//! Answers in protobuf, written field by field.

use super::super::{Done, Merged};
use crate::fault::Fault;
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
    match &done.outcome {
        Ok(output) if has_table => nested(out, 5, |out| tables::write(out, output.within())),
        Ok(_) => {}
        Err(fault) => nested(out, 6, |out| write_error(out, fault)),
    }
}

fn write_merged(out: &mut Vec<u8>, merged: &Merged) {
    match &merged.outcome {
        Ok(table) => nested(out, 1, |out| tables::write(out, table.all())),
        Err(fault) => nested(out, 2, |out| write_error(out, fault)),
    }
    merged.left_out.iter().for_each(|id| bytes(out, 3, id.as_bytes()));
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

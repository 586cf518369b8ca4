//! Answers in JSON.

use super::super::{Done, Merged};
use crate::fault::Fault;
use crate::http::write_error;
use crate::json::answer::{number, text};
use crate::tables::{self, Typed};

/// Writes the table of an answer: in place of it, whatever stands for it.
pub(crate) type WriteTable<'w> = &'w mut dyn FnMut(&mut Vec<u8>, &Typed);

/// Writes an answer.
pub(crate) fn write(results: &[Done], merged: Option<&Merged>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 * results.len());
    write_with(&mut out, results, merged, &mut tables::json::write);
    out
}

/// Writes an answer, with tables as `write` writes them, in their order.
pub(crate) fn write_with(out: &mut Vec<u8>, results: &[Done], merged: Option<&Merged>, write: WriteTable<'_>) {
    out.extend_from_slice(b"{\"results\":[");
    for (place, done) in results.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_done(out, done, merged.is_none(), write);
    }
    out.push(b']');
    if let Some(merged) = merged {
        out.extend_from_slice(b",\"merged\":");
        write_merged(out, merged, write);
    }
    out.push(b'}');
}

/// Writes one line of an answer that comes as tasks end.
pub(crate) fn write_line(out: &mut Vec<u8>, done: &Done, has_table: bool) {
    write_done(out, done, has_table, &mut tables::json::write);
    out.push(b'\n');
}

/// Writes its last line, where a merge was asked for.
pub(crate) fn write_merged_line(out: &mut Vec<u8>, merged: &Merged) {
    out.extend_from_slice(b"{\"merged\":");
    write_merged(out, merged, &mut tables::json::write);
    out.extend_from_slice(b"}\n");
}

fn write_done(out: &mut Vec<u8>, done: &Done, has_table: bool, write: WriteTable<'_>) {
    out.extend_from_slice(b"{\"id\":");
    text(out, &done.id);
    match &done.outcome {
        Err(fault) => {
            out.push(b',');
            write_fault(out, fault);
        }
        Ok(table) => {
            let (model, version) = done.author.as_ref().map_or(("", ""), |author| (&author.model, &author.version));
            out.extend_from_slice(b",\"model\":");
            text(out, model);
            out.extend_from_slice(b",\"version\":");
            text(out, version);
            if has_table {
                out.extend_from_slice(b",\"table\":");
                write(out, table);
            }
            out.extend_from_slice(b",\"batch_rows\":");
            number(out, done.batch_rows);
        }
    }
    out.push(b'}');
}

fn write_merged(out: &mut Vec<u8>, merged: &Merged, write: WriteTable<'_>) {
    match &merged.outcome {
        Err(fault) => {
            out.push(b'{');
            write_fault(out, fault);
        }
        Ok(table) => {
            out.extend_from_slice(b"{\"table\":");
            write(out, table);
        }
    }
    out.extend_from_slice(b",\"left_out\":[");
    for (place, id) in merged.left_out.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        text(out, id);
    }
    out.extend_from_slice(b"]}");
}

/// A field `error`: the object of all errors, and in it when it may be worth trying again.
fn write_fault(out: &mut Vec<u8>, fault: &Fault) {
    out.extend_from_slice(b"\"error\":");
    write_error(out, fault);
    if let Some(after) = fault.retry_after {
        out.pop();
        out.extend_from_slice(b",\"retry_after_ms\":");
        number(out, usize::try_from(after.as_millis()).unwrap_or(usize::MAX));
        out.push(b'}');
    }
}

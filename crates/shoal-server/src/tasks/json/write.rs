//! Answers in JSON.

use std::sync::Arc;

use super::super::{Done, Merged, Output};
use crate::description::Author;
use crate::fault::Fault;
use crate::http::write_error;
use crate::json::answer::{number, text};
use crate::tables::json::Form;
use crate::tables::stack::Span;
use crate::tables::{self, Typed};

/// Writes some records of a table, which are the table of an answer: in place of them, whatever stands for it.
pub(crate) type WriteTable<'w> = &'w mut dyn FnMut(&mut Vec<u8>, (&Typed, Span));

/// Writes an answer.
pub(crate) fn write(results: &[Done], merged: Option<&Merged>) -> Vec<u8> {
    let (mut out, mut forms) = (Vec::with_capacity(256 * results.len()), Forms::default());
    write_results(&mut out, results, |out, done| {
        if merged.is_some() || !forms.write(out, done) {
            write_done(out, done, merged.is_none(), &mut tables::json::write);
        }
    });
    write_end(&mut out, merged, &mut tables::json::write);
    out
}

/// Writes an answer, with tables as `write` writes them, in their order.
pub(crate) fn write_with(out: &mut Vec<u8>, results: &[Done], merged: Option<&Merged>, write: WriteTable<'_>) {
    write_results(out, results, |out, done| write_done(out, done, merged.is_none(), write));
    write_end(out, merged, write);
}

fn write_results(out: &mut Vec<u8>, results: &[Done], mut write: impl FnMut(&mut Vec<u8>, &Done)) {
    out.extend_from_slice(b"{\"results\":[");
    for (place, done) in results.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, done);
    }
    out.push(b']');
}

/// Writes what comes behind the results.
fn write_end(out: &mut Vec<u8>, merged: Option<&Merged>, write: WriteTable<'_>) {
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

/// The form of the results that were written last: of most envelopes all have the same.
#[derive(Default)]
struct Forms {
    last: Option<Likeness>,
    form: Option<Form>,
}

/// What results have in common that are of one form: the addresses of the table in which they lie and of who answered, which the
/// results keep to themselves, how many records each has, and how many its micro-batch had.
type Likeness = (usize, usize, usize, usize);

impl Forms {
    /// Writes a result that is of the form of the one before it.
    fn write(&mut self, out: &mut Vec<u8>, done: &Done) -> bool {
        let (Ok(Output::Stacked(stacked)), Some(author)) = (&done.outcome, &done.author) else { return false };
        let likeness = (Arc::as_ptr(&stacked.whole).addr(), Arc::as_ptr(author).addr(), stacked.span.rows, done.batch_rows);
        if self.last.replace(likeness) != Some(likeness) {
            self.form = None;
            return false;
        }
        let form = self.form.get_or_insert_with(|| {
            let before = |out: &mut Vec<u8>| {
                write_author(out, Some(&**author));
                out.extend_from_slice(b",\"table\":");
            };
            Form::of(&stacked.whole, stacked.span.rows, (before, |out: &mut Vec<u8>| write_batch_rows(out, done.batch_rows)))
        });
        write_id(out, done);
        form.write(out, (&stacked.whole, stacked.span));
        true
    }
}

fn write_done(out: &mut Vec<u8>, done: &Done, has_table: bool, write: WriteTable<'_>) {
    write_id(out, done);
    match &done.outcome {
        Err(fault) => {
            out.push(b',');
            write_fault(out, fault);
            out.push(b'}');
        }
        Ok(output) => {
            write_author(out, done.author.as_deref());
            if has_table {
                out.extend_from_slice(b",\"table\":");
                write(out, output.within());
            }
            write_batch_rows(out, done.batch_rows);
        }
    }
}

fn write_id(out: &mut Vec<u8>, done: &Done) {
    out.extend_from_slice(b"{\"id\":");
    text(out, &done.id);
}

fn write_author(out: &mut Vec<u8>, author: Option<&Author>) {
    let (model, version) = author.map_or(("", ""), |author| (&author.model, &author.version));
    out.extend_from_slice(b",\"model\":");
    text(out, model);
    out.extend_from_slice(b",\"version\":");
    text(out, version);
}

/// Writes the last field of a result, and its end.
fn write_batch_rows(out: &mut Vec<u8>, batch_rows: usize) {
    out.extend_from_slice(b",\"batch_rows\":");
    number(out, batch_rows);
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
            write(out, table.all());
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

#[cfg(test)]
mod tests {
    use super::super::super::merge::By;
    use super::super::super::{Merge, arrow, protobuf};
    use super::*;
    use crate::fault::Code;
    use crate::tables::stack::Stacked;
    use crate::tables::{Column, Content, Kind};
    use crate::values::{Buffer, Dtype};

    /// A table of two columns; the second says `shift` in each of its four records.
    fn whole(shift: i32) -> Arc<Typed> {
        let column = |name: &str, values: &[i32]| Column {
            name: name.into(),
            kind: Kind::Plain(Dtype::Int32),
            shape: vec![],
            content: Content::Fixed(Buffer::copy_of(bytemuck::cast_slice(values))),
            missing: vec![],
        };
        let mut whole = Typed { rows: 4, columns: vec![column("a", &[0, 1, 2, 3]), column("\"", &[shift; 4])] };
        whole.share();
        Arc::new(whole)
    }

    /// Results on two stacks, with a failed one among them; not all have the same form.
    fn results() -> Vec<Done> {
        let (one, other, author) = (whole(1), whole(2), Arc::new(Author { model: "m".into(), version: "1".into() }));
        let done = |whole: &Arc<Typed>, start, rows, batch_rows| Done {
            id: format!("{start}\n").into(),
            author: Some(Arc::clone(&author)),
            outcome: Ok(Output::Stacked(Stacked { whole: Arc::clone(whole), span: Span { start, rows } })),
            batch_rows,
            weight: 1.0,
        };
        let failed = Done { outcome: Err(Fault::new(Code::Internal, "on purpose")), ..done(&one, 0, 1, 4) };
        let mut results: Vec<_> = (0..3).map(|start| done(&one, start, 1, 4)).collect();
        results.extend([failed, done(&one, 3, 1, 4), done(&one, 0, 2, 4), done(&one, 2, 2, 4), done(&one, 2, 2, 5), done(&one, 1, 2, 5)]);
        results.extend([done(&other, 1, 2, 5), done(&other, 2, 2, 5), done(&one, 2, 0, 5), done(&one, 3, 0, 5), done(&one, 0, 4, 5)]);
        results
    }

    #[test]
    fn results_of_one_form_are_written_as_any_other() {
        let (results, mut plainly) = (results(), Vec::new());
        write_with(&mut plainly, &results, None, &mut tables::json::write);
        assert_eq!(String::from_utf8(write(&results, None)).unwrap(), String::from_utf8(plainly).unwrap());
    }

    #[test]
    fn results_that_lie_on_a_stack_are_what_they_are_by_themselves() {
        let stacked = results();
        let by_itself = |done: &Done| Done { outcome: done.outcome.clone().map(|output| Output::Own(output.into_table())), ..done.clone() };
        let own: Vec<_> = stacked.iter().map(by_itself).collect();
        assert_eq!(write(&stacked, None), write(&own, None));
        assert_eq!(arrow::write(&stacked, None).unwrap(), arrow::write(&own, None).unwrap());
        assert_eq!(protobuf::write(&stacked, None), protobuf::write(&own, None));
        for by in [By::Concat, By::Sum] {
            let merge = Merge { by, columns: vec![] };
            let [one, other] = [&stacked, &own].map(|results| merge.join(results));
            assert_eq!((one.outcome.unwrap(), one.left_out), (other.outcome.unwrap(), other.left_out));
        }
    }
}

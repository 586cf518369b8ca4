//! What a task asks for, as one number: two tasks with the same digest want the same answer.

use sha2::{Digest as _, Sha256};

use super::{Input, SharedTable, Task};
use crate::tables::{Column, Content, Kind, Scalar, Typed, Unit};

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The digest of table, model, version and outputs, as they were sent; None where there is no table. A shared table is hashed once.
pub(crate) fn of(task: &Task) -> Option<Digest> {
    let mut hash = match task.input.as_ref().ok()? {
        Input::Shared(shared) => hashed(shared).clone(),
        own => content(&own.table()),
    };
    text(&mut hash, &task.query.model);
    text(&mut hash, task.query.version.as_deref().unwrap_or_default());
    let outputs = task.query.outputs.as_deref().unwrap_or_default();
    number(&mut hash, outputs.len());
    for output in outputs {
        text(&mut hash, output);
    }
    Some(hash.finalize().into())
}

/// How many bytes of a table [`of`] has to hash.
pub(crate) fn bytes_to_hash(task: &Task) -> usize {
    match &task.input {
        Ok(Input::Own(table)) if task.key.is_some() => table.size_bytes(),
        Ok(Input::Stacked(stacked)) if task.key.is_some() => stacked.values_bytes(),
        Ok(Input::Shared(shared)) if task.key.is_some() && shared.hashed.get().is_none() => shared.table.size_bytes(),
        _ => 0,
    }
}

fn hashed(shared: &SharedTable) -> &Sha256 {
    shared.hashed.get_or_init(|| content(&shared.table))
}

/// A hash with a table in it, before what is asked of that.
fn content(table: &Typed) -> Sha256 {
    let mut hash = Sha256::new();
    number(&mut hash, table.rows);
    number(&mut hash, table.columns.len());
    for column in &table.columns {
        add_column(&mut hash, column);
    }
    hash
}

fn add_column(hash: &mut Sha256, column: &Column) {
    text(hash, &column.name);
    add_kind(hash, &column.kind);
    number(hash, column.shape.len());
    for dim in &column.shape {
        number(hash, *dim);
    }
    match &column.content {
        Content::Fixed(buffer) => bytes(hash, buffer.bytes()),
        Content::Text(data) => bytes(hash, data),
        Content::Items(items) => {
            number(hash, items.len());
            for item in items {
                bytes(hash, item);
            }
        }
        Content::Mixed(records) => {
            number(hash, records.len());
            for record in records {
                add_scalar(hash, record);
            }
        }
    }
    number(hash, column.missing.len());
    for missing in &column.missing {
        hash.update([u8::from(*missing)]);
    }
}

fn add_kind(hash: &mut Sha256, kind: &Kind) {
    match kind {
        Kind::Plain(dtype) => text(hash, dtype.name()),
        Kind::Utf8 => text(hash, "UTF8"),
        Kind::Bytes => text(hash, "BYTES"),
        Kind::Timestamp(unit, zone) => {
            let unit = match unit {
                Unit::Second => "s",
                Unit::Millisecond => "ms",
                Unit::Microsecond => "us",
                Unit::Nanosecond => "ns",
            };
            text(hash, "TIMESTAMP");
            text(hash, unit);
            text(hash, zone);
        }
        Kind::Date => text(hash, "DATE"),
        Kind::Mixed => text(hash, "MIXED"),
        Kind::Untyped => text(hash, ""),
    }
}

fn add_scalar(hash: &mut Sha256, record: &Scalar) {
    match record {
        Scalar::Missing => hash.update([0]),
        Scalar::Bool(value) => hash.update([1, u8::from(*value)]),
        Scalar::Int64(value) => {
            hash.update([2]);
            hash.update(value.to_le_bytes());
        }
        Scalar::Fp64(value) => {
            hash.update([3]);
            hash.update(value.to_le_bytes());
        }
        Scalar::Utf8(value) => {
            hash.update([4]);
            text(hash, value);
        }
    }
}

/// With its length before it, so that no two lists of texts are the same bytes.
fn bytes(hash: &mut Sha256, bytes: &[u8]) {
    number(hash, bytes.len());
    hash.update(bytes);
}

fn text(hash: &mut Sha256, text: &str) {
    bytes(hash, text.as_bytes());
}

fn number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Query;
    use super::*;
    use crate::values::{Buffer, Dtype};

    fn task() -> Task {
        let column = Column {
            name: "a".into(),
            kind: Kind::Plain(Dtype::Int64),
            shape: vec![],
            content: Content::Fixed(Buffer::copy_of(&[0; 16])),
            missing: vec![],
        };
        Task::new(Query::of("m"), Ok(Input::Own(Typed { rows: 2, columns: vec![column] })))
    }

    fn changed(change: impl FnOnce(&mut Task, &mut Column)) -> Option<Digest> {
        let mut task = task();
        let Ok(Input::Own(mut table)) = std::mem::replace(&mut task.input, Ok(Input::Own(Typed { rows: 2, columns: vec![] }))) else {
            panic!("its own")
        };
        change(&mut task, &mut table.columns[0]);
        task.input = Ok(Input::Own(table));
        of(&task)
    }

    #[test]
    fn everything_that_may_change_the_answer_changes_the_digest_and_nothing_else_does() {
        let same = of(&task());
        assert!(same.is_some());
        assert_eq!(changed(|task, _| (task.id, task.priority, task.weight) = ("other".into(), 3, 2.0)), same);
        let others = [
            changed(|task, _| task.query = Query::of("n")),
            changed(|task, _| task.query = Arc::new(Query { model: "m".into(), version: Some("1".into()), outputs: None })),
            changed(|task, _| task.query = Arc::new(Query { model: "m".into(), version: None, outputs: Some(vec!["y".into()]) })),
            changed(|_, column| column.name = "b".into()),
            changed(|_, column| column.kind = Kind::Timestamp(Unit::Second, "UTC".into())),
            changed(|_, column| column.shape = vec![1]),
            changed(|_, column| column.missing = vec![false, true]),
            changed(|_, column| column.content = Content::Fixed(Buffer::copy_of(&[1; 16]))),
        ];
        assert!(others.iter().all(|other| other.is_some() && *other != same));
    }

    #[test]
    fn a_shared_table_is_hashed_once_and_is_the_same_content_as_one_of_its_own() {
        let Ok(Input::Own(table)) = task().input else { panic!("its own") };
        let shared = Arc::new(SharedTable::new(table, None));
        let referring = || Task { key: Some("k".into()), ..Task::new(Query::of("m"), Ok(Input::Shared(Arc::clone(&shared)))) };
        assert_eq!((bytes_to_hash(&referring()) > 0, of(&referring())), (true, of(&task())));
        assert_eq!(bytes_to_hash(&referring()), 0);
        assert_ne!(of(&Task { query: Query::of("n"), ..referring() }), of(&task()));
    }
}

//! Envelopes and answers in JSON; the head of an envelope in Arrow is the same.
//!
//! The frame is read first, in one pass, with every table as the text that it is; then each table by itself, once, when the first
//! task refers to it. So a table that is wrong is the fault of its tasks, and what breaks the frame refuses all of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::merge::By;
use super::{Done, Envelope, Input, Merge, Merged, TASKS_LIMIT, Task};
use crate::fault::{Code, Fault, Outcome};
use crate::http::write_error;
use crate::json::answer::{number, text};
use crate::tables::{self, Typed};

/// Reads an envelope.
///
/// # Errors
/// `MalformedJson`, and those of [`Envelope::new`].
pub(crate) fn read(body: &[u8]) -> Outcome<Envelope> {
    frame(body)?.envelope(tables::json::read)
}

/// An envelope whose tables are not read yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame<'a> {
    #[serde(borrow)]
    tasks: Tasks<'a>,
    #[serde(borrow, default)]
    tables: Option<Named<'a>>,
    #[serde(default)]
    merge: Option<MergeFields>,
    #[serde(default)]
    timeout_us: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFields<'a> {
    #[serde(default)]
    id: Option<String>,
    model: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(borrow)]
    table: &'a RawValue,
    #[serde(default)]
    outputs: Option<Vec<String>>,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    timeout_us: Option<u64>,
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    weight: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeFields {
    by: String,
    #[serde(default)]
    columns: Option<Vec<String>>,
}

/// Reads a frame.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`.
pub(crate) fn frame(body: &[u8]) -> Outcome<Frame<'_>> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Fault::new(Code::InvalidRequest, format!("the envelope does not have the expected form: {error}"))
        }
        _ => Fault::new(Code::MalformedJson, format!("the envelope is not JSON: {error}")),
    })
}

/// A table as it stands in a frame.
type Source<'a> = &'a [u8];

impl<'a> Frame<'a> {
    /// The texts of all tables in their order: the shared ones, then those of tasks.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source<'a>> {
        let shared = self.tables.iter().flat_map(|tables| tables.0.iter().map(|(_, table)| table.get().as_bytes()));
        let own = self.tasks.0.iter().map(|task| task.table.get().as_bytes()).filter(|table| !is_name(table));
        shared.chain(own)
    }

    /// The envelope, whose tables `read` makes of what stands in the frame.
    ///
    /// # Errors
    /// Those of [`Envelope::new`], `InvalidRequest`.
    pub(crate) fn envelope(self, read: impl Fn(Source<'a>) -> Outcome<Typed>) -> Outcome<Envelope> {
        let mut shared = Shared { read: &read, sources: HashMap::new(), tables: HashMap::new() };
        shared.sources.extend(self.tables.into_iter().flat_map(|tables| tables.0).map(|(name, table)| (name, table.get().as_bytes())));
        let merge = self.merge.map(MergeFields::settle).transpose()?;
        let tasks = self.tasks.0.into_iter().map(|task| task.settle(&mut shared)).collect();
        Envelope::new(tasks, merge, timeout(self.timeout_us))
    }
}

impl MergeFields {
    fn settle(self) -> Outcome<Merge> {
        Ok(Merge { by: By::from_name(&self.by)?, columns: self.columns.unwrap_or_default() })
    }
}

/// 0 is none.
fn timeout(us: Option<u64>) -> Option<Duration> {
    us.filter(|us| *us > 0).map(Duration::from_micros)
}

/// Whether a table of a task is the name of a shared one.
fn is_name(source: Source<'_>) -> bool {
    source.first() == Some(&b'"')
}

impl<'a> TaskFields<'a> {
    fn settle<R: Fn(Source<'a>) -> Outcome<Typed>>(self, shared: &mut Shared<'a, '_, R>) -> Task {
        let source = self.table.get().as_bytes();
        let input = if is_name(source) { shared.named(source) } else { (shared.read)(source).map(Input::Own) };
        Task {
            id: self.id.unwrap_or_default(),
            version: self.version.filter(|version| !version.is_empty()),
            outputs: self.outputs.filter(|outputs| !outputs.is_empty()),
            priority: self.priority.unwrap_or(0),
            timeout: timeout(self.timeout_us),
            key: self.idempotency_key.filter(|key| !key.is_empty()),
            weight: self.weight.unwrap_or(1.0),
            ..Task::new(self.model, input)
        }
    }
}

/// The shared tables of a frame, each of which is read when it is first named.
struct Shared<'a, 'r, R> {
    read: &'r R,
    sources: HashMap<String, Source<'a>>,
    tables: HashMap<String, Outcome<Arc<Typed>>>,
}

impl<'a, R: Fn(Source<'a>) -> Outcome<Typed>> Shared<'a, '_, R> {
    fn named(&mut self, name: Source<'_>) -> Outcome<Input> {
        let name: String = serde_json::from_slice(name)
            .map_err(|error| Fault::new(Code::InvalidRequest, format!("the name of a table is no text: {error}")))?;
        if let Some(table) = self.tables.get(&name) {
            return table.clone().map(Input::Shared);
        }
        let source = self.sources.get(&name).ok_or_else(|| unknown_table(&name))?;
        let table = (self.read)(source).map(Arc::new);
        self.tables.insert(name, table.clone());
        table.map(Input::Shared)
    }
}

/// The fault of a task that refers to a table which is not there.
pub(crate) fn unknown_table(name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::UnknownTable, format!("the envelope has no shared table {shown:?}")).hint("put it into `tables`, by this name")
}

/// Tasks up to one more than the limit; those beyond are only passed over.
struct Tasks<'a>(Vec<TaskFields<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Tasks<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<TaskFields<'de>>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut tasks = Vec::new();
                while tasks.len() <= TASKS_LIMIT {
                    let Some(task) = list.next_element()? else { return Ok(tasks) };
                    tasks.push(task);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(tasks)
            }
        }
        deserializer.deserialize_seq(List).map(Self)
    }
}

/// Tables by name, in their order.
struct Named<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from names to tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut tables, mut names) = (Vec::new(), std::collections::HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if tables.len() == TASKS_LIMIT {
                        return Err(A::Error::custom(format_args!("more than {TASKS_LIMIT} shared tables")));
                    }
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("the shared table {name:?} stands twice")));
                    }
                    tables.push((name, map.next_value()?));
                }
                Ok(tables)
            }
        }
        deserializer.deserialize_map(Entries).map(Self)
    }
}

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
            out.extend_from_slice(b",\"model\":");
            text(out, &done.model);
            out.extend_from_slice(b",\"version\":");
            text(out, &done.version);
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

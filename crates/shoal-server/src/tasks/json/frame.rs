//! The frame of an envelope: everything but its tables, which stay the texts that they are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::merge::By;
use super::super::room::Room;
use super::super::{Envelope, Input, Merge, TASKS_LIMIT, Task};
use super::fields::{Fields, object};
use super::unknown_table;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::Typed;

/// An envelope whose tables are not read yet.
#[derive(Default)]
pub(crate) struct Frame<'a> {
    tasks: Vec<TaskFields<'a>>,
    tables: Vec<(String, &'a RawValue)>,
    merge: Option<MergeFields>,
    timeout_us: Option<u64>,
}

impl<'de> Fields<'de> for Frame<'de> {
    const WHAT: &'static str = "an envelope: an object with tasks";
    const KNOWN: &'static [&'static str] = &["tables", "tasks", "merge", "timeout_us"];
    const REQUIRED: &'static [usize] = &[1];

    fn read<A: MapAccess<'de>>(&mut self, number: usize, map: &mut A) -> Result<(), A::Error> {
        match number {
            0 => self.tables = map.next_value::<Option<Named<'de>>>()?.map(|named| named.0).unwrap_or_default(),
            1 => self.tasks = map.next_value::<Tasks<'de>>()?.0,
            2 => self.merge = map.next_value()?,
            _ => self.timeout_us = map.next_value()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct TaskFields<'a> {
    id: Option<String>,
    model: String,
    version: Option<String>,
    table: Source<'a>,
    outputs: Option<Vec<String>>,
    priority: Option<u8>,
    timeout_us: Option<u64>,
    key: Option<String>,
    weight: Option<f64>,
}

impl<'de> Fields<'de> for TaskFields<'de> {
    const WHAT: &'static str = "a task: an object with model and table";
    const KNOWN: &'static [&'static str] =
        &["id", "model", "version", "table", "outputs", "priority", "timeout_us", "idempotency_key", "weight"];
    const REQUIRED: &'static [usize] = &[1, 3];

    fn read<A: MapAccess<'de>>(&mut self, number: usize, map: &mut A) -> Result<(), A::Error> {
        match number {
            0 => self.id = map.next_value()?,
            1 => self.model = map.next_value()?,
            2 => self.version = map.next_value()?,
            3 => self.table = map.next_value::<&RawValue>()?.get().as_bytes(),
            4 => self.outputs = map.next_value()?,
            5 => self.priority = map.next_value()?,
            6 => self.timeout_us = map.next_value()?,
            7 => self.key = map.next_value()?,
            _ => self.weight = map.next_value()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct MergeFields {
    by: String,
    columns: Option<Vec<String>>,
}

impl<'de> Fields<'de> for MergeFields {
    const WHAT: &'static str = "a merge: an object with by";
    const KNOWN: &'static [&'static str] = &["by", "columns"];
    const REQUIRED: &'static [usize] = &[0];

    fn read<A: MapAccess<'de>>(&mut self, number: usize, map: &mut A) -> Result<(), A::Error> {
        match number {
            0 => self.by = map.next_value()?,
            _ => self.columns = map.next_value()?,
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Frame<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::<Frame<'de>, D>(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TaskFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object::<TaskFields<'de>, D>(deserializer)
    }
}

impl<'de> Deserialize<'de> for MergeFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer)
    }
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
        let shared = self.tables.iter().map(|(_, table)| table.get().as_bytes());
        let own = self.tasks.iter().map(|task| task.table).filter(|table| !is_name(table));
        shared.chain(own)
    }

    /// The envelope, whose tables `read` makes of what stands in the frame.
    ///
    /// # Errors
    /// Those of [`Envelope::new`], `InvalidRequest`.
    pub(crate) fn envelope(self, room: Room, read: impl Fn(Source<'a>) -> Outcome<Typed>) -> Outcome<Envelope> {
        let mut shared = Shared { read, room, sources: HashMap::new(), tables: HashMap::new() };
        shared.sources.extend(self.tables.into_iter().map(|(name, table)| (name, table.get().as_bytes())));
        let merge = self.merge.map(MergeFields::settle).transpose()?;
        let tasks = self.tasks.into_iter().map(|task| task.settle(&mut shared)).collect();
        let bytes = shared.room.settle()?;
        Ok(Envelope { bytes, ..Envelope::new(tasks, merge, timeout(self.timeout_us))? })
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
    fn settle<R: Fn(Source<'a>) -> Outcome<Typed>>(self, shared: &mut Shared<'a, R>) -> Task {
        let source = self.table;
        let input = if is_name(source) { shared.named(source) } else { shared.read(source).map(Input::Own) };
        Task {
            id: self.id.unwrap_or_default(),
            version: self.version.filter(|version| !version.is_empty()),
            outputs: self.outputs.filter(|outputs| !outputs.is_empty()),
            priority: self.priority.unwrap_or(0),
            timeout: timeout(self.timeout_us),
            key: self.key.filter(|key| !key.is_empty()),
            weight: self.weight.unwrap_or(1.0),
            ..Task::new(self.model, input)
        }
    }
}

/// The shared tables of a frame, each of which is read when it is first named, and room for all tables.
struct Shared<'a, R> {
    read: R,
    room: Room,
    sources: HashMap<String, Source<'a>>,
    tables: HashMap<String, Outcome<Arc<Typed>>>,
}

impl<'a, R: Fn(Source<'a>) -> Outcome<Typed>> Shared<'a, R> {
    fn read(&mut self, source: Source<'a>) -> Outcome<Typed> {
        self.room.hold(|| (self.read)(source))
    }

    fn named(&mut self, name: Source<'_>) -> Outcome<Input> {
        let name: String = serde_json::from_slice(name)
            .map_err(|error| Fault::new(Code::InvalidRequest, format!("the name of a table is no text: {error}")))?;
        if let Some(table) = self.tables.get(&name) {
            return table.clone().map(Input::Shared);
        }
        let source = self.sources.get(&name).copied().ok_or_else(|| unknown_table(&name))?;
        let table = self.read(source).map(Arc::new);
        self.tables.insert(name, table.clone());
        table.map(Input::Shared)
    }
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
                let (mut tables, mut names) = (Vec::new(), HashSet::new());
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

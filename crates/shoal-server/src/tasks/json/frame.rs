//! The frame of an envelope: everything but its tables.
//!
//! A table of a task is read where it stands, in the same pass, if it is read as JSON; one that is wrong is passed over, and so
//! are shared tables, which are read when they are named, and what stands for a table in Arrow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::super::merge::By;
use super::super::room::Room;
use super::super::{Envelope, Input, Merge, Query, SharedTable, TASKS_LIMIT, Task};
use super::mould::{Holes, Moulds};
use super::scan::{Form, Scan};
use super::{table_twice, unknown_table};
use crate::fault::{Code, Fault, Outcome};
use crate::tables::stack::{Span, Stacked};
use crate::tables::{Kind, Typed, json};

const ENVELOPE: Form = Form { what: "the envelope", known: &["tasks", "tables", "merge", "timeout_us"], required: 1 };
/// The fields of a task that differ from one to the next, by their numbers: id, timeout, key and weight.
const DIFFERING: [usize; 4] = [2, 6, 7, 8];
const TASK: Form = Form {
    what: "a task",
    known: &["model", "table", "id", "version", "outputs", "priority", "timeout_us", "idempotency_key", "weight"],
    required: 2,
};
/// Tasks for which there is room before they come.
const EXPECTED: usize = 256;
const MERGE: Form = Form { what: "merge", known: &["by", "columns"], required: 0 };

/// Who reads tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// They are read as JSON.
    AsJson,
    /// They are left as they stand in the frame.
    Left,
}

/// An envelope whose shared tables are not read yet.
pub(crate) struct Frame<'t> {
    tasks: Vec<Said<'t>>,
    shared: Vec<(String, &'t [u8])>,
    merge: Option<Merge>,
    timeout: Option<Duration>,
    room: Room,
    pub(super) moulds: Moulds<'t>,
}

/// The table of a task.
pub(super) enum Given<'t> {
    Read(Outcome<Typed>),
    /// It lies on the stack of this number.
    Stacked(usize, Span),
    Left(&'t [u8]),
    Named(Outcome<String>),
}

impl Default for Given<'_> {
    fn default() -> Self {
        Self::Left(b"")
    }
}

/// Looks a frame through.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`, `BodyTooLarge`.
pub(crate) fn frame(body: &[u8], room: Room, tables: Tables) -> Outcome<Frame<'_>> {
    looked_through(body, room, tables, Moulds::default())
}

pub(super) fn looked_through<'t>(body: &'t [u8], room: Room, tables: Tables, moulds: Moulds<'t>) -> Outcome<Frame<'t>> {
    let (mut scan, mut frame) =
        (Scan::new(body), Frame { tasks: Vec::new(), shared: Vec::new(), merge: None, timeout: None, room, moulds });
    scan.fields(&ENVELOPE, |scan, field| match field {
        0 => scan.list("tasks", |scan| frame.add_task(scan, tables)),
        _ if is_null(scan)? => Ok(()),
        1 => scan.object("tables", |scan, name| frame.add_table(scan, name)),
        2 => {
            frame.merge = Some(merge(scan, &mut frame.room)?);
            Ok(())
        }
        _ => {
            frame.timeout = timeout(scan)?;
            Ok(())
        }
    })?;
    scan.end()?;
    Ok(frame)
}

/// Goes behind `null`, which stands for a field that is left out.
fn is_null(scan: &mut Scan<'_>) -> Outcome<bool> {
    if scan.peek() != b'n' {
        return Ok(false);
    }
    scan.value().map(|_| true)
}

/// 0 is none.
fn timeout(scan: &mut Scan<'_>) -> Outcome<Option<Duration>> {
    let us: u64 = scan.read("timeout_us")?;
    Ok((us > 0).then(|| Duration::from_micros(us)))
}

fn merge(scan: &mut Scan<'_>, room: &mut Room) -> Outcome<Merge> {
    let (mut by, mut columns) = (None, Vec::new());
    scan.fields(&MERGE, |scan, field| {
        match field {
            0 => by = Some(By::from_name(&scan.string("by")?)?),
            _ if is_null(scan)? => {}
            _ => columns = names(scan, "columns", room)?,
        }
        Ok(())
    })?;
    by.map(|by| Merge { by, columns }).ok_or_else(|| Fault::new(Code::InvalidRequest, "merge has no field \"by\""))
}

/// What a name takes in memory: more than the three bytes of an empty one.
const fn name_bytes(name: &str) -> usize {
    size_of::<String>() + name.len()
}

/// A list of names.
fn names(scan: &mut Scan<'_>, field: &str, room: &mut Room) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    scan.list(field, |scan| {
        let name = scan.string(field)?;
        room.take(name_bytes(&name))?;
        names.push(name.into_owned());
        Ok(())
    })?;
    Ok(names)
}

impl<'t> Frame<'t> {
    fn add_table(&mut self, scan: &mut Scan<'t>, name: &str) -> Outcome<()> {
        if self.shared.len() == TASKS_LIMIT {
            return Err(Fault::new(Code::InvalidRequest, format!("the envelope has more than {TASKS_LIMIT} shared tables")));
        }
        self.shared.push((name.to_owned(), scan.value()?));
        Ok(())
    }

    /// Tasks beyond the limit are only passed over, but for the first of them.
    fn add_task(&mut self, scan: &mut Scan<'t>, tables: Tables) -> Outcome<()> {
        if self.tasks.len() > TASKS_LIMIT {
            return scan.value().map(drop);
        }
        let (start, place) = (scan.at(), self.tasks.len());
        self.tasks.push(Said::default());
        if !self.moulds.next(scan, &mut self.tasks[place], &mut self.room) {
            self.tasks[place] = self.task(scan, tables)?;
        }
        if place == 0 {
            // The others are mostly about as long.
            self.tasks.reserve((scan.text().len() / (scan.at() - start)).min(EXPECTED));
        }
        Ok(())
    }

    /// Reads a task, and how those behind it may be written.
    fn task(&mut self, scan: &mut Scan<'t>, tables: Tables) -> Outcome<Said<'t>> {
        let (room, holes, mut said, mut query) = (&mut self.room, &mut self.moulds.holes, Said::default(), Query::default());
        holes.clear();
        scan.peek();
        let start = scan.at();
        scan.fields(&TASK, |scan, field| match field {
            0 | 3 | 4 => set_query(&mut query, field, scan, room),
            1 => {
                said.table = given_table(scan, room, holes, tables)?;
                Ok(())
            }
            _ => {
                let start = scan.at();
                said.set(field, scan)?;
                if DIFFERING.contains(&field) {
                    holes.fields.push((field, start..scan.at()));
                }
                Ok(())
            }
        })?;
        said.query = Some(Arc::new(query));
        let end = scan.at();
        if scan.peek() == b',' {
            self.moulds.learn(scan.text(), start..end, &mut said);
        }
        Ok(said)
    }
}

/// Reads the model, the version or the outputs of a task.
fn set_query(query: &mut Query, field: usize, scan: &mut Scan<'_>, room: &mut Room) -> Outcome<()> {
    let name = TASK.known[field];
    match field {
        0 => query.model = scan.string(name)?.into_owned(),
        _ if is_null(scan)? => {}
        3 => query.version = Some(scan.string(name)?.into_owned()).filter(|version| !version.is_empty()),
        _ => query.outputs = Some(names(scan, name, room)?).filter(|outputs| !outputs.is_empty()),
    }
    Ok(())
}

/// What was said of a task.
#[derive(Default)]
pub(super) struct Said<'t> {
    id: SmolStr,
    /// None before all of it was read.
    query: Option<Arc<Query>>,
    pub(super) table: Given<'t>,
    priority: u8,
    timeout: Option<Duration>,
    key: Option<String>,
    weight: Option<f64>,
}

impl Said<'_> {
    /// Takes over what does not differ from one task to the next, but for the table; bytes of the names that room is taken for.
    pub(super) fn take_common(&mut self, other: &Said<'_>) -> usize {
        self.query.clone_from(&other.query);
        self.priority = other.priority;
        self.query.iter().flat_map(|query| query.outputs.iter().flatten()).map(|name| name_bytes(name)).sum()
    }

    /// Reads a field other than the table, the model, its version and the outputs.
    pub(super) fn set(&mut self, field: usize, scan: &mut Scan<'_>) -> Outcome<()> {
        let name = TASK.known[field];
        if is_null(scan)? {
            return Ok(());
        }
        match field {
            2 => self.id = scan.string(name)?.into(),
            5 => self.priority = scan.read(name)?,
            6 => self.timeout = timeout(scan)?,
            7 => self.key = Some(scan.string(name)?.into_owned()).filter(|key| !key.is_empty()),
            _ => self.weight = Some(scan.number(name)?),
        }
        Ok(())
    }

    fn task(self, input: Outcome<Input>) -> Task {
        let Self { id, query, priority, timeout, key, weight, .. } = self;
        Task { id, priority, timeout, key, weight: weight.unwrap_or(1.0), ..Task::new(query.unwrap_or_default(), input) }
    }
}

/// The table of a task; notes where its data stand.
fn given_table<'t>(scan: &mut Scan<'t>, room: &mut Room, holes: &mut Holes, tables: Tables) -> Outcome<Given<'t>> {
    if scan.peek() == b'"' {
        // A name that is no text is the fault of this task, as long as it is JSON.
        let name = serde_json::from_slice(scan.value()?);
        let named = name.map_err(|error| Fault::new(Code::InvalidRequest, format!("the name of a table is no text: {error}")));
        return Ok(Given::Named(named));
    }
    if tables == Tables::Left {
        return scan.value().map(Given::Left);
    }
    holes.table = scan.at();
    let table = room.hold(|| json::read_first(scan.rest(), &mut holes.places));
    // What was not looked at byte by byte is still to be JSON.
    if table.as_ref().is_ok_and(|table| table.columns.iter().all(|column| column.kind != Kind::Untyped)) {
        scan.skip(holes.places.end);
    } else {
        scan.value()?;
    }
    Ok(Given::Read(table))
}

impl<'t> Frame<'t> {
    /// Whether there are more tasks than an envelope may have.
    pub(crate) const fn has_too_many(&self) -> bool {
        self.tasks.len() > TASKS_LIMIT
    }

    /// The texts of all tables that are left, in their order: the shared ones, then those of tasks.
    pub(crate) fn left(&self) -> impl Iterator<Item = &'t [u8]> {
        let shared = self.shared.iter().map(|(_, table)| *table);
        let own = self.tasks.iter().filter_map(|task| if let Given::Left(table) = task.table { Some(table) } else { None });
        shared.chain(own)
    }

    /// The envelope, of whose tables `read` makes those that are left.
    ///
    /// # Errors
    /// `InvalidRequest`, those of [`Room::settle`] and of [`Envelope::new`].
    pub(crate) fn envelope(self, read: impl Fn(&'t [u8]) -> Outcome<Typed>) -> Outcome<Envelope> {
        let mut shared = Shared { read, room: self.room, sources: HashMap::with_capacity(self.shared.len()), tables: HashMap::new() };
        for (name, table) in self.shared {
            if shared.sources.insert(name.clone(), table).is_some() {
                return Err(table_twice(&name));
            }
        }
        let wholes = self.moulds.wholes();
        let settled = |mut said: Said<'t>| {
            let input = match std::mem::take(&mut said.table) {
                Given::Stacked(stack, span) => Ok(Input::Stacked(Stacked { whole: Arc::clone(&wholes[stack]), span })),
                Given::Read(table) => table.map(Input::Own),
                Given::Left(table) => shared.read(table).map(Input::Own),
                Given::Named(name) => name.and_then(|name| shared.named(name)),
            };
            said.task(input)
        };
        let tasks = self.tasks.into_iter().map(settled).collect();
        let bytes = shared.room.settle()?;
        Ok(Envelope { bytes, ..Envelope::new(tasks, self.merge, self.timeout)? })
    }
}

/// The shared tables of a frame, each of which is read when it is first named, and room for all tables.
struct Shared<'t, R> {
    read: R,
    room: Room,
    sources: HashMap<String, &'t [u8]>,
    tables: HashMap<String, Outcome<Arc<SharedTable>>>,
}

impl<'t, R: Fn(&'t [u8]) -> Outcome<Typed>> Shared<'t, R> {
    fn read(&mut self, source: &'t [u8]) -> Outcome<Typed> {
        self.room.hold(|| (self.read)(source))
    }

    fn named(&mut self, name: String) -> Outcome<Input> {
        if let Some(table) = self.tables.get(&name) {
            return table.clone().map(Input::Shared);
        }
        let source = self.sources.get(&name).copied().ok_or_else(|| unknown_table(&name))?;
        let table = self.read(source).map(|table| Arc::new(SharedTable::new(table, None)));
        self.tables.insert(name, table.clone());
        table.map(Input::Shared)
    }
}

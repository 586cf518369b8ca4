//! Envelopes and answers in protobuf.
//!
//! A library makes a message of every few bytes; so what they would take is added up before anything is made of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::check::too_many_tasks;
use super::json::{table_twice, unknown_table};
use super::merge::By;
use super::room::Room;
use super::{Done, Envelope, Input, Merge, Merged, Query, SharedTable, TASKS_LIMIT, Task};
use crate::bodies::Holding;
use crate::description::Author;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::{self, Typed};
use crate::tasks_v1 as v1;

/// Reads an envelope.
///
/// # Errors
/// `InvalidProtobuf`, `TooManyTasks`, and those of [`envelope`].
pub(crate) fn read(body: &Bytes, mut room: Room) -> Outcome<Envelope> {
    Weighed::default().add(body, Place::Request, &mut room)?;
    let request = v1::RunRequest::decode(body.clone());
    envelope(request.map_err(|error| broken(&error))?, room)
}

fn broken(error: &prost::DecodeError) -> Fault {
    Fault::new(Code::InvalidProtobuf, format!("the body is no message RunRequest: {error}"))
}

/// What a message of a stream is, with the bytes that its table takes.
pub(crate) enum Said {
    /// A shared table of this name, for [`Shared::replace`].
    Table(String, Outcome<Typed>, usize),
    Task(Task, usize),
}

/// Reads a message of a stream.
///
/// # Errors
/// `InvalidProtobuf`, `InvalidRequest`, `BodyTooLarge`.
pub(crate) fn said(body: &Bytes, shared: &mut Shared, mut room: Room) -> Outcome<Said> {
    Weighed::default().add(body, Place::Stream, &mut room)?;
    let message = v1::StreamRequest::decode(body.clone());
    let message = message.map_err(|error| Fault::new(Code::InvalidProtobuf, format!("the message is no StreamRequest: {error}")))?;
    match message.request {
        None => Err(Fault::new(Code::InvalidRequest, "a message of the stream is neither a table nor a task")),
        Some(v1::stream_request::Request::Task(message)) => {
            let task = task(message, shared, &mut room)?;
            Ok(Said::Task(task, room.settle()?))
        }
        Some(v1::stream_request::Request::Table(message)) => {
            let table = room.hold(|| tables::protobuf::read(message.table.unwrap_or_default()));
            Ok(Said::Table(message.name, table, room.settle()?))
        }
    }
}

/// Where a field stands.
#[derive(Clone, Copy)]
enum Place {
    Request,
    Stream,
    SharedTable,
    Task,
    Table,
    Column,
    Merge,
}

impl Place {
    /// What a field with this number becomes in memory beside its own bytes, and where its fields stand.
    const fn field(self, number: u32) -> (usize, Option<Self>) {
        match (self, number) {
            (Self::Request | Self::Stream, 1) => (size_of::<v1::SharedTable>(), Some(Self::SharedTable)),
            (Self::Request | Self::Stream, 2) => (size_of::<v1::Task>(), Some(Self::Task)),
            (Self::Request, 3) => (0, Some(Self::Merge)),
            (Self::SharedTable, 2) | (Self::Task, 4) => (0, Some(Self::Table)),
            (Self::Task, 6) | (Self::Merge, 2) => (size_of::<String>(), None),
            (Self::Table, 2) => (size_of::<v1::Column>(), Some(Self::Column)),
            (Self::Column, 5) => (size_of::<Bytes>(), None),
            (Self::Column, 6) => (size_of::<v1::Scalar>(), None),
            _ => (0, None),
        }
    }

    /// What a number of a list of numbers becomes.
    const fn number(self, number: u32) -> usize {
        if matches!((self, number), (Self::Column, 3)) { size_of::<u64>() } else { 0 }
    }
}

/// How many tasks were met.
#[derive(Default)]
struct Weighed {
    tasks: usize,
}

impl Weighed {
    /// Adds a message; one that is none ends it, and is refused when it is decoded.
    fn add(&mut self, mut bytes: &[u8], place: Place, room: &mut Room) -> Outcome<()> {
        while bytes.has_remaining() {
            let Ok((number, wire_type)) = decode_key(&mut bytes) else { return Ok(()) };
            if wire_type != WireType::LengthDelimited {
                let Ok(()) = skip_field(wire_type, number, &mut bytes, DecodeContext::default()) else { return Ok(()) };
                room.take(place.number(number))?;
                continue;
            }
            let length = decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
            let Some((field, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return Ok(()) };
            bytes = rest;
            let (size, within) = place.field(number);
            self.count(within)?;
            // Numbers that lie side by side have a byte each at least.
            room.take(size.saturating_add(place.number(number) * field.len()))?;
            if let Some(within) = within {
                self.add(field, within, room)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, place: Option<Place>) -> Outcome<()> {
        self.tasks += usize::from(matches!(place, Some(Place::Task)));
        if self.tasks > TASKS_LIMIT { Err(too_many_tasks()) } else { Ok(()) }
    }
}

/// The envelope that a message is.
///
/// # Errors
/// `InvalidRequest`, those of [`Room::settle`] and of [`Envelope::new`].
pub(crate) fn envelope(request: v1::RunRequest, mut room: Room) -> Outcome<Envelope> {
    let mut shared = Shared::default();
    for table in request.tables {
        shared.add(table)?;
    }
    let mut tasks = Vec::with_capacity(request.tasks.len());
    for message in request.tasks {
        tasks.push(task(message, &mut shared, &mut room)?);
    }
    let merge = request.merge.map(merge).transpose()?;
    Ok(Envelope { bytes: room.settle()?, ..Envelope::new(tasks, merge, timeout(request.timeout_us))? })
}

fn merge(message: v1::Merge) -> Outcome<Merge> {
    Ok(Merge { by: By::from_name(&message.by)?, columns: message.columns })
}

/// 0 is none.
fn timeout(us: u64) -> Option<Duration> {
    (us > 0).then(|| Duration::from_micros(us))
}

/// Shared tables by name, each of which is read when it is first named.
#[derive(Default)]
pub(crate) struct Shared {
    messages: HashMap<String, v1::Table>,
    tables: HashMap<String, Outcome<Arc<SharedTable>>>,
    /// The query of the last task, which the next one mostly says again.
    query: Arc<Query>,
}

impl Shared {
    fn add(&mut self, message: v1::SharedTable) -> Outcome<()> {
        match self.messages.insert(message.name.clone(), message.table.unwrap_or_default()) {
            None => Ok(()),
            Some(_) => Err(table_twice(&message.name)),
        }
    }

    /// A table that takes the place of one of the same name; one that is wrong is the fault of the tasks that refer to it. It is
    /// held until nobody refers to it any more.
    pub(crate) fn replace(&mut self, name: String, table: Outcome<Typed>, held: Holding) {
        self.tables.insert(name, table.map(|table| Arc::new(SharedTable::new(table, Some(held)))));
    }

    fn query(&mut self, query: Query) -> Arc<Query> {
        if query != *self.query {
            self.query = Arc::new(query);
        }
        Arc::clone(&self.query)
    }

    fn named(&mut self, name: &str, room: &mut Room) -> Outcome<Input> {
        if let Some(message) = self.messages.remove(name) {
            let table = room.hold(|| tables::protobuf::read(message)).map(|table| Arc::new(SharedTable::new(table, None)));
            self.tables.insert(name.to_owned(), table);
        }
        let table = self.tables.get(name).ok_or_else(|| unknown_table(name))?;
        table.clone().map(Input::Shared)
    }
}

/// The task that a message is.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn task(message: v1::Task, shared: &mut Shared, room: &mut Room) -> Outcome<Task> {
    let wrong = |what: String| Fault::new(Code::InvalidRequest, format!("a task for model {:?} {what}", message.model));
    let priority =
        u8::try_from(message.priority).map_err(|_| wrong(format!("has the priority {}; expected 0 to 255", message.priority)))?;
    let input = match message.input {
        None => return Err(wrong("has no table".to_owned()).hint("set `table`, or `shared` to the name of a shared one")),
        Some(v1::task::Input::Table(table)) => room.hold(|| tables::protobuf::read(table)).map(Input::Own),
        Some(v1::task::Input::Shared(name)) => shared.named(&name, room),
    };
    let version = Some(message.version).filter(|version| !version.is_empty());
    let outputs = Some(message.outputs).filter(|outputs| !outputs.is_empty());
    Ok(Task {
        id: message.id,
        priority,
        timeout: timeout(message.timeout_us),
        key: Some(message.idempotency_key).filter(|key| !key.is_empty()),
        weight: message.weight.unwrap_or(1.0),
        ..Task::new(shared.query(Query { model: message.model, version, outputs }), input)
    })
}

/// Writes an answer.
pub(crate) fn write(results: &[Done], merged: Option<&Merged>) -> Vec<u8> {
    response(results, merged).encode_to_vec()
}

/// The message that an answer is.
pub(crate) fn response(results: &[Done], merged: Option<&Merged>) -> v1::RunResponse {
    let results = results.iter().map(|done| result(done, merged.is_none())).collect();
    let merged = merged.map(|merged| v1::Merged {
        left_out: merged.left_out.clone(),
        outcome: Some(match &merged.outcome {
            Ok(table) => v1::merged::Outcome::Table(tables::protobuf::write(table)),
            Err(fault) => v1::merged::Outcome::Error(error(fault)),
        }),
    });
    v1::RunResponse { results, merged }
}

/// The message that the result of one task is.
pub(crate) fn result(done: &Done, has_table: bool) -> v1::TaskResult {
    let outcome = match &done.outcome {
        Err(fault) => Some(v1::task_result::Outcome::Error(error(fault))),
        Ok(table) => has_table.then(|| v1::task_result::Outcome::Table(tables::protobuf::write(table))),
    };
    let Author { model, version } = done.author.as_deref().cloned().unwrap_or_default();
    v1::TaskResult { id: done.id.clone(), model, version, batch_rows: done.batch_rows as u64, outcome }
}

fn error(fault: &Fault) -> v1::Error {
    v1::Error {
        code: fault.code.name().to_owned(),
        error: fault.message.clone(),
        hint: fault.hint.clone().unwrap_or_default(),
        retry_after_ms: fault.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bodies::{Bodies, Held};

    #[test]
    fn a_shared_table_is_held_until_nobody_refers_to_it() {
        let bodies = Arc::new(Bodies::new(100));
        let mut shared = Shared::default();
        let replace = |shared: &mut Shared, bytes| {
            let mut held = Held::new(&bodies);
            held.add(bytes).unwrap();
            shared.replace("a".into(), Ok(Typed { rows: 0, columns: Vec::new() }), held.hand_over(&bodies));
        };
        replace(&mut shared, 60);
        let input = shared.named("a", &mut Room::of_body(1)).unwrap();
        replace(&mut shared, 30);
        assert_eq!(bodies.bytes(), 90);
        drop(input);
        assert_eq!(bodies.bytes(), 30);
    }

    fn refused(body: Vec<u8>) -> Code {
        read(&body.into(), Room::of_body(1 << 20)).unwrap_err().code
    }

    #[test]
    fn a_few_bytes_do_not_become_many_messages() {
        let nested = |number: u8, inner: Vec<u8>| {
            let mut outer = vec![number << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            [outer, inner].concat()
        };
        assert_eq!(refused([0x12, 0].repeat(1 << 19)), Code::TooManyTasks);
        assert_eq!(refused([0x0a, 0].repeat(1 << 19)), Code::BodyTooLarge);
        let columns = nested(2, nested(4, [0x12, 0].repeat(1 << 19)));
        assert_eq!(refused(columns), Code::BodyTooLarge);
        let of_column = |fields| refused(nested(2, nested(4, nested(2, fields))));
        assert_eq!(of_column([0x32, 0].repeat(1 << 19)), Code::BodyTooLarge);
        assert_eq!(of_column(nested(3, vec![1; 5 << 17])), Code::BodyTooLarge);
        assert_eq!(of_column([0x18, 1].repeat(5 << 17)), Code::BodyTooLarge);
        assert_eq!(refused(nested(3, [0x12, 0].repeat(1 << 19))), Code::BodyTooLarge);
    }

    #[test]
    fn what_is_no_message_is_refused_wherever_it_breaks() {
        for body in [&b"\x12\x05\x0a"[..], b"\xff", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x12\x02\x0a\x01"] {
            assert_eq!(refused(body.to_vec()), Code::InvalidProtobuf, "{body:?}");
        }
    }
}

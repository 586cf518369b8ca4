//! Envelopes and answers in protobuf.
//!
//! A library makes a message of every few bytes; so what they would take is added up before anything is made of them.

mod mould;
mod weigh;
mod write;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use self::mould::Moulds;
use self::weigh::{Place, content, weigh};
pub(crate) use self::write::{write, write_result};
use super::check::too_many_tasks;
use super::json::{table_twice, unknown_table};
use super::merge::By;
use super::room::Room;
use super::{Envelope, Input, Merge, Query, SharedTable, TASKS_LIMIT, Task};
use crate::bodies::Holding;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::{self, Typed};
use crate::tasks_v1 as v1;

/// The number of the field of an envelope that is a task.
const TASKS: u32 = 2;

/// Reads an envelope.
///
/// # Errors
/// `InvalidProtobuf`, `TooManyTasks`, `InvalidRequest`, those of [`Room::settle`] and of [`Envelope::new`].
pub(crate) fn read(body: &Bytes, room: Room) -> Outcome<Envelope> {
    read_by(body, room, Moulds::default())
}

/// Reads an envelope; whether tasks that are written alike are read as such.
#[cfg(test)]
pub(super) fn read_either(body: &Bytes, room: Room, is_alike: bool) -> Outcome<Envelope> {
    read_by(body, room, if is_alike { Moulds::default() } else { Moulds::none() })
}

fn read_by<'b>(body: &'b Bytes, mut room: Room, mut moulds: Moulds<'b>) -> Outcome<Envelope> {
    let Frame { tasks, rest: v1::RunRequest { tables, merge, timeout_us, .. } } = Frame::of(body, &mut room)?;
    let mut shared = Shared::default();
    for table in tables {
        shared.add(table)?;
    }
    let mut read = Vec::with_capacity(tasks.len());
    for place in tasks {
        let message = &body[place.clone()];
        if let Some(task) = moulds.next(message, &mut room) {
            read.push(task);
            continue;
        }
        let message_bytes = size_of::<v1::Task>() + weigh(message, Place::Task);
        room.take(message_bytes)?;
        let task = v1::Task::decode(body.slice(place.clone())).map_err(|error| broken(&error))?;
        let task = self::task(task, &mut shared, &mut room)?;
        read.push(moulds.learn(message, task, (message_bytes, body.len() - place.end)));
    }
    let merge = merge.map(self::merge).transpose()?;
    Ok(Envelope { bytes: room.settle()?, ..Envelope::new(moulds.tasks(read), merge, timeout(timeout_us))? })
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
    room.take(weigh(body, Place::Stream))?;
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

/// What a request says: where the messages of its tasks stand, and all else.
struct Frame {
    tasks: Vec<Range<usize>>,
    rest: v1::RunRequest,
}

impl Frame {
    fn of(body: &Bytes, room: &mut Room) -> Outcome<Self> {
        let (mut frame, mut at) = (Self { tasks: Vec::new(), rest: v1::RunRequest::default() }, 0);
        while at < body.len() {
            let mut left = &body[at..];
            let (number, wire_type) = decode_key(&mut left).map_err(|error| broken(&error))?;
            let mut field = left;
            skip_field(wire_type, number, &mut left, DecodeContext::default()).map_err(|error| broken(&error))?;
            let end = body.len() - left.len();
            if (number, wire_type) == (TASKS, WireType::LengthDelimited) {
                let length = content(&mut field).map_or(0, <[u8]>::len);
                frame.add_task(end - length..end)?;
            } else {
                room.take(weigh(&body[at..end], Place::Request))?;
                frame.rest.merge(body.slice(at..end)).map_err(|error| broken(&error))?;
            }
            at = end;
        }
        Ok(frame)
    }

    fn add_task(&mut self, message: Range<usize>) -> Outcome<()> {
        self.tasks.push(message);
        if self.tasks.len() > TASKS_LIMIT { Err(too_many_tasks()) } else { Ok(()) }
    }
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
        id: message.id.into(),
        priority,
        timeout: timeout(message.timeout_us),
        key: Some(message.idempotency_key).filter(|key| !key.is_empty()),
        weight: message.weight.unwrap_or(1.0),
        ..Task::new(shared.query(Query { model: message.model, version, outputs }), input)
    })
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

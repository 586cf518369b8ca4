//! Tasks that are written alike: but for the values of its table and its id, budget, key and weight, each is byte for byte what one
//! before it was.
//!
//! Most envelopes are of this kind. What such tasks have in common is compared and not read, and the values are laid on one
//! stack where they stand in the message. Nothing is taken for granted: a task that does not fit is read as any other.

use std::ops::Range;
use std::sync::Arc;

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::super::room::Room;
use super::super::{Input, Query, Task};
use super::timeout;
use super::weigh::content;
use crate::tables::Typed;
use crate::tables::stack::{Span, Stack, Stacked};

/// Moulds of one envelope, at most.
const MOULDS: usize = 4;
/// The numbers of fields: of a task,
const TABLE: u32 = 4;
const OUTPUTS: u32 = 6;
/// of a table,
const COLUMNS: u32 = 2;
/// and of a column.
const VALUES: u32 = 4;

/// What tasks of one envelope have in common.
pub(super) struct Moulds<'b> {
    known: Vec<Mould<'b>>,
    most: usize,
}

/// What one task has in common with others.
struct Mould<'b> {
    fields: Fields<'b>,
    /// Where the values of each column stand in the message of the table.
    holes: Vec<Range<usize>>,
    query: Arc<Query>,
    priority: u8,
    rows: usize,
    stack: Stack,
    /// What its messages would take in memory.
    message_bytes: usize,
}

/// A task that was read.
pub(super) enum Read<'b> {
    Alike(Alike<'b>),
    Otherwise(Task),
}

/// A task that is like others: the number of its mould, where its table lies, and its own fields.
pub(super) struct Alike<'b> {
    mould: usize,
    span: Span,
    fields: Fields<'b>,
}

/// The fields of a task, as they stand in its message.
#[derive(Clone, Copy, Default)]
struct Fields<'b> {
    id: &'b [u8],
    model: &'b [u8],
    version: &'b [u8],
    table: &'b [u8],
    /// All outputs with their keys and lengths, which stand together.
    outputs: &'b [u8],
    priority: u64,
    timeout_us: u64,
    key: &'b [u8],
    weight: Option<f64>,
}

impl Default for Moulds<'_> {
    fn default() -> Self {
        Self { known: Vec::new(), most: MOULDS }
    }
}

impl<'b> Moulds<'b> {
    /// Moulds that no task fits.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self { known: Vec::new(), most: 0 }
    }

    /// Reads a task that is written like one before.
    pub(super) fn next(&mut self, message: &'b [u8], room: &mut Room) -> Option<Read<'b>> {
        let fields = if self.known.is_empty() { None } else { Fields::of(message) }?;
        let mould = self.known.iter().position(|mould| mould.fits(&fields))?;
        let span = self.known[mould].lay(&fields, room)?;
        Some(Read::Alike(Alike { mould, span, fields }))
    }

    /// Learns from a task that was read otherwise, whose messages take so many bytes in memory, and behind which the envelope has
    /// so many.
    pub(super) fn learn(&mut self, message: &'b [u8], task: Task, (message_bytes, behind): (usize, usize)) -> Read<'b> {
        let found = if self.known.len() < self.most { Fields::of(message) } else { None };
        let Some((fields, holes)) = found.and_then(|fields| Some((fields, holes(fields.table)?))) else { return Read::Otherwise(task) };
        let Task { input: Ok(Input::Own(table)), query, priority, .. } = task else { return Read::Otherwise(task) };
        // The columns of an Arrow stream stand elsewhere.
        let are_found = holes.len() == table.columns.len();
        let stack = if are_found { Stack::of(table, behind / message.len()) } else { Err(table) };
        match stack {
            Err(table) => Read::Otherwise(Task { input: Ok(Input::Own(table)), query, ..task }),
            Ok((stack, span)) => {
                self.known.push(Mould { fields, holes, query, priority, rows: span.rows, stack, message_bytes });
                Read::Alike(Alike { mould: self.known.len() - 1, span, fields })
            }
        }
    }

    /// The tasks, when all were read.
    pub(super) fn tasks(self, read: Vec<Read<'b>>) -> Vec<Task> {
        let close = |Mould { query, priority, stack, .. }| Closed { query, priority, whole: Stack::whole(stack) };
        let moulds: Vec<_> = self.known.into_iter().map(close).collect();
        let task = |read| match read {
            Read::Otherwise(task) => task,
            Read::Alike(alike) => moulds[alike.mould].task(&alike),
        };
        read.into_iter().map(task).collect()
    }
}

/// A mould to which no task is added any more.
struct Closed {
    query: Arc<Query>,
    priority: u8,
    whole: Arc<Typed>,
}

impl Closed {
    fn task(&self, Alike { span, fields, .. }: &Alike<'_>) -> Task {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let input = Ok(Input::Stacked(Stacked { whole: Arc::clone(&self.whole), span: *span }));
        Task {
            id: text(fields.id).into(),
            priority: self.priority,
            timeout: timeout(fields.timeout_us),
            key: Some(fields.key).filter(|key| !key.is_empty()).map(text),
            weight: fields.weight.unwrap_or(1.0),
            ..Task::new(Arc::clone(&self.query), input)
        }
    }
}

impl<'b> Mould<'b> {
    /// Whether a task says the same, but for what may differ.
    fn fits(&self, fields: &Fields<'b>) -> bool {
        let said = |fields: &Fields<'b>| (fields.model, fields.version, fields.outputs, fields.priority);
        said(&self.fields) == said(fields) && self.has_same_frame(fields.table)
    }

    /// Whether a table is the same, but for its values.
    fn has_same_frame(&self, table: &[u8]) -> bool {
        let mine = self.fields.table;
        let starts = std::iter::once(0).chain(self.holes.iter().map(|hole| hole.end));
        let ends = self.holes.iter().map(|hole| hole.start).chain(std::iter::once(mine.len()));
        mine.len() == table.len() && starts.zip(ends).all(|(start, end)| mine[start..end] == table[start..end])
    }

    /// Lays the table of a task that fits on the stack. None where it has values that their dtype has not, and where there is no
    /// room.
    fn lay(&mut self, fields: &Fields<'_>, room: &mut Room) -> Option<Span> {
        let values = self.holes.iter().map(|hole| &fields.table[hole.clone()]);
        if !self.stack.takes(values.clone()) {
            return None;
        }
        room.take(self.message_bytes.saturating_add(self.stack.size_bytes(self.rows))).ok()?;
        Some(self.stack.push(self.rows, values))
    }
}

impl<'b> Fields<'b> {
    /// None for a message with fields that are not known or stand twice, without a table of its own, or with texts that are none.
    fn of(message: &'b [u8]) -> Option<Self> {
        let (mut fields, mut seen, mut rest) = (Self::default(), 0_u32, message);
        let mut outputs = 0..0;
        while !rest.is_empty() {
            let start = message.len() - rest.len();
            let (number, wire_type) = decode_key(&mut rest).ok()?;
            fields.read(number, wire_type, &mut rest)?;
            let (bit, end) = (1 << number, message.len() - rest.len());
            if number == OUTPUTS && outputs.end == start {
                outputs.end = end;
            } else if seen & bit != 0 {
                return None;
            } else if number == OUTPUTS {
                outputs = start..end;
            }
            seen |= bit;
        }
        fields.outputs = &message[outputs];
        let are_texts = [fields.id, fields.key].iter().all(|bytes| std::str::from_utf8(bytes).is_ok());
        (are_texts && seen & 1 << TABLE != 0).then_some(fields)
    }

    /// Reads a field that is known: its number is 10 at most.
    fn read(&mut self, number: u32, wire_type: WireType, message: &mut &'b [u8]) -> Option<()> {
        match (number, wire_type) {
            (1, WireType::LengthDelimited) => self.id = content(message)?,
            (2, WireType::LengthDelimited) => self.model = content(message)?,
            (3, WireType::LengthDelimited) => self.version = content(message)?,
            (TABLE, WireType::LengthDelimited) => self.table = content(message)?,
            (OUTPUTS, WireType::LengthDelimited) => drop(content(message)?),
            (7, WireType::Varint) => self.priority = decode_varint(message).ok()?,
            (8, WireType::Varint) => self.timeout_us = decode_varint(message).ok()?,
            (9, WireType::LengthDelimited) => self.key = content(message)?,
            (10, WireType::SixtyFourBit) => self.weight = Some(message.try_get_f64_le().ok()?),
            _ => return None,
        }
        Some(())
    }
}

/// Where the values of each column stand in the message of a table. None where a column has them not once, or in another form.
fn holes(table: &[u8]) -> Option<Vec<Range<usize>>> {
    let (mut holes, mut rest) = (Vec::new(), table);
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        if (number, wire_type) != (COLUMNS, WireType::LengthDelimited) {
            skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        let column = content(&mut rest)?;
        let start = table.len() - rest.len() - column.len();
        let hole = values(column)?;
        holes.push(start + hole.start..start + hole.end);
    }
    Some(holes)
}

/// Where the values stand in the message of a column.
fn values(column: &[u8]) -> Option<Range<usize>> {
    let (mut found, mut rest) = (None, column);
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        if (number, wire_type) != (VALUES, WireType::LengthDelimited) {
            skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        let (length, end) = (content(&mut rest)?.len(), column.len() - rest.len());
        if found.replace(end - length..end).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use prost::Message;

    use super::super::{read_by, read_either};
    use super::*;
    use crate::fuzz::rules::run;
    use crate::tasks::vectors::told;
    use crate::tasks_v1 as v1;

    fn column() -> impl Strategy<Value = v1::Column> {
        let kind =
            select(vec![("FP32", vec![]), ("FP32", vec![2]), ("INT64", vec![]), ("BOOL", vec![]), ("DATE", vec![]), ("FP32", vec![0])]);
        let more = select(vec![(vec![], ""), (vec![], ""), (vec![], ""), (vec![0], ""), (vec![1], ""), (vec![], "s")]);
        (select(vec!["x", "y"]), kind, more).prop_map(|(name, (dtype, shape), (missing, unit))| v1::Column {
            name: name.into(),
            dtype: dtype.into(),
            shape,
            missing: missing.into(),
            unit: unit.into(),
            ..v1::Column::default()
        })
    }

    fn table() -> impl Strategy<Value = v1::Table> {
        let columns = (0..3_u64, vec(column(), 0..3)).prop_map(|(rows, columns)| v1::Table { rows, columns, arrow: Bytes::new() });
        prop_oneof![9 => columns, 1 => Just(v1::Table { arrow: stream(), ..v1::Table::default() })]
    }

    /// A table that is an Arrow stream.
    fn stream() -> Bytes {
        let (mut out, text) = (Vec::new(), br#"{"columns":[{"name":"x","dtype":"FP32","data":[1,2]}]}"#);
        crate::tables::arrow::write(&mut out, &crate::tables::json::read(text).unwrap()).unwrap();
        out.into()
    }

    /// A task but for what differs from one to the next.
    fn kind() -> impl Strategy<Value = v1::Task> {
        let input = prop_oneof![
            8 => table().prop_map(v1::task::Input::Table),
            1 => Just(v1::task::Input::Shared("shared".into())),
        ];
        let said = select(vec![
            ("m", "", vec![], 0),
            ("m", "", vec![], 0),
            ("m", "1", vec!["a", "b"], 0),
            ("n", "", vec!["a"], 1),
            ("m", "", vec![], 256),
        ]);
        (prop::option::weighted(0.95, input), said).prop_map(|(input, (model, version, outputs, priority))| v1::Task {
            model: model.into(),
            version: version.into(),
            outputs: outputs.into_iter().map(String::from).collect(),
            priority,
            input,
            ..v1::Task::default()
        })
    }

    /// What differs: id, budget, key, weight, and the byte that all values are made of.
    fn own() -> impl Strategy<Value = (&'static str, u64, &'static str, Option<f64>, u8)> {
        let weights = select(vec![None, None, Some(0.5), Some(-1.0), Some(f64::NAN)]);
        (select(vec!["", "a", "b", "\u{e9}"]), select(vec![0, 7, 1 << 40]), select(vec!["", "", "k"]), weights, select(vec![0, 1, 2, 255]))
    }

    fn task(mut task: v1::Task, (id, timeout_us, key, weight, byte): (&str, u64, &str, Option<f64>, u8)) -> Vec<u8> {
        if let Some(v1::task::Input::Table(table)) = &mut task.input {
            for column in &mut table.columns {
                let width = if matches!(column.dtype.as_str(), "BOOL") {
                    1
                } else if column.dtype == "INT64" {
                    8
                } else {
                    4
                };
                let count = table.rows * column.shape.iter().product::<u64>();
                column.values = vec![byte; usize::try_from(count * width).unwrap()].into();
            }
        }
        v1::Task { id: id.into(), timeout_us, idempotency_key: key.into(), weight, ..task }.encode_to_vec()
    }

    /// Tasks of few kinds; some have another one behind them in the same message, which is merged with them.
    fn tasks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let pick = (any::<Index>(), own(), prop::option::weighted(0.1, (any::<Index>(), own())));
        (vec(kind(), 1..4), vec(pick, 1..9)).prop_map(|(kinds, picks)| {
            let one = |(kind, own): (Index, _)| task(kind.get(&kinds).clone(), own);
            let both = |(kind, own, more): (Index, _, Option<_>)| [one((kind, own)), more.map(one).unwrap_or_default()].concat();
            picks.into_iter().map(both).collect()
        })
    }

    fn envelope() -> impl Strategy<Value = Bytes> {
        let broken = prop::option::weighted(0.2, (any::<Index>(), any::<u8>()));
        (tasks(), broken).prop_map(|(tasks, broken)| {
            let shared = v1::SharedTable { name: "shared".into(), table: Some(v1::Table { rows: 1, ..v1::Table::default() }) };
            let mut body = Vec::new();
            for message in &tasks {
                prost::encoding::bytes::encode(2, message, &mut body);
            }
            body.extend(v1::RunRequest { tables: vec![shared], timeout_us: 9, ..v1::RunRequest::default() }.encode_to_vec());
            if let Some((place, byte)) = broken {
                *place.get_mut(&mut body) = byte;
            }
            body.into()
        })
    }

    #[test]
    fn a_task_says_the_same_however_those_before_it_are_written() {
        run(&(envelope(), select(vec![1_000_usize, 100_000])), |(body, limit)| {
            let read = |is_alike| told(read_either(&body, Room::of_body(limit), is_alike));
            assert_eq!(read(true), read(false), "{body:?}");
        });
    }

    #[test]
    fn those_that_differ_only_in_what_may_lie_on_one_stack() {
        let column =
            |values: &[u8]| v1::Column { name: "x".into(), dtype: "BOOL".into(), values: values.to_vec().into(), ..v1::Column::default() };
        let of = |id: &str, values: &[u8]| v1::Task {
            id: id.into(),
            model: "m".into(),
            input: Some(v1::task::Input::Table(v1::Table { rows: 2, columns: vec![column(values)], ..v1::Table::default() })),
            ..v1::Task::default()
        };
        let urgent = v1::Task { priority: 1, ..of("c", &[1, 1]) };
        let tasks = vec![of("a", &[0, 1]), of("b", &[1, 0]), urgent, of("no", &[1, 2]), v1::Task { weight: Some(2.0), ..of("d", &[0, 0]) }];
        let body: Bytes = v1::RunRequest { tasks, ..v1::RunRequest::default() }.encode_to_vec().into();
        let envelope = read_by(&body, Room::of_body(1 << 20), Moulds::default()).unwrap();
        let spans = envelope.tasks.iter().map(|task| match &task.input {
            Ok(Input::Stacked(stacked)) => Some((Arc::as_ptr(&stacked.whole).addr(), stacked.span.start)),
            _ => None,
        });
        let spans: Vec<_> = spans.collect();
        let [first, third] = [0, 2].map(|place| spans[place].unwrap().0);
        assert_eq!(spans, [Some((first, 0)), Some((first, 2)), Some((third, 0)), None, Some((first, 4))]);
    }
}

//! Tasks that travel as one request.
//!
//! - Those that go into the queue of one quick model with the same wishes and tables of their own, if their caller looks at
//!   none before all are answered: their records lie one behind the other, as many as a micro-batch may hold. Beside the
//!   work of a slow model, or of a large shared table, there is nothing to be saved.
//! - A convoy that fails is dissolved, and each of its tasks is asked again by itself: one that is wrong harms no other. So
//!   there are none for a model that may not be asked twice.

use std::ops::Range;
use std::sync::Arc;

use shoal_batch::RequestId;

use super::Output;
use super::draft::{Records, Rows, is_fixed};
use crate::description::Description;
use crate::engine::Served;
use crate::flight::Answer;
use crate::queue::Wishes;
use crate::tables::Typed;
use crate::tables::answer::answered;
use crate::tables::stack::{Span, Stacked};
use crate::values::Table;

/// What goes into one queue.
pub(super) struct Load {
    pub(super) lane: Arc<Served>,
    pub(super) riders: Vec<Rider>,
}

/// The records of one piece.
pub(super) struct Rider {
    pub(super) piece: usize,
    pub(super) records: Records,
    pub(super) wishes: Wishes,
}

/// One request, and whose records it holds.
pub(super) struct Convoy {
    pub(super) lane: Arc<Served>,
    /// Where the numbers of its pieces stand, in the order of their records.
    pub(super) riders: Range<usize>,
    /// How many of them somebody waits for.
    pub(super) waited_for: usize,
    /// Of more than one rider: what each needs to be asked again.
    pub(super) shared: Option<(Arc<Table>, Wishes)>,
    /// There while it may be given up.
    pub(super) request: Option<RequestId>,
}

impl Load {
    /// The load for that queue, of so many tasks in all.
    pub(super) fn of<'l>(loads: &'l mut Vec<Self>, lane: &Arc<Served>, tasks: usize) -> &'l mut Self {
        // Tasks for one model mostly stand together.
        let place = loads.iter().rposition(|load| Arc::ptr_eq(&load.lane, lane)).unwrap_or_else(|| {
            // Mostly all of them are for the first.
            let room = if loads.is_empty() { tasks } else { 0 };
            loads.push(Self { lane: Arc::clone(lane), riders: Vec::with_capacity(room) });
            loads.len() - 1
        });
        &mut loads[place]
    }

    /// How many rows and bytes travel as one request, if riders `are_joined` where that may be.
    pub(super) fn room(&self, are_joined: bool) -> (usize, usize) {
        let Description { policy, pure, .. } = self.lane.description();
        if are_joined && *pure && self.lane.is_inline() { (policy.max_rows, policy.max_bytes) } else { (0, 0) }
    }
}

impl Convoy {
    /// One that is not in its queue yet.
    pub(super) fn new(lane: &Arc<Served>, riders: Range<usize>, (table, wishes): (&Arc<Table>, Wishes)) -> Self {
        let shared = (riders.len() > 1).then(|| (Arc::clone(table), wishes));
        Self { lane: Arc::clone(lane), waited_for: riders.len(), riders, shared, request: None }
    }

    /// The request, to be given up: it is not answered, and nobody waits for it.
    pub(super) fn given_up(&mut self) -> Option<(Arc<Served>, RequestId)> {
        let request = if self.waited_for == 0 { self.request.take() } else { None };
        request.map(|request| (Arc::clone(&self.lane), request))
    }
}

/// The answer to a convoy, of which each rider gets its own.
pub(super) enum Answers {
    /// Where all values have a fixed width, the answers lie on one stack: of all output columns, and of those wanted last.
    Stacked { stack: Typed, wanted: Option<(Arc<[usize]>, Arc<Typed>)>, batch_rows: usize },
    /// The answer, from which those of the riders are taken.
    Loose(Answer),
}

impl Answers {
    /// Of what a model has answered.
    pub(super) fn of(description: &Description, answer: Answer) -> Self {
        if !answer.table.columns.iter().all(is_fixed) {
            return Self::Loose(answer);
        }
        let (all, batch_rows) = ((0..answer.table.columns.len()).collect::<Vec<_>>(), answer.batch_rows);
        let mut stack = answered(description, answer, &all);
        stack.share();
        Self::Stacked { stack, wanted: None, batch_rows }
    }

    /// The columns that are wanted, of the records of one rider.
    pub(super) fn part(&mut self, description: &Description, columns: &Arc<[usize]>, span: Span) -> Answered {
        match self {
            Self::Loose(answer) => {
                let part = Answer { start: answer.start + span.start, rows: span.rows, ..answer.clone() };
                Answered::alone(description, part, columns)
            }
            Self::Stacked { stack, wanted, batch_rows } => {
                let known = wanted.take().filter(|(last, _)| Arc::ptr_eq(last, columns) || **last == **columns);
                let (_, whole) = wanted.insert(known.unwrap_or_else(|| (Arc::clone(columns), Arc::new(chosen(stack, columns)))));
                Answered { output: Output::Stacked(Stacked { whole: Arc::clone(whole), span }), batch_rows: *batch_rows }
            }
        }
    }
}

/// Some columns of a table, in this order.
fn chosen(table: &Typed, columns: &[usize]) -> Typed {
    Typed { rows: table.rows, columns: columns.iter().map(|index| table.columns[*index].clone()).collect() }
}

/// What a model has answered to one task.
pub(super) struct Answered {
    pub(super) output: Output,
    pub(super) batch_rows: usize,
}

impl Answered {
    /// To one that travelled alone.
    pub(super) fn alone(description: &Description, answer: Answer, wanted: &[usize]) -> Self {
        Self { batch_rows: answer.batch_rows, output: Output::Own(answered(description, answer, wanted)) }
    }
}

/// Gives up requests, those of each queue at once.
pub(super) fn forget(mut requests: Vec<(Arc<Served>, RequestId)>) {
    requests.sort_by_key(|(lane, _)| Arc::as_ptr(lane).addr());
    for same in requests.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)) {
        same[0].0.forget_all(same.iter().map(|(_, request)| *request));
    }
}

/// How many of the riders, from the first on, travel as one request of at most so many rows and bytes.
pub(super) fn together(riders: &[Rider], (most_rows, most_bytes): (usize, usize)) -> usize {
    let Some((first, others)) = riders.split_first() else { return 0 };
    let (mut rows, mut bytes) = (first.records.within().1.rows, first.records.size_bytes());
    let fits = |other: &&Rider| {
        rows += other.records.within().1.rows;
        bytes += other.records.size_bytes();
        rows <= most_rows && bytes <= most_bytes && other.wishes == first.wishes && !matches!(other.records, Records::Shared(_))
    };
    if matches!(first.records, Records::Shared(_)) { 1 } else { 1 + others.iter().take_while(fits).count() }
}

/// The records of riders one behind the other; they are taken from them.
pub(super) fn joined(riders: &mut [Rider], lane: &Served) -> Arc<Table> {
    let dtypes = lane.description().input_dtypes();
    if let Some(rows) = in_one_piece(riders) {
        return Records::Part(rows).into_table(&dtypes);
    }
    if let [alone] = riders {
        return std::mem::take(&mut alone.records).into_table(&dtypes);
    }
    let rows = riders.iter().map(|rider| rider.records.within().1.rows).sum();
    let mut all = Table::empty_like(riders[0].records.within().0, &dtypes, rows);
    for rider in riders {
        let records = std::mem::take(&mut rider.records);
        let (table, Span { start, rows }) = records.within();
        for ((column, more), dtype) in all.columns.iter_mut().zip(&table.columns).zip(&dtypes) {
            column.append(more, *dtype, all.rows, (start, rows));
        }
        all.rows += rows;
    }
    Arc::new(all)
}

/// The records of riders that lie one behind the other already.
fn in_one_piece(riders: &[Rider]) -> Option<Rows> {
    let (first, others) = riders.split_first()?;
    let Records::Part(Rows { table, span }) = &first.records else { return None };
    let mut all = *span;
    for other in others {
        let Records::Part(Rows { table: same, span }) = &other.records else { return None };
        if !Arc::ptr_eq(table, same) || span.start != all.start + all.rows {
            return None;
        }
        all.rows += span.rows;
    }
    Some(Rows { table: Arc::clone(table), span: all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Content;
    use crate::values::{Payload, Values};

    fn rider(rows: usize, priority: u8) -> Rider {
        Rider { piece: 0, records: Records::Own(Table { rows, columns: vec![] }), wishes: Wishes { priority, ..Wishes::default() } }
    }

    fn shared() -> Rider {
        Rider { records: Records::Shared(Arc::default()), ..rider(0, 0) }
    }

    fn sizes(mut riders: &[Rider], room: (usize, usize)) -> Vec<usize> {
        let mut sizes = Vec::new();
        while !riders.is_empty() {
            let size = together(riders, room);
            sizes.push(size);
            riders = &riders[size..];
        }
        sizes
    }

    #[test]
    fn texts_of_an_answer_are_taken_out_for_each_rider() {
        let signature = r#"{"inputs":[{"name":"x","dtype":"FP64"}],"outputs":[{"name":"y","dtype":"BYTES"}]}"#;
        let description =
            serde_json::from_str(&format!(r#"{{"name":"m","version":"1","runtime":"onnx","signature":{signature}}}"#)).unwrap();
        let payload = Payload::Bytes([b"a", b"b", b"c", b"d"].map(|text| text.to_vec()).to_vec());
        let table = Arc::new(Table { rows: 4, columns: vec![Values { shape: vec![], payload, missing: vec![] }] });
        let mut answers = Answers::of(&description, Answer { batch_rows: 4, ..Answer::new(table, 1, 3) });
        let Answered { output, batch_rows } = answers.part(&description, &[0].into(), Span { start: 1, rows: 2 });
        let Output::Own(Typed { rows: 2, columns }) = output else { panic!("its own") };
        assert_eq!((&columns[0].content, batch_rows), (&Content::Items(vec![b"c".to_vec(), b"d".to_vec()]), 4));
    }

    #[test]
    fn records_of_one_table_are_in_one_piece_where_none_lie_between_them() {
        let table = Arc::new(Table { rows: 9, columns: vec![] });
        let other = Arc::new(Table { rows: 9, columns: vec![] });
        let lying = |table: &Arc<Table>, start, rows| Rider {
            records: Records::Part(Rows { table: Arc::clone(table), span: Span { start, rows } }),
            ..rider(0, 0)
        };
        let found = |riders: &[Rider]| in_one_piece(riders).map(|rows| (rows.span.start, rows.span.rows));
        assert_eq!(found(&[lying(&table, 2, 3), lying(&table, 5, 1), lying(&table, 6, 2)]), Some((2, 6)));
        assert_eq!(found(&[lying(&table, 2, 3)]), Some((2, 3)));
        for riders in [
            vec![lying(&table, 2, 3), lying(&table, 6, 1)],
            vec![lying(&table, 2, 3), lying(&other, 5, 1)],
            vec![lying(&table, 2, 3), lying(&table, 1, 1)],
            vec![lying(&table, 0, 3), rider(1, 0)],
            vec![rider(1, 0), lying(&table, 1, 3)],
            vec![],
        ] {
            assert_eq!(found(&riders), None);
        }
    }

    #[test]
    fn riders_travel_together_as_far_as_they_wish_the_same_and_there_is_room() {
        let riders = [rider(1, 0), rider(2, 0), rider(1, 0), rider(1, 1), rider(1, 1), shared(), shared(), rider(9, 1), rider(1, 1)];
        assert_eq!(sizes(&riders, (3, 100)), [2, 1, 2, 1, 1, 1, 1]);
        assert_eq!(sizes(&riders, (100, 100)), [3, 2, 1, 1, 2]);
        assert_eq!(sizes(&riders, (0, 0)), [1; 9]);
    }
}

//! Judges a history without knowing how the batcher works: only what was accepted, and what came of it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use shoal_batch::{Arrival, Bucket, Limits, MicroBatch, Moment, Reason, Refusal, RequestId, Size};

use crate::history::{Event, Play, Step, shape};

/// An accepted request, as its client sees it.
#[derive(Clone, Copy)]
struct Open {
    arrival: Arrival,
    submitted: Moment,
    answered_rows: usize,
}

/// The requests that were accepted and have not ended.
#[derive(Default)]
struct Ledger {
    open: HashMap<RequestId, Open>,
}

impl Ledger {
    /// Enters one step; panics if it answers a request that is not open, or rows out of turn.
    fn enter(&mut self, step: &Step) {
        match &step.event {
            Event::Submitted(arrival, Ok(())) => self.accept(*arrival, step.now),
            Event::Cancelled(id, true) => self.end(*id),
            Event::Cancelled(id, false) => {
                assert!(self.has_expired(*id, step.now), "{id:?} was open");
            }
            Event::Expired(ids) => ids.iter().for_each(|id| self.expire(*id, step.now)),
            Event::Released(.., Some(batch)) => self.answer(batch, step.now),
            Event::Submitted(_, Err(_)) | Event::Released(.., None) | Event::Passed | Event::Drained => {}
        }
    }

    fn accept(&mut self, arrival: Arrival, submitted: Moment) {
        let open = Open { arrival, submitted, answered_rows: 0 };
        assert!(self.open.insert(arrival.id, open).is_none());
    }

    fn end(&mut self, id: RequestId) {
        assert!(self.open.remove(&id).is_some(), "{id:?} ended twice");
    }

    fn expire(&mut self, id: RequestId, now: Moment) {
        assert!(self.has_expired(id, now) && self.open.contains_key(&id));
        self.end(id);
    }

    /// Also true of a request that is not open: it has no claim any more.
    fn has_expired(&self, id: RequestId, now: Moment) -> bool {
        self.open.get(&id).is_none_or(|open| !open.is_in_time(now))
    }

    fn answer(&mut self, batch: &MicroBatch, now: Moment) {
        for slice in &batch.slices {
            let open = self.open.get_mut(&slice.id).expect("an open request");
            assert!(open.is_in_time(now), "{slice:?} came too late");
            assert_eq!(slice.start, open.answered_rows, "{slice:?} is out of turn");
            open.answered_rows += slice.rows;
            assert!(open.answered_rows <= open.arrival.rows, "{slice:?} is too long");
            if open.answered_rows == open.arrival.rows {
                self.end(slice.id);
            }
        }
    }

    fn overdue(&self, now: Moment, patience: Duration) -> Vec<RequestId> {
        self.open.iter().filter(|(_, open)| now - open.submitted >= patience).map(|(id, _)| *id).collect()
    }

    fn in_time(&self, now: Moment) -> impl Iterator<Item = &Open> {
        self.open.values().filter(move |open| open.is_in_time(now))
    }
}

impl Open {
    fn is_in_time(&self, now: Moment) -> bool {
        self.arrival.deadline.is_none_or(|deadline| now < deadline)
    }
}

/// Law 2.
pub(crate) fn each_request_ends_once(history: &[Step]) {
    let mut ledger = Ledger::default();
    for step in history {
        ledger.enter(step);
        assert_eq!(step.after.is_empty, ledger.open.is_empty(), "{step:?}");
    }
    assert!(ledger.open.is_empty(), "left without an answer");
}

/// Law 3.
pub(crate) fn limits_are_kept(script: &Play, history: &[Step]) {
    let limits = at_least_one(script.limits);
    let mut ledger = Ledger::default();
    for step in history {
        if let Event::Released(size, _, Some(batch)) = &step.event {
            check_size(batch, *size, &limits);
            check_members(batch, &ledger, step.now);
        }
        let buckets = buckets_of(step, &ledger);
        ledger.enter(step);
        check_rest(step, &ledger, &buckets);
        assert!(step.after.rows <= limits.queue_rows && step.after.bytes <= limits.queue_bytes);
    }
}

/// Law 3, of time: who has waited for as long as the patience has rows in one of the next micro-batches, and how many go
/// before is bounded by those who came before. Every fourth is filled by age; a request before may take part in two.
/// Returns how often somebody was passed over.
pub(crate) fn nobody_is_passed_over_for_long(script: &Play, history: &[Step]) -> usize {
    let mut ledger = Ledger::default();
    let mut overdue: HashMap<RequestId, (usize, usize)> = HashMap::new();
    let mut served = BTreeSet::new();
    let mut all_passes = 0;
    for step in history {
        if let Event::Released(.., Some(batch)) = &step.event {
            for id in ledger.overdue(step.now, script.patience) {
                let before = ledger.open.keys().filter(|other| **other < id).count();
                overdue.entry(id).or_insert((before, 0)).1 += 1;
            }
            served.extend(batch.slices.iter().map(|slice| slice.id));
            overdue.retain(|id, _| !served.contains(id));
            for (id, (before, passes)) in &overdue {
                assert!(*passes <= 8 * (before + 1), "{id:?} was passed over {passes} times, {before} came before");
            }
            all_passes += overdue.len();
        }
        ledger.enter(step);
        overdue.retain(|id, _| ledger.open.contains_key(id));
    }
    all_passes
}

/// How many micro-batches took from several buckets.
pub(crate) fn mixed(history: &[Step]) -> usize {
    let mut ledger = Ledger::default();
    let is_mixed = |step: &&Step| {
        let buckets = buckets_of(step, &ledger);
        ledger.enter(step);
        buckets.len() > 1
    };
    history.iter().filter(is_mixed).count()
}

fn at_least_one(limits: Limits) -> Limits {
    Limits {
        max_rows: limits.max_rows.max(1),
        max_bytes: limits.max_bytes.max(1),
        queue_rows: limits.queue_rows.max(1),
        queue_bytes: limits.queue_bytes.max(1),
    }
}

fn check_size(batch: &MicroBatch, size: Size, limits: &Limits) {
    let most = limits.max_rows.min(size.most.max(1));
    let rows: usize = batch.slices.iter().map(|slice| slice.rows).sum();
    assert!(batch.slices.iter().all(|slice| slice.rows > 0));
    assert_eq!(batch.rows, rows);
    assert!((1..=most).contains(&rows), "{batch:?}");
    assert!(batch.bytes <= limits.max_bytes || rows == 1, "{batch:?}");
    match batch.reason {
        Reason::RowsFull => assert_eq!(rows, limits.max_rows),
        Reason::BytesFull | Reason::ExecutorFree => assert!(rows < most),
        Reason::BestSize => assert!(rows == most || size.in_turn || size.enough.is_some_and(|enough| rows >= enough.min(most / 2))),
        Reason::Returned => unreachable!("the queue alone never waits"),
        Reason::Drain => {}
    }
}

/// The buckets that a micro-batch took from.
fn buckets_of(step: &Step, before: &Ledger) -> BTreeSet<Bucket> {
    let Event::Released(.., Some(batch)) = &step.event else { return BTreeSet::new() };
    batch.slices.iter().map(|slice| before.open[&slice.id].arrival.bucket).collect()
}

/// One bucket or those that can travel in it, one slice each, and the wait of the one that came first.
fn check_members(batch: &MicroBatch, before: &Ledger, now: Moment) {
    let members: Vec<&Open> = batch.slices.iter().map(|slice| &before.open[&slice.id]).collect();
    let ids: BTreeSet<_> = batch.slices.iter().map(|slice| slice.id).collect();
    assert_eq!(ids.len(), batch.slices.len(), "two slices of one request");
    assert!(members.iter().any(|open| open.arrival.bucket == batch.bucket));
    let is_mixed = members.iter().any(|open| open.arrival.bucket != batch.bucket);
    if is_mixed {
        let target = shape(batch.bucket);
        assert!(members.iter().all(|open| target.takes(&shape(open.arrival.bucket))));
        assert_eq!(batch.bytes, batch.rows * target.row_bytes, "bytes are those of the longest");
        assert!(batch.slices.iter().all(|slice| slice.is_last), "who goes in company goes whole");
    }
    let first = members.iter().map(|open| open.submitted).min().expect("a member");
    assert_eq!(batch.waited, now - first);
}

/// A free executor leaves nothing waiting: not in any bucket, and not in this one unless the micro-batch is full.
fn check_rest(step: &Step, after: &Ledger, taken_from: &BTreeSet<Bucket>) {
    match &step.event {
        Event::Released(.., None) => assert_eq!(after.in_time(step.now).count(), 0),
        Event::Released(.., Some(batch)) if batch.reason == Reason::ExecutorFree => {
            let mut rest = after.in_time(step.now);
            assert!(rest.all(|open| !taken_from.contains(&open.arrival.bucket)));
        }
        _ => {}
    }
}

/// What the plays have to reach for the laws to mean something.
pub(crate) const TO_BE_REACHED: [&str; 15] = [
    "best_size",
    "executor_free",
    "rows_full",
    "bytes_full",
    "drain",
    "queue full",
    "too large",
    "deadline passed",
    "draining",
    "empty",
    "cancelled",
    "expired",
    "a later slice",
    "cancelled between slices",
    "expired between slices",
];

pub(crate) fn reached(histories: &[Vec<Step>]) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    for history in histories {
        let mut ledger = Ledger::default();
        for step in history {
            reached.extend(found_in(step, &ledger));
            ledger.enter(step);
        }
    }
    reached
}

fn found_in(step: &Step, before: &Ledger) -> Vec<&'static str> {
    let is_cut = |id: &RequestId| before.open[id].answered_rows > 0;
    let either = |cut, cut_name, name| if cut { vec![cut_name, name] } else { vec![name] };
    match &step.event {
        Event::Submitted(_, Err(refusal)) => vec![name_of(refusal)],
        Event::Cancelled(id, true) => either(is_cut(id), "cancelled between slices", "cancelled"),
        Event::Expired(ids) if !ids.is_empty() => either(ids.iter().any(is_cut), "expired between slices", "expired"),
        Event::Released(.., Some(batch)) => {
            let is_later = batch.slices.iter().any(|slice| slice.start > 0);
            either(is_later, "a later slice", batch.reason.as_str())
        }
        _ => vec![],
    }
}

fn name_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::QueueFull { .. } => "queue full",
        Refusal::TooLarge { .. } => "too large",
        Refusal::DeadlinePassed => "deadline passed",
        Refusal::OutOfReach { .. } => "out of reach",
        Refusal::Draining => "draining",
        Refusal::Empty => "empty",
        Refusal::DuplicateId => "duplicate id",
    }
}

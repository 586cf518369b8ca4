//! A micro-batch on its way through a model.
//!
//! A flight holds the rows of its members, runs them in one call, and keeps one answer for each member.
//! When a call fails and the model is pure, the members are bisected and run again, so that one bad record
//! fails its own request alone: at most `2 * k * log2(n)` further calls for `k` bad requests among `n`.
//! A call that lost its worker process is first run once more as a whole: the process may have been killed for
//! reasons of its own. Only then is it bisected, and [`losses_allowed`] bounds the processes that this costs.
//! A model that is not pure is never called twice with a record: all members get the error.
//! Where the signature says how, members of different lengths are padded to one, and their answers cut back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shoal_batch::{RequestId, Run};

use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::padding::Padding;
use crate::values::{Dtype, Table};

/// Rows of one request in a micro-batch.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: RequestId,
    pub(crate) table: Arc<Table>,
    pub(crate) start: usize,
    pub(crate) rows: usize,
}

/// Rows of an answer: `rows` records of `table` from `start` on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Output columns in the order of the signature; other requests' rows may lie around.
    pub table: Arc<Table>,
    /// The first record of this answer.
    pub start: usize,
    /// How many records.
    pub rows: usize,
    /// Rows of the largest micro-batch in which they travelled; 0 before that is known.
    pub batch_rows: usize,
}

impl Answer {
    /// Records `start..start + rows` of a table.
    #[must_use]
    pub const fn new(table: Arc<Table>, start: usize, rows: usize) -> Self {
        Self { table, start, rows, batch_rows: 0 }
    }
}

/// A micro-batch with the rows of its members.
pub(crate) struct Flight {
    pub(crate) run: Run,
    pub(crate) members: Vec<Member>,
}

/// Room that is used again for the rows of every micro-batch.
pub(crate) struct Hold {
    dtypes: Vec<Dtype>,
    table: Option<Table>,
    padding: Option<Arc<Padding>>,
}

impl Hold {
    pub(crate) const fn new(dtypes: Vec<Dtype>) -> Self {
        Self { dtypes, table: None, padding: None }
    }

    /// The room for a model whose records are padded, if there is padding.
    pub(crate) fn with_padding(self, padding: Option<Arc<Padding>>) -> Self {
        Self { padding, ..self }
    }

    /// Lays the rows of the members out one after the other.
    fn load(&mut self, members: &[Member]) -> Outcome<&Table> {
        if let Some(padding) = self.padding.clone() {
            return self.load_padded(members, &padding);
        }
        let shaped = |table: &Table| table.columns.iter().zip(&members[0].table.columns).all(|(have, want)| have.shape == want.shape);
        let mut table = self.table.take().filter(shaped).unwrap_or_else(|| Table::empty_like(&members[0].table, &self.dtypes, 0));
        table.clear();
        for member in members {
            table.append(&member.table, &self.dtypes, member.start, member.rows)?;
        }
        Ok(self.table.insert(table))
    }

    /// The same, each padded to the longest of the lengths that they round up to.
    fn load_padded(&mut self, members: &[Member], padding: &Padding) -> Outcome<&Table> {
        let shapes = padding.widest(&members[0].table, members[1..].iter().map(|member| &*member.table));
        let fits = |table: &Table| table.columns.iter().zip(&shapes).all(|(have, want)| have.shape == *want);
        let mut table = self.table.take().filter(fits).unwrap_or_else(|| Table::empty_of(&shapes, &self.dtypes));
        table.clear();
        for member in members {
            padding.append(&mut table, &member.table, &self.dtypes, (member.start, member.rows))?;
        }
        Ok(self.table.insert(table))
    }

    /// Whether a request is a micro-batch as it is.
    fn takes_as_it_is(&self, member: &Member) -> bool {
        let is_whole = member.start == 0 && member.rows == member.table.rows;
        is_whole && member.table.is_aligned() && self.padding.as_ref().is_none_or(|padding| padding.fits(&member.table))
    }

    fn answer(&self, answer: Answer, request: &Table) -> Answer {
        match &self.padding {
            None => answer,
            Some(padding) => padding.cut(answer, request),
        }
    }
}

/// Runs the members in as few calls as their health allows; one outcome for each, in order.
pub(crate) fn run(executor: &mut dyn Executor, members: &[Member], hold: &mut Hold, pure: bool) -> Vec<Outcome<Answer>> {
    match call(executor, members, hold) {
        Ok(table) => share(&Arc::new(table), members, hold),
        Err(fault) if !pure => fail(&fault, members),
        Err(fault) => {
            let mut losses_left = losses_allowed(members.len());
            let again = if fault.code.is_loss() { run_again } else { run_halves };
            again(&mut Rerun { executor, hold, losses_left: &mut losses_left }, members, &fault)
        }
    }
}

/// Workers that one micro-batch may cost: two for the whole, one for each halving, and as many again, so that
/// two records that kill are found; a micro-batch full of them must not keep a model from its other callers.
fn losses_allowed(members: usize) -> u32 {
    2 + 2 * members.next_power_of_two().trailing_zeros()
}

/// What running again needs.
struct Rerun<'r> {
    executor: &'r mut dyn Executor,
    hold: &'r mut Hold,
    losses_left: &'r mut u32,
}

/// Runs the members in one more call, because `fault` says nothing about them or they are a half.
fn run_again(rerun: &mut Rerun<'_>, members: &[Member], fault: &Fault) -> Vec<Outcome<Answer>> {
    if *rerun.losses_left == 0 {
        return fail(fault, members);
    }
    match call(rerun.executor, members, rerun.hold) {
        Ok(table) => share(&Arc::new(table), members, rerun.hold),
        Err(fault) => {
            *rerun.losses_left -= u32::from(fault.code.is_loss());
            run_halves(rerun, members, &fault)
        }
    }
}

fn run_halves(rerun: &mut Rerun<'_>, members: &[Member], fault: &Fault) -> Vec<Outcome<Answer>> {
    if members.len() < 2 || fault.code == Code::ModelUnavailable {
        return fail(fault, members);
    }
    let (left, right) = members.split_at(members.len() / 2);
    let mut outcomes = run_again(rerun, left, fault);
    outcomes.extend(run_again(rerun, right, fault));
    outcomes
}

fn fail(fault: &Fault, members: &[Member]) -> Vec<Outcome<Answer>> {
    members.iter().map(|_| Err(fault.clone())).collect()
}

fn call(executor: &mut dyn Executor, members: &[Member], hold: &mut Hold) -> Outcome<Table> {
    let padding = hold.padding.clone();
    let inputs = match members {
        [only] if hold.takes_as_it_is(only) => &*only.table,
        several => hold.load(several)?,
    };
    let called = catch_unwind(AssertUnwindSafe(|| executor.run(inputs)));
    let answer = called.unwrap_or_else(|_| Err(Fault::new(Code::ModelFailed, "the model panicked")))?;
    if let Some(padding) = padding {
        padding.check(inputs, &answer)?;
    }
    Ok(answer)
}

fn share(table: &Arc<Table>, members: &[Member], hold: &Hold) -> Vec<Outcome<Answer>> {
    let mut start = 0;
    let mut next = |member: &Member| {
        let answer = Answer::new(Arc::clone(table), start, member.rows);
        start += member.rows;
        Ok(hold.answer(answer, &member.table))
    };
    members.iter().map(&mut next).collect()
}

/// Joins answers to slices of one request, which must be given in the order of its rows.
pub(crate) fn rejoin(parts: &[Answer], dtypes: &[Dtype]) -> Outcome<Answer> {
    let rows = parts.iter().map(|part| part.rows).sum();
    let mut table = Table::empty_like(&parts[0].table, dtypes, rows);
    for part in parts {
        table.append(&part.table, dtypes, part.start, part.rows)?;
    }
    let batch_rows = parts.iter().map(|part| part.batch_rows).max().unwrap_or(0);
    Ok(Answer { batch_rows, ..Answer::new(Arc::new(table), 0, rows) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Buffer, Payload, Values};

    /// Doubles; raises when it meets a negative number.
    struct Doubles {
        calls: usize,
    }

    impl Executor for Doubles {
        fn run(&mut self, inputs: &Table) -> Outcome<Table> {
            self.calls += 1;
            let numbers = numbers(inputs);
            match numbers.iter().find(|number| **number < 0) {
                Some(number) => Err(Fault::new(Code::ModelFailed, format!("{number} is negative"))),
                None => Ok(table(&numbers.iter().map(|number| number * 2).collect::<Vec<_>>())),
            }
        }
    }

    fn table(numbers: &[i64]) -> Table {
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(numbers)));
        Table { rows: numbers.len(), columns: vec![Values { shape: vec![], payload, missing: vec![] }] }
    }

    fn numbers(table: &Table) -> Vec<i64> {
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice(buffer.bytes()).to_vec()
    }

    fn members(requests: &[&[i64]]) -> Vec<Member> {
        let member =
            |(id, request): (u64, &&[i64])| Member { id: RequestId(id), table: Arc::new(table(request)), start: 0, rows: request.len() };
        (0..).zip(requests).map(member).collect()
    }

    fn answer(outcome: &Outcome<Answer>) -> Vec<i64> {
        let answer = outcome.as_ref().unwrap();
        numbers(&answer.table)[answer.start..answer.start + answer.rows].to_vec()
    }

    #[test]
    fn a_model_reads_aligned_values_wherever_a_body_carries_them() {
        let body = bytes::Bytes::from(bytemuck::cast_slice(&[1_i64, 2, 3]).to_vec());
        for start in 0..8 {
            let payload = Payload::Fixed(Buffer::from(body.slice(start..start + 8)));
            let lent = Table { rows: 1, columns: vec![Values { shape: vec![], payload, missing: vec![] }] };
            let members = [Member { id: RequestId(0), table: Arc::new(lent), start: 0, rows: 1 }];
            let outcomes = run(&mut Doubles { calls: 0 }, &members, &mut Hold::new(vec![Dtype::Int64]), true);
            let number = i64::from_le_bytes(body[start..start + 8].try_into().unwrap());
            assert_eq!(answer(&outcomes[0]), [number * 2]);
        }
    }

    #[test]
    fn each_member_gets_its_own_rows() {
        let outcomes = run(&mut Doubles { calls: 0 }, &members(&[&[1], &[2, 3], &[4]]), &mut Hold::new(vec![Dtype::Int64]), true);
        assert_eq!(outcomes.iter().map(answer).collect::<Vec<_>>(), [vec![2], vec![4, 6], vec![8]]);
    }

    #[test]
    fn one_bad_request_among_32_fails_alone() {
        let mut requests: Vec<Vec<i64>> = (0..32).map(|number| vec![number]).collect();
        requests[13] = vec![-1];
        let slices: Vec<&[i64]> = requests.iter().map(Vec::as_slice).collect();
        let mut executor = Doubles { calls: 0 };
        let outcomes = run(&mut executor, &members(&slices), &mut Hold::new(vec![Dtype::Int64]), true);
        let failed: Vec<usize> = (0..32).filter(|index| outcomes[*index].is_err()).collect();
        assert_eq!(failed, [13]);
        assert!((0..32).filter(|index| *index != 13).all(|index| answer(&outcomes[index]) == [2 * i64::try_from(index).unwrap()]));
        assert!(executor.calls <= 11, "{} calls", executor.calls);
    }

    /// Loses its worker at the first `accidents` calls, and at every call with a negative number.
    struct Dies {
        calls: usize,
        accidents: usize,
    }

    impl Executor for Dies {
        fn run(&mut self, inputs: &Table) -> Outcome<Table> {
            self.calls += 1;
            if self.calls <= self.accidents || numbers(inputs).iter().any(|number| *number < 0) {
                return Err(Fault::new(Code::WorkerLost, "the worker ended"));
            }
            Ok(inputs.clone())
        }
    }

    fn one_each(numbers: &[i64]) -> Vec<Member> {
        members(&numbers.iter().map(std::slice::from_ref).collect::<Vec<_>>())
    }

    fn failed(outcomes: &[Outcome<Answer>]) -> Vec<usize> {
        (0..outcomes.len()).filter(|index| outcomes[*index].is_err()).collect()
    }

    #[test]
    fn a_batch_that_lost_its_worker_is_run_once_more_whole() {
        let mut executor = Dies { calls: 0, accidents: 1 };
        let outcomes = run(&mut executor, &one_each(&[1, 2, 3]), &mut Hold::new(vec![Dtype::Int64]), true);
        assert_eq!((executor.calls, failed(&outcomes)), (2, vec![]));
    }

    #[test]
    fn a_record_that_kills_workers_is_found_and_fails_alone() {
        let mut requests: Vec<i64> = (0..32).collect();
        requests[21] = -1;
        let mut executor = Dies { calls: 0, accidents: 0 };
        let outcomes = run(&mut executor, &one_each(&requests), &mut Hold::new(vec![Dtype::Int64]), true);
        assert_eq!((executor.calls, failed(&outcomes)), (12, vec![21]));
    }

    #[test]
    fn a_batch_full_of_records_that_kill_costs_a_bounded_number_of_workers() {
        let mut executor = Dies { calls: 0, accidents: 0 };
        let outcomes = run(&mut executor, &one_each(&[-1; 64]), &mut Hold::new(vec![Dtype::Int64]), true);
        assert_eq!((executor.calls, failed(&outcomes).len()), (15, 64));
    }

    #[test]
    fn a_model_that_is_not_pure_is_not_called_again_when_its_worker_is_lost() {
        let mut executor = Dies { calls: 0, accidents: 1 };
        let outcomes = run(&mut executor, &one_each(&[1, 2]), &mut Hold::new(vec![Dtype::Int64]), false);
        assert_eq!((executor.calls, failed(&outcomes)), (1, vec![0, 1]));
    }

    #[test]
    fn a_model_that_is_not_pure_is_called_once() {
        let mut executor = Doubles { calls: 0 };
        let outcomes = run(&mut executor, &members(&[&[1], &[-1]]), &mut Hold::new(vec![Dtype::Int64]), false);
        assert_eq!((executor.calls, outcomes.iter().filter(|outcome| outcome.is_err()).count()), (1, 2));
    }

    #[test]
    fn slices_rejoin_in_the_order_of_their_rows() {
        let parts = [&[1, 2][..], &[3], &[4, 5]].map(|part| Answer::new(Arc::new(table(part)), 0, part.len()));
        assert_eq!(answer(&rejoin(&parts, &[Dtype::Int64])), [1, 2, 3, 4, 5]);
    }
}

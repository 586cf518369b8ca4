//! What holds for every envelope, however it was encoded: how many tasks and records, and that each id stands once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Envelope, Input, Merge, NAME_BYTES, ROWS_LIMIT, TASKS_LIMIT, Task, digest};
use crate::fault::{Code, Fault, Outcome};

impl Envelope {
    /// The tasks of an envelope that has arrived. Tasks without an id get their place as one; `timeout` is the budget of each that
    /// has no shorter one.
    ///
    /// # Errors
    /// `InvalidRequest`, `TooManyTasks`, `TooManyRows`, `DuplicateTask`.
    pub(crate) fn new(mut tasks: Vec<Task>, merge: Option<Merge>, timeout: Option<Duration>) -> Outcome<Self> {
        if tasks.is_empty() {
            return Err(Fault::new(Code::InvalidRequest, "the envelope has no tasks; expected at least one"));
        }
        if tasks.len() > TASKS_LIMIT {
            return Err(too_many_tasks());
        }
        let has_ids = tasks.iter().any(|task| !task.id.is_empty());
        for (place, task) in tasks.iter_mut().enumerate() {
            if task.id.is_empty() {
                task.id = itoa::Buffer::new().format(place).into();
            }
            task.timeout = task.timeout.into_iter().chain(timeout).min();
            task.check()?;
        }
        if has_ids {
            check_ids(&tasks)?;
        }
        check_rows(&tasks)?;
        for task in tasks.iter_mut().filter(|task| task.key.is_some()) {
            task.digest = digest::of(task);
        }
        Ok(Self { tasks, merge, arrived: Instant::now(), bytes: 0 })
    }
}

impl Task {
    /// Refuses what no task may say.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn check(&self) -> Outcome<()> {
        let wrong = |message: String| Err(Fault::new(Code::InvalidRequest, message));
        if self.id.len() > NAME_BYTES {
            return wrong(format!("the id of a task has {} bytes; expected at most {NAME_BYTES}", self.id.len()));
        }
        if let Some(key) = self.key.as_ref().filter(|key| key.len() > NAME_BYTES) {
            return wrong(format!("the key of idempotency of task {:?} has {} bytes; expected at most {NAME_BYTES}", self.id, key.len()));
        }
        if !self.weight.is_finite() || self.weight < 0.0 {
            return wrong(format!("the weight of task {:?} is {}; expected a finite number that is not negative", self.id, self.weight));
        }
        Ok(())
    }
}

/// The fault for an envelope of more tasks than the limit.
pub(crate) fn too_many_tasks() -> Fault {
    Fault::new(Code::TooManyTasks, format!("the envelope has more than {TASKS_LIMIT} tasks"))
        .hint("send the tasks in several envelopes, or more records in each task")
}

fn check_ids(tasks: &[Task]) -> Outcome<()> {
    let mut seen = HashSet::with_capacity(tasks.len());
    match tasks.iter().find(|task| !seen.insert(task.id.as_str())) {
        None => Ok(()),
        Some(task) => {
            let message = format!("two tasks of the envelope have the id {:?}", task.id);
            Err(Fault::new(Code::DuplicateTask, message).hint("a task without an id has its place in the list as one, counted from 0"))
        }
    }
}

fn check_rows(tasks: &[Task]) -> Outcome<()> {
    if let Some(fault) = tasks.iter().filter_map(|task| task.input.as_ref().err()).find(|fault| fault.code == Code::TooManyRows) {
        return Err(fault.clone());
    }
    let of = |task: &Task| task.input.as_ref().map_or(0, Input::rows);
    let rows = tasks.iter().map(of).fold(0, usize::saturating_add);
    if rows <= ROWS_LIMIT {
        return Ok(());
    }
    let message = format!(
        "the tables of the envelope have {rows} records, those of shared ones counted for each task; expected at most {ROWS_LIMIT}"
    );
    Err(Fault::new(Code::TooManyRows, message).hint("send the tasks in several envelopes"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Input, Query, SharedTable};
    use super::*;
    use crate::tables::Typed;

    fn task(id: &str, rows: usize) -> Task {
        Task { id: id.into(), ..Task::new(Query::of("m"), Ok(Input::Own(Typed { rows, columns: vec![] }))) }
    }

    fn code_of(tasks: Vec<Task>) -> Option<Code> {
        Envelope::new(tasks, None, None).err().map(|fault| fault.code)
    }

    #[test]
    fn a_task_without_an_id_has_its_place_and_may_not_be_called_as_another_one_is() {
        let envelope = Envelope::new(vec![task("", 1), task("b", 1), task("", 1)], None, None).unwrap();
        assert_eq!(envelope.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["0", "b", "2"]);
        assert_eq!(code_of(vec![task("1", 1), task("", 1)]), Some(Code::DuplicateTask));
    }

    #[test]
    fn an_envelope_has_some_tasks_and_not_too_many_and_not_too_many_records() {
        let tasks = |count: usize| (0..count).map(|_| task("", 1)).collect::<Vec<_>>();
        assert_eq!(code_of(vec![]), Some(Code::InvalidRequest));
        assert_eq!((code_of(tasks(TASKS_LIMIT)), code_of(tasks(TASKS_LIMIT + 1))), (None, Some(Code::TooManyTasks)));
        assert_eq!(
            (code_of(vec![task("a", ROWS_LIMIT)]), code_of(vec![task("a", ROWS_LIMIT), task("b", 1)])),
            (None, Some(Code::TooManyRows))
        );
        let shared = Arc::new(SharedTable::new(Typed { rows: ROWS_LIMIT / 2, columns: vec![] }, None));
        let referring = |id: &str| Task { id: id.into(), ..Task::new(Query::of("m"), Ok(Input::Shared(Arc::clone(&shared)))) };
        assert_eq!(code_of(vec![referring("a"), referring("b"), task("c", 1)]), Some(Code::TooManyRows));
    }

    #[test]
    fn the_shorter_budget_counts() {
        let with = |us| Task { timeout: Some(Duration::from_micros(us)), ..task("", 1) };
        let envelope = Envelope::new(vec![with(1), with(9), task("", 1)], None, Some(Duration::from_micros(5))).unwrap();
        let budgets: Vec<_> = envelope.tasks.iter().map(|task| task.timeout.unwrap().as_micros()).collect();
        assert_eq!(budgets, [1, 5, 5]);
    }

    #[test]
    fn weights_and_names_have_their_bounds() {
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(code_of(vec![Task { weight, ..task("", 1) }]), Some(Code::InvalidRequest), "{weight}");
        }
        let long = "a".repeat(NAME_BYTES + 1);
        assert_eq!(code_of(vec![task(&long[1..], 1)]), None);
        assert_eq!(code_of(vec![task(&long, 1)]), Some(Code::InvalidRequest));
        assert_eq!(code_of(vec![Task { key: Some(long), ..task("", 1) }]), Some(Code::InvalidRequest));
    }
}

//! A table of any size through a model, in micro-batches of the size that is cheapest.
//!
//! The policy is the server's: a [`Scheduler`] learns what micro-batches cost and says how many rows the next one takes,
//! within the limits of the package. Nobody waits, so only throughput counts. Answers lie in the order of the records.

use std::sync::Arc;
use std::time::Instant;

use shoal_batch::{Arrival, Bucket, Client, Limits, Moment, Next, Policy, Priority, RequestId, Run, Scheduler};

use crate::description::Description;
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::{Answer, rejoin};
use crate::values::{Dtype, Table};

/// A model that takes tables of any size.
pub struct Cut<E> {
    executor: E,
    scheduler: Scheduler,
    epoch: Instant,
    tables: u64,
    inputs: Vec<Dtype>,
    outputs: Vec<Dtype>,
    /// Whether records may be answered in shapes that only a whole call decides.
    is_whole: bool,
}

impl<E: Executor> Cut<E> {
    /// The model of a package, which has not run yet.
    #[must_use]
    pub fn new(description: &Description, executor: E) -> Self {
        let (max_rows, max_bytes) = (description.policy.max_rows, description.policy.max_bytes);
        let limits = Limits { max_rows, max_bytes, queue_rows: usize::MAX, queue_bytes: usize::MAX };
        Self {
            executor,
            scheduler: Scheduler::new(limits, Policy::default()),
            epoch: Instant::now(),
            tables: 0,
            inputs: description.input_dtypes(),
            outputs: description.output_dtypes(),
            is_whole: description.signature.outputs.iter().any(|column| column.shape.contains(&-1)),
        }
    }

    /// Answers each record of `table` in its place.
    ///
    /// # Errors
    /// `ModelFailed`: a micro-batch failed, and the table has no answer.
    pub fn run(&mut self, table: &Table) -> Outcome<Table> {
        if self.is_whole || table.rows < 2 {
            return self.executor.run(table);
        }
        let id = RequestId(self.tables);
        self.tables += 1;
        self.submit(id, table)?;
        let answered = self.run_all(table);
        if answered.is_err() {
            self.scheduler.cancel(id);
        }
        answered
    }

    fn submit(&mut self, id: RequestId, table: &Table) -> Outcome<()> {
        // Records of one table have one shape, and those of another table perhaps another cost.
        let values: usize = table.columns.iter().map(crate::values::Values::per_row).sum();
        let arrival = Arrival {
            id,
            client: Client::default(),
            bucket: Bucket(values as u64),
            rows: table.rows,
            bytes: table.size_bytes(),
            priority: Priority::default(),
            deadline: None,
        };
        self.scheduler.submit(self.now(), arrival).map_err(|away| Fault::new(Code::Internal, away.refusal.to_string()))
    }

    fn run_all(&mut self, table: &Table) -> Outcome<Table> {
        let mut parts: Vec<Answer> = Vec::new();
        while let Next::Run(run) = self.scheduler.next(self.now()) {
            let part = self.run_one(table, run)?;
            let rows = part.rows;
            parts.push(Answer::new(Arc::new(part), 0, rows));
        }
        let whole = if parts.len() == 1 { parts.remove(0) } else { rejoin(&parts, &self.outputs)? };
        Ok(Arc::unwrap_or_clone(whole.table))
    }

    fn run_one(&mut self, table: &Table, run: Run) -> Outcome<Table> {
        let (start, rows) = run.batch.slices.first().map_or((0, 0), |slice| (slice.start, slice.rows));
        let began = Instant::now();
        let answered = self.executor.run(&table.slice(&self.inputs, start, rows));
        let took = began.elapsed();
        self.scheduler.finish(self.now(), run, answered.is_ok().then_some(took));
        answered
    }

    fn now(&self) -> Moment {
        Moment::from(self.epoch.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Buffer, Payload, Values};

    /// Doubles, and keeps the sizes that it was asked.
    #[derive(Default)]
    struct Doubles(Vec<usize>);

    impl Executor for Doubles {
        fn run(&mut self, inputs: &Table) -> Outcome<Table> {
            self.0.push(inputs.rows);
            let numbers = numbers(inputs);
            if numbers.contains(&-1) {
                return Err(Fault::new(Code::ModelFailed, "-1"));
            }
            Ok(table(&numbers.iter().map(|number| number * 2).collect::<Vec<_>>()))
        }
    }

    fn table(numbers: &[i32]) -> Table {
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(numbers)));
        Table { rows: numbers.len(), columns: vec![Values { shape: vec![], payload, missing: vec![] }] }
    }

    fn numbers(table: &Table) -> Vec<i32> {
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice(buffer.bytes()).to_vec()
    }

    fn cut(max_rows: usize) -> Cut<Doubles> {
        let column = r#"{"name": "x", "dtype": "INT32", "shape": []}"#;
        let text = format!(
            r#"{{"name": "m", "version": "1", "runtime": "python", "policy": {{"max_rows": {max_rows}}},
                "signature": {{"inputs": [{column}], "outputs": [{column}]}}}}"#
        );
        Cut::new(&Description::from_json(&text).unwrap(), Doubles::default())
    }

    #[test]
    fn every_record_is_answered_in_its_place_however_the_table_is_cut() {
        let mut cut = cut(64);
        for rows in [1, 2, 63, 64, 65, 1000, 4099] {
            let asked: Vec<i32> = (0..rows).collect();
            let answer = cut.run(&table(&asked)).unwrap();
            assert_eq!(numbers(&answer), asked.iter().map(|number| number * 2).collect::<Vec<_>>());
        }
        assert!(cut.executor.0.iter().all(|rows| (1..=64).contains(rows)));
    }

    #[test]
    fn a_table_that_fails_leaves_nothing_behind_for_the_next_one() {
        let mut cut = cut(8);
        let mut asked: Vec<i32> = (0..100).collect();
        asked[50] = -1;
        assert_eq!(cut.run(&table(&asked)).unwrap_err().code, Code::ModelFailed);
        assert_eq!(numbers(&cut.run(&table(&[1, 2, 3])).unwrap()), [2, 4, 6]);
        assert_eq!(cut.scheduler.queue().queued_rows(), 0);
    }

    #[test]
    fn a_table_without_records_has_an_answer_without_records() {
        assert_eq!(cut(8).run(&table(&[])).unwrap().rows, 0);
    }
}

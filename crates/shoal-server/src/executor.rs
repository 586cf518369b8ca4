//! What runs a micro-batch.
//!
//! One trait, so that the queue does not know what is behind it: an ONNX session ([`crate::onnx`]) or
//! processes of their own ([`crate::worker`]). [`check_answer`] holds every executor to the contract of a model:
//! as many records out as in, in the columns of the signature.

use std::sync::Arc;

use crate::description::Description;
use crate::fault::{Code, Fault, Outcome};
use crate::values::{Table, Values};

/// Runs micro-batches, one at a time.
pub trait Executor: Send {
    /// Answers each record of `inputs` in its place. Columns are in the order of the signature.
    ///
    /// # Errors
    /// `ModelFailed` when the model raises; the whole micro-batch fails then.
    fn run(&mut self, inputs: &Table) -> Outcome<Table>;

    /// Threads that one call uses.
    fn threads(&self) -> usize {
        1
    }

    /// The processes behind the model, where there are any.
    fn health(&self) -> Option<Arc<dyn Health>> {
        None
    }
}

/// How the processes behind a model are.
pub trait Health: Send + Sync {
    /// How many have opened the model and live.
    fn alive(&self) -> usize;

    /// How many were started in the place of another one.
    fn restarts(&self) -> u64;

    /// Whether the model can answer.
    ///
    /// # Errors
    /// `ModelUnavailable` with the reason.
    fn ready(&self) -> Outcome<()>;
}

/// Holds an answer to the contract: every column of the signature, `rows` records, the declared shapes.
///
/// # Errors
/// `ModelFailed`, naming the column.
pub fn check_answer(description: &Description, rows: usize, answer: &Table) -> Outcome<()> {
    for (column, values) in description.signature.outputs.iter().zip(&answer.columns) {
        let fits = column.shape.len() == values.shape.len()
            && column.shape.iter().zip(&values.shape).all(|(want, have)| *want < 0 || usize::try_from(*want).ok() == Some(*have));
        if !fits {
            let message = format!(
                "the model answered column {:?} with records of shape {:?}; its signature says {:?}",
                column.name, values.shape, column.shape
            );
            return Err(Fault::new(Code::ModelFailed, message));
        }
        let count = values.payload.count(column.dtype);
        if answer.rows != rows || count != rows * values.per_row() {
            return Err(wrong_count(column, values, rows, count));
        }
    }
    Ok(())
}

fn wrong_count(column: &crate::description::Column, values: &Values, rows: usize, count: usize) -> Fault {
    let message = format!("the model answered {count} values in column {:?} for {rows} records of shape {:?}", column.name, values.shape);
    Fault::new(Code::ModelFailed, message).hint("a model answers one record for each record it is given")
}

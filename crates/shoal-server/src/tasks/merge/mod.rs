//! The results of tasks joined into one table: what `protocol.md` calls merges.
//!
//! - A merge is a pure function of finished tables and of the weights of their tasks. It does not know of tasks that failed.
//! - What a name means here it means in `shoal.batch`: sums are [`exact`] and rounded once, so that no cut into tasks changes a
//!   number; a missing record is passed over; a NaN makes its answer NaN; BOOL counts as 0 and 1.
//! - Columns stand in the order in which they are asked for, or first met.
//! - Results of other columns than the first are a `merge_mismatch` where tables are put together, and reduced each over the
//!   records that there are where they are reduced.

mod concat;
mod exact;
mod large;
mod reduce;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Kind, Typed};

/// How results become one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Concat,
    Sum,
    Mean,
    Min,
    Max,
    Count,
    Variance,
}

impl By {
    const ALL: [Self; 7] = [Self::Concat, Self::Sum, Self::Mean, Self::Min, Self::Max, Self::Count, Self::Variance];

    const fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Variance => "variance",
        }
    }

    /// The merge of that name.
    ///
    /// # Errors
    /// `InvalidRequest` where there is none.
    pub(crate) fn from_name(name: &str) -> Outcome<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let shown = name.chars().take(64).collect::<String>();
            Fault::new(Code::InvalidRequest, format!("there is no merge {shown:?}; there are {known}"))
        })
    }
}

/// The result of one task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'t> {
    /// The task's id, for messages.
    pub(crate) id: &'t str,
    pub(crate) table: &'t Typed,
    /// How much each of its records counts: finite, not negative.
    pub(crate) weight: f64,
}

/// One column of one result.
#[derive(Clone, Copy)]
struct Piece<'t> {
    id: &'t str,
    column: &'t Column,
    rows: usize,
    weight: f64,
}

impl Piece<'_> {
    /// Whether a record is there.
    fn has(&self, record: usize) -> bool {
        !self.column.is_missing(record)
    }

    fn is_numbers(&self) -> bool {
        matches!(self.column.kind, Kind::Plain(_))
    }
}

/// The columns of one name, in the order of the tasks.
struct Gathered<'t> {
    name: &'t str,
    pieces: Vec<Piece<'t>>,
}

/// One table of all results, in the order of their tasks: all columns, or those that are named.
///
/// # Errors
/// `MergeMismatch` where the results cannot be joined, `DuplicateColumn` where a column is named twice.
pub(crate) fn merged(by: By, columns: &[String], parts: &[Part<'_>]) -> Outcome<Typed> {
    let gathered = gather(columns, parts)?;
    if by == By::Concat {
        return concat::concatenated(&gathered, parts);
    }
    let reduced = gathered.iter().map(|column| reduce::reduced(by, column, !columns.is_empty()));
    let reduced = reduced.filter_map(Outcome::transpose).collect::<Outcome<Vec<Column>>>()?;
    Ok(Typed { rows: 1, columns: reduced })
}

fn gather<'t>(columns: &'t [String], parts: &[Part<'t>]) -> Outcome<Vec<Gathered<'t>>> {
    let mut places = HashMap::new();
    let mut gathered: Vec<Gathered<'t>> = Vec::new();
    for name in columns {
        if places.insert(name.as_str(), gathered.len()).is_some() {
            return Err(Fault::new(Code::DuplicateColumn, format!("the merge names column {name:?} twice")));
        }
        gathered.push(Gathered { name, pieces: Vec::new() });
    }
    for part in parts {
        for column in &part.table.columns {
            let place = match places.get(column.name.as_str()) {
                Some(place) => *place,
                None if columns.is_empty() => {
                    places.insert(&column.name, gathered.len());
                    gathered.push(Gathered { name: &column.name, pieces: Vec::new() });
                    gathered.len() - 1
                }
                None => continue,
            };
            gathered[place].pieces.push(Piece { id: part.id, column, rows: part.table.rows, weight: part.weight });
        }
    }
    refuse_unknown(&gathered, parts)?;
    Ok(gathered)
}

/// A column that is asked for stands in one result at least, if there are any.
fn refuse_unknown(gathered: &[Gathered<'_>], parts: &[Part<'_>]) -> Outcome<()> {
    match gathered.iter().find(|column| column.pieces.is_empty()) {
        Some(column) if !parts.is_empty() => {
            Err(Fault::new(Code::MergeMismatch, format!("no result has the column {:?} that the merge names", column.name)))
        }
        _ => Ok(()),
    }
}

/// Two results that cannot be joined.
fn mismatch(name: &str, one: (&str, &str), other: (&str, &str)) -> Fault {
    let ((id, what), (other_id, other_what)) = (one, other);
    let message = format!("column {name:?} is {what} in the result of task {id:?}, and {other_what} in that of {other_id:?}");
    Fault::new(Code::MergeMismatch, message).hint("name the columns that are to be merged, or ask for the results one by one")
}

/// A column's dtype and shape, as messages say them.
fn described(column: &Column) -> String {
    format!("{} {:?}", column.kind.name(), column.shape)
}

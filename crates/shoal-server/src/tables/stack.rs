//! Tables that say the same of themselves, one behind the other: what each of them would need by itself is there once, and
//! what is done with all of them is done once.
//!
//! Only tables that lack nothing, and whose values have a fixed width, lie on a stack: each is a range of its records.

use std::borrow::Cow;
use std::sync::Arc;

use super::rules::wrong_value;
use super::{Column, Content, Typed};
use crate::values::Buffer;

/// Tables for which there is room before they come, at most.
const EXPECTED: usize = 256;

/// Tables of the same columns.
pub(crate) struct Stack {
    whole: Typed,
    /// What a table takes by itself, but for its values.
    head_bytes: usize,
}

/// A table that lies on a stack, by the records that are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) rows: usize,
}

/// A table that lies on a stack to which nothing is added any more.
#[derive(Clone, Debug)]
pub(crate) struct Stacked {
    pub(crate) whole: Arc<Typed>,
    pub(crate) span: Span,
}

impl Stack {
    /// A stack of one table, and where that lies, with room for those that are likely to come; the table itself where
    /// none may lie on it.
    pub(crate) fn of(mut table: Typed, likely: usize) -> Result<(Self, Span), Typed> {
        // Of a dimension of 0 it matters how long the text of each table is.
        let is_whole =
            |column: &Column| matches!(column.content, Content::Fixed(_)) && column.missing.is_empty() && !column.shape.contains(&0);
        if table.columns.is_empty() || !table.columns.iter().all(is_whole) {
            return Err(table);
        }
        let mut head_bytes = table.size_bytes();
        for column in &mut table.columns {
            let Content::Fixed(buffer) = &mut column.content else { continue };
            head_bytes -= buffer.len();
            let mut roomy = Buffer::with_capacity(buffer.len().saturating_mul(1 + likely.min(EXPECTED)));
            roomy.extend(buffer.bytes());
            *buffer = roomy;
        }
        let first = Span { start: 0, rows: table.rows };
        Ok((Self { whole: table, head_bytes }, first))
    }

    /// What a table of so many records would take by itself.
    pub(crate) fn size_bytes(&self, rows: usize) -> usize {
        self.head_bytes + rows * row_bytes(&self.whole)
    }

    /// Whether the columns may have those values: of some dtypes not all bytes are values.
    pub(crate) fn takes<'v>(&self, values: impl Iterator<Item = &'v [u8]>) -> bool {
        self.whole.columns.iter().zip(values).all(|(column, bytes)| wrong_value(&column.kind, bytes).is_none())
    }

    /// Lays a table on the stack; the values of each column are those of so many records.
    pub(crate) fn push<'v>(&mut self, rows: usize, values: impl Iterator<Item = &'v [u8]>) -> Span {
        for (column, more) in self.whole.columns.iter_mut().zip(values) {
            if let Content::Fixed(buffer) = &mut column.content {
                buffer.extend(more);
            }
        }
        self.settle(rows)
    }

    /// The values of a column, behind which those of another table may be written; then it is settled or undone.
    pub(crate) fn values(&mut self, column: usize) -> Option<&mut Buffer> {
        match &mut self.whole.columns.get_mut(column)?.content {
            Content::Fixed(buffer) => Some(buffer),
            _ => None,
        }
    }

    /// Lays a table on the stack of so many records, whose values were written.
    pub(crate) const fn settle(&mut self, rows: usize) -> Span {
        let start = self.whole.rows;
        self.whole.rows += rows;
        Span { start, rows }
    }

    /// Forgets what was written into the first columns, of a table that does not come.
    pub(crate) fn undo(&mut self, columns: usize) {
        for column in &mut self.whole.columns[..columns] {
            let bytes = self.whole.rows * column.per_row() * column.kind.width();
            if let Content::Fixed(buffer) = &mut column.content {
                buffer.truncate(bytes);
            }
        }
    }

    /// All tables, whose parts share their values.
    pub(crate) fn whole(mut self) -> Arc<Typed> {
        self.whole.share();
        Arc::new(self.whole)
    }
}

impl Stacked {
    /// The table by itself.
    pub(crate) fn table(&self) -> Cow<'_, Typed> {
        by_itself(&self.whole, self.span)
    }

    /// What it takes by itself.
    pub(crate) fn size_bytes(&self) -> usize {
        self.whole.size_bytes() - self.whole.rows * row_bytes(&self.whole) + self.values_bytes()
    }

    /// Bytes that its values take.
    pub(crate) fn values_bytes(&self) -> usize {
        self.span.rows * row_bytes(&self.whole)
    }
}

/// Records of a table by themselves: all of them, or some of one whose values have a fixed width and none of which is missing.
pub(crate) fn by_itself(table: &Typed, span: Span) -> Cow<'_, Typed> {
    if span.rows == table.rows {
        return Cow::Borrowed(table);
    }
    let Span { start, rows } = span;
    let column = |column: &Column| {
        let row_bytes = column.per_row() * column.kind.width();
        let content = match &column.content {
            Content::Fixed(buffer) => Content::Fixed(buffer.slice(start * row_bytes..(start + rows) * row_bytes)),
            other => other.clone(),
        };
        Column { name: column.name.clone(), kind: column.kind.clone(), shape: column.shape.clone(), content, missing: Vec::new() }
    };
    Cow::Owned(Typed { rows, columns: table.columns.iter().map(column).collect() })
}

/// Bytes that the values of one record take.
fn row_bytes(table: &Typed) -> usize {
    table.columns.iter().map(|column| column.per_row() * column.kind.width()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::rules::run;
    use crate::tables::samples::typed;

    #[test]
    fn what_lies_on_a_stack_is_what_was_laid_there_and_takes_as_much() {
        run(&(typed(), prop::collection::vec(0..4_usize, 0..4)), |(table, counts)| {
            let (first, lacks_any) = (table.clone(), table.columns.iter().any(|column| !column.missing.is_empty()));
            let Ok((mut stack, span)) = Stack::of(table, 2) else { return };
            assert!(!lacks_any);
            let mut laid = vec![(span, first.clone())];
            for count in counts.into_iter().filter(|count| *count == 0 || first.rows > 0) {
                let again = first.take_rows(&(0..count).map(|row| row % first.rows.max(1)).collect::<Vec<_>>());
                let bytes = |column: &Column| if let Content::Fixed(buffer) = &column.content { buffer.bytes().to_vec() } else { vec![] };
                let values: Vec<_> = again.columns.iter().map(bytes).collect();
                // What is begun and not settled leaves nothing.
                let begun = again.columns.len().min(2);
                (0..begun).for_each(|column| stack.values(column).unwrap().extend(&[7; 3]));
                stack.undo(begun);
                assert_eq!(stack.size_bytes(count), again.size_bytes());
                laid.push((stack.push(count, values.iter().map(Vec::as_slice)), again));
            }
            let whole = stack.whole();
            for (span, table) in laid {
                let stacked = Stacked { whole: Arc::clone(&whole), span };
                assert_eq!(*stacked.table(), table);
            }
        });
    }

    #[test]
    fn no_table_lies_on_a_stack_that_lacks_values_or_has_texts_or_a_dimension_of_none_or_no_columns() {
        let fixed = |missing: Vec<bool>, shape: Vec<usize>| Column {
            name: "a".into(),
            kind: crate::tables::Kind::Date,
            shape,
            content: Content::Fixed(Buffer::copy_of(&[0; 4])),
            missing,
        };
        let texts = Column { kind: crate::tables::Kind::Utf8, content: Content::Items(vec![vec![]]), ..fixed(vec![], vec![]) };
        let is_taken = |columns: Vec<Column>| Stack::of(Typed { rows: 1, columns }, 1).is_ok();
        assert!(is_taken(vec![fixed(vec![], vec![]), fixed(vec![], vec![1])]));
        for columns in [vec![], vec![fixed(vec![true], vec![])], vec![fixed(vec![], vec![0])], vec![fixed(vec![], vec![]), texts]] {
            assert!(!is_taken(columns));
        }
    }
}

//! Tables that are written alike: what the columns of one say of themselves holds for the next one, and is not read again.
//!
//! Whoever knows that a text is that of another table but for its data takes them here, column by column.

use std::ops::Range;

use super::column::{Draft, Head};
use super::{Cursor, Fields};
use crate::fault::Outcome;
use crate::tables::{Kind, NULLS_BYTES, Typed};

/// Where things stand in the text of a table that was read.
#[derive(Default)]
pub(crate) struct Places {
    /// The end of its text.
    pub(crate) end: usize,
    /// The data of its columns, in their order.
    pub(crate) data: Vec<Range<usize>>,
    /// How many records it says that it has.
    rows: Option<usize>,
}

impl Places {
    pub(super) fn note(&mut self, fields: &Fields<'_>, end: usize) {
        (self.end, self.rows) = (end, fields.rows);
        self.data.clear();
        self.data.extend(fields.drafts.iter().flatten().map(|draft| draft.place.clone()));
    }

    fn bytes_of_data(&self) -> usize {
        self.data.iter().map(Range::len).sum()
    }
}

/// What a table and its columns say of themselves.
pub(crate) struct Heads {
    pub(super) rows: Option<usize>,
    pub(super) columns: Vec<Head>,
    /// Bytes of its text, but for the data.
    text_bytes: usize,
}

impl Heads {
    /// None where a column has no dtype: whether its data are JSON is not known before a signature is.
    pub(crate) fn of(table: &Typed, places: &Places) -> Option<Self> {
        if table.columns.iter().any(|column| column.kind == Kind::Untyped) {
            return None;
        }
        let columns =
            table.columns.iter().map(|column| Head { name: column.name.clone(), kind: column.kind.clone(), shape: column.shape.clone() });
        Some(Self { rows: places.rows, columns: columns.collect(), text_bytes: places.end - places.bytes_of_data() })
    }

    /// A table of which everything is known but its data.
    pub(crate) fn begin(&self) -> Alike<'_> {
        Alike { heads: self, drafts: Vec::new(), has_begun: false, nulls_bytes: NULLS_BYTES, bytes: self.text_bytes }
    }
}

/// A table that is being read.
pub(crate) struct Alike<'h> {
    heads: &'h Heads,
    drafts: Vec<Draft<'h>>,
    has_begun: bool,
    nulls_bytes: usize,
    /// Bytes of its text.
    bytes: usize,
}

impl Alike<'_> {
    /// Whether data were read, or could not be.
    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Reads the data of its next column, which are to come next.
    ///
    /// # Errors
    /// Those of [`super::read`].
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Outcome<()> {
        let start = cursor.at;
        self.has_begun = true;
        self.drafts.reserve_exact(self.heads.columns.len() - self.drafts.len());
        let head = self.heads.columns[self.drafts.len()].clone();
        self.drafts.push(Draft::of(head, cursor, &mut self.nulls_bytes)?);
        self.bytes += cursor.at - start;
        Ok(())
    }

    /// The table, once the data of all columns were read.
    ///
    /// # Errors
    /// Those of [`super::read`].
    pub(crate) fn table(self) -> Outcome<Typed> {
        Fields { rows: self.heads.rows, drafts: Some(self.drafts), nulls_bytes: self.nulls_bytes }.table(self.bytes)
    }
}

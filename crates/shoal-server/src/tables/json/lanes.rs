//! Tables that are written alike, read onto a stack: the data of each column behind those of the columns before it, without a
//! table in between.

use bytemuck::Pod;

use super::cursor::Cursor;
use super::data::{Taker, by_kind};
use super::heads::Heads;
use super::leaves::Way;
use super::values::{Leaf, Records, Values};
use crate::tables::stack::{Span, Stack};
use crate::tables::{NULLS_BYTES, ROWS_LIMIT};
use crate::values::Buffer;

/// Columns of tables that are read so, at most: a lane takes more room than the text of an empty column.
const MOST: usize = 256;

/// What reads the columns of such tables, one after the other.
pub(crate) struct Lanes {
    lanes: Vec<Box<dyn Lane>>,
    /// How many records a table says that it has.
    stated: Option<usize>,
}

/// Reads the data of one column, again and again.
trait Lane {
    /// Appends the values that come next, in their order; how many records they are. None where some are missing or wrong: whatever
    /// was appended then is to be undone.
    fn read(&mut self, cursor: &mut Cursor<'_>, onto: &mut Buffer) -> Option<usize>;
}

/// Reads values by one leaf, into room that is used again.
struct Repeated<T, L> {
    values: Values<T>,
    leaf: L,
}

impl<T: Pod + Default, L: Leaf<T>> Lane for Repeated<T, L> {
    fn read(&mut self, cursor: &mut Cursor<'_>, onto: &mut Buffer) -> Option<usize> {
        self.values.clear(NULLS_BYTES);
        let records = self.values.read(cursor, self.leaf).ok()?;
        let Records::Known(rows) = records else { return None };
        onto.extend(bytemuck::cast_slice(&self.values.items));
        self.values.missing.is_empty().then_some(rows)
    }
}

/// Makes a lane for records of that shape.
struct Making<'s>(&'s [usize]);

impl Taker for Making<'_> {
    type Taken = Option<Box<dyn Lane>>;

    fn fixed<T: Pod + Default>(self, leaf: impl Leaf<T> + 'static) -> Self::Taken {
        Some(Box::new(Repeated { values: Values::new(self.0.to_vec(), false, NULLS_BYTES), leaf }))
    }

    fn items(self, _leaf: impl Leaf<Vec<u8>>) -> Self::Taken {
        None
    }

    fn mixed(self) -> Self::Taken {
        None
    }
}

impl Lanes {
    /// None where a column has no values of fixed width, or there are too many.
    pub(crate) fn of(heads: &Heads) -> Option<Self> {
        if heads.columns.len() > MOST {
            return None;
        }
        let lanes = heads.columns.iter().map(|head| by_kind(Making(&head.shape), &head.kind, Way::Stated));
        Some(Self { lanes: lanes.collect::<Option<_>>()?, stated: heads.rows })
    }

    /// A table that is read onto a stack of such ones.
    pub(crate) const fn onto<'l>(&'l mut self, stack: &'l mut Stack) -> Laid<'l> {
        Laid { lanes: self, stack, columns: 0, rows: 0 }
    }
}

/// A table that is being read onto a stack.
pub(crate) struct Laid<'l> {
    lanes: &'l mut Lanes,
    stack: &'l mut Stack,
    /// Columns whose data were read, or could not be.
    columns: usize,
    rows: usize,
}

impl Laid<'_> {
    /// Whether data were read, or could not be.
    pub(crate) const fn has_begun(&self) -> bool {
        self.columns > 0
    }

    /// Reads the data of its next column, which are to come next. None where they do not fit.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let column = self.columns;
        self.columns += 1;
        let rows = self.lanes.lanes[column].read(cursor, self.stack.values(column)?)?;
        let is_first = column == 0;
        self.rows = if is_first { rows } else { self.rows };
        (self.rows == rows).then_some(())
    }

    /// Where the table lies, once the data of all columns were read, if `has_room` for what it takes. None where it is no table:
    /// then the stack is as it was.
    pub(crate) fn finish(self, is_read: bool, has_room: impl FnOnce(usize) -> bool) -> Option<Span> {
        let Self { lanes, stack, rows, columns } = self;
        let is_table = is_read && lanes.stated.is_none_or(|stated| stated == rows) && rows <= ROWS_LIMIT;
        if is_table && has_room(stack.size_bytes(rows)) {
            return Some(stack.settle(rows));
        }
        stack.undo(columns);
        None
    }
}

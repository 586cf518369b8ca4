//! The values of one column, nested or flat, in one run over their text.
//!
//! The shape of a record says how deep values lie; a dimension that a signature leaves open is that of the first record.
//! Lists in the list are records, and all entries are; otherwise each entry is a value. Where nothing but nulls is there
//! for tensors, whether they are records or values is left open: the other columns know how many records there are.

use super::alike::Form;
use super::cursor::{Cursor, Wrong};
use super::words::Short;

/// A dimension that the first record decides.
pub(super) const OPEN: usize = usize::MAX;
/// Values for which there is room before they come.
const EXPECTED: usize = 4096;
/// Numbers for which it does not pay to look how they are written.
const FEW: usize = 3;

/// How the values of a column are read.
pub(super) trait Leaf<T>: Copy {
    /// The next value, which is no null.
    fn one(self, cursor: &mut Cursor<'_>) -> Result<T, Wrong>;

    /// Reads values and the commas between them, at most so many, for as long as they are of the usual form; how numbers were written
    /// before is how they are likely to be now. True where the last one was read, false where a value has to come that somebody
    /// else reads.
    fn run(self, _cursor: &mut Cursor<'_>, _items: &mut Vec<T>, _most: usize, _form: &mut Option<Form>) -> bool {
        false
    }
}

impl<T, F: Fn(&mut Cursor<'_>) -> Result<T, Wrong> + Copy> Leaf<T> for F {
    fn one(self, cursor: &mut Cursor<'_>) -> Result<T, Wrong> {
        self(cursor)
    }
}

/// Values that mostly are of one form, which is read at a run; none of `usual` or `short` says that a value is none.
#[derive(Clone, Copy)]
pub(super) struct Runs<U, S, A> {
    pub(super) usual: U,
    /// Of a number that is written like the one before.
    pub(super) short: S,
    pub(super) any: A,
}

impl<U, S, A> Runs<U, S, A> {
    /// Reads numbers of one form, and leaves at least one: the last has no comma behind it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    fn alike<T>(self, form: Form, cursor: &mut Cursor<'_>, items: &mut Vec<T>, end: usize)
    where
        S: Fn(Short) -> Option<T>,
    {
        let mut rest = &cursor.text[cursor.at..];
        for _ in items.len() + 1..end {
            let Some(short) = rest.first_chunk().and_then(|eight| form.read(*eight)) else { break };
            let (Some(value), Some(behind)) = ((self.short)(short), rest.get(short.length..)) else { break };
            items.push(value);
            rest = behind;
        }
        cursor.at = cursor.text.len() - rest.len();
        cursor.at += usize::from(cursor.text.get(cursor.at) == Some(&b' '));
    }
}

impl<T, U, S, A> Leaf<T> for Runs<U, S, A>
where
    U: Fn(&mut Cursor<'_>) -> Option<T> + Copy,
    S: Fn(Short) -> Option<T> + Copy,
    A: Fn(&mut Cursor<'_>) -> Result<T, Wrong> + Copy,
{
    fn one(self, cursor: &mut Cursor<'_>) -> Result<T, Wrong> {
        (self.any)(cursor)
    }

    #[inline]
    fn run(self, cursor: &mut Cursor<'_>, items: &mut Vec<T>, most: usize, form: &mut Option<Form>) -> bool {
        let end = items.len().saturating_add(most);
        let mut are_alike = true;
        if let Some(form) = *form {
            self.alike(form, cursor, items, end);
        }
        loop {
            let start = cursor.at;
            let Some(value) = (self.usual)(cursor) else {
                cursor.at = start;
                return false;
            };
            items.push(value);
            if items.len() == end || cursor.text.get(cursor.at) != Some(&b',') {
                return true;
            }
            cursor.at += 1;
            cursor.at += usize::from(cursor.text.get(cursor.at) == Some(&b' '));
            if are_alike && end - items.len() > FEW {
                let before = items.len();
                *form = Form::of(&cursor.text[start..cursor.at]);
                if let Some(form) = *form {
                    self.alike(form, cursor, items, end);
                }
                are_alike = items.len() - before > FEW;
            }
        }
    }
}

/// Values as they are read.
pub(super) struct Values<T> {
    pub(super) items: Vec<T>,
    /// One flag for each value; empty as long as none is missing.
    pub(super) missing: Vec<bool>,
    pub(super) dims: Vec<usize>,
    /// Whether scalars may come as lists of one.
    takes_matrix: bool,
    /// What nulls of tensors may still stand for, in bytes.
    nulls_bytes: usize,
    /// How numbers are written, as far as that is known.
    form: Option<Form>,
    /// Nulls before the first value or record.
    leading: usize,
    found: Found,
}

/// How the values lie.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Nothing,
    Flat,
    /// So many records.
    Nested(usize),
}

/// How many records were read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Records {
    Known(usize),
    /// So many nulls, which are records or values of one.
    Nulls(usize),
}

impl<T: Clone + Default> Values<T> {
    pub(super) const fn new(dims: Vec<usize>, takes_matrix: bool, nulls_bytes: usize) -> Self {
        Self { items: Vec::new(), missing: Vec::new(), dims, takes_matrix, nulls_bytes, form: None, leading: 0, found: Found::Nothing }
    }

    /// Forgets what was read, but for how it was written. Room for more values than are expected before they come is given back.
    pub(super) fn clear(&mut self, nulls_bytes: usize) {
        self.items.clear();
        self.items.shrink_to(EXPECTED);
        self.missing = Vec::new();
        (self.leading, self.found, self.nulls_bytes) = (0, Found::Nothing, nulls_bytes);
    }

    /// What nulls may still stand for in the columns that follow.
    pub(super) const fn nulls_left(&self) -> usize {
        self.nulls_bytes
    }

    fn per_row(&self) -> usize {
        self.dims.iter().product()
    }

    /// Reads the list that comes next.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, leaf: impl Leaf<T>) -> Result<Records, Wrong> {
        if cursor.peek() != b'[' {
            return cursor.refuse().map_err(|wrong| if wrong == Wrong::Malformed { wrong } else { Wrong::Ragged });
        }
        cursor.at += 1;
        if cursor.take(b']') {
            return self.records();
        }
        self.expect(self.dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim)), cursor);
        if self.dims.is_empty() && !(self.takes_matrix && cursor.peek() == b'[') {
            self.scalars(cursor, leaf)?;
        } else {
            self.entries(cursor, leaf)?;
        }
        self.records()
    }

    /// Makes room for values that are said to come: no more than the text has bytes for, a value and its comma, and no more than
    /// [`EXPECTED`]: who says so may be wrong.
    fn expect(&mut self, count: Option<usize>, cursor: &Cursor<'_>) {
        self.items.reserve(count.unwrap_or(0).min((cursor.text.len() - cursor.at) / 2).min(EXPECTED));
    }

    /// A list of scalars.
    fn scalars(&mut self, cursor: &mut Cursor<'_>, leaf: impl Leaf<T>) -> Result<(), Wrong> {
        self.found = Found::Flat;
        loop {
            self.values(cursor, leaf, usize::MAX)?;
            if !cursor.is_more(b']')? {
                return Ok(());
            }
        }
    }

    /// Values or nulls in their place: one at least, and as many as come at a run, with the commas between them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it is what the loops over values do")]
    fn values(&mut self, cursor: &mut Cursor<'_>, leaf: impl Leaf<T>, most: usize) -> Result<(), Wrong> {
        let has_ended = leaf.run(cursor, &mut self.items, most, &mut self.form);
        if !self.missing.is_empty() {
            self.missing.resize(self.items.len(), false);
        }
        if has_ended {
            return Ok(());
        }
        if cursor.null()? {
            self.missing.resize(self.items.len(), false);
            self.missing.push(true);
            self.items.push(T::default());
            return Ok(());
        }
        self.items.push(leaf.one(cursor)?);
        if !self.missing.is_empty() {
            self.missing.push(false);
        }
        Ok(())
    }

    /// A list of records, or of values of tensors.
    fn entries(&mut self, cursor: &mut Cursor<'_>, leaf: impl Leaf<T>) -> Result<(), Wrong> {
        let is_column = self.dims.is_empty();
        if is_column {
            self.dims.push(1);
        }
        loop {
            self.entry(cursor, leaf)?;
            if !cursor.is_more(b']')? {
                break;
            }
        }
        let leading = std::mem::take(&mut self.leading);
        if self.found == Found::Nothing {
            self.leading = leading;
        } else {
            self.before(leading)?;
        }
        if is_column {
            self.dims.clear();
        }
        Ok(())
    }

    fn entry(&mut self, cursor: &mut Cursor<'_>, leaf: impl Leaf<T>) -> Result<(), Wrong> {
        match (cursor.peek(), self.found) {
            (b'n', Found::Nothing) => {
                cursor.word(b"null")?;
                self.leading += 1;
            }
            (b'n', Found::Nested(records)) => {
                cursor.word(b"null")?;
                self.found = Found::Nested(records + 1);
                self.nulls(self.per_row(), records)?;
            }
            (b'[', Found::Flat) => return Err(Wrong::Ragged),
            (b'[', found) => {
                let records = if let Found::Nested(records) = found { records } else { self.leading };
                self.found = Found::Nested(records + 1);
                self.record(cursor, 0, leaf)?;
            }
            (_, Found::Nested(_)) => return cursor.refuse().map_err(|wrong| if wrong == Wrong::Malformed { wrong } else { Wrong::Ragged }),
            (_, Found::Nothing | Found::Flat) => {
                self.found = Found::Flat;
                self.values(cursor, leaf, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// A list at some depth of a record.
    fn record(&mut self, cursor: &mut Cursor<'_>, depth: usize, leaf: impl Leaf<T>) -> Result<(), Wrong> {
        if cursor.peek() != b'[' {
            return cursor.null().and(Err(Wrong::Ragged));
        }
        cursor.at += 1;
        let mut length = 0;
        if depth + 1 == self.dims.len() && self.dims[depth] != OPEN {
            self.expect(Some(self.dims[depth]), cursor);
        }
        if !cursor.take(b']') {
            loop {
                if length == self.dims[depth] {
                    return Err(Wrong::Ragged);
                }
                if depth + 1 == self.dims.len() {
                    let before = self.items.len();
                    self.values(cursor, leaf, self.dims[depth] - length)?;
                    length += self.items.len() - before;
                } else {
                    self.record(cursor, depth + 1, leaf)?;
                    length += 1;
                }
                if !cursor.is_more(b']')? {
                    break;
                }
            }
        }
        if self.dims[depth] == OPEN {
            self.dims[depth] = length;
        }
        if self.dims[depth] == length { Ok(()) } else { Err(Wrong::Ragged) }
    }

    /// Adds missing values of a missing record; a record that has no values has a flag all the same.
    fn nulls(&mut self, count: usize, records: usize) -> Result<(), Wrong> {
        if count == 0 {
            self.missing.resize(records, false);
            self.missing.push(true);
            return Ok(());
        }
        self.allow(count)?;
        self.missing.resize(self.items.len(), false);
        let end = self.items.len() + count;
        self.items.resize(end, T::default());
        self.missing.resize(end, true);
        Ok(())
    }

    /// Four letters can stand for a large record, so what they grow to is bounded.
    fn allow(&mut self, count: usize) -> Result<(), Wrong> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or(Wrong::Nulls)?;
        self.nulls_bytes = self.nulls_bytes.checked_sub(bytes).ok_or(Wrong::Nulls)?;
        Ok(())
    }

    /// Puts the nulls that came first to their place, now that it is known what they stand for.
    fn before(&mut self, leading: usize) -> Result<(), Wrong> {
        if leading == 0 {
            return Ok(());
        }
        let each = if self.found == Found::Flat { 1 } else { self.per_row() };
        if each == 0 {
            self.missing.resize(self.missing.len().max(leading), false);
            self.missing[..leading].fill(true);
            return Ok(());
        }
        let count = leading.checked_mul(each).ok_or(Wrong::Nulls)?;
        self.allow(count)?;
        self.missing.resize(self.items.len(), false);
        self.items.splice(0..0, std::iter::repeat_n(T::default(), count));
        self.missing.splice(0..0, std::iter::repeat_n(true, count));
        Ok(())
    }

    /// A dimension that no list decided is within an empty one.
    fn close(&mut self) {
        self.dims.iter_mut().filter(|dim| **dim == OPEN).for_each(|dim| *dim = 0);
    }

    fn records(&mut self) -> Result<Records, Wrong> {
        if self.found == Found::Nothing && self.leading > 0 {
            return if self.dims.contains(&OPEN) { Err(Wrong::Ragged) } else { Ok(Records::Nulls(self.leading)) };
        }
        if let Found::Nested(records) = self.found {
            self.close();
            if self.per_row() == 0 && !self.missing.is_empty() {
                self.missing.resize(records, false);
            }
            return Ok(Records::Known(records));
        }
        if self.dims.contains(&OPEN) && !self.items.is_empty() {
            return Err(Wrong::Ragged);
        }
        self.close();
        match self.per_row() {
            0 if self.items.is_empty() => Ok(Records::Known(0)),
            per_row if per_row > 0 && self.items.len().is_multiple_of(per_row) => Ok(Records::Known(self.items.len() / per_row)),
            _ => Err(Wrong::Ragged),
        }
    }
}

//! Typed tables in JSON, read in one run over the text and written byte by byte.
//!
//! [`read`] takes one table, `{"rows": N, "columns": [...]}`; [`write`] writes the one form that servers write. `cursor` knows
//! JSON, `words` reads eight bytes at a time for it, `leaves` the values of each dtype, `values` how they are nested, `data` both
//! together, `column` what a column says of itself, `heads` what tables that are written alike say, `lanes` their data onto a
//! stack. Nothing here recurses deeper than a tensor has dimensions.
//! A column without a dtype stays text; [`signed`] reads it once a signature says what it is, [`mixed`] where nobody does.

use std::ops::Range;

use bytes::Bytes;

use crate::fault::{Code, Fault, Outcome};

use super::rules::{check_columns, check_extent, check_rows, refuse_twins};
use super::{NULLS_BYTES, Typed};

mod alike;
mod column;
mod cursor;
mod data;
mod heads;
mod lanes;
mod leaves;
mod values;
mod words;
mod write;

pub(crate) use cursor::Cursor;
pub(super) use data::{mixed, signed};
pub(crate) use heads::{Alike, Heads, Places};
pub(crate) use lanes::{Laid, Lanes};
pub(crate) use write::{Form, write};

use column::Draft;
use cursor::Wrong;
use values::Records;

/// Reads one table. Bytes that are no JSON are refused, except within the data of columns without a dtype, which is read
/// later.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`, `DuplicateColumn`, `WrongDtype`, `WrongShape`, `TimeWithoutZone`, `BodyTooLarge` for nulls
/// that stand for too much and for too many columns, `TooManyRows`.
pub(crate) fn read(text: &[u8]) -> Outcome<Typed> {
    let mut cursor = Cursor::new(text);
    let fields = fields(&mut cursor)?;
    cursor.end().map_err(|_| malformed(&cursor))?;
    fields.table(text.len())
}

/// Reads the table that a text begins with, and notes where it ends and where its data stand.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_first(text: &[u8], places: &mut Places) -> Outcome<Typed> {
    let mut cursor = Cursor::new(text);
    let fields = fields(&mut cursor)?;
    places.note(&fields, cursor.at);
    fields.table(cursor.at)
}

fn fields<'t>(cursor: &mut Cursor<'t>) -> Outcome<Fields<'t>> {
    let mut fields = Fields { rows: None, drafts: None, nulls_bytes: NULLS_BYTES };
    object(cursor, "a table", |cursor, field| fields.read(cursor, field))?;
    Ok(fields)
}

/// What was read of a table.
struct Fields<'t> {
    rows: Option<usize>,
    drafts: Option<Vec<Draft<'t>>>,
    nulls_bytes: usize,
}

impl<'t> Fields<'t> {
    fn read(&mut self, cursor: &mut Cursor<'t>, field: &str) -> Outcome<()> {
        match field {
            "rows" if self.rows.is_none() => self.rows = Some(count(cursor, "rows")?),
            "columns" if self.drafts.is_none() => self.drafts = Some(self.columns(cursor)?),
            "rows" | "columns" => return Err(second(field)),
            _ => return Err(unknown(field, "a table", "rows, columns")),
        }
        Ok(())
    }

    fn columns(&mut self, cursor: &mut Cursor<'t>) -> Outcome<Vec<Draft<'t>>> {
        let mut drafts = Vec::new();
        if cursor.peek() != b'[' {
            return Err(expected(cursor, "columns", "a list of columns"));
        }
        cursor.at += 1;
        if cursor.take(b']') {
            return Ok(drafts);
        }
        loop {
            drafts.push(Draft::read(cursor, &mut self.nulls_bytes)?);
            check_columns(drafts.len())?;
            if !cursor.is_more(b']').map_err(|_| malformed(cursor))? {
                return Ok(drafts);
            }
        }
    }

    fn table(self, text_bytes: usize) -> Outcome<Typed> {
        let drafts = self.drafts.ok_or_else(|| Fault::new(Code::InvalidRequest, "a table has no field \"columns\""))?;
        let rows = rows(self.rows, &drafts)?;
        let is_provisional = self.rows.is_none() && drafts.iter().all(|draft| draft.records.is_none());
        let hinted = |fault: Fault| if is_provisional { fault.hint("say \"rows\" where tensors without a dtype are flat") } else { fault };
        check_rows(rows).map_err(hinted)?;
        let (mut nulls_bytes, is_stated) = (self.nulls_bytes, self.rows.is_some());
        let mut columns = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let column = draft.settle((rows, is_stated), &mut nulls_bytes)?;
            check_extent(&column, rows, text_bytes)?;
            columns.push(column);
        }
        refuse_twins(&columns)?;
        Ok(Typed { rows, columns })
    }
}

/// How many records a table has: as it says, or as its columns have. Flat tensors without a dtype may have more entries.
fn rows(stated: Option<usize>, drafts: &[Draft<'_>]) -> Outcome<usize> {
    let known = |draft: &Draft<'_>| if let Some(Records::Known(records)) = draft.records { Some(records) } else { None };
    let nulls = |draft: &Draft<'_>| if let Some(Records::Nulls(records)) = draft.records { Some(records) } else { None };
    let entries = || drafts.iter().filter_map(|draft| draft.entries).min();
    let found = stated.or_else(|| drafts.iter().find_map(known)).or_else(entries).or_else(|| drafts.iter().find_map(nulls));
    found.or_else(|| (!drafts.is_empty()).then_some(0)).ok_or_else(|| {
        Fault::new(Code::InvalidRequest, "a table without columns does not say how many records it has").hint("send the field \"rows\"")
    })
}

/// Reads an object, calling back for each of its fields.
fn object<'t>(cursor: &mut Cursor<'t>, place: &str, mut field: impl FnMut(&mut Cursor<'t>, &str) -> Outcome<()>) -> Outcome<()> {
    if cursor.peek() != b'{' {
        return Err(expected(cursor, place, "an object"));
    }
    cursor.at += 1;
    if cursor.take(b'}') {
        return Ok(());
    }
    loop {
        let name = string(cursor, place)?;
        cursor.expect(b':').map_err(|_| malformed(cursor))?;
        field(cursor, &name)?;
        if !cursor.is_more(b'}').map_err(|_| malformed(cursor))? {
            return Ok(());
        }
    }
}

/// A text that is part of the table's form.
fn string<'t>(cursor: &mut Cursor<'t>, place: &str) -> Outcome<std::borrow::Cow<'t, str>> {
    if cursor.peek() != b'"' {
        return Err(expected(cursor, place, "a text"));
    }
    cursor.string().map_err(|wrong| match wrong {
        Wrong::Surrogate => Fault::new(Code::WrongDtype, format!("{place} has a text with half a surrogate pair, which is no UTF-8")),
        _ => malformed(cursor),
    })
}

/// A whole number that is part of the table's form.
fn count(cursor: &mut Cursor<'_>, place: &str) -> Outcome<usize> {
    cursor.peek();
    let mut start = cursor.clone();
    leaves::whole(cursor, leaves::Way::Signed).map_err(|_| expected(&mut start, place, "a whole number, not negative"))
}

/// The fault for something else than what a field takes.
fn expected(cursor: &mut Cursor<'_>, place: &str, want: &str) -> Fault {
    match cursor.refuse::<()>() {
        Err(Wrong::Malformed) => malformed(cursor),
        _ => Fault::new(Code::InvalidRequest, format!("{place} is {}; expected {want}", shown(cursor.text, cursor.at))),
    }
}

fn malformed(cursor: &Cursor<'_>) -> Fault {
    Fault::new(Code::MalformedJson, format!("the table is not JSON at its byte {}", cursor.at))
}

fn second(field: &str) -> Fault {
    Fault::new(Code::InvalidRequest, format!("the field {field:?} stands twice in one object"))
}

fn unknown(field: &str, place: &str, known: &str) -> Fault {
    let shown: String = field.chars().take(64).collect();
    Fault::new(Code::InvalidRequest, format!("unknown field {shown:?} in {place}; known are {known}"))
}

/// The beginning of what stands at a place, as a message shows it.
fn shown(text: &[u8], at: usize) -> String {
    let rest = &text[at.min(text.len())..];
    let is_text = rest.first() == Some(&b'"');
    let ends = |place: usize, byte: u8| if is_text { place > 0 && byte == b'"' } else { matches!(byte, b',' | b']' | b'}' | b' ') };
    let end = rest.iter().enumerate().position(|(place, byte)| ends(place, *byte)).map_or(rest.len(), |end| end + usize::from(is_text));
    let token: String = String::from_utf8_lossy(&rest[..end.min(300)]).chars().take(64).collect();
    if is_text { format!("the text {token}") } else { token }
}

/// Where each entry of a list stands; the text is one list.
fn entries(text: &[u8]) -> Vec<Range<usize>> {
    let mut cursor = Cursor::new(text);
    cursor.peek();
    let (mut start, mut found) = (cursor.at + 1, Vec::new());
    // A column without a dtype is kept only if its data is a list.
    let _ = cursor.skip_list(|end| {
        found.push(start..end);
        start = end + 1;
    });
    found
}

/// The data of a column without a dtype, with these records only.
pub(super) fn take_records(text: &Bytes, rows: &[usize]) -> Bytes {
    if text.is_empty() {
        return text.clone();
    }
    let entries = entries(text);
    let mut taken = vec![b'['];
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            taken.push(b',');
        }
        taken.extend_from_slice(&text[entries[*row].clone()]);
    }
    taken.push(b']');
    taken.into()
}

#[cfg(test)]
mod tests;

//! What a column says of itself, and its data by that.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use smol_str::SmolStr;

use super::cursor::Cursor;
use super::data::{Data, read};
use super::leaves::Way;
use super::values::Records;
use super::{count, expected, malformed, object, second, string, unknown};
use crate::fault::{Code, Fault, Outcome};
use crate::tables::rules::{check_shape, kind, other_rows, too_many_nulls};
use crate::tables::{Column, Content, DIMENSIONS, Kind};

/// What a column with a dtype says of itself.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) name: SmolStr,
    pub(super) kind: Kind,
    /// The shape of one record.
    pub(super) shape: Vec<usize>,
}

/// A column that was read, before it is known how many records its table has.
pub(super) struct Draft<'t> {
    column: Column,
    /// Where its data stand.
    pub(super) place: Range<usize>,
    /// Of a column without a dtype: the text of its data.
    text: Option<&'t [u8]>,
    /// None for a column without a dtype.
    pub(super) records: Option<Records>,
    /// Of a column without a dtype: how many entries its list has.
    pub(super) entries: Option<usize>,
}

/// The fields of a column, as they come.
#[derive(Default)]
struct Fields<'t> {
    name: Option<Cow<'t, str>>,
    dtype: Option<Cow<'t, str>>,
    shape: Option<Vec<usize>>,
    unit: Option<Cow<'t, str>>,
    zone: Option<Cow<'t, str>>,
    data: Option<Cursor<'t>>,
    /// What was read of the data, where no field came behind it.
    draft: Option<Draft<'t>>,
}

impl<'t> Draft<'t> {
    /// Reads the object of a column. Nulls of tensors take from `nulls_bytes`.
    pub(super) fn read(cursor: &mut Cursor<'t>, nulls_bytes: &mut usize) -> Outcome<Self> {
        let (mut fields, before) = (Fields::default(), *nulls_bytes);
        object(cursor, "a column", |cursor, field| fields.read(cursor, field, nulls_bytes))?;
        fields.finish(before, nulls_bytes)
    }

    /// Reads the data of a column of which everything else is known.
    pub(super) fn of(head: Head, cursor: &mut Cursor<'_>, nulls_bytes: &mut usize) -> Outcome<Self> {
        let (Head { name, kind, shape }, start) = (head, cursor.at);
        let Data { content, shape, missing, records } = read(cursor, &kind, (&name, shape, Way::Stated), nulls_bytes)?;
        let column = Column { name, kind, shape, content, missing };
        Ok(Self { column, place: start..cursor.at, text: None, records: Some(records), entries: None })
    }

    /// The column, in a table of so many records, which may be what the table says.
    pub(super) fn settle(mut self, (rows, is_stated): (usize, bool), nulls_bytes: &mut usize) -> Outcome<Column> {
        let column = &mut self.column;
        let (text, entries) = match (self.text, self.records) {
            (_, Some(records)) => {
                settle(column, records, (rows, is_stated), nulls_bytes)?;
                return Ok(self.column);
            }
            (text, None) => (text.unwrap_or_default(), self.entries.unwrap_or_default()),
        };
        let is_flat_tensor = rows > 0 && entries.is_multiple_of(rows) && is_flat(text);
        if entries != rows && !is_flat_tensor {
            return Err(other_rows(&column.name, entries, rows));
        }
        column.content = Content::Text(Bytes::copy_from_slice(text));
        Ok(self.column)
    }
}

/// Whether a list begins with a value.
fn is_flat(list: &[u8]) -> bool {
    let mut cursor = Cursor::new(list);
    cursor.take(b'[') && cursor.peek() != b'['
}

/// Turns nulls that may be records or values into what they are in a table of so many records, and holds the column to them.
pub(super) fn settle(column: &mut Column, records: Records, (rows, is_stated): (usize, bool), nulls_bytes: &mut usize) -> Outcome<()> {
    let per_row = column.per_row();
    let found = match records {
        Records::Known(records) => records,
        Records::Nulls(nulls) if is_stated && nulls != rows && rows.checked_mul(per_row) == Some(nulls) => rows,
        Records::Nulls(nulls) => nulls,
    };
    if found != rows {
        return Err(other_rows(&column.name, found, rows));
    }
    if let Records::Nulls(_) = records {
        let width = column.kind.width().max(if matches!(column.content, Content::Fixed(_)) { 1 } else { size_of::<Vec<u8>>() });
        let count = rows.checked_mul(per_row).filter(|count| count.checked_mul(width).is_some_and(|bytes| bytes <= *nulls_bytes));
        let count = count.ok_or_else(|| too_many_nulls(&column.name))?;
        *nulls_bytes -= count * width;
        column.missing = vec![true; rows];
        match &mut column.content {
            Content::Fixed(buffer) => buffer.grow(count * width).fill(0),
            Content::Items(list) => list.resize(count, Vec::new()),
            Content::Mixed(_) | Content::Text(_) => {}
        }
    }
    Ok(())
}

impl<'t> Fields<'t> {
    fn read(&mut self, cursor: &mut Cursor<'t>, field: &str, nulls_bytes: &mut usize) -> Outcome<()> {
        self.draft = None;
        let is_second = match field {
            "name" => self.name.replace(string(cursor, "the name of a column")?).is_some(),
            "dtype" => self.dtype.replace(string(cursor, "the dtype of a column")?).is_some(),
            "unit" => self.unit.replace(string(cursor, "the unit of a column")?).is_some(),
            "zone" => self.zone.replace(string(cursor, "the zone of a column")?).is_some(),
            "shape" => self.shape.replace(shape(cursor)?).is_some(),
            "data" if self.data.is_none() => {
                self.data = Some(cursor.clone());
                self.take_data(cursor, nulls_bytes)?;
                false
            }
            "data" => true,
            _ => return Err(unknown(field, "a column", "name, dtype, shape, unit, zone, data")),
        };
        if is_second { Err(second(field)) } else { Ok(()) }
    }

    /// Reads the data where it stands if all that it needs has come, and goes behind it otherwise.
    fn take_data(&mut self, cursor: &mut Cursor<'t>, nulls_bytes: &mut usize) -> Outcome<()> {
        let start = cursor.at;
        if self.name.is_some() && self.dtype.is_some() {
            let draft = self.draft(cursor, nulls_bytes);
            if draft.is_ok() || self.shape.is_some() {
                self.draft = Some(draft?);
                return Ok(());
            }
            // It may be as a shape says that is still to come.
            cursor.at = start;
        }
        if cursor.peek() != b'[' {
            return Err(no_list(cursor));
        }
        cursor.skip_list(|_| ()).map_err(|_| malformed(cursor))
    }

    fn finish(mut self, before: usize, nulls_bytes: &mut usize) -> Outcome<Draft<'t>> {
        let absent = |field: &str| Fault::new(Code::InvalidRequest, format!("a column has no field {field:?}"));
        if let Some(draft) = self.draft.take() {
            return Ok(draft);
        }
        if self.name.is_none() {
            return Err(absent("name"));
        }
        let mut data = self.data.clone().ok_or_else(|| absent("data"))?;
        if self.dtype.is_none() {
            return self.untyped(&mut data);
        }
        *nulls_bytes = before;
        self.draft(&mut data, nulls_bytes)
    }

    fn kind(&self) -> Outcome<Kind> {
        let dtype = self.dtype.as_deref().unwrap_or_default();
        let name = self.name.as_deref().unwrap_or_default();
        if dtype != "TIMESTAMP" && (self.unit.is_some() || self.zone.is_some()) {
            return Err(Fault::new(Code::InvalidRequest, format!("column {name:?} is {dtype:?}; only TIMESTAMP has a unit and a zone")));
        }
        kind(name, dtype, self.unit.as_deref().unwrap_or("us"), self.zone.as_deref().unwrap_or("UTC"))
    }

    fn draft(&self, cursor: &mut Cursor<'t>, nulls_bytes: &mut usize) -> Outcome<Draft<'t>> {
        let (kind, shape) = (self.kind()?, self.shape.clone().unwrap_or_default());
        let name = self.name.clone().unwrap_or_default().into_owned();
        check_shape(&name, &kind, &shape)?;
        Draft::of(Head { name: name.into(), kind, shape }, cursor, nulls_bytes)
    }

    fn untyped(self, data: &mut Cursor<'t>) -> Outcome<Draft<'t>> {
        let name = self.name.unwrap_or_default().into_owned();
        if self.unit.is_some() || self.zone.is_some() {
            return Err(Fault::new(Code::InvalidRequest, format!("column {name:?} has a unit or zone, and no dtype")));
        }
        let (start, mut entries) = (data.at, 0);
        data.skip_list(|_| entries += 1).map_err(|_| malformed(data))?;
        let text = Some(&data.text[start..data.at]);
        let shape = self.shape.unwrap_or_default();
        check_shape(&name, &Kind::Untyped, &shape)?;
        let column = Column { name: name.into(), kind: Kind::Untyped, shape, content: Content::Text(Bytes::new()), missing: Vec::new() };
        Ok(Draft { column, place: start..data.at, text, records: None, entries: Some(entries) })
    }
}

/// The fault for data that is no list.
fn no_list(cursor: &mut Cursor<'_>) -> Fault {
    let fault = expected(cursor, "the data of a column", "a list");
    if fault.code == Code::InvalidRequest { fault.coded(Code::WrongShape) } else { fault }
}

fn shape(cursor: &mut Cursor<'_>) -> Outcome<Vec<usize>> {
    let mut shape = Vec::new();
    if cursor.peek() != b'[' {
        return Err(expected(cursor, "the shape of a column", "a list of whole numbers"));
    }
    cursor.at += 1;
    if cursor.take(b']') {
        return Ok(shape);
    }
    loop {
        shape.push(count(cursor, "a dimension")?);
        if shape.len() > DIMENSIONS {
            return Err(Fault::new(Code::WrongShape, format!("a column has more than {DIMENSIONS} dimensions")));
        }
        if !cursor.is_more(b']').map_err(|_| malformed(cursor))? {
            return Ok(shape);
        }
    }
}

//! What holds for every table, whatever its encoding.

use std::collections::HashSet;

use bytemuck::Pod;

use super::moments::{is_day, is_moment};
use super::{COLUMNS_LIMIT, Column, Content, DIMENSIONS, Kind, NULLS_BYTES, RECORD_VALUES, ROWS_LIMIT, Unit, ZONE_BYTES};
use crate::fault::{Code, Fault, Outcome};
use crate::intake::twice;
use crate::values::Dtype;

/// Columns among which names are compared one by one.
const FEW: usize = 16;

/// The kind of that dtype; unit and zone are those of `TIMESTAMP`.
pub(super) fn kind(name: &str, dtype: &str, unit: &str, zone: &str) -> Outcome<Kind> {
    Ok(match dtype {
        "UTF8" => Kind::Utf8,
        "BYTES" => Kind::Bytes,
        "DATE" => Kind::Date,
        "MIXED" => Kind::Mixed,
        "TIMESTAMP" => {
            let unit = Unit::from_name(unit).ok_or_else(|| {
                Fault::new(Code::InvalidRequest, format!("column {name:?} has the unit {:?}; expected s, ms, us or ns", cut(unit)))
            })?;
            check_zone(name, zone)?;
            Kind::Timestamp(unit, zone.to_owned())
        }
        _ => Kind::Plain(Dtype::from_name(dtype).ok_or_else(|| unknown_dtype(name, dtype))?),
    })
}

fn unknown_dtype(name: &str, dtype: &str) -> Fault {
    let known = Dtype::ALL.map(Dtype::name).join(", ");
    Fault::new(
        Code::WrongDtype,
        format!("column {name:?} has the unknown dtype {:?}; known are {known}, UTF8, TIMESTAMP, DATE, MIXED", cut(dtype)),
    )
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Refuses a time that nobody can place, and a zone that is too long to be one.
pub(super) fn check_zone(name: &str, zone: &str) -> Outcome<()> {
    if zone.is_empty() {
        return Err(Fault::new(Code::TimeWithoutZone, format!("column {name:?} holds times without a zone, which are no moments"))
            .hint("say the zone in which they were read off, for example \"UTC\""));
    }
    if zone.len() > ZONE_BYTES {
        return Err(Fault::new(
            Code::InvalidRequest,
            format!("the zone of column {name:?} has {} bytes; at most {ZONE_BYTES}", zone.len()),
        ));
    }
    Ok(())
}

/// Refuses more dimensions than tensors have.
pub(super) fn check_dimensions(name: &str, dimensions: usize) -> Outcome<()> {
    if dimensions <= DIMENSIONS {
        return Ok(());
    }
    Err(Fault::new(Code::WrongShape, format!("column {name:?} has records of {dimensions} dimensions; tensors have at most {DIMENSIONS}")))
}

/// Refuses a shape that no record has.
pub(super) fn check_shape(name: &str, kind: &Kind, shape: &[usize]) -> Outcome<()> {
    check_dimensions(name, shape.len())?;
    let wrong = |why: &str| Err(Fault::new(Code::WrongShape, format!("column {name:?} has records of shape {shape:?}; {why}")));
    if *kind == Kind::Mixed && !shape.is_empty() {
        return wrong("MIXED is scalars only");
    }
    // A dimension of 0 does not make room for others.
    let values = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim).max(1)));
    if values.is_none_or(|values| values > RECORD_VALUES) {
        return wrong("no message has so many values");
    }
    Ok(())
}

/// Refuses a tensor of more values than its message has bytes: a dimension of 0 does not make room for others, and what is
/// missing does not count. Other tensors have their values there.
pub(super) fn check_extent(column: &Column, rows: usize, message_bytes: usize) -> Outcome<()> {
    if !column.shape.contains(&0) {
        return Ok(());
    }
    let present = rows - column.missing.iter().filter(|flag| **flag).count();
    let extent = column.shape.iter().try_fold(present, |product, dim| product.checked_mul((*dim).max(1)));
    if extent.is_some_and(|extent| extent <= message_bytes) {
        return Ok(());
    }
    let message = format!("column {:?} has {rows} records of shape {:?}, more than its message has bytes", column.name, column.shape);
    Err(Fault::new(Code::WrongShape, message))
}

/// Refuses values that their dtype does not have; what stands in the place of missing records is zero, or nothing.
pub(super) fn check_values(column: &Column) -> Outcome<()> {
    let wrong = match (&column.content, &column.kind) {
        (Content::Fixed(buffer), kind) => wrong_value(kind, buffer.bytes()),
        (Content::Items(list), Kind::Utf8) => list.iter().position(|item| std::str::from_utf8(item).is_err()),
        _ => None,
    };
    wrong.map_or(Ok(()), |place| {
        let what = match column.kind {
            Kind::Utf8 => "is no UTF-8",
            Kind::Plain(_) => "is neither 0 nor 1",
            _ => "is not in the years 0001 to 9999",
        };
        Err(Fault::new(Code::WrongDtype, format!("column {:?} is {}; value {place} {what}", column.name, column.kind.name())))
    })
}

/// The place of the first value of fixed width that its dtype does not have.
pub(super) fn wrong_value(kind: &Kind, bytes: &[u8]) -> Option<usize> {
    match kind {
        Kind::Plain(Dtype::Bool) => bytes.iter().position(|byte| *byte > 1),
        Kind::Date => each(bytes).position(|days| !is_day(days)),
        Kind::Timestamp(unit, _) => each(bytes).position(|count| !is_moment(count, *unit)),
        _ => None,
    }
}

/// Values of fixed width, wherever they begin.
fn each<T: Pod>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned)
}

/// Refuses two columns of one name.
pub(super) fn refuse_twins(columns: &[Column]) -> Outcome<()> {
    let twin = if columns.len() > FEW {
        let mut names = HashSet::with_capacity(columns.len());
        columns.iter().find(|column| !names.insert(&column.name))
    } else {
        columns
            .iter()
            .enumerate()
            .find(|(place, column)| columns[..*place].iter().any(|other| other.name == column.name))
            .map(|(_, column)| column)
    };
    twin.map_or(Ok(()), |column| Err(twice(&column.name)))
}

/// Refuses more records than an envelope may have.
pub(super) fn check_rows(rows: usize) -> Outcome<()> {
    if rows <= ROWS_LIMIT {
        return Ok(());
    }
    Err(Fault::new(Code::TooManyRows, format!("a table has {rows} records; all tables of an envelope have at most {ROWS_LIMIT}"))
        .hint("send them in several envelopes"))
}

/// Refuses more columns than a table may have.
pub(super) fn check_columns(columns: usize) -> Outcome<()> {
    if columns <= COLUMNS_LIMIT {
        return Ok(());
    }
    Err(Fault::new(Code::BodyTooLarge, format!("a table has more than {COLUMNS_LIMIT} columns"))
        .hint("send columns of one dtype as one column of tensors"))
}

/// The fault for nulls that stand for too much.
pub(super) fn too_many_nulls(name: &str) -> Fault {
    Fault::new(Code::BodyTooLarge, format!("the nulls of column {name:?} stand for more than {NULLS_BYTES} bytes"))
        .hint("send fewer records in one table")
}

/// The fault for a column of another number of records than its table has.
pub(super) fn other_rows(name: &str, records: usize, rows: usize) -> Fault {
    Fault::new(Code::WrongShape, format!("column {name:?} has {records} records; its table has {rows}"))
}

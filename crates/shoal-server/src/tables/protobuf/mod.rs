//! Typed tables as protobuf messages. Values of fixed width stay where the message has them.

mod write;

use prost::Message;

pub(crate) use write::{bytes, nested, number, text, write};

use super::rules::{check_columns, check_dimensions, check_extent, check_rows, check_shape, check_values, kind, refuse_twins};
use super::{Column, Content, Kind, Scalar, Typed};
use crate::fault::{Code, Fault, Outcome};
use crate::tasks_v1 as v1;
use crate::values::Buffer;

/// Reads a table, as columns or as an Arrow stream.
///
/// # Errors
/// `WrongDtype`, `WrongShape`, `TimeWithoutZone`, `DuplicateColumn`, `InvalidRequest` for fields that have no use, `TooManyRows`, `BodyTooLarge` for too many columns,
/// and what reading an Arrow stream raises.
pub(crate) fn read(message: v1::Table) -> Outcome<Typed> {
    if !message.arrow.is_empty() {
        if message.rows > 0 || !message.columns.is_empty() {
            return Err(Fault::new(Code::InvalidRequest, "a table has an Arrow stream, and columns or rows beside it; send one of them"));
        }
        return super::arrow::read(message.arrow);
    }
    let rows = usize::try_from(message.rows).unwrap_or(usize::MAX);
    check_rows(rows)?;
    check_columns(message.columns.len())?;
    let is_empty = message.columns.iter().any(|column| column.shape.contains(&0));
    let message_bytes = if is_empty { message.encoded_len() } else { 0 };
    let columns = message.columns.into_iter().map(|column| read_column(column, rows, message_bytes));
    let columns = columns.collect::<Outcome<Vec<_>>>()?;
    refuse_twins(&columns)?;
    Ok(Typed { rows, columns })
}

fn read_column(mut message: v1::Column, rows: usize, message_bytes: usize) -> Outcome<Column> {
    let name = std::mem::take(&mut message.name);
    let kind = kind(&name, &message.dtype, &message.unit, &message.zone)?;
    refuse_unused(&name, &kind, &message)?;
    check_dimensions(&name, message.shape.len())?;
    let shape: Vec<usize> = message.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(usize::MAX)).collect();
    check_shape(&name, &kind, &shape)?;
    let missing = flags(&name, &message.missing, rows)?;
    let content = match kind {
        Kind::Utf8 | Kind::Bytes => Content::Items(message.items.into_iter().map(Vec::from).collect()),
        Kind::Mixed => Content::Mixed(message.mixed.into_iter().map(scalar).collect()),
        _ => Content::Fixed(Buffer::from(message.values)),
    };
    let mut column = Column { name: name.into(), kind, shape, content, missing };
    check_filled(&column, rows)?;
    check_extent(&column, rows, message_bytes)?;
    column.clear_missing();
    check_values(&column)?;
    Ok(column)
}

/// Refuses what the dtype has no use for.
fn refuse_unused(name: &str, kind: &Kind, message: &v1::Column) -> Outcome<()> {
    let has_items = matches!(kind, Kind::Utf8 | Kind::Bytes);
    let is_mixed = *kind == Kind::Mixed;
    let is_time = matches!(kind, Kind::Timestamp(..));
    let unused = [
        ("values", !message.values.is_empty() && (has_items || is_mixed)),
        ("items", !message.items.is_empty() && !has_items),
        ("mixed", !message.mixed.is_empty() && !is_mixed),
        ("missing", !message.missing.is_empty() && is_mixed),
        ("unit", !message.unit.is_empty() && !is_time),
        ("zone", !message.zone.is_empty() && !is_time),
    ];
    unused.into_iter().find(|(_, is_unused)| *is_unused).map_or(Ok(()), |(field, _)| {
        Err(Fault::new(Code::InvalidRequest, format!("column {name:?} is {}, which has no use for the field {field:?}", kind.name())))
    })
}

fn flags(name: &str, bytes: &[u8], rows: usize) -> Outcome<Vec<bool>> {
    if !bytes.is_empty() && bytes.len() != rows {
        let message = format!("column {name:?} says of {} records whether they are missing; its table has {rows}", bytes.len());
        return Err(Fault::new(Code::WrongShape, message));
    }
    if let Some(place) = bytes.iter().position(|byte| *byte > 1) {
        let message = format!("column {name:?} has the byte {} in \"missing\" of record {place}; expected 0 or 1", bytes[place]);
        return Err(Fault::new(Code::WrongDtype, message));
    }
    let is_any = bytes.contains(&1);
    Ok(if is_any { bytes.iter().map(|byte| *byte == 1).collect() } else { Vec::new() })
}

fn scalar(message: v1::Scalar) -> Scalar {
    use v1::scalar::Value;
    match message.value {
        None => Scalar::Missing,
        Some(Value::Int64(value)) => Scalar::Int64(value),
        Some(Value::Fp64(value)) => Scalar::Fp64(value),
        Some(Value::Utf8(value)) => Scalar::Utf8(value),
        Some(Value::Bool(value)) => Scalar::Bool(value),
    }
}

/// Refuses values that are more or fewer than shape and records say.
fn check_filled(column: &Column, rows: usize) -> Outcome<()> {
    let wanted = rows.checked_mul(column.per_row());
    let (found, wanted, what) = match &column.content {
        Content::Fixed(buffer) => (buffer.len(), wanted.and_then(|count| count.checked_mul(column.kind.width())), "bytes of values"),
        Content::Items(list) => (list.len(), wanted, "items"),
        Content::Mixed(list) => (list.len(), wanted, "values"),
        Content::Text(_) => return Ok(()),
    };
    if wanted == Some(found) {
        return Ok(());
    }
    let message = format!("column {:?} has {found} {what}; {rows} records of shape {:?} have another number", column.name, column.shape);
    Err(Fault::new(Code::WrongShape, message))
}

/// The message that a table is written as.
#[cfg(test)]
pub(crate) fn written(table: &Typed) -> v1::Table {
    let mut out = Vec::new();
    write(&mut out, table.all());
    v1::Table::decode(&*out).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::rules::run;
    use crate::tables::samples::with_span;

    #[test]
    fn records_are_written_as_a_table_of_them_is() {
        run(&with_span(), |(table, span)| {
            let alone = table.take_rows(&(span.start..span.start + span.rows).collect::<Vec<_>>());
            let (mut part, mut whole) = (Vec::new(), Vec::new());
            write(&mut part, (&table, span));
            write(&mut whole, alone.all());
            // Where none of those lacks anything, flags may be left out or not.
            let message = |bytes: &[u8]| {
                let mut table = v1::Table::decode(bytes).unwrap();
                table.columns.iter_mut().filter(|column| !column.missing.contains(&1)).for_each(|column| column.missing.clear());
                // By their bytes: a NaN is not itself.
                table.encode_to_vec()
            };
            assert_eq!(message(&part), message(&whole));
        });
    }
}

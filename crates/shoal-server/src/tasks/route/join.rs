//! The answers of a router's models as one table, in the order of the records.
//!
//! - Columns stand in the order in which they are asked for, or first met. Where a record's model has no such column it is missing.
//! - Columns of one name and one dtype stay what they are; UTF8 and BYTES make BYTES, other dtypes MIXED. Of different shapes they
//!   are a `merge_mismatch`, and so are dtypes that MIXED cannot hold.

use std::collections::HashSet;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::{Column, Content, Kind, Scalar, Typed};
use crate::tasks::number::{self, Number};
use crate::values::Buffer;

/// What the missing records of one column may stand for.
const MISSING_BYTES: usize = 8 << 20;

/// An answer, and the places of its records.
type Answer<'a> = (&'a [usize], Typed);

/// One column of one answer.
type Piece<'p> = (&'p [usize], &'p Column);

/// One table of `rows` records: all columns, or those that are wanted, in this order. Without records nobody has answered, and
/// there are no columns.
///
/// # Errors
/// `MergeMismatch`; `UnexpectedColumn` where no answer has a wanted column.
pub(crate) fn join(rows: usize, mut answers: Vec<Answer<'_>>, wanted: Option<&[String]>) -> Outcome<Typed> {
    if answers.is_empty() {
        return Ok(Typed { rows, columns: Vec::new() });
    }
    if let ([(places, _)], None) = (answers.as_slice(), wanted)
        && places.len() == rows
    {
        return Ok(answers.remove(0).1);
    }
    let names = wanted.map_or_else(|| met(&answers), |wanted| wanted.iter().map(String::as_str).collect());
    let columns = names.into_iter().map(|name| {
        let pieces: Vec<Piece<'_>> = pieces(&answers, name).collect();
        if pieces.is_empty() { Err(unknown(name, &answers)) } else { joined(rows, &pieces) }
    });
    Ok(Typed { rows, columns: columns.collect::<Outcome<Vec<_>>>()? })
}

/// The names of all columns, in the order in which they are met.
fn met<'a>(answers: &'a [Answer<'_>]) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let names = answers.iter().flat_map(|(_, table)| &table.columns).map(|column| column.name.as_str());
    names.filter(|name| seen.insert(*name)).collect()
}

fn pieces<'p>(answers: &'p [Answer<'_>], name: &str) -> impl Iterator<Item = Piece<'p>> {
    let found = move |(places, table): &'p Answer<'_>| {
        let column = table.columns.iter().find(|column| column.name == name)?;
        Some((*places, column))
    };
    answers.iter().filter_map(found)
}

fn unknown(name: &str, answers: &[Answer<'_>]) -> Fault {
    let known = met(answers).into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    Fault::new(Code::UnexpectedColumn, format!("no model that answered has an output column {name:?}; they have {known}"))
}

fn joined(rows: usize, pieces: &[Piece<'_>]) -> Outcome<Column> {
    let (_, first) = pieces[0];
    let is_items = |kind: &Kind| matches!(kind, Kind::Utf8 | Kind::Bytes);
    if let Some((_, other)) = pieces.iter().find(|(_, column)| column.shape != first.shape) {
        return Err(mismatch(first, other));
    }
    refuse_emptiness(rows, pieces)?;
    let (kind, content) = if pieces.iter().all(|(_, column)| column.kind == first.kind) {
        (first.kind.clone(), scattered(rows, pieces))
    } else if pieces.iter().all(|(_, column)| is_items(&column.kind)) {
        (Kind::Bytes, scattered(rows, pieces))
    } else {
        (Kind::Mixed, mixed(rows, pieces)?)
    };
    let missing = if kind == Kind::Mixed { Vec::new() } else { missing(rows, pieces) };
    Ok(Column { name: first.name.clone(), kind, shape: first.shape.clone(), content, missing })
}

fn mismatch(one: &Column, other: &Column) -> Fault {
    let what = |column: &Column| format!("{} {:?}", column.kind.name(), column.shape);
    let message = format!("models of the router answer with column {:?} as {} and as {}", one.name, what(one), what(other));
    Fault::new(Code::MergeMismatch, message).hint("ask for other outputs, or send the records to each model by themselves")
}

/// A short message must not make the server write a large table of nothing.
fn refuse_emptiness(rows: usize, pieces: &[Piece<'_>]) -> Outcome<()> {
    let (_, first) = pieces[0];
    let absent = rows - pieces.iter().map(|(places, _)| places.len()).sum::<usize>();
    let bytes = absent.saturating_mul(first.per_row()).saturating_mul(first.kind.width().max(1));
    if bytes <= MISSING_BYTES {
        return Ok(());
    }
    let message = format!("column {:?} would be missing in {absent} records, which stand for {bytes} bytes", first.name);
    Err(Fault::new(Code::BodyTooLarge, message).hint("send fewer records at once, or ask for other outputs"))
}

/// Values at the places of their records; zero or empty everywhere else.
fn scattered(rows: usize, pieces: &[Piece<'_>]) -> Content {
    let (_, first) = pieces[0];
    let per_row = first.per_row();
    match &first.content {
        Content::Items(_) => {
            let mut all = vec![Vec::new(); rows * per_row];
            put(&mut all, pieces, per_row, |column| if let Content::Items(items) = &column.content { items } else { &[] });
            Content::Items(all)
        }
        Content::Mixed(_) => {
            let mut all = vec![Scalar::Missing; rows];
            put(&mut all, pieces, 1, |column| if let Content::Mixed(list) = &column.content { list } else { &[] });
            Content::Mixed(all)
        }
        Content::Fixed(_) => {
            let row_bytes = per_row * first.kind.width();
            let mut all = Buffer::with_capacity(rows * row_bytes);
            all.grow(rows * row_bytes).fill(0);
            put(
                all.bytes_mut(),
                pieces,
                row_bytes,
                |column| if let Content::Fixed(buffer) = &column.content { buffer.bytes() } else { &[] },
            );
            Content::Fixed(all)
        }
        Content::Text(text) => Content::Text(text.clone()),
    }
}

/// Puts the values of each record, `per_row` of them, where it belongs.
fn put<'p, T: Clone + 'p>(all: &mut [T], pieces: &[Piece<'p>], per_row: usize, values: impl Fn(&'p Column) -> &'p [T]) {
    for (places, column) in pieces {
        for (place, record) in places.iter().zip(values(column).chunks_exact(per_row.max(1))) {
            all[place * per_row..(place + 1) * per_row].clone_from_slice(record);
        }
    }
}

/// One flag for each record, or none where none is missing.
fn missing(rows: usize, pieces: &[Piece<'_>]) -> Vec<bool> {
    let mut flags = vec![true; rows];
    for (places, column) in pieces {
        places.iter().enumerate().for_each(|(record, place)| flags[*place] = column.is_missing(record));
    }
    if flags.contains(&true) { flags } else { Vec::new() }
}

/// Each record with its own type.
fn mixed(rows: usize, pieces: &[Piece<'_>]) -> Outcome<Content> {
    let (_, first) = pieces[0];
    let other = pieces.iter().find(|(_, column)| column.kind != first.kind).map_or(first, |(_, other)| other);
    let mut all = vec![Scalar::Missing; rows];
    for (places, column) in pieces {
        for (record, place) in places.iter().enumerate() {
            all[*place] = scalar(column, record).ok_or_else(|| mismatch(first, other))?;
        }
    }
    Ok(Content::Mixed(all))
}

/// A record as one of a mixed column; None where that cannot hold it.
fn scalar(column: &Column, record: usize) -> Option<Scalar> {
    if column.is_missing(record) {
        return Some(Scalar::Missing);
    }
    match (&column.kind, &column.content) {
        _ if !column.shape.is_empty() => None,
        (Kind::Plain(dtype), Content::Fixed(buffer)) => match number::read(*dtype, buffer.bytes(), record)? {
            Number::Boolean(value) => Some(Scalar::Bool(value)),
            Number::Whole(value) => i64::try_from(value).ok().map(Scalar::Int64),
            Number::Floating(value) => Some(Scalar::Fp64(value)),
        },
        (Kind::Utf8, Content::Items(items)) => String::from_utf8(items[record].clone()).ok().map(Scalar::Utf8),
        (Kind::Mixed, Content::Mixed(list)) => Some(list[record].clone()),
        _ => None,
    }
}

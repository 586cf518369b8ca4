//! Tables one after the other, in the order of their tasks.
//!
//! UTF8 and BYTES of one column make BYTES: which of the two an answer is depends on its values.

use crate::fault::Outcome;
use crate::tables::{Column, Content, Kind, Typed};

use super::{Gathered, Part, Piece, described, mismatch};

/// One table of all.
///
/// # Errors
/// `MergeMismatch` where tables have other columns, or a column of another dtype or shape.
pub(super) fn concatenated(gathered: &[Gathered<'_>], parts: &[Part<'_>]) -> Outcome<Typed> {
    if parts.is_empty() {
        return Ok(Typed { rows: 0, columns: Vec::new() });
    }
    let joined = |column: &Gathered<'_>| refuse_absent(column, parts).and_then(|()| joined(column));
    let columns = gathered.iter().map(joined).collect::<Outcome<Vec<Column>>>()?;
    Ok(Typed { rows: parts.iter().map(|part| part.table.rows).sum(), columns })
}

/// Every table has the column; those that have it stand in the order of the tables.
fn refuse_absent(column: &Gathered<'_>, parts: &[Part<'_>]) -> Outcome<()> {
    let Some(place) = (0..parts.len()).find(|place| column.pieces.get(*place).is_none_or(|piece| piece.id != parts[*place].id)) else {
        return Ok(());
    };
    let (has, lacks) = (column.pieces[0], parts[place]);
    Err(mismatch(column.name, (has.id, &described(has.column)), (lacks.id, "not there")))
}

fn joined(gathered: &Gathered<'_>) -> Outcome<Column> {
    let first = gathered.pieces[0];
    for piece in &gathered.pieces {
        if piece.column.shape != first.column.shape || !is_alike(&piece.column.kind, &first.column.kind) {
            let (one, other) = (described(first.column), described(piece.column));
            return Err(mismatch(gathered.name, (first.id, &one), (piece.id, &other)));
        }
    }
    Ok(Column {
        name: gathered.name.into(),
        kind: kind_of(&gathered.pieces),
        shape: first.column.shape.clone(),
        content: content_of(&gathered.pieces),
        missing: missing_of(&gathered.pieces),
    })
}

fn is_alike(one: &Kind, other: &Kind) -> bool {
    let is_items = |kind: &Kind| matches!(kind, Kind::Utf8 | Kind::Bytes);
    one == other || (is_items(one) && is_items(other))
}

fn kind_of(pieces: &[Piece<'_>]) -> Kind {
    let bytes = pieces.iter().find(|piece| piece.column.kind == Kind::Bytes);
    bytes.unwrap_or(&pieces[0]).column.kind.clone()
}

/// All values, one after the other; the pieces are alike.
fn content_of(pieces: &[Piece<'_>]) -> Content {
    let mut all = pieces[0].column.content.clone();
    for piece in &pieces[1..] {
        match (&mut all, &piece.column.content) {
            (Content::Fixed(all), Content::Fixed(values)) => all.extend(values.bytes()),
            (Content::Items(all), Content::Items(values)) => all.extend_from_slice(values),
            (Content::Mixed(all), Content::Mixed(values)) => all.extend_from_slice(values),
            // Of no kind that answers have.
            _ => {}
        }
    }
    all
}

/// One flag for each record, or none where none is missing.
fn missing_of(pieces: &[Piece<'_>]) -> Vec<bool> {
    if pieces.iter().all(|piece| piece.column.missing.is_empty()) {
        return Vec::new();
    }
    pieces.iter().flat_map(|piece| (0..piece.rows).map(|record| !piece.has(record))).collect()
}

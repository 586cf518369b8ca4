//! A typed table against the signature of a model: columns in order, converted, packed, and held to what intake holds every
//! request to.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::convert::{Target, received};
use super::{Column, Content, Kind, Typed};
use crate::description::{self, Description};
use crate::fault::{Code, Fault, Outcome};
use crate::intake::{Received, absent, check_flags, check_texts, fit, unexpected};
use crate::missing;
use crate::values::{Buffer, Payload, Table, Values};

/// What happens to columns that the model does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// They are refused.
    Refused,
    /// They are passed over: a router sends what its models may take.
    Dropped,
}

/// Brings a typed table into the columns of a model.
///
/// # Errors
/// `MissingColumn`, `UnexpectedColumn`, `WrongDtype`, `WrongShape`, `NullNotAllowed`, `BodyTooLarge` for nulls that stand for too
/// much, and `MalformedJson` in the data of a column without a dtype.
pub(crate) fn admit(description: &Description, table: Typed, leniency: Extra) -> Outcome<Table> {
    let inputs = &description.signature.inputs;
    let table = match as_it_is(inputs, table)? {
        Ok(table) => return Ok(table),
        Err(other) => other,
    };
    let is_untyped = !table.columns.is_empty() && table.columns.iter().all(|column| matches!(column.content, Content::Text(_)));
    let stated = table.rows;
    let mut source = Source::new(table);
    let found = inputs.iter().map(|input| source.input(description, input)).collect::<Outcome<Vec<_>>>()?;
    if let (Extra::Refused, Some(column)) = (leniency, source.columns.iter().flatten().next()) {
        return Err(unexpected(inputs, &column.name));
    }
    let rows = found.first().and_then(|column| column.shape.first().copied()).unwrap_or(stated);
    // Entries of flat tensors are more than their records.
    if rows != stated && !(is_untyped && rows > 0 && rows < stated && stated.is_multiple_of(rows)) {
        return Err(super::rules::other_rows(&inputs[0].name, rows, stated));
    }
    // In this order what was found gives its room to what becomes of it.
    let columns = found.into_iter().zip(inputs).map(|(column, input)| settled(description, input, column, rows));
    let mut table = Table { rows, columns: columns.collect::<Outcome<Vec<_>>>()? };
    missing::settle(&mut table, description)?;
    Ok(table)
}

/// The columns of a table that is just as the signature says and lacks nothing: they stay what they are. The table, where it is
/// another one.
fn as_it_is(inputs: &[description::Column], table: Typed) -> Outcome<Result<Table, Typed>> {
    let rows = table.rows;
    let mut pairs = table.columns.iter().zip(inputs);
    if table.columns.len() != inputs.len() || !pairs.all(|(column, input)| is_as_said(column, input, rows)) {
        return Ok(Err(table));
    }
    let values = |(column, input): (Column, &description::Column)| {
        let Content::Fixed(buffer) = column.content else {
            return Err(Fault::new(Code::Internal, "a column that was looked at is another"));
        };
        let payload = Payload::Fixed(buffer);
        check_flags(input, &payload)?;
        Ok(Values { shape: column.shape, payload, missing: Vec::new() })
    };
    let columns = table.columns.into_iter().zip(inputs).map(values);
    Ok(Ok(Table { rows, columns: columns.collect::<Outcome<_>>()? }))
}

/// Whether a column has the name, the dtype and the shape of an input, and so many records, none of which is missing.
fn is_as_said(column: &Column, input: &description::Column, rows: usize) -> bool {
    let Content::Fixed(buffer) = &column.content else { return false };
    column.name == input.name
        && column.kind == Kind::Plain(input.dtype)
        && column.missing.is_empty()
        && column.shape.len() == input.shape.len()
        && column.shape.iter().zip(&input.shape).all(|(have, want)| usize::try_from(*want) == Ok(*have))
        && buffer.len() == rows * column.per_row() * input.dtype.width()
}

fn settled(description: &Description, input: &description::Column, received: Received, rows: usize) -> Outcome<Values> {
    let mut values = fit(input, received, rows)?;
    if description.runtime == "onnx" {
        check_texts(input, &values.payload)?;
    }
    let has_values = values.per_row() > 0;
    let is_replaced = || description.input_binding(&input.name).is_some_and(|binding| binding.missing.is_some());
    if !has_values && !values.missing.is_empty() && is_replaced() {
        // Of a record without values each one is replaced.
        values.missing.clear();
    }
    Ok(values)
}

/// The columns of a table that nobody took yet.
struct Source {
    rows: usize,
    columns: Vec<Option<Column>>,
    /// Where each name stands, if there are many.
    places: Option<HashMap<SmolStr, usize>>,
    /// Where the next column is likely to be.
    next: usize,
}

/// Columns that are found by looking at each.
const FEW: usize = 16;

impl Source {
    fn new(table: Typed) -> Self {
        let places = (table.columns.len() > FEW)
            .then(|| table.columns.iter().enumerate().map(|(place, column)| (column.name.clone(), place)).collect());
        Self { rows: table.rows, columns: table.columns.into_iter().map(Some).collect(), places, next: 0 }
    }

    /// Takes the column of that name.
    fn take(&mut self, name: &str) -> Option<Column> {
        let place = self.place(name)?;
        self.next = place + 1;
        self.columns[place].take()
    }

    /// Where the column of that name is, if nobody took it.
    fn place(&self, name: &str) -> Option<usize> {
        let is_it = |place: &usize| self.columns.get(*place).and_then(Option::as_ref).is_some_and(|column| column.name == name);
        match &self.places {
            _ if is_it(&self.next) => Some(self.next),
            Some(places) => places.get(name).copied().filter(is_it),
            None => (0..self.columns.len()).find(is_it),
        }
    }

    /// The column of an input, or the features that pack into it.
    fn input(&mut self, description: &Description, input: &description::Column) -> Outcome<Received> {
        let target = Target { name: &input.name, dtype: input.dtype, shape: &input.shape, is_moment: input.moment };
        if let Some(column) = self.take(&input.name) {
            return received(column, &target, self.rows);
        }
        let features = description.input_binding(&input.name).and_then(|binding| binding.features.as_deref()).unwrap_or_default();
        let Some(place) = features.iter().position(|feature| self.place(feature).is_some()) else {
            return Err(absent(&description.signature.inputs, &input.name));
        };
        if let Some(feature) = features[..place].first() {
            return Err(no_feature(input, feature));
        }
        self.packed(input, features)
    }

    /// One column of k scalar ones, in their declared order.
    fn packed(&mut self, input: &description::Column, features: &[String]) -> Outcome<Received> {
        let mut parts = Vec::with_capacity(features.len());
        for feature in features {
            let target = Target { name: feature, dtype: input.dtype, shape: &[], is_moment: input.moment };
            let column = self.take(feature).ok_or_else(|| no_feature(input, feature))?;
            let part = received(column, &target, self.rows)?;
            if !matches!(part.shape[..], [_] | [_, 1]) {
                let message = format!("column {feature:?} has records of shape {:?}; it takes one value in each", &part.shape[1..]);
                return Err(Fault::new(Code::WrongShape, message));
            }
            if parts.first().is_some_and(|first: &Received| first.shape[0] != part.shape[0]) {
                return Err(super::rules::other_rows(feature, part.shape[0], self.rows));
            }
            parts.push(part);
        }
        Ok(pack(input, parts))
    }
}

fn no_feature(input: &description::Column, feature: &str) -> Fault {
    let message = format!("input column {feature:?} is not in the table; it is packed into {:?}", input.name);
    Fault::new(Code::MissingColumn, message).hint("send nulls for missing values")
}

/// Lays columns of scalars side by side.
fn pack(input: &description::Column, parts: Vec<Received>) -> Received {
    let (width, count) = (input.dtype.width(), parts.len());
    let rows = parts.first().map_or(0, |part| part.shape[0]);
    let mut payload = Payload::with_capacity(input.dtype, 0);
    let mut missing = Vec::new();
    if parts.iter().any(|part| !part.missing.is_empty()) {
        missing = vec![false; rows * count];
    }
    match &mut payload {
        Payload::Fixed(buffer) => *buffer = Buffer::with_capacity(rows * count * width),
        Payload::Bytes(list) => list.resize(rows * count, Vec::new()),
    }
    if let Payload::Fixed(buffer) = &mut payload {
        buffer.grow(rows * count * width);
    }
    for (index, part) in parts.into_iter().enumerate() {
        part.missing.iter().enumerate().for_each(|(row, flag)| missing[row * count + index] = *flag);
        match (&mut payload, part.payload) {
            (Payload::Fixed(target), Payload::Fixed(source)) => lay(target.bytes_mut(), source.bytes(), (index, count), width),
            (Payload::Bytes(target), Payload::Bytes(source)) => {
                source.into_iter().enumerate().for_each(|(row, item)| target[row * count + index] = item);
            }
            (Payload::Fixed(_), Payload::Bytes(_)) | (Payload::Bytes(_), Payload::Fixed(_)) => {}
        }
    }
    Received { name: input.name.clone(), dtype: input.dtype, shape: vec![rows, count], payload, missing }
}

/// Puts values into one column of a matrix of `count` columns.
fn lay(matrix: &mut [u8], values: &[u8], (index, count): (usize, usize), width: usize) {
    for (row, value) in matrix.chunks_exact_mut(count * width).zip(values.chunks_exact(width)) {
        row[index * width..(index + 1) * width].copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests;

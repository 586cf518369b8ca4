//! An answer of a model as a typed table.

use std::sync::Arc;

use super::{Column, Content, Kind, Typed};
use crate::description::Description;
use crate::flight::Answer;
use crate::values::{Dtype, Payload, Values};

/// The outputs of these indices, in this order. BYTES are UTF8 if all of them are.
/// No index stands there twice.
pub(crate) fn answered(description: &Description, mut answer: Answer, indices: &[usize]) -> Typed {
    let (start, rows) = (answer.start, answer.rows);
    // What nobody else refers to is handed on as it is.
    let mut whole = if rows == answer.table.rows { Arc::get_mut(&mut answer.table).map(std::mem::take) } else { None };
    let column = |index: &usize| {
        let output = &description.signature.outputs[*index];
        let values = match &mut whole {
            Some(table) => std::mem::take(&mut table.columns[*index]),
            None => answer.table.columns[*index].slice(output.dtype, (start, rows)),
        };
        self::column(&output.name, output.dtype, values)
    };
    Typed { rows, columns: indices.iter().map(column).collect() }
}

fn column(name: &str, dtype: Dtype, values: Values) -> Column {
    let missing = if values.missing.contains(&true) { values.missing } else { Vec::new() };
    let (kind, content) = match values.payload {
        Payload::Fixed(buffer) => (Kind::Plain(dtype), Content::Fixed(buffer)),
        Payload::Bytes(items) => (Kind::Bytes, Content::Items(items)),
    };
    let mut column = Column { name: name.into(), kind, shape: values.shape, content, missing };
    column.clear_missing();
    if let Content::Items(items) = &column.content
        && items.iter().all(|item| std::str::from_utf8(item).is_ok())
    {
        column.kind = Kind::Utf8;
    }
    column
}

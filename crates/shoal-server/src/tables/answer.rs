//! An answer of a model as a typed table.

use super::{Column, Content, Kind, Typed};
use crate::description::Description;
use crate::flight::Answer;
use crate::values::{Dtype, Payload, Values};

/// The outputs of these indices, in this order. BYTES are UTF8 if all of them are.
pub(crate) fn answered(description: &Description, answer: &Answer, indices: &[usize]) -> Typed {
    let column = |index: &usize| {
        let output = &description.signature.outputs[*index];
        let values = answer.table.columns[*index].slice(output.dtype, (answer.start, answer.rows));
        self::column(output.name.clone(), output.dtype, values)
    };
    Typed { rows: answer.rows, columns: indices.iter().map(column).collect() }
}

fn column(name: String, dtype: Dtype, values: Values) -> Column {
    let missing = if values.missing.contains(&true) { values.missing } else { Vec::new() };
    let (kind, content) = match values.payload {
        Payload::Fixed(buffer) => (Kind::Plain(dtype), Content::Fixed(buffer)),
        Payload::Bytes(items) => (Kind::Bytes, Content::Items(items)),
    };
    let mut column = Column { name, kind, shape: values.shape, content, missing };
    column.clear_missing();
    if let Content::Items(items) = &column.content
        && items.iter().all(|item| std::str::from_utf8(item).is_ok())
    {
        column.kind = Kind::Utf8;
    }
    column
}

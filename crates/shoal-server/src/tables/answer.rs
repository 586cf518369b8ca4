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
    let per_row = values.per_row();
    let missing = if values.missing.contains(&true) { values.missing } else { Vec::new() };
    let missing_rows = || missing.iter().enumerate().filter_map(|(row, flag)| flag.then_some(row));
    let (kind, content) = match values.payload {
        Payload::Fixed(mut buffer) => {
            let row_bytes = per_row * dtype.width();
            for row in missing_rows() {
                buffer.bytes_mut()[row * row_bytes..(row + 1) * row_bytes].fill(0);
            }
            (Kind::Plain(dtype), Content::Fixed(buffer))
        }
        Payload::Bytes(mut items) => {
            for row in missing_rows() {
                items[row * per_row..(row + 1) * per_row].fill(Vec::new());
            }
            let is_text = items.iter().all(|item| std::str::from_utf8(item).is_ok());
            (if is_text { Kind::Utf8 } else { Kind::Bytes }, Content::Items(items))
        }
    };
    Column { name, kind, shape: values.shape, content, missing }
}

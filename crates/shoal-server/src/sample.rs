//! Requests that show how a model is asked: one record of zeros, of the word "text" and of the first moment of 1970.
//!
//! They are made up. The records that a package holds as its golden rows are somebody's data, and are not shown.

use std::fmt::Write;

use crate::description::{Column, Description};
use crate::values::Dtype;

/// A record with more values is not written out.
const VALUES_LIMIT: usize = 1024;

/// Values of one record, where a variable dimension is 1.
fn values(column: &Column) -> usize {
    column.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(1)).product()
}

/// Whether a request with one record can be shown: not too long, and JSON has a form for every column.
pub(crate) fn is_shown(description: &Description) -> bool {
    let inputs = &description.signature.inputs;
    inputs.iter().map(values).sum::<usize>() <= VALUES_LIMIT && inputs.iter().all(|column| column.dtype != Dtype::Fp16)
}

/// A moment as the bodies that take text have it.
pub(crate) const MOMENT: &str = "1970-01-01T00:00:00Z";

const fn value(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "false",
        Dtype::Bytes => "\"text\"",
        _ => "0",
    }
}

/// A JSON text of `text`.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One record of a column, nested as its shape says.
pub(crate) fn record(column: &Column) -> String {
    let one = if column.moment { quoted(MOMENT) } else { value(column.dtype).to_owned() };
    column.shape.iter().rev().fold(one, |inner, dim| {
        let count = usize::try_from(*dim).unwrap_or(1);
        format!("[{}]", vec![inner; count].join(","))
    })
}

/// Pairs as a JSON object.
fn object(pairs: impl Iterator<Item = (String, String)>) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.enumerate() {
        // Writing to a String does not fail.
        let _ = write!(out, "{}{}:{value}", if index == 0 { "" } else { "," }, quoted(&name));
    }
    out.push('}');
    out
}

/// The columns that a record may name: the inputs, or the features that pack into the only one.
pub(crate) fn named(description: &Description) -> Vec<Column> {
    let inputs = &description.signature.inputs;
    let features = match inputs.as_slice() {
        [only] => description.input_binding(&only.name).and_then(|binding| binding.features.as_ref()),
        _ => None,
    };
    let scalar = |name: &String| Column { name: name.clone(), shape: Vec::new(), ..inputs[0].clone() };
    features.map_or_else(|| inputs.clone(), |names| names.iter().map(scalar).collect())
}

/// One record as `/predict` and version 1 take it: bare where one column has no names, else by name.
pub(crate) fn instance(description: &Description) -> String {
    match named(description).as_slice() {
        [only] if description.signature.inputs.len() == 1 => record(only),
        several => object(several.iter().map(|column| (column.name.clone(), record(column)))),
    }
}

/// The body of `POST /predict`.
pub(crate) fn predict(description: &Description) -> String {
    format!("{{\"features\":[{}]}}", instance(description))
}

/// The body of `POST /v1/models/M:predict`.
pub(crate) fn v1(description: &Description) -> String {
    format!("{{\"instances\":[{}]}}", instance(description))
}

/// The body of `POST /v2/models/M/infer`.
pub(crate) fn infer(description: &Description) -> String {
    let tensor = |column: &Column| {
        let dims = column.shape.iter().map(|dim| format!(",{}", usize::try_from(*dim).unwrap_or(1)));
        let shape: String = std::iter::once("1".to_owned()).chain(dims).collect();
        let data = vec![value(column.dtype); values(column)].join(",");
        format!("{{\"name\":{},\"shape\":[{shape}],\"datatype\":\"{}\",\"data\":[{data}]}}", quoted(&column.name), column.dtype.name())
    };
    let tensors: Vec<String> = description.signature.inputs.iter().map(tensor).collect();
    format!("{{\"inputs\":[{}]}}", tensors.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::admit;
    use crate::json::predict::Form;
    use crate::json::{infer as infer_body, predict as predict_body, v1 as v1_body};

    const PACKAGES: [&str; 4] = [
        r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"X","dtype":"FP32","shape":[2,3]}],"outputs":[]}}"#,
        r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"X","dtype":"INT64","shape":[2]}],"outputs":[]},
            "binding":{"inputs":[{"column":"X","tensor":"X","rank":2,"features":["a","it's \"b\""]}]}}"#,
        r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"age","dtype":"INT8"},{"name":"city","dtype":"BYTES"},
            {"name":"good","dtype":"BOOL"},{"name":"any","dtype":"FP64","shape":[-1]}],"outputs":[]}}"#,
        r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"at","dtype":"INT64","moment":true}],"outputs":[]}}"#,
    ];

    #[test]
    fn every_sample_is_a_request_that_its_model_takes() {
        for text in PACKAGES {
            let description = Description::from_json(text).unwrap();
            let form = Form::new(&description);
            let (one, two, three) = (predict(&description), v1(&description), infer(&description));
            let columns = [
                predict_body::decode(one.as_bytes(), &form).unwrap(),
                v1_body::decode(two.as_bytes(), &form).unwrap().1,
                infer_body::decode(three.as_bytes(), &description.signature.inputs).unwrap().columns,
            ];
            for columns in columns {
                assert_eq!(admit(&description, columns, 1000).unwrap().rows, 1, "{text}");
            }
        }
    }
}

//! Golden rows: a few records with their answers, sealed in the package. A model that was just opened answers them
//! again before it may serve, through the very executors that will serve.
//!
//! Two numbers agree when `|a - b| <= max(absolute, relative * size)`, where size is `|b|` or the median of `|b|`
//! over the column, whichever is larger; NaN equals NaN. Anything else agrees when it is equal. These are the rules
//! by which the package was proved (`shoal.package`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::description::{Binding, Column, Description, Signature, Tolerance};
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};
use crate::intake::admit;
use crate::json::infer::decode;
use crate::values::{Dtype, Payload, Table, Values};

#[derive(Deserialize)]
struct Golden<'a> {
    #[serde(borrow)]
    inputs: &'a RawValue,
    #[serde(borrow)]
    outputs: &'a RawValue,
}

/// Answers the golden rows with each executor; a package without any passes.
///
/// # Errors
/// `CorruptPackage`, naming row and column, when an answer is another one; what the executor raises when it fails.
pub(crate) fn check(description: &Description, executors: &mut [Box<dyn Executor>]) -> Outcome<()> {
    let Some(text) = description.golden.as_deref().map(RawValue::get).filter(|text| *text != "\"none\"") else { return Ok(()) };
    let golden: Golden<'_> =
        serde_json::from_str(text).map_err(|error| Fault::new(Code::CorruptPackage, format!("the golden rows cannot be read: {error}")))?;
    let inputs = table(golden.inputs, description)?;
    let expected = table(golden.outputs, &of_answers(description))?;
    for executor in executors {
        compare(description, &executor.run(&inputs)?, &expected)?;
    }
    Ok(())
}

/// A description whose input columns are the outputs of another, so that answers are read as requests are.
fn of_answers(description: &Description) -> Description {
    let signature = Signature::of_inputs(description.signature.outputs.clone());
    // Python keeps missing values as they are.
    Description { signature, binding: Binding::default(), runtime: "python".into(), ..description.clone() }
}

fn table(tensors: &RawValue, description: &Description) -> Outcome<Table> {
    let body = format!("{{\"inputs\":{}}}", tensors.get());
    let request = decode(body.as_bytes(), &description.signature.inputs)?;
    admit(description, request.columns, body.len())
}

fn compare(description: &Description, found: &Table, expected: &Table) -> Outcome<()> {
    for (index, column) in description.signature.outputs.iter().enumerate() {
        let row = first_difference(column, &found.columns[index], &expected.columns[index], &description.tolerance);
        if let Some(row) = row {
            let Description { name, version, .. } = description;
            let message =
                format!("the package {name} {version} answers otherwise: golden row {row} has another answer in {:?}", column.name);
            return Err(Fault::new(Code::CorruptPackage, message)
                .hint("the runtime here computes differently from the one that sealed the package"));
        }
    }
    Ok(())
}

/// The first record whose values are not those expected.
fn first_difference(column: &Column, found: &Values, expected: &Values, tolerance: &Tolerance) -> Option<usize> {
    let each = expected.per_row().max(1);
    if found.shape != expected.shape {
        return Some(0);
    }
    let is_missing = |values: &Values, row: usize| values.missing.get(row).copied().unwrap_or(false);
    let rows = expected.payload.count(column.dtype) / each;
    let agree: Vec<bool> = agreement(column.dtype, &found.payload, &expected.payload, tolerance);
    (0..rows).find(|row| match (is_missing(found, *row), is_missing(expected, *row)) {
        (true, true) => false,
        (false, false) => !agree[row * each..(row + 1) * each].iter().all(|agree| *agree),
        _ => true,
    })
}

/// Whether each value is the one expected.
fn agreement(dtype: Dtype, found: &Payload, expected: &Payload, tolerance: &Tolerance) -> Vec<bool> {
    match (found, expected) {
        (Payload::Fixed(found), Payload::Fixed(expected)) => match (floats(dtype, found.bytes()), floats(dtype, expected.bytes())) {
            (Some(found), Some(expected)) => close(&found, &expected, tolerance),
            _ => found.bytes().chunks(dtype.width()).zip(expected.bytes().chunks(dtype.width())).map(|(a, b)| a == b).collect(),
        },
        (Payload::Bytes(found), Payload::Bytes(expected)) => found.iter().zip(expected).map(|(a, b)| a == b).collect(),
        _ => vec![false; expected.count(dtype)],
    }
}

fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    match dtype {
        Dtype::Fp16 => Some(bytemuck::cast_slice::<u8, half::f16>(bytes).iter().map(|value| value.to_f64()).collect()),
        Dtype::Fp32 => Some(bytemuck::cast_slice::<u8, f32>(bytes).iter().map(|value| f64::from(*value)).collect()),
        Dtype::Fp64 => Some(bytemuck::cast_slice(bytes).to_vec()),
        _ => None,
    }
}

fn close(found: &[f64], expected: &[f64], tolerance: &Tolerance) -> Vec<bool> {
    let mut sizes: Vec<f64> = expected.iter().map(|value| value.abs()).filter(|size| size.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    let middle = sizes.len() / 2;
    let median = match sizes.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sizes[middle - 1], sizes[middle]),
        _ => sizes[middle],
    };
    let one = |(a, b): (&f64, &f64)| {
        let allowed = tolerance.absolute.max(tolerance.relative * b.abs().max(median));
        a.total_cmp(b).is_eq() || (a - b).abs() <= allowed || (a.is_nan() && b.is_nan())
    };
    found.iter().zip(expected).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Buffer;

    const PACKAGE: &str = r#"{"name":"m","version":"1","runtime":"onnx","tolerance":{"absolute":0.01,"relative":0.0},
        "signature":{"inputs":[{"name":"x","dtype":"FP32"}],"outputs":[{"name":"y","dtype":"FP32"},{"name":"label","dtype":"BYTES"}]},
        "golden":{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1,2]}],"outputs":[
            {"name":"y","datatype":"FP32","shape":[2],"data":[10,20]},{"name":"label","datatype":"BYTES","shape":[2],"data":["a","b"]}]}}"#;

    /// Answers the same whatever it is asked.
    struct Fixed(Vec<f32>, Vec<&'static str>);

    impl Executor for Fixed {
        fn run(&mut self, inputs: &Table) -> Outcome<Table> {
            let numbers = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(&self.0)));
            let texts = Payload::Bytes(self.1.iter().map(|text| text.as_bytes().to_vec()).collect());
            let column = |payload| Values { shape: vec![], payload, missing: vec![] };
            Ok(Table { rows: inputs.rows, columns: vec![column(numbers), column(texts)] })
        }
    }

    fn check_answers(numbers: &[f32], texts: &[&'static str]) -> Outcome<()> {
        let description = Description::from_json(PACKAGE).unwrap();
        check(&description, &mut [Box::new(Fixed(numbers.to_vec(), texts.to_vec()))])
    }

    #[test]
    fn answers_within_the_tolerance_pass() {
        check_answers(&[10.0, 20.005], &["a", "b"]).unwrap();
    }

    #[test]
    fn another_answer_is_refused_by_row_and_column() {
        let fault = check_answers(&[10.0, 20.02], &["a", "b"]).unwrap_err();
        assert_eq!(fault.code, Code::CorruptPackage);
        assert!(fault.message.contains("golden row 1") && fault.message.contains("\"y\""), "{}", fault.message);
        assert!(check_answers(&[10.0, 20.0], &["b", "b"]).unwrap_err().message.contains("golden row 0 has another answer in \"label\""));
        assert!(check_answers(&[f32::NAN, 20.0], &["a", "b"]).is_err());
    }

    #[test]
    fn a_package_without_golden_rows_passes() {
        let text = PACKAGE.split(",\n        \"golden\"").next().unwrap().to_owned();
        for text in [format!("{text}}}"), format!("{text},\"golden\":\"none\"}}")] {
            check(&Description::from_json(&text).unwrap(), &mut [Box::new(Fixed(vec![], vec![]))]).unwrap();
        }
    }
}

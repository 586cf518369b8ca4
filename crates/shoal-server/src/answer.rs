//! Answers of the Open Inference Protocol over REST: which outputs, as JSON or binary.

use crate::binary;
use crate::description::{Column, Description};
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::json::answer::{flat, shape, text};
use crate::json::infer::InferRequest;
use crate::values::Values;

/// A body, and how many of its bytes are JSON if binary tensors follow.
pub(crate) type Framed = (Vec<u8>, Option<usize>);

/// One output that was asked for.
struct Wanted<'a> {
    column: &'a Column,
    values: &'a Values,
    binary: bool,
}

/// The indices of the outputs asked for, in the order asked; all of them when none is named.
///
/// # Errors
/// `UnexpectedColumn` for an output that the model does not have, `DuplicateColumn` for one named twice.
pub(crate) fn chosen<'n>(description: &Description, names: Option<impl Iterator<Item = &'n str>>) -> Outcome<Vec<usize>> {
    let outputs = &description.signature.outputs;
    let Some(names) = names else { return Ok((0..outputs.len()).collect()) };
    let mut indices = Vec::new();
    for name in names {
        let index = outputs.iter().position(|column| column.name == name).ok_or_else(|| unknown(outputs, name))?;
        if indices.contains(&index) {
            return Err(Fault::new(Code::DuplicateColumn, format!("output {name:?} was asked for twice")));
        }
        indices.push(index);
    }
    Ok(indices)
}

fn unknown(outputs: &[Column], name: &str) -> Fault {
    let known = outputs.iter().map(|column| format!("{:?}", column.name)).collect::<Vec<_>>().join(", ");
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::UnexpectedColumn, format!("the model has no output {shown:?}; it has {known}"))
}

/// Writes the answer to an inference request.
pub(crate) fn write(description: &Description, request: &InferRequest, answer: &Answer) -> Outcome<Framed> {
    let mut out = Vec::with_capacity(256);
    head(&mut out, description, request.id.as_deref());
    let wanted = wanted(description, request, answer)?;
    let mut raw = Vec::new();
    for (index, output) in wanted.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_output(&mut out, &mut raw, output, answer)?;
    }
    out.extend_from_slice(b"]}");
    if !wanted.iter().any(|output| output.binary) {
        return Ok((out, None));
    }
    let length = out.len();
    out.extend_from_slice(&raw);
    Ok((out, Some(length)))
}

fn head(out: &mut Vec<u8>, description: &Description, id: Option<&str>) {
    out.extend_from_slice(b"{\"model_name\":");
    text(out, &description.name);
    out.extend_from_slice(b",\"model_version\":");
    text(out, &description.version);
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        text(out, id);
    }
    out.extend_from_slice(b",\"outputs\":[");
}

fn wanted<'a>(description: &'a Description, request: &InferRequest, answer: &'a Answer) -> Outcome<Vec<Wanted<'a>>> {
    let names = request.outputs.as_ref().map(|outputs| outputs.iter().map(|(name, _)| name.as_str()));
    let binary = |place: usize| request.outputs.as_ref().and_then(|outputs| outputs[place].1).unwrap_or(request.binary_output);
    let indices = chosen(description, names)?;
    let output = |(place, index): (usize, usize)| Wanted {
        column: &description.signature.outputs[index],
        values: &answer.table.columns[index],
        binary: binary(place),
    };
    Ok(indices.into_iter().enumerate().map(output).collect())
}

fn write_output(out: &mut Vec<u8>, raw: &mut Vec<u8>, output: &Wanted<'_>, answer: &Answer) -> Outcome<()> {
    let Wanted { column, values, binary } = output;
    text(out, &column.name);
    out.extend_from_slice(b",\"shape\":");
    shape(out, answer.rows, &values.shape);
    out.extend_from_slice(b",\"datatype\":\"");
    out.extend_from_slice(column.dtype.name().as_bytes());
    if *binary {
        refuse_nulls(column, values, answer)?;
        let count = values.per_row();
        let size = binary::write(raw, column.dtype, &values.payload, answer.start * count, answer.rows * count);
        out.extend_from_slice(b"\",\"parameters\":{\"binary_data_size\":");
        crate::json::answer::number(out, size);
        out.extend_from_slice(b"}}");
        return Ok(());
    }
    out.extend_from_slice(b"\",\"data\":");
    flat(out, column, answer, values)?;
    out.push(b'}');
    Ok(())
}

/// Raw tensors have no place for a null.
pub(crate) fn refuse_nulls(column: &Column, values: &Values, answer: &Answer) -> Outcome<()> {
    if values.missing.get(answer.start..answer.start + answer.rows).is_some_and(|flags| flags.contains(&true)) {
        let message = format!("output {:?} has missing values, which a raw tensor cannot carry", column.name);
        return Err(Fault::new(Code::InvalidRequest, message).hint("ask for JSON output"));
    }
    Ok(())
}

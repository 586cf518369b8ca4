//! What a missing value becomes.
//!
//! The binding of a column says it: NaN, or a stated value. A column without a replacement keeps its nulls
//! when it is nullable and its runtime knows them (python): then a record is missing whole or not at all.
//! Otherwise a null is refused by name.

use crate::description::{Column, Description, Missing};
use crate::fault::{Code, Fault, Outcome};
use crate::values::{Dtype, Payload, Table, Values};

/// Replaces, keeps or refuses the missing values of a table. Its flags come one for each value and leave one
/// for each record.
///
/// # Errors
/// `NullNotAllowed` with column and record; `CorruptPackage` when the stated value does not fit the dtype.
pub(crate) fn settle(table: &mut Table, description: &Description) -> Outcome<()> {
    for (column, values) in description.signature.inputs.iter().zip(&mut table.columns) {
        if values.missing.iter().any(|missing| *missing) {
            let binding = description.input_binding(&column.name);
            let replacement = binding.and_then(|binding| binding.missing.as_ref());
            let features = binding.and_then(|binding| binding.features.as_deref()).unwrap_or_default();
            settle_column(column, values, replacement, description.runtime == "python")
                .map_err(|fault| by_feature(fault, column, values, features))?;
        }
    }
    Ok(())
}

fn settle_column(column: &Column, values: &mut Values, replacement: Option<&Missing>, keeps_nulls: bool) -> Outcome<()> {
    let Some(replacement) = replacement else {
        return if column.nullable && keeps_nulls { keep(column, values) } else { Err(refused(column, values)) };
    };
    let value = encode(column, replacement)?;
    let flags = std::mem::take(&mut values.missing);
    let places = flags.iter().enumerate().filter_map(|(index, missing)| missing.then_some(index));
    match &mut values.payload {
        Payload::Bytes(list) => places.for_each(|index| list[index].clone_from(&value)),
        Payload::Fixed(buffer) => places.for_each(|index| buffer.bytes_mut()[index * value.len()..][..value.len()].copy_from_slice(&value)),
    }
    Ok(())
}

/// Names the feature whose value is missing, where the column packs named features.
fn by_feature(fault: Fault, column: &Column, values: &Values, features: &[String]) -> Fault {
    let place = values.missing.iter().position(|missing| *missing).unwrap_or(0);
    match features.get(place % values.per_row().max(1)) {
        Some(feature) if fault.code == Code::NullNotAllowed => {
            let message = fault.message.replace(&format!("column {:?}", column.name), &format!("column {feature:?}"));
            fault.told(message)
        }
        _ => fault,
    }
}

/// Turns flags of values into flags of records; a record that is missing in part is refused.
fn keep(column: &Column, values: &mut Values) -> Outcome<()> {
    let size = values.per_row().max(1);
    let parts = values.missing.chunks(size).position(|record| record.contains(&true) && record.contains(&false));
    if let Some(record) = parts {
        let message = format!("column {:?} has values and nulls in record {record}; a record is missing whole or not at all", column.name);
        return Err(Fault::new(Code::NullNotAllowed, message));
    }
    values.missing = values.missing.iter().copied().step_by(size).collect();
    Ok(())
}

fn refused(column: &Column, values: &Values) -> Fault {
    let place = values.missing.iter().position(|missing| *missing).unwrap_or(0) / values.per_row().max(1);
    Fault::new(Code::NullNotAllowed, format!("column {:?} has no value in record {place}; it may not be null", column.name))
        .hint("send a value, or seal the package with a replacement for missing values")
}

/// The little-endian bytes of a replacement in the dtype of its column.
pub(crate) fn encode(column: &Column, replacement: &Missing) -> Outcome<Vec<u8>> {
    match replacement {
        Missing::Text(text) if column.dtype == Dtype::Bytes => Ok(text.clone().into_bytes()),
        Missing::Text(text) if text == "NaN" => encode_number(column, f64::NAN),
        Missing::Text(text) => Err(does_not_fit(column, text)),
        Missing::Number(number) => encode_number(column, *number),
        Missing::Integer(number) => encode_integer(column, *number),
    }
}

fn encode_number(column: &Column, number: f64) -> Outcome<Vec<u8>> {
    match column.dtype {
        Dtype::Fp64 => Ok(number.to_le_bytes().to_vec()),
        #[expect(clippy::cast_possible_truncation, reason = "the column holds 32-bit floats")]
        Dtype::Fp32 => Ok((number as f32).to_le_bytes().to_vec()),
        Dtype::Fp16 => Ok(half::f16::from_f64(number).to_le_bytes().to_vec()),
        _ => Err(does_not_fit(column, &number.to_string())),
    }
}

fn encode_integer(column: &Column, number: i64) -> Outcome<Vec<u8>> {
    let bytes = match column.dtype {
        Dtype::Fp16 | Dtype::Fp32 | Dtype::Fp64 => return encode_number(column, number as f64),
        Dtype::Bytes => None,
        Dtype::Bool => (0..=1).contains(&number).then(|| number.to_le_bytes()[..1].to_vec()),
        Dtype::Uint8 => u8::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Uint16 => u16::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Uint32 => u32::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Uint64 => u64::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Int8 => i8::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Int16 => i16::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Int32 => i32::try_from(number).ok().map(|value| value.to_le_bytes().to_vec()),
        Dtype::Int64 => Some(number.to_le_bytes().to_vec()),
    };
    bytes.ok_or_else(|| does_not_fit(column, &number.to_string()))
}

fn does_not_fit(column: &Column, value: &str) -> Fault {
    let message = format!("the package puts {value} where column {:?} has no value, which is no {}", column.name, column.dtype.name());
    Fault::new(Code::CorruptPackage, message)
}

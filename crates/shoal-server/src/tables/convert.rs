//! A column as the one of a signature: by value and never by guess.
//!
//! Integers become integers exactly, and floats to the nearest; floats become floats to the nearest, and none becomes infinite;
//! texts and bytes become bytes, moments and days whole seconds where the signature says `moment`. Each record of a mixed column is
//! converted by itself. Nothing else is.

use bytemuck::Pod;
use half::f16;

use super::rules::too_many_nulls;
use super::{Column, Content, Kind, NULLS_BYTES, Scalar, Unit, json};
use crate::fault::{Code, Fault, Outcome};
use crate::intake::Received;
use crate::values::{Buffer, Dtype, Payload};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// What a column becomes.
#[derive(Clone, Copy)]
pub(super) struct Target<'d> {
    pub(super) name: &'d str,
    pub(super) dtype: Dtype,
    /// The shape of one record; -1 is variable.
    pub(super) shape: &'d [i64],
    pub(super) is_moment: bool,
}

/// Converts a column of a table that is known to have so many records.
///
/// # Errors
/// `WrongDtype`, and what reading a column without a dtype raises.
pub(super) fn received(column: Column, target: &Target<'_>, rows: usize) -> Outcome<Received> {
    let column = match &column.content {
        Content::Text(text) if text.is_empty() => return nulls(column.name.into(), target, rows),
        Content::Text(text) => json::signed(text, target, rows)?,
        _ => column,
    };
    let per_row = column.per_row();
    let rows = column.count().checked_div(per_row).unwrap_or(rows);
    let missing = match &column.content {
        Content::Mixed(list) if list.contains(&Scalar::Missing) => list.iter().map(|scalar| *scalar == Scalar::Missing).collect(),
        _ if per_row > 1 && !column.has_flags_of_values() => {
            column.missing.iter().flat_map(|flag| std::iter::repeat_n(*flag, per_row)).collect()
        }
        _ => column.missing,
    };
    let mut shape = Vec::with_capacity(1 + column.shape.len());
    shape.push(rows);
    shape.extend_from_slice(&column.shape);
    let payload = payload(&column.name, &column.kind, column.content, target)?;
    Ok(Received { name: column.name.into(), dtype: target.dtype, shape, payload, missing })
}

/// A column of nothing but nulls, which says neither dtype nor shape.
fn nulls(name: String, target: &Target<'_>, rows: usize) -> Outcome<Received> {
    let mut shape = vec![rows];
    shape.extend(target.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)));
    let width = if target.dtype == Dtype::Bytes { size_of::<Vec<u8>>() } else { target.dtype.width() };
    let count = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    let count = count.filter(|count| count.checked_mul(width).is_some_and(|bytes| bytes <= NULLS_BYTES.max(rows * width)));
    let count = count.ok_or_else(|| too_many_nulls(&name))?;
    let mut payload = Payload::with_capacity(target.dtype, count);
    match &mut payload {
        Payload::Fixed(buffer) => buffer.grow(count * width).fill(0),
        Payload::Bytes(list) => list.resize(count, Vec::new()),
    }
    let flags = if count == 0 { rows } else { count };
    Ok(Received { name, dtype: target.dtype, shape, payload, missing: vec![true; flags] })
}

fn payload(name: &str, kind: &Kind, content: Content, target: &Target<'_>) -> Outcome<Payload> {
    match (content, kind) {
        (Content::Fixed(buffer), Kind::Plain(dtype)) if *dtype == target.dtype => Ok(Payload::Fixed(buffer)),
        (Content::Fixed(buffer), Kind::Plain(dtype)) => numbers(name, *dtype, buffer.bytes(), target),
        (Content::Fixed(buffer), Kind::Timestamp(unit, _)) if target.is_moment => Ok(seconds(buffer, *unit)),
        (Content::Fixed(buffer), Kind::Date) if target.is_moment => {
            each(buffer.bytes(), |days: i32| Some(i64::from(days) * SECONDS_OF_A_DAY)).map_err(|_| no_conversion(name, kind, target))
        }
        (Content::Items(items), _) if target.dtype == Dtype::Bytes => Ok(Payload::Bytes(items)),
        (Content::Mixed(scalars), _) => mixed(name, scalars, target),
        _ => Err(no_conversion(name, kind, target)),
    }
}

fn no_conversion(name: &str, kind: &Kind, target: &Target<'_>) -> Fault {
    let (from, to) = (kind.name(), said(target));
    Fault::new(Code::WrongDtype, format!("column {name:?} is {from}, and {to} in the model {:?}; that is not converted", target.name))
}

fn said(target: &Target<'_>) -> &'static str {
    if target.is_moment { "a moment" } else { target.dtype.name() }
}

/// Whole seconds, cut off towards the past.
fn seconds(buffer: Buffer, unit: Unit) -> Payload {
    if unit == Unit::Second {
        return Payload::Fixed(buffer);
    }
    let whole = |count: i64| Some(count.div_euclid(unit.per_second()));
    each(buffer.bytes(), whole).unwrap_or_else(|_| Payload::Fixed(buffer))
}

/// Each value as another one; the place of the first that is none.
fn each<S: Pod, T: Pod>(bytes: &[u8], convert: impl Fn(S) -> Option<T>) -> Result<Payload, usize> {
    let count = bytes.len() / size_of::<S>();
    let mut buffer = Buffer::with_capacity(count * size_of::<T>());
    let slots: &mut [T] = bytemuck::cast_slice_mut(buffer.grow(count * size_of::<T>()));
    for (place, (value, slot)) in bytes.chunks_exact(size_of::<S>()).zip(slots).enumerate() {
        *slot = convert(bytemuck::pod_read_unaligned(value)).ok_or(place)?;
    }
    Ok(Payload::Fixed(buffer))
}

/// A float in fewer bits, unless it would become infinite.
#[expect(clippy::cast_possible_truncation, reason = "what overflows is refused")]
fn single(wide: f64) -> Option<f32> {
    let narrow = wide as f32;
    (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
}

fn half(wide: f64) -> Option<f16> {
    let narrow = nearest_half(wide);
    (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
}

/// The nearest FP16, ties to even, in one step. On its way through FP32 a number that lies between two of them becomes the
/// odd one, so that it stays on its side of every FP16.
/// Source: S. Boldo and G. Melquiond, "When double rounding is odd", 2005.
#[expect(clippy::cast_possible_truncation, reason = "what is lost is kept as the last bit")]
pub(super) fn nearest_half(wide: f64) -> f16 {
    let nearest = wide as f32;
    let back = f64::from(nearest);
    if back.total_cmp(&wide).is_eq() || wide.is_nan() {
        return f16::from_f32(nearest);
    }
    let towards_zero = nearest.to_bits() - u32::from(back.abs() > wide.abs());
    f16::from_f32(f32::from_bits(towards_zero | 1))
}

/// Integers of `$kind` as whatever numbers the target has; None where nothing is converted.
macro_rules! integers {
    ($kind:ty, $bytes:expr, $dtype:expr) => {
        match $dtype {
            Dtype::Uint8 => Some(each($bytes, |value: $kind| u8::try_from(value).ok())),
            Dtype::Uint16 => Some(each($bytes, |value: $kind| u16::try_from(value).ok())),
            Dtype::Uint32 => Some(each($bytes, |value: $kind| u32::try_from(value).ok())),
            Dtype::Uint64 => Some(each($bytes, |value: $kind| u64::try_from(value).ok())),
            Dtype::Int8 => Some(each($bytes, |value: $kind| i8::try_from(value).ok())),
            Dtype::Int16 => Some(each($bytes, |value: $kind| i16::try_from(value).ok())),
            Dtype::Int32 => Some(each($bytes, |value: $kind| i32::try_from(value).ok())),
            Dtype::Int64 => Some(each($bytes, |value: $kind| i64::try_from(value).ok())),
            Dtype::Fp16 => Some(each($bytes, |value: $kind| half(value as f64))),
            Dtype::Fp32 => Some(each($bytes, |value: $kind| Some(value as f32))),
            Dtype::Fp64 => Some(each($bytes, |value: $kind| Some(value as f64))),
            Dtype::Bool | Dtype::Bytes => None,
        }
    };
}

/// Floats of `$kind` as floats.
macro_rules! floats {
    ($kind:ty, $bytes:expr, $dtype:expr) => {
        match $dtype {
            Dtype::Fp16 => Some(each($bytes, |value: $kind| half(f64::from(value)))),
            Dtype::Fp32 => Some(each($bytes, |value: $kind| single(f64::from(value)))),
            Dtype::Fp64 => Some(each($bytes, |value: $kind| Some(f64::from(value)))),
            _ => None,
        }
    };
}

#[expect(clippy::cast_lossless, reason = "the same words for integers of every width")]
fn numbers(name: &str, from: Dtype, bytes: &[u8], target: &Target<'_>) -> Outcome<Payload> {
    let to = target.dtype;
    let converted = match from {
        Dtype::Uint8 => integers!(u8, bytes, to),
        Dtype::Uint16 => integers!(u16, bytes, to),
        Dtype::Uint32 => integers!(u32, bytes, to),
        Dtype::Uint64 => integers!(u64, bytes, to),
        Dtype::Int8 => integers!(i8, bytes, to),
        Dtype::Int16 => integers!(i16, bytes, to),
        Dtype::Int32 => integers!(i32, bytes, to),
        Dtype::Int64 => integers!(i64, bytes, to),
        Dtype::Fp16 => floats!(f16, bytes, to),
        Dtype::Fp32 => floats!(f32, bytes, to),
        Dtype::Fp64 => floats!(f64, bytes, to),
        Dtype::Bool | Dtype::Bytes => None,
    };
    let converted = converted.ok_or_else(|| no_conversion(name, &Kind::Plain(from), target))?;
    converted.map_err(|place| {
        let (from, to) = (from.name(), to.name());
        Fault::new(
            Code::WrongDtype,
            format!("column {name:?} is {from}; its value {place} is out of the range of {to}, which the model takes"),
        )
    })
}

/// Records of any type, each converted by itself.
fn mixed(name: &str, scalars: Vec<Scalar>, target: &Target<'_>) -> Outcome<Payload> {
    let mut payload = Payload::with_capacity(target.dtype, scalars.len());
    for (place, scalar) in scalars.into_iter().enumerate() {
        let refused = |scalar: Scalar| {
            let (value, to) = (scalar.shown(), said(target));
            Fault::new(Code::WrongDtype, format!("column {name:?} is {to} in the model; record {place} is {value}"))
        };
        match &mut payload {
            Payload::Fixed(buffer) => {
                let bytes = encoded(&scalar, target).ok_or_else(|| refused(scalar))?;
                buffer.extend(&bytes.to_le_bytes()[..target.dtype.width()]);
            }
            Payload::Bytes(list) => match scalar {
                Scalar::Utf8(text) => list.push(text.into_bytes()),
                Scalar::Missing => list.push(Vec::new()),
                other => return Err(refused(other)),
            },
        }
    }
    Ok(payload)
}

/// The bytes of a scalar in the dtype of its target, in the lowest bytes.
fn encoded(scalar: &Scalar, target: &Target<'_>) -> Option<u64> {
    match (scalar, target.dtype) {
        (Scalar::Missing, _) => Some(0),
        (Scalar::Bool(value), Dtype::Bool) => Some(u64::from(*value)),
        (Scalar::Int64(value), dtype) => integer(*value, dtype),
        (Scalar::Fp64(value), Dtype::Fp16) => half(*value).map(|value| u64::from(value.to_bits())),
        (Scalar::Fp64(value), Dtype::Fp32) => single(*value).map(|value| u64::from(value.to_bits())),
        (Scalar::Fp64(value), Dtype::Fp64) => Some(value.to_bits()),
        _ => None,
    }
}

fn integer(value: i64, dtype: Dtype) -> Option<u64> {
    let fits = match dtype {
        Dtype::Uint8 => u8::try_from(value).is_ok(),
        Dtype::Uint16 => u16::try_from(value).is_ok(),
        Dtype::Uint32 => u32::try_from(value).is_ok(),
        Dtype::Uint64 => value >= 0,
        Dtype::Int8 => i8::try_from(value).is_ok(),
        Dtype::Int16 => i16::try_from(value).is_ok(),
        Dtype::Int32 => i32::try_from(value).is_ok(),
        Dtype::Int64 => true,
        Dtype::Fp16 => return half(value as f64).map(|value| u64::from(value.to_bits())),
        Dtype::Fp32 => return Some(u64::from((value as f32).to_bits())),
        Dtype::Fp64 => return Some((value as f64).to_bits()),
        Dtype::Bool | Dtype::Bytes => false,
    };
    fits.then_some(value.cast_unsigned())
}

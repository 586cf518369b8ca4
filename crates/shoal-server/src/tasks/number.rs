//! Values of fixed width, one by one, whatever their dtype.

use half::f16;

use crate::values::Dtype;

/// A value, exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Boolean(bool),
    Whole(i128),
    Floating(f64),
}

/// The value at a place; None of `BYTES`, whose values have no width.
pub(super) fn read(dtype: Dtype, bytes: &[u8], place: usize) -> Option<Number> {
    Some(match dtype {
        Dtype::Bool => Number::Boolean(bytes[place] != 0),
        Dtype::Uint8 => Number::Whole(bytes[place].into()),
        Dtype::Uint16 => Number::Whole(u16::from_le_bytes(at(bytes, place)).into()),
        Dtype::Uint32 => Number::Whole(u32::from_le_bytes(at(bytes, place)).into()),
        Dtype::Uint64 => Number::Whole(u64::from_le_bytes(at(bytes, place)).into()),
        Dtype::Int8 => Number::Whole(i8::from_le_bytes(at(bytes, place)).into()),
        Dtype::Int16 => Number::Whole(i16::from_le_bytes(at(bytes, place)).into()),
        Dtype::Int32 => Number::Whole(i32::from_le_bytes(at(bytes, place)).into()),
        Dtype::Int64 => Number::Whole(i64::from_le_bytes(at(bytes, place)).into()),
        Dtype::Fp16 => Number::Floating(f16::from_le_bytes(at(bytes, place)).into()),
        Dtype::Fp32 => Number::Floating(f32::from_le_bytes(at(bytes, place)).into()),
        Dtype::Fp64 => Number::Floating(f64::from_le_bytes(at(bytes, place))),
        Dtype::Bytes => return None,
    })
}

fn at<const WIDTH: usize>(bytes: &[u8], place: usize) -> [u8; WIDTH] {
    bytes.as_chunks::<WIDTH>().0[place]
}

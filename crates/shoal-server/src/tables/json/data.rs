//! The data of a column whose dtype is known: from the column, from a signature, or because nobody says it.

use bytemuck::Pod;
use half::f16;

use super::column::settle;
use super::cursor::{Cursor, Wrong};
use super::leaves::{self, Way};
use super::shown;
use super::values::{Leaf, OPEN, Records, Runs, Values};
use super::words::Short;
use crate::fault::{Code, Fault, Outcome};
use crate::tables::convert::Target;
use crate::tables::rules::{check_shape, too_many_nulls};
use crate::tables::{Column, Content, Kind, NULLS_BYTES, folded};
use crate::values::{Buffer, Dtype};

/// Data that was read.
pub(super) struct Data {
    pub(super) content: Content,
    pub(super) shape: Vec<usize>,
    pub(super) missing: Vec<bool>,
    pub(super) records: Records,
}

/// Reads data; name, shape of a record (open dimensions are those of the first record) and who says what it is.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    kind: &Kind,
    (name, dims, way): (&str, Vec<usize>, Way),
    nulls_bytes: &mut usize,
) -> Outcome<Data> {
    by_kind(Reader { cursor, name, dtype: kind.name(), dims, way, nulls_bytes }, kind, way)
}

/// What is done with data, once it is known how each value is read.
pub(super) trait Taker {
    type Taken;

    /// With values of fixed width.
    fn fixed<T: Pod + Default>(self, leaf: impl Leaf<T> + 'static) -> Self::Taken;

    /// With texts and bytes.
    fn items(self, leaf: impl Leaf<Vec<u8>>) -> Self::Taken;

    /// With records of any type.
    fn mixed(self) -> Self::Taken;
}

/// Has that done by which the values of a kind are read.
pub(super) fn by_kind<T: Taker>(taker: T, kind: &Kind, way: Way) -> T::Taken {
    match kind {
        Kind::Plain(dtype) => plain(taker, *dtype, way),
        Kind::Utf8 => taker.items(leaves::text),
        Kind::Bytes if way == Way::Signed => taker.items(leaves::text),
        Kind::Bytes => taker.items(leaves::base64),
        Kind::Timestamp(unit, _) => {
            let unit = *unit;
            taker.fixed(move |cursor: &mut Cursor<'_>| leaves::timestamp(cursor, unit))
        }
        Kind::Date => taker.fixed(leaves::date),
        Kind::Mixed | Kind::Untyped => taker.mixed(),
    }
}

fn plain<T: Taker>(taker: T, dtype: Dtype, way: Way) -> T::Taken {
    match dtype {
        Dtype::Bool => taker.fixed(leaves::boolean),
        Dtype::Uint8 => taker.fixed::<u8>(wholes(way)),
        Dtype::Uint16 => taker.fixed::<u16>(wholes(way)),
        Dtype::Uint32 => taker.fixed::<u32>(wholes(way)),
        Dtype::Uint64 => taker.fixed::<u64>(wholes(way)),
        Dtype::Int8 => taker.fixed::<i8>(wholes(way)),
        Dtype::Int16 => taker.fixed::<i16>(wholes(way)),
        Dtype::Int32 => taker.fixed::<i32>(wholes(way)),
        Dtype::Int64 => taker.fixed::<i64>(wholes(way)),
        Dtype::Fp16 => taker.fixed::<f16>(move |cursor: &mut Cursor<'_>| leaves::float16(cursor, way)),
        Dtype::Fp32 => taker.fixed::<f32>(singles(way)),
        Dtype::Fp64 => taker.fixed::<f64>(doubles(way)),
        Dtype::Bytes => taker.items(leaves::text),
    }
}

/// Whole numbers of one dtype.
fn wholes<T: TryFrom<i64> + TryFrom<i128>>(way: Way) -> impl Leaf<T> + 'static {
    let usual = |cursor: &mut Cursor<'_>| T::try_from(cursor.plain_whole()?).ok();
    let short = |short: Short| if short.decimals == 0 { T::try_from(short.digits.cast_signed()).ok() } else { None };
    Runs { usual, short, any: move |cursor: &mut Cursor<'_>| leaves::whole(cursor, way) }
}

fn singles(way: Way) -> impl Leaf<f32> + 'static {
    let usual = |cursor: &mut Cursor<'_>| cursor.plain_single();
    Runs { usual, short: |short: Short| Some(short.single()), any: move |cursor: &mut Cursor<'_>| leaves::float32(cursor, way) }
}

fn doubles(way: Way) -> impl Leaf<f64> + 'static {
    let usual = |cursor: &mut Cursor<'_>| cursor.plain_float();
    Runs { usual, short: |short: Short| Some(short.double()), any: move |cursor: &mut Cursor<'_>| leaves::float(cursor, way) }
}

/// What is to be read.
struct Reader<'r, 't> {
    cursor: &'r mut Cursor<'t>,
    name: &'r str,
    dtype: &'static str,
    dims: Vec<usize>,
    way: Way,
    nulls_bytes: &'r mut usize,
}

impl Taker for Reader<'_, '_> {
    type Taken = Outcome<Data>;

    fn fixed<T: Pod + Default>(self, leaf: impl Leaf<T> + 'static) -> Outcome<Data> {
        self.read(leaf, |items| Content::Fixed(Buffer::copy_of(bytemuck::cast_slice(&items))))
    }

    fn items(self, leaf: impl Leaf<Vec<u8>>) -> Outcome<Data> {
        self.read(leaf, Content::Items)
    }

    /// A null is a record.
    fn mixed(self) -> Outcome<Data> {
        let data = self.read(leaves::mixed, Content::Mixed)?;
        Ok(Data { missing: Vec::new(), ..data })
    }
}

impl Reader<'_, '_> {
    fn read<T: Clone + Default>(self, leaf: impl Leaf<T>, content: impl FnOnce(Vec<T>) -> Content) -> Outcome<Data> {
        let mut values = Values::new(self.dims, self.way == Way::Signed, *self.nulls_bytes);
        let records = values.read(self.cursor, leaf);
        let records = records.map_err(|wrong| fault(wrong, (self.name, self.dtype), values.items.len(), self.cursor))?;
        *self.nulls_bytes = values.nulls_left();
        let per_row = values.dims.iter().product();
        Ok(Data { content: content(values.items), shape: values.dims, missing: folded(values.missing, per_row), records })
    }
}

/// What is wrong with a value, in words.
fn fault(wrong: Wrong, (name, dtype): (&str, &str), value: usize, cursor: &Cursor<'_>) -> Fault {
    match wrong {
        Wrong::Malformed => super::malformed(cursor),
        Wrong::Value(at) => {
            Fault::new(Code::WrongDtype, format!("column {name:?} is {dtype}; value {value} is {}", shown(cursor.text, at)))
        }
        Wrong::Surrogate => {
            Fault::new(Code::WrongDtype, format!("column {name:?} has half a surrogate pair in value {value}, which is no UTF-8"))
        }
        Wrong::Zone(at) => {
            let message = format!("column {name:?} has a time without a zone: value {value} is {}", shown(cursor.text, at));
            Fault::new(Code::TimeWithoutZone, message).hint("end it with \"Z\" or an offset such as \"+02:00\"")
        }
        Wrong::Ragged => {
            let message = format!("the data of column {name:?} is not nested as its shape says, at value {value}");
            Fault::new(Code::WrongShape, message).hint("each record is a list for each dimension of its shape, or the data is flat")
        }
        Wrong::Nulls => too_many_nulls(name),
    }
}

/// Reads a column without a dtype as the one of a signature; `rows` is how many records the table is known to have.
///
/// # Errors
/// `WrongDtype`, `WrongShape`, `MalformedJson`, `BodyTooLarge`.
pub(crate) fn signed(text: &[u8], column: &Target<'_>, rows: usize) -> Outcome<Column> {
    if column.dtype == Dtype::Fp16 {
        let message = format!("column {:?} is FP16, which has no JSON form", column.name);
        return Err(Fault::new(Code::WrongDtype, message).hint("say its dtype in the table"));
    }
    let kind = if column.dtype == Dtype::Bytes { Kind::Bytes } else { Kind::Plain(column.dtype) };
    let dims = column.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(OPEN)).collect();
    let (mut cursor, mut nulls_bytes) = (Cursor::new(text), NULLS_BYTES);
    let data = if column.is_moment {
        let reader =
            Reader { cursor: &mut cursor, name: column.name, dtype: "a moment", dims, way: Way::Signed, nulls_bytes: &mut nulls_bytes };
        reader.fixed(leaves::moment)
    } else {
        read(&mut cursor, &kind, (column.name, dims, Way::Signed), &mut nulls_bytes)
    };
    let Data { content, shape, missing, records } = data?;
    cursor.end().map_err(|_| super::malformed(&cursor))?;
    let mut signed = Column { name: column.name.into(), kind, shape, content, missing };
    let rows = if let Records::Known(records) = records { records } else { rows };
    settle(&mut signed, records, (rows, true), &mut nulls_bytes)?;
    Ok(signed)
}

/// Reads a column without a dtype as records of any type.
///
/// # Errors
/// `WrongDtype`, `WrongShape`, `MalformedJson`.
pub(crate) fn mixed(column: &Column, text: &[u8], rows: usize) -> Outcome<Column> {
    check_shape(&column.name, &Kind::Mixed, &column.shape)?;
    let (mut cursor, mut nulls_bytes) = (Cursor::new(text), NULLS_BYTES);
    let data = read(&mut cursor, &Kind::Mixed, (&column.name, Vec::new(), Way::Stated), &mut nulls_bytes)?;
    cursor.end().map_err(|_| super::malformed(&cursor))?;
    let mut mixed = Column { kind: Kind::Mixed, content: data.content, missing: Vec::new(), name: column.name.clone(), shape: Vec::new() };
    settle(&mut mixed, data.records, (rows, true), &mut nulls_bytes)?;
    Ok(mixed)
}

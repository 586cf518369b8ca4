//! One value of each dtype.
//!
//! A column that states its dtype may write digits and special numbers as text, bytes in Base64 and moments with their
//! zone ([`Way::Stated`]); one that leaves it to the signature follows the rules of tensors ([`Way::Signed`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;

use super::cursor::{Cursor, Number, Wrong};
use crate::json::moments as iso;
use crate::tables::convert::nearest_half;
use crate::tables::{Scalar, Unit, moments};

/// Who says what the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The column itself.
    Stated,
    /// The signature of a model.
    Signed,
}

/// A number, if one comes next.
#[inline]
fn number<'t>(cursor: &mut Cursor<'t>) -> Result<Option<Number<'t>>, Wrong> {
    match cursor.peek() {
        b'-' | b'0'..=b'9' => cursor.number().map(Some),
        _ => Ok(None),
    }
}

/// A text that stands for a number.
fn digits<'t>(cursor: &mut Cursor<'t>, way: Way) -> Result<std::borrow::Cow<'t, str>, Wrong> {
    if way == Way::Stated && cursor.peek() == b'"' { cursor.string() } else { cursor.refuse() }
}

/// A float as FP64; one that is too large is refused.
#[inline]
pub(super) fn float(cursor: &mut Cursor<'_>, way: Way) -> Result<f64, Wrong> {
    cursor.peek();
    cursor.plain_float().map_or_else(|| any_float(cursor, way), Ok)
}

/// A float that has many digits, an exponent, or is a text, or none.
#[cold]
fn any_float(cursor: &mut Cursor<'_>, way: Way) -> Result<f64, Wrong> {
    let start = cursor.at;
    if let Some(number) = number(cursor)? {
        return number.float().filter(|number| number.is_finite()).ok_or(Wrong::Value(start));
    }
    match &*digits(cursor, way)? {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => Err(Wrong::Value(start)),
    }
}

/// A float in fewer bits, to the nearest.
macro_rules! narrowed {
    ($name:ident, $kind:ty, $convert:expr) => {
        #[inline]
        pub(super) fn $name(cursor: &mut Cursor<'_>, way: Way) -> Result<$kind, Wrong> {
            let start = cursor.at;
            let wide = float(cursor, way)?;
            let narrow: $kind = $convert(wide);
            if narrow.is_infinite() && wide.is_finite() { Err(Wrong::Value(start)) } else { Ok(narrow) }
        }
    };
}

#[expect(clippy::cast_possible_truncation, reason = "what overflows is refused")]
const fn single(wide: f64) -> f32 {
    wide as f32
}

narrowed!(float32, f32, single);
narrowed!(float16, f16, nearest_half);

/// A whole number within the limits of its dtype.
#[inline]
pub(super) fn whole<T: TryFrom<i64> + TryFrom<i128>>(cursor: &mut Cursor<'_>, way: Way) -> Result<T, Wrong> {
    cursor.peek();
    let start = cursor.at;
    if let Some(number) = cursor.plain_whole() {
        return T::try_from(number).map_err(|_| Wrong::Value(start));
    }
    let found = if let Some(number) = number(cursor)? {
        number.whole()
    } else {
        let text = digits(cursor, way)?;
        let mut inner = Cursor::new(text.as_bytes());
        let number = inner.number().ok().filter(|_| inner.at == text.len());
        number.and_then(|number| number.whole())
    };
    found.and_then(|number| T::try_from(number).ok()).ok_or(Wrong::Value(start))
}

/// `true` or `false`, as a byte.
pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<u8, Wrong> {
    match cursor.peek() {
        b't' => cursor.word(b"true").map(|()| 1),
        b'f' => cursor.word(b"false").map(|()| 0),
        _ => cursor.refuse(),
    }
}

/// A text.
pub(super) fn text(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Wrong> {
    if cursor.peek() == b'"' { Ok(cursor.string()?.into_owned().into_bytes()) } else { cursor.refuse() }
}

/// Bytes in Base64, with padding.
pub(super) fn base64(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Wrong> {
    if cursor.peek() != b'"' {
        return cursor.refuse();
    }
    let start = cursor.at;
    STANDARD.decode(&*cursor.string()?).map_err(|_| Wrong::Value(start))
}

/// A time with a zone, in units since 1970-01-01 UTC.
pub(super) fn timestamp(cursor: &mut Cursor<'_>, unit: Unit) -> Result<i64, Wrong> {
    if cursor.peek() != b'"' {
        return cursor.refuse();
    }
    let start = cursor.at;
    moments::read_time(&cursor.string()?, unit).map_err(|trouble| match trouble {
        moments::Trouble::NoZone => Wrong::Zone(start),
        moments::Trouble::NoMoment => Wrong::Value(start),
    })
}

/// A day, counted from 1970-01-01.
pub(super) fn date(cursor: &mut Cursor<'_>) -> Result<i32, Wrong> {
    if cursor.peek() != b'"' {
        return cursor.refuse();
    }
    let start = cursor.at;
    moments::read_date(&cursor.string()?).ok_or(Wrong::Value(start))
}

/// Whole seconds, or a moment as text.
pub(super) fn moment(cursor: &mut Cursor<'_>) -> Result<i64, Wrong> {
    if cursor.peek() != b'"' {
        return whole(cursor, Way::Signed);
    }
    let start = cursor.at;
    iso::read(&cursor.string()?).ok_or(Wrong::Value(start))
}

/// A value of any of the types that JSON can tell apart.
pub(super) fn mixed(cursor: &mut Cursor<'_>) -> Result<Scalar, Wrong> {
    match cursor.peek() {
        b'"' => Ok(Scalar::Utf8(cursor.string()?.into_owned())),
        b't' | b'f' => Ok(Scalar::Bool(boolean(cursor)? == 1)),
        b'{' => stated(cursor),
        b'[' => Err(Wrong::Value(cursor.at)),
        b'-' | b'0'..=b'9' => {
            let mut ahead = cursor.clone();
            let is_whole = ahead.number()?.is_whole();
            if is_whole { whole(cursor, Way::Signed).map(Scalar::Int64) } else { float(cursor, Way::Signed).map(Scalar::Fp64) }
        }
        _ => cursor.refuse(),
    }
}

/// `{"INT64": ...}` or `{"FP64": ...}`.
fn stated(cursor: &mut Cursor<'_>) -> Result<Scalar, Wrong> {
    let start = cursor.at;
    cursor.expect(b'{')?;
    let field = if cursor.peek() == b'"' { cursor.string()? } else { return Err(Wrong::Value(start)) };
    cursor.expect(b':')?;
    cursor.peek();
    let scalar = match &*field {
        "INT64" => Scalar::Int64(whole(cursor, Way::Stated)?),
        "FP64" => Scalar::Fp64(float(cursor, Way::Stated)?),
        _ => return Err(Wrong::Value(start)),
    };
    if cursor.take(b'}') { Ok(scalar) } else { Err(Wrong::Value(start)) }
}

//! The usual body of the short form, `{"features":` and plain numbers, read in one run over its bytes.
//!
//! [`decode`] never refuses: whatever is not of this form it leaves to the parser, which reads the body from its start
//! and finds the same or the fault. A plain number is an optional minus, digits and perhaps decimals, fifteen digits at
//! most: an integer below 2^53, divided once by a power of ten that is exact, is the nearest double (Clinger, "How to
//! read floating point numbers accurately", 1990).

use bytemuck::Pod;

use crate::description::Column;
use crate::intake::Received;
use crate::values::{Buffer, Dtype, Payload};

/// Digits of a plain number, at most.
const DIGITS: usize = 15;
const POWERS: [f64; DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The records of a body, if it has the usual form and the column is one list of floats for each record.
pub(super) fn decode(body: &[u8], column: &Column) -> Option<Received> {
    let [width] = column.shape[..] else { return None };
    let width = usize::try_from(width).ok().filter(|width| *width > 0)?;
    let mut buffer = Buffer::with_capacity(width * column.dtype.width());
    let rows = match column.dtype {
        Dtype::Fp32 => records::<f32>(body, width, &mut buffer)?,
        Dtype::Fp64 => records::<f64>(body, width, &mut buffer)?,
        _ => return None,
    };
    let (name, payload) = (column.name.clone(), Payload::Fixed(buffer));
    Some(Received { name, dtype: column.dtype, shape: vec![rows, width], payload, missing: Vec::new() })
}

/// A float that a column holds.
trait Float: Pod {
    fn of(number: f64) -> Self;
}

impl Float for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the column holds 32-bit floats, and a plain number is within their range")]
    fn of(number: f64) -> Self {
        number as Self
    }
}

impl Float for f64 {
    fn of(number: f64) -> Self {
        number
    }
}

fn records<T: Float>(body: &[u8], width: usize, buffer: &mut Buffer) -> Option<usize> {
    let mut text = Text { bytes: body, at: 0 };
    text.byte(b'{')?;
    text.word(b"\"features\"")?;
    text.byte(b':')?;
    text.byte(b'[')?;
    let mut rows = 0;
    if text.next()? == b'[' {
        while rows == 0 || text.is_more()? {
            text.byte(b'[')?;
            text.record::<T>(bytemuck::cast_slice_mut(buffer.grow(width * size_of::<T>())))?;
            rows += 1;
        }
    } else {
        text.record::<T>(bytemuck::cast_slice_mut(buffer.grow(width * size_of::<T>())))?;
        rows = 1;
    }
    text.byte(b'}')?;
    text.next().is_none().then_some(rows)
}

/// A body, and how far it has been read.
struct Text<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Text<'_> {
    /// The next byte that is not white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        while let b' ' | b'\n' | b'\r' | b'\t' = *self.bytes.get(self.at)? {
            self.at += 1;
        }
        Some(self.bytes[self.at])
    }

    #[inline]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        let found = self.next()? == wanted;
        self.at += usize::from(found);
        found.then_some(())
    }

    fn word(&mut self, wanted: &[u8]) -> Option<()> {
        self.next()?;
        let found = self.bytes[self.at..].starts_with(wanted);
        self.at += wanted.len();
        found.then_some(())
    }

    /// Whether a list goes on.
    #[inline]
    fn is_more(&mut self) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b']' => Some(false),
            _ => None,
        }
    }

    /// The numbers of a list that was opened; there must be just as many as there is room.
    fn record<T: Float>(&mut self, room: &mut [T]) -> Option<()> {
        let last = room.len() - 1;
        for (place, slot) in room.iter_mut().enumerate() {
            self.next()?;
            *slot = T::of(self.number()?);
            if self.is_more()? == (place == last) {
                return None;
            }
        }
        Some(())
    }

    #[inline]
    fn number(&mut self) -> Option<f64> {
        let rest = &self.bytes[self.at..];
        let start = usize::from(rest.first() == Some(&b'-'));
        let (mut at, mut point, mut digits) = (start, None, 0_u64);
        while let Some(byte) = rest.get(at) {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                // Of too many digits the number is refused below.
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if *byte == b'.' && point.is_none() {
                point = Some(at);
            } else {
                break;
            }
            at += 1;
        }
        self.at += at;
        let whole = point.unwrap_or(at) - start;
        let decimals = point.map_or(0, |point| at - point - 1);
        let is_plain = whole > 0 && (whole == 1 || rest[start] != b'0') && whole + decimals <= DIGITS && (point.is_none() || decimals > 0);
        let number = digits as f64 / *POWERS.get(decimals).filter(|_| is_plain)?;
        Some(if start == 1 { -number } else { number })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::description::Description;
    use crate::fuzz::rules::run;
    use crate::json::predict::{Form, parse};

    fn model(dtype: &str) -> Description {
        let column = format!(r#"{{"name":"X","dtype":"{dtype}","shape":[2]}}"#);
        let text =
            format!(r#"{{"name":"m","version":"1","runtime":"onnx","signature":{{"inputs":[{column}],"outputs":[]}},"binding":{{}}}}"#);
        Description::from_json(&text).unwrap()
    }

    fn column(dtype: &str) -> Column {
        model(dtype).signature.inputs.remove(0)
    }

    fn agrees(body: &[u8]) {
        for model in [model("FP32"), model("FP64")] {
            let column = &model.signature.inputs[0];
            if let Some(found) = decode(body, column) {
                let parsed = parse(body, &Form::new(&model), column);
                let text = String::from_utf8_lossy(body);
                assert_eq!(parsed.unwrap_or_else(|fault| panic!("{text}: {fault:?}")), vec![found], "{text}");
            }
        }
    }

    #[test]
    fn the_usual_forms_are_read() {
        for (body, rows) in [
            (r#"{"features":[1,2.5]}"#, 1),
            (r#" { "features" : [ -0 , 0.125 ] } "#, 1),
            (r#"{"features":[[1,2.5],[3,-4.75]]}"#, 2),
            (r#"{"features":[[999999999999999,0.00000000000001]]}"#, 1),
        ] {
            let found = decode(body.as_bytes(), &column("FP32")).unwrap();
            assert_eq!(found.shape, [rows, 2], "{body}");
            agrees(body.as_bytes());
        }
    }

    #[test]
    fn everything_else_is_left_to_the_parser() {
        for body in [
            "",
            "{}",
            r#"{"features":[1]}"#,
            r#"{"features":[1,2,3]}"#,
            r#"{"features":[[1,2],[3]]}"#,
            r#"{"features":[[1,2],3]}"#,
            r#"{"features":[1,2]}x"#,
            r#"{"features":[1,2],"features":[1,2]}"#,
            r#"{"features":[1,2"#,
            r#"{"features":[01,2]}"#,
            r#"{"features":[1.,2]}"#,
            r#"{"features":[.5,2]}"#,
            r#"{"features":[-,2]}"#,
            r#"{"features":[1e3,2]}"#,
            r#"{"features":[null,2]}"#,
            r#"{"features":[1234567890123456,2]}"#,
            r#"{"features":[12345678.12345678,2]}"#,
            r#"{"feature":[1,2]}"#,
        ] {
            assert_eq!(decode(body.as_bytes(), &column("FP32")), None, "{body}");
        }
    }

    #[test]
    fn what_is_read_is_what_the_parser_reads() {
        let number = prop_oneof![
            any::<f32>().prop_map(|number| format!("{number}")),
            any::<f64>().prop_map(|number| format!("{number}")),
            (any::<i32>(), 0..16_u32).prop_map(|(number, decimals)| format!("{:.*}", decimals as usize, f64::from(number) / 1e3)),
            "-?[0-9]{1,3}[.]?[0-9]{0,15}",
        ];
        run(&vec(number, 1..7), |numbers| {
            agrees(format!("{{\"features\":[{}]}}", numbers.join(",")).as_bytes());
            let records: Vec<String> = numbers.chunks(2).map(|record| format!("[{}]", record.join(" , "))).collect();
            agrees(format!("{{\"features\":[{}]}}", records.join(",\n")).as_bytes());
        });
    }
}

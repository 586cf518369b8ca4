//! JSON, token by token, over bytes that need not be JSON.

use std::borrow::Cow;

use super::words::{Short, eight_digits, next_mark, short_number};

/// Why a text is not what it should be, and where that shows; [`super::fault`] says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The text is no JSON.
    Malformed,
    /// The value that starts here is none of its column.
    Value(usize),
    /// A text has half a surrogate pair.
    Surrogate,
    /// A time has no zone.
    Zone(usize),
    /// Lists are not nested as the shape says.
    Ragged,
    /// Nulls stand for too much.
    Nulls,
}

/// A number as it is written.
pub(super) struct Number<'t> {
    token: &'t [u8],
    is_negative: bool,
    /// Its digits, without point and exponent; wrong where there are more than 19.
    digits: u64,
    digit_count: usize,
    has_exponent: bool,
    has_point: bool,
}

/// An integer below this and a power of ten up to 22 are exact, and so is the nearest double of their quotient:
/// Clinger, "How to read floating point numbers accurately", 1990.
const EXACT: u64 = 1 << 53;
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
/// Digits that fit into 64 bits.
const DIGITS: usize = 19;

impl Number<'_> {
    /// Whether it has neither point nor exponent.
    pub(super) const fn is_whole(&self) -> bool {
        !self.has_point && !self.has_exponent
    }

    /// The nearest double; infinite where it is too large. Those of few digits were read before.
    pub(super) fn float(&self) -> Option<f64> {
        std::str::from_utf8(self.token).ok()?.parse().ok()
    }

    /// Its value, if it is whole and within 128 bits.
    pub(super) fn whole(&self) -> Option<i128> {
        if !self.is_whole() {
            return None;
        }
        if self.digit_count <= DIGITS {
            return Some(if self.is_negative { -i128::from(self.digits) } else { i128::from(self.digits) });
        }
        std::str::from_utf8(self.token).ok()?.parse().ok()
    }
}

/// Their doubles are the nearest to a tenth, a hundredth, ...
const PARTS: [f64; 8] = [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7];

impl Short {
    /// To the nearest single, of seven digits at most: that of the product, which is d / 10^k but for 2^-52 of it.
    ///
    /// A product could lead past the middle between two singles, m * 2^e with m odd and of 25 bits. No number is that near: those
    /// below 10^7 have e < 0, so m * 2^e is another one than d / 10^k (it would need d >= m), and at least 10^-7 * 2^-25 of itself away.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    #[expect(clippy::cast_possible_truncation, reason = "it is the nearest that is asked for")]
    pub(super) const fn single(self) -> f32 {
        (exact(self.digits) * PARTS[self.decimals]) as f32
    }

    /// To the nearest double.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    pub(super) const fn double(self) -> f64 {
        exact(self.digits) / POWERS[self.decimals]
    }
}

/// A whole number below 2^52 as a double: it is the lowest bits of that of 2^52 more.
///
/// The instruction for it keeps a half of the register that it writes, and so would wait for the number before this one.
const fn exact(whole: u64) -> f64 {
    const BASE: f64 = (1_u64 << 52) as f64;
    f64::from_bits(BASE.to_bits() | whole) - BASE
}

/// A text, and how far it has been read.
#[derive(Clone)]
pub(crate) struct Cursor<'t> {
    pub(crate) text: &'t [u8],
    pub(crate) at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space; 0, which no JSON has there, at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Goes behind a byte that has to come next.
    #[inline]
    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), Wrong> {
        if self.peek() == wanted {
            self.at += 1;
            return Ok(());
        }
        Err(Wrong::Malformed)
    }

    /// Goes behind a byte if it comes next.
    #[inline]
    pub(crate) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found
    }

    /// Whether a list or object goes on behind an entry; goes behind its comma or its end.
    #[inline]
    pub(crate) fn is_more(&mut self, end: u8) -> Result<bool, Wrong> {
        let byte = self.peek();
        if byte != b',' && byte != end {
            return Err(Wrong::Malformed);
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Goes behind `null`, if it comes next.
    #[inline]
    pub(super) fn null(&mut self) -> Result<bool, Wrong> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.word(b"null").map(|()| true)
    }

    /// Goes behind a word that has to come next.
    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), Wrong> {
        self.peek();
        if !self.text[self.at..].starts_with(word) {
            return Err(Wrong::Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    /// The end of the text.
    pub(crate) fn end(&mut self) -> Result<(), Wrong> {
        if self.peek() == 0 && self.at == self.text.len() { Ok(()) } else { Err(Wrong::Malformed) }
    }

    /// A value that its column does not take, whatever it is.
    pub(super) fn refuse<T>(&mut self) -> Result<T, Wrong> {
        match self.peek() {
            b'[' => Err(Wrong::Ragged),
            b'"' | b'{' | b'-' | b'0'..=b'9' => Err(Wrong::Value(self.at)),
            b't' => self.clone().word(b"true").and(Err(Wrong::Value(self.at))),
            b'f' => self.clone().word(b"false").and(Err(Wrong::Value(self.at))),
            b'n' => self.clone().word(b"null").and(Err(Wrong::Value(self.at))),
            _ => Err(Wrong::Malformed),
        }
    }

    /// The digits of a number without an exponent, and where its point is; the place behind it. Of too many digits the number
    /// is wrong.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    fn digits(rest: &[u8], start: usize) -> (u64, usize, usize) {
        let (digits, point) = Self::more_digits(rest, start, 0);
        if rest.get(point) != Some(&b'.') {
            return (digits, usize::MAX, point);
        }
        let (mut digits, mut at) = (digits, point + 1);
        if let Some(number) = rest[at..].first_chunk().and_then(|eight| eight_digits(*eight)) {
            digits = digits.wrapping_mul(100_000_000).wrapping_add(number);
            at += 8;
        }
        let (digits, end) = Self::more_digits(rest, at, digits);
        (digits, point, end)
    }

    /// Goes on with the digits of a number; the place behind them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    fn more_digits(rest: &[u8], mut at: usize, mut digits: u64) -> (u64, usize) {
        while let Some(digit) = rest.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        (digits, at)
    }

    /// The next value, if it is a number of few bytes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    fn short(&mut self) -> Option<(bool, Short)> {
        let rest = &self.text[self.at..];
        let is_negative = rest.first() == Some(&b'-');
        let start = usize::from(is_negative);
        let short = rest[start..].first_chunk().and_then(|eight| short_number(*eight))?;
        self.at += start + short.length;
        Some((is_negative, short))
    }

    /// As [`Cursor::plain_float`], and rounded once more, as `protocol.md` says.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    #[expect(clippy::cast_possible_truncation, reason = "it is the nearest that is asked for")]
    pub(super) fn plain_single(&mut self) -> Option<f32> {
        let Some((is_negative, short)) = self.short() else { return self.long_float().map(|wide| wide as f32) };
        let number = short.single();
        Some(if is_negative { -number } else { number })
    }

    /// The nearest double of a number that is exact in both of its parts; None, and nothing is read, for any other value.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    pub(super) fn plain_float(&mut self) -> Option<f64> {
        let Some((is_negative, short)) = self.short() else { return self.long_float() };
        let number = short.double();
        Some(if is_negative { -number } else { number })
    }

    /// The same for numbers of more bytes.
    fn long_float(&mut self) -> Option<f64> {
        let rest = &self.text[self.at..];
        let start = usize::from(rest.first() == Some(&b'-'));
        let (digits, point, at) = Self::digits(rest, start);
        if at == start {
            return None;
        }
        let whole = point.min(at) - start;
        let decimals = at - point.min(at - 1) - 1;
        let is_plain = whole > 0
            && (whole == 1 || rest[start] != b'0')
            && (point == usize::MAX || decimals > 0)
            && at - start <= DIGITS
            && digits < EXACT
            && !matches!(rest.get(at), Some(b'e' | b'E'));
        if !is_plain {
            return None;
        }
        self.at += at;
        let number = digits as f64 / POWERS[decimals];
        Some(if start == 1 { -number } else { number })
    }

    /// A whole number of few digits; None, and nothing is read, for any other value.
    #[inline]
    pub(super) fn plain_whole(&mut self) -> Option<i64> {
        let rest = &self.text[self.at..];
        let start = usize::from(rest.first() == Some(&b'-'));
        let (digits, point, at) = Self::digits(rest, start);
        let count = at - start;
        let is_plain = point == usize::MAX
            && (1..DIGITS).contains(&count)
            && (count == 1 || rest[start] != b'0')
            && !matches!(rest.get(at), Some(b'e' | b'E'));
        if !is_plain {
            return None;
        }
        self.at += at;
        let number = digits.cast_signed();
        Some(if start == 1 { -number } else { number })
    }

    /// A number, which has to come next.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'t>, Wrong> {
        let rest = &self.text[self.at..];
        let start = usize::from(rest.first() == Some(&b'-'));
        let (digits, point, at) = Self::digits(rest, start);
        let has_point = point != usize::MAX;
        let whole = point.min(at) - start;
        let decimals = if has_point { at - point - 1 } else { 0 };
        self.at += at;
        if whole == 0 || (whole > 1 && rest[start] == b'0') || (has_point && decimals == 0) {
            return Err(Wrong::Malformed);
        }
        let has_exponent = matches!(rest.get(at), Some(b'e' | b'E')) && self.exponent()?;
        let token = &rest[..self.at - (self.text.len() - rest.len())];
        Ok(Number { token, is_negative: start == 1, digits, digit_count: whole + decimals, has_exponent, has_point })
    }

    #[cold]
    fn exponent(&mut self) -> Result<bool, Wrong> {
        self.at += 1;
        self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(Wrong::Malformed) } else { Ok(true) }
    }

    /// A text, which has to come next.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>, Wrong> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0x20..) => self.at += 1,
                _ => return Err(Wrong::Malformed),
            }
        }
        self.at += 1;
        std::str::from_utf8(&self.text[start..self.at - 1]).map(Cow::Borrowed).map_err(|_| Wrong::Malformed)
    }

    /// The rest of a text that has escapes.
    fn escaped(&mut self, start: usize) -> Result<String, Wrong> {
        let mut octets = self.text[start..self.at].to_vec();
        loop {
            let byte = *self.text.get(self.at).ok_or(Wrong::Malformed)?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(octets).map_err(|_| Wrong::Malformed),
                b'\\' => octets.extend_from_slice(self.escape()?.encode_utf8(&mut [0; 4]).as_bytes()),
                0x20.. => octets.push(byte),
                _ => return Err(Wrong::Malformed),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, Wrong> {
        let byte = *self.text.get(self.at).ok_or(Wrong::Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Wrong::Malformed),
        })
    }

    fn unicode(&mut self) -> Result<char, Wrong> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(Wrong::Surrogate);
        }
        if !self.text[self.at..].starts_with(b"\\u") {
            return Err(Wrong::Surrogate);
        }
        self.at += 2;
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Wrong::Surrogate);
        }
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(Wrong::Surrogate)
    }

    fn hex(&mut self) -> Result<u32, Wrong> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Wrong::Malformed)?;
        self.at += 4;
        let digit = |number: u32, byte: &u8| char::from(*byte).to_digit(16).map(|digit| number * 16 + digit);
        digits.iter().try_fold(0, digit).ok_or(Wrong::Malformed)
    }

    /// Goes behind a text without looking at what it says.
    fn skip_string(&mut self) -> Result<(), Wrong> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(Wrong::Malformed),
            }
        }
    }

    /// Goes behind a list, calling back where each of its entries ends. What stands in them is not looked at: whoever reads
    /// them will.
    pub(super) fn skip_list(&mut self, mut entry: impl FnMut(usize)) -> Result<(), Wrong> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        let mut depth = 1_usize;
        loop {
            self.at += next_mark(&self.text[self.at..], depth == 1).ok_or(Wrong::Malformed)?;
            match self.text[self.at] {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                b',' if depth == 1 => entry(self.at),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                entry(self.at - 1);
                return Ok(());
            }
        }
    }
}

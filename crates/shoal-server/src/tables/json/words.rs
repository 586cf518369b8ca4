//! Eight bytes at a time, in one word.

const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGH: u64 = 0x8080_8080_8080_8080;
pub(super) const ZEROS: u64 = 0x30 * ONES;
const POINTS: u64 = 0x2e * ONES;
/// Of `[`, `]`, `{` and `}`, and few other bytes, nothing but these bits are left when those of [`BRACKET_BITS`] are set.
const BRACKETS: u64 = 0x7f * ONES;
const BRACKET_BITS: u64 = 0x26 * ONES;

/// The number that eight digits are, if all of them are digits.
#[inline]
pub(super) const fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes);
    // A byte below '0' borrows, one above '9' carries: either sets the highest bit of it.
    if (word.wrapping_add(0x46 * ONES) | word.wrapping_sub(ZEROS)) & HIGH != 0 {
        return None;
    }
    Some(joined(word - ZEROS))
}

/// The number of eight digits, the first of which is in the lowest byte.
#[inline]
pub(super) const fn joined(digits: u64) -> u64 {
    // Pairs, then fours, then all: the more significant digit lies in the lower byte.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// A number without sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    /// Its digits, without the point.
    pub(super) digits: u64,
    /// How many of them stand behind the point.
    pub(super) decimals: usize,
    /// How many bytes it has.
    pub(super) length: usize,
}

/// The number at the beginning of eight bytes, if it is written as JSON has it, ends within them and has no exponent.
///
/// Nothing here branches by how many digits there are: where lengths vary from value to value, guessing them costs most. How
/// long the number is, on which the next one waits, is known without looking at a byte by its place.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
pub(super) const fn short_number(bytes: [u8; 8]) -> Option<Short> {
    let text = u64::from_le_bytes(bytes);
    let word = text ^ ZEROS;
    // Of a byte that is no digit the highest bit: 10 and more carries into it, and no byte into the next.
    let others = above(word, 9);
    let points = !above(text ^ POINTS, 0) & HIGH;
    let point = others & others.wrapping_neg() & points;
    let length = (others ^ point).trailing_zeros() / 8;
    let whole = others.trailing_zeros() / 8;
    if length == 8 || whole == 0 || (whole > 1 && bytes[0] == b'0') || (text >> (8 * length)) & 0xdf == b'E' as u64 {
        return None;
    }
    let decimals = length - whole - (point != 0) as u32;
    if point != 0 && decimals == 0 {
        return None;
    }
    let before = word & ((1 << (8 * whole)) - 1);
    let behind = (word >> (8 * (length - decimals))) & ((1 << (8 * decimals)) - 1);
    // Zeros before the number: it is the end of eight digits.
    let digits = joined((before | (behind << (8 * whole))) << (8 * (8 - whole - decimals)));
    Some(Short { digits, decimals: decimals as usize, length: length as usize })
}

/// The highest bit of each byte that is above a number, which is below 128.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is one expression of the loop over values")]
pub(super) const fn above(word: u64, number: u64) -> u64 {
    (((word & !HIGH) + (0x7f - number) * ONES) | word) & HIGH
}

/// The highest bit of each byte that is zero; above the first of them there may be others.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Where the next bracket or quote is, or comma if they matter; it may be one of few other bytes, too.
pub(super) fn next_mark(bytes: &[u8], has_commas: bool) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let commas = if has_commas { zeros(word ^ (u64::from(b',') * ONES)) } else { 0 };
        let marks = zeros((word | BRACKET_BITS) ^ BRACKETS) | zeros(word ^ (u64::from(b'"') * ONES)) | commas;
        if marks != 0 {
            return Some(place * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let is_mark = |byte: &u8| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}' | b',');
    rest.iter().position(is_mark).map(|place| words.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::rules::run;

    #[test]
    fn eight_digits_are_the_number_that_they_are_and_anything_else_is_none() {
        let digits = (any::<u32>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
        run(&digits, |(number, place, byte, is_broken)| {
            let mut bytes: [u8; 8] = format!("{:08}", number % 100_000_000).into_bytes().try_into().unwrap();
            if is_broken {
                bytes[place.index(8)] = byte;
            }
            let text = std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(eight_digits(bytes), text.map(|text| text.parse().unwrap()));
        });
    }

    #[test]
    fn a_short_number_is_what_it_is_read_as_and_anything_else_is_none() {
        let byte = prop_oneof![8 => proptest::char::range('0', '9').prop_map(|digit| digit as u8), 2 => Just(b'.'), 2 => Just(b','), 1 => any::<u8>()];
        run(&prop::array::uniform8(byte), |bytes| {
            let length = bytes.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.');
            let text = length.and_then(|length| std::str::from_utf8(&bytes[..length]).ok());
            let is_json = |text: &&str| serde_json::from_str::<f64>(text).is_ok() && !matches!(bytes[text.len()], b'e' | b'E');
            let found = short_number(bytes);
            if let Some(text) = text.filter(is_json) {
                let Short { digits, decimals, length } = found.unwrap();
                assert_eq!((digits as f64 / 10_f64.powi(i32::try_from(decimals).unwrap()), length), (text.parse().unwrap(), text.len()));
            } else if let Some(short) = found {
                // Two points: the number ends before the second.
                assert_eq!(bytes[short.length], b'.');
            }
        });
    }

    #[test]
    fn no_mark_is_passed_over() {
        let bytes = prop::collection::vec(prop_oneof![Just(b'1'), Just(b','), Just(b'['), Just(b'"'), any::<u8>()], 0..40);
        run(&(bytes, any::<bool>()), |(bytes, has_commas)| {
            let wanted = |byte: &u8| b"\"[]{}".contains(byte) || (has_commas && *byte == b',');
            let first = bytes.iter().position(wanted);
            match next_mark(&bytes, has_commas) {
                None => assert_eq!(first, None),
                Some(place) => assert!(first.is_none_or(|first| place <= first)),
            }
        });
    }
}

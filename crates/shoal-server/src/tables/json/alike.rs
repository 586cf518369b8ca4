//! Numbers that are written alike: with as many decimals as the one before, and a comma behind them.
//!
//! Most lists of numbers are of this kind. Where a number ends is then known from how many digits stand before its point, and
//! what follows is compared as one word: the next number waits for little, and nothing depends on its value.

use super::words::{HIGH, Short, ZEROS, above, joined};

/// Bytes that are looked at.
const WORD: usize = 8;

/// How a number without a sign is written, and what stands between it and the next one.
#[derive(Clone, Copy)]
pub(super) struct Form {
    decimals: u32,
    /// Bytes from behind the whole digits to the next number.
    rest: usize,
    /// Of these, those that are the same in every number, and what they are.
    same: u64,
    marks: u64,
    /// Of a number at the end of a word: where its whole digits end, in bits, those before its point, those behind it, how
    /// wide the point is, in bits, and its highest one.
    whole_end: u32,
    before: u64,
    behind: u64,
    point_bits: u32,
    point: u64,
}

impl Form {
    /// Of a number with what stands behind it: a comma, and a space or none. None where it takes too many bytes.
    pub(super) fn of(written: &[u8]) -> Option<Self> {
        let gap = written.iter().rev().take_while(|byte| matches!(byte, b',' | b' ')).count();
        let number = &written[..written.len() - gap];
        let whole = number.iter().position(|byte| *byte == b'.').unwrap_or(number.len());
        let rest = written.len() - whole;
        if gap == 0 || rest >= WORD {
            return None;
        }
        let (mut same, mut marks) = (0, 0);
        for (place, byte) in written[whole..].iter().enumerate().filter(|(_, byte)| !byte.is_ascii_digit()) {
            same |= 0xff << (8 * place);
            marks |= u64::from(*byte) << (8 * place);
        }
        let point_bits = if whole < number.len() { 8 } else { 0 };
        let decimals = number.len() - whole - point_bits / 8;
        let whole_end = u32::try_from(64 - 8 * (number.len() - whole)).ok()?;
        let before = u64::MAX.checked_shr(64 - whole_end).unwrap_or(0);
        let point = ((1_u64 << point_bits) - 1).checked_shl(whole_end).unwrap_or(0);
        Some(Self {
            decimals: u32::try_from(decimals).ok()?,
            rest,
            same,
            marks,
            whole_end,
            before,
            behind: !(before | point),
            point_bits: u32::try_from(point_bits).ok()?,
            point: point & HIGH,
        })
    }

    /// The number at the beginning of eight bytes, if it is of this form; its length reaches to the next one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the loop over the values of a column is this one")]
    #[expect(clippy::needless_bitwise_bool, reason = "how many digits there are varies, and is not to be guessed")]
    pub(super) const fn read(&self, bytes: [u8; WORD]) -> Option<Short> {
        let text = u64::from_le_bytes(bytes);
        let word = text ^ ZEROS;
        let others = above(word, 9);
        let whole_bits = others.trailing_zeros() & 0x78;
        // Moved to the end of the word, with zeros before it. What does not fit there has other marks; of eight digits the first
        // is compared with a mark, and is none.
        let way = self.whole_end.wrapping_sub(whole_bits);
        let is_other = ((text.wrapping_shr(whole_bits) & self.same) ^ self.marks) | (others.wrapping_shl(way) ^ self.point);
        let is_json = (whole_bits == 8) | ((whole_bits > 8) & (word & 0xff != 0));
        if !((is_other == 0) & is_json) {
            return None;
        }
        let number = word.wrapping_shl(way);
        let digits = joined((number & self.behind) | ((number & self.before) << self.point_bits));
        Some(Short { digits, decimals: self.decimals as usize, length: whole_bits as usize / 8 + self.rest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::rules::run;
    use crate::tables::json::words::short_number;

    fn written() -> impl Strategy<Value = String> {
        ("(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?", any::<bool>()).prop_map(|(number, has_space)| number + if has_space { ", " } else { "," })
    }

    #[test]
    fn a_number_that_is_written_alike_is_read_as_any_other() {
        let byte = prop_oneof![8 => proptest::char::range('0', '9').prop_map(|digit| digit as u8), 2 => Just(b'.'), 2 => Just(b','), 1 => any::<u8>()];
        run(&(written(), prop::array::uniform8(byte)), |(one, bytes)| {
            if let Some(found) = Form::of(one.as_bytes()).and_then(|form| form.read(bytes)) {
                let gap = one.len() - one.trim_end_matches([',', ' ']).len();
                let same = Short { length: found.length - gap, ..found };
                assert_eq!(short_number(bytes), Some(same));
                assert!(one.as_bytes().ends_with(&bytes[same.length..found.length]));
            }
        });
    }

    #[test]
    fn every_short_number_of_a_form_is_read() {
        run(&(written(), 0_u32..1000), |(one, whole)| {
            let rest = one.trim_start_matches(|each: char| each.is_ascii_digit());
            let other = format!("{whole}{rest}");
            let mut bytes = [b'7'; WORD];
            if other.len() <= WORD && rest.len() < WORD {
                bytes[..other.len()].copy_from_slice(other.as_bytes());
                let found = Form::of(one.as_bytes()).unwrap().read(bytes).unwrap();
                assert_eq!(found.length, other.len());
            }
        });
    }

    #[test]
    fn what_is_no_number_of_the_form_is_none() {
        let form = Form::of(b"1.5,").unwrap();
        for other in
            [*b"01.5,1.5", *b".5,1.5,1", *b"1.55,1.5", *b"1.5 ,1.5", *b"-1.5,1.5", *b"1.e,1.5,", *b"15,1.5,1", *b"12345678", *b"1.5e3,1,"]
        {
            assert_eq!(form.read(other), None, "{other:?}");
        }
    }
}

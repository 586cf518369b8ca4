//! Whole numbers of any size times a power of two: what exact sums become before they are rounded, once.

use std::cmp::Ordering;

/// Bits of a double's mantissa.
const MANTISSA_BITS: i32 = 53;

/// `words * 2^exponent`, the lowest word first, or that below zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Large {
    is_negative: bool,
    /// No zeros at either end; empty is zero.
    words: Vec<u64>,
    /// A multiple of 64.
    exponent: i32,
}

impl Large {
    /// A number that is not negative; its exponent is a multiple of 64.
    pub(super) fn of(words: &[u64], exponent: i32) -> Self {
        let top = words.iter().rposition(|word| *word != 0).map_or(0, |place| place + 1);
        let low = words[..top].iter().position(|word| *word != 0).unwrap_or(top);
        let exponent = if low == top { 0 } else { exponent + 64 * i32::try_from(low).unwrap_or_default() };
        Self { is_negative: false, words: words[low..top].to_vec(), exponent }
    }

    /// One.
    pub(super) fn one() -> Self {
        Self::of(&[1], 0)
    }

    /// Whether it is more than zero.
    pub(super) const fn is_positive(&self) -> bool {
        !self.is_negative && !self.words.is_empty()
    }

    /// This less the other.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (one, two) = (self.words_from(exponent), other.words_from(exponent));
        if self.is_negative != other.is_negative {
            return Self { is_negative: self.is_negative, ..Self::of(&added(one, &two), exponent) };
        }
        let (is_negative, words) = match compared(&one, &two) {
            Ordering::Less => (!self.is_negative, subtracted(two, &one)),
            _ => (self.is_negative, subtracted(one, &two)),
        };
        let found = Self::of(&words, exponent);
        Self { is_negative: is_negative && !found.words.is_empty(), ..found }
    }

    /// This times the other.
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut words = vec![0; self.words.len() + other.words.len()];
        for (place, one) in self.words.iter().enumerate() {
            let mut carry = 0;
            for (word, two) in words[place..].iter_mut().zip(&other.words) {
                (*word, carry) = one.carrying_mul_add(*two, *word, carry);
            }
            words[place + other.words.len()] = carry;
        }
        let found = Self::of(&words, self.exponent + other.exponent);
        Self { is_negative: self.is_negative != other.is_negative && !found.words.is_empty(), ..found }
    }

    /// The nearest double, ties to even; beyond the largest one it is an infinity.
    pub(super) fn nearest(&self) -> f64 {
        let (mantissa, exponent) = self.rounded();
        scaled(mantissa, exponent)
    }

    /// This over the other, which is not zero: within three roundings of a double.
    pub(super) fn over(&self, other: &Self) -> f64 {
        let ((top, above), (bottom, below)) = (self.rounded(), other.rounded());
        scaled(top / bottom, above - below)
    }

    /// The whole number that it is, if that is one of 64 bits.
    pub(super) fn as_i64(&self) -> Option<i64> {
        let magnitude = match (self.words.as_slice(), self.exponent) {
            ([], _) => 0,
            ([word], 0) => i128::from(*word),
            _ => return None,
        };
        i64::try_from(if self.is_negative { -magnitude } else { magnitude }).ok()
    }

    /// The words, counted in units of 2^exponent, which is not above its own.
    fn words_from(&self, exponent: i32) -> Vec<u64> {
        let zeros = if self.words.is_empty() { 0 } else { usize::try_from((self.exponent - exponent) / 64).unwrap_or_default() };
        let mut words = vec![0; zeros];
        words.extend_from_slice(&self.words);
        words
    }

    /// `(mantissa, exponent)`: the number rounded once to 53 bits, ties to even.
    fn rounded(&self) -> (f64, i32) {
        let Some((top, rest)) = self.words.split_last() else { return (0.0, 0) };
        let zeros = top.leading_zeros();
        let next = rest.last().copied().unwrap_or_default();
        let (head, tail) = if zeros == 0 { (*top, next) } else { (top << zeros | next >> (64 - zeros), next << zeros) };
        let is_more = tail != 0 || rest.iter().rev().skip(1).any(|word| *word != 0);
        let bits = i32::try_from(64 * self.words.len()).unwrap_or_default() - i32::try_from(zeros).unwrap_or_default();
        let mantissa = mantissa_of(head, is_more);
        (if self.is_negative { -mantissa } else { mantissa }, self.exponent + bits - MANTISSA_BITS)
    }
}

/// The upper 53 of 64 bits, rounded to nearest and ties to even, where it is known whether there is more below.
fn mantissa_of(head: u64, is_more: bool) -> f64 {
    let (kept, cut) = (head >> 11, head & 0x7ff);
    let is_up = match cut.cmp(&0x400) {
        Ordering::Less => false,
        Ordering::Equal => is_more || kept & 1 == 1,
        Ordering::Greater => true,
    };
    (kept + u64::from(is_up)) as f64
}

/// `mantissa * 2^exponent`; rounded where that is subnormal, an infinity where it is too large.
fn scaled(mantissa: f64, exponent: i32) -> f64 {
    const STEP: i32 = 1000;
    let (mut value, mut left) = (mantissa, exponent.clamp(-3 * STEP, 3 * STEP));
    while left.abs() > STEP {
        value *= power_of_two(left.signum() * STEP);
        left -= left.signum() * STEP;
    }
    value * power_of_two(left)
}

/// 2^exponent, of a magnitude up to 1,000.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or_default() << 52)
}

fn compared(one: &[u64], two: &[u64]) -> Ordering {
    let at = |words: &[u64], place: usize| words.get(place).copied().unwrap_or_default();
    let places = (0..one.len().max(two.len())).rev();
    places.map(|place| at(one, place).cmp(&at(two, place))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn added(mut one: Vec<u64>, two: &[u64]) -> Vec<u64> {
    one.resize(one.len().max(two.len()) + 1, 0);
    let mut carry = false;
    for (place, word) in one.iter_mut().enumerate() {
        (*word, carry) = word.carrying_add(two.get(place).copied().unwrap_or_default(), carry);
    }
    one
}

/// The larger less the smaller.
fn subtracted(mut larger: Vec<u64>, smaller: &[u64]) -> Vec<u64> {
    let mut borrow = false;
    for (place, word) in larger.iter_mut().enumerate() {
        (*word, borrow) = word.borrowing_sub(smaller.get(place).copied().unwrap_or_default(), borrow);
    }
    larger
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: i128) -> Large {
        let magnitude = value.unsigned_abs();
        let words = [u64::try_from(magnitude & u128::from(u64::MAX)).unwrap(), u64::try_from(magnitude >> 64).unwrap()];
        Large { is_negative: value < 0, ..Large::of(&words, 0) }
    }

    #[test]
    fn differences_and_products_are_those_of_whole_numbers() {
        let numbers = [0, 1, -1, 2, 3, 1 << 62, -(1 << 63), (1 << 63) + 1, -7 << 40, (1 << 63) - 1];
        for one in numbers {
            for two in numbers {
                let (left, right) = (of(one), of(two));
                assert_eq!((left.minus(&right), left.times(&right)), (of(one - two), of(one * two)), "{one} {two}");
            }
        }
    }

    #[test]
    fn numbers_are_rounded_to_nearest_and_ties_to_even() {
        for value in [(1_i128 << 53) + 1, (1 << 53) + 3, (1 << 100) + 1, (1 << 100) + (1 << 47), -(1 << 100) - (3 << 47), (1 << 117) - 1] {
            assert_eq!(of(value).nearest().to_bits(), (value as f64).to_bits(), "{value}");
        }
    }

    #[test]
    fn whole_numbers_of_64_bits_are_told_and_no_others() {
        for (value, expected) in [(0, Some(0)), (-(1_i128 << 63), Some(i64::MIN)), (1 << 63, None), (1 << 64, None), (-5, Some(-5))] {
            assert_eq!(of(value).as_i64(), expected, "{value}");
        }
    }

    #[test]
    fn quotients_reach_down_to_the_smallest_double_and_up_to_infinity() {
        let tiny = Large::of(&[1], -1088);
        assert_eq!(tiny.over(&Large::of(&[1 << 14], -1088)).to_bits(), 2_f64.powi(-14).to_bits());
        assert_eq!(tiny.times(&of(1 << 14)).nearest().to_bits(), 1);
        assert_eq!(of(3).over(&tiny).to_bits(), f64::INFINITY.to_bits());
    }
}

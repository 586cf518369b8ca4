//! Sums without rounding: of doubles, of integers, and of products of up to three of them.
//!
//! A sum is two whole numbers, of what lies above zero and of what lies below, counted in units of 2^-3264. That is fine
//! enough for the smallest weight times the square of the smallest value, and wide enough for the largest, as often as an
//! envelope has records. So the order of adding changes nothing, whatever cancels. Infinities and NaN are no such numbers; they are
//! remembered beside the sum, as IEEE 754 adds them.
//!
//! Source: U. Kulisch, "Computer Arithmetic and Validity", section 8 (long accumulators).

use super::large::Large;
use crate::tasks::number::Number;

/// The unit of a sum is 2^-OFFSET: whole words of it lie below the point.
const OFFSET: i32 = 51 * 64;
/// Words of a sum: those below the point, and as many above as the square of the largest double times the largest takes.
const WORDS: usize = 102;

/// A number as it is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Term {
    Finite(Finite),
    /// An infinity, or NaN.
    Special(f64),
}

/// `mantissa * 2^exponent`, or that below zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finite {
    is_negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl From<f64> for Term {
    fn from(value: f64) -> Self {
        if !value.is_finite() {
            return Self::Special(value);
        }
        let bits = value.to_bits();
        let (stored, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        // A subnormal number has no leading one, and the exponent of 1.
        let mantissa = if stored == 0 { fraction } else { fraction | 1 << 52 };
        let exponent = i32::try_from(stored.max(1)).unwrap_or_default() - 1075;
        Self::Finite(Finite { is_negative: value.is_sign_negative(), mantissa, exponent })
    }
}

impl From<u64> for Term {
    fn from(value: u64) -> Self {
        Self::Finite(Finite { is_negative: false, mantissa: value, exponent: 0 })
    }
}

impl From<Number> for Term {
    fn from(value: Number) -> Self {
        match value {
            Number::Boolean(value) => Self::from(u64::from(value)),
            Number::Floating(value) => Self::from(value),
            Number::Whole(value) => {
                let mantissa = u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX);
                Self::Finite(Finite { is_negative: value < 0, mantissa, exponent: 0 })
            }
        }
    }
}

impl Term {
    /// As far as the special values of IEEE 754 depend on it: its sign, and whether it is zero.
    const fn kind(self) -> f64 {
        match self {
            Self::Special(value) => value,
            Self::Finite(Finite { mantissa: 0, .. }) => 0.0,
            Self::Finite(Finite { is_negative: true, .. }) => -1.0,
            Self::Finite(_) => 1.0,
        }
    }

    const fn finite(self) -> Option<Finite> {
        match self {
            Self::Finite(finite) => Some(finite),
            Self::Special(_) => None,
        }
    }
}

/// A sum that is not rounded.
pub(super) struct Exact {
    above: Side,
    below: Side,
    special: Option<f64>,
}

impl Exact {
    /// The sum of nothing.
    pub(super) const fn new() -> Self {
        Self { above: Side::new(), below: Side::new(), special: None }
    }

    /// Begins again.
    pub(super) fn clear(&mut self) {
        self.above.clear();
        self.below.clear();
        self.special = None;
    }

    /// Adds the product of one to three numbers, one of them at most not a double but of 64 bits, or two that are the same.
    pub(super) fn add(&mut self, factors: &[Term]) {
        let Some(finite) = factors.iter().map(|factor| factor.finite()).collect::<Option<Product>>() else {
            let special = factors.iter().map(|factor| factor.kind()).product::<f64>();
            self.special = Some(self.special.unwrap_or(0.0) + special);
            return;
        };
        let side = if finite.is_negative { &mut self.below } else { &mut self.above };
        side.add(finite.words, finite.exponent);
    }

    /// What the special values that were added come to; None where there were none.
    pub(super) const fn special(&self) -> Option<f64> {
        self.special
    }

    /// The sum of all that is finite.
    pub(super) fn total(&self) -> Large {
        self.above.large().minus(&self.below.large())
    }
}

/// The product of some finite numbers.
struct Product {
    is_negative: bool,
    words: [u64; 3],
    exponent: i32,
}

impl FromIterator<Finite> for Product {
    fn from_iter<T: IntoIterator<Item = Finite>>(factors: T) -> Self {
        let one = Self { is_negative: false, words: [1, 0, 0], exponent: 0 };
        factors.into_iter().fold(one, |product, factor| Self {
            is_negative: product.is_negative != factor.is_negative,
            words: times(product.words, factor.mantissa),
            exponent: product.exponent + factor.exponent,
        })
    }
}

fn times(mut words: [u64; 3], factor: u64) -> [u64; 3] {
    let mut carry = 0;
    for word in &mut words {
        (*word, carry) = word.carrying_mul(factor, carry);
    }
    words
}

/// A whole number that only grows.
struct Side {
    words: [u64; WORDS],
    /// The words that may be other than zero.
    used: (usize, usize),
}

impl Side {
    const fn new() -> Self {
        Self { words: [0; WORDS], used: (WORDS, 0) }
    }

    fn clear(&mut self) {
        let (low, high) = self.used;
        if low < high {
            self.words[low..high].fill(0);
        }
        self.used = (WORDS, 0);
    }

    fn add(&mut self, words: [u64; 3], exponent: i32) {
        if words == [0; 3] {
            return;
        }
        let place = usize::try_from(OFFSET + exponent).unwrap_or_default();
        let mut at = place / 64;
        self.used.0 = self.used.0.min(at);
        let mut carry = false;
        for word in shifted(words, place % 64) {
            (self.words[at], carry) = self.words[at].carrying_add(word, carry);
            at += 1;
        }
        while carry {
            (self.words[at], carry) = self.words[at].overflowing_add(1);
            at += 1;
        }
        self.used.1 = self.used.1.max(at);
    }

    fn large(&self) -> Large {
        let (low, high) = self.used;
        let words = if low < high { &self.words[low..high] } else { &[] };
        Large::of(words, i32::try_from(low.min(high)).unwrap_or_default() * 64 - OFFSET)
    }
}

/// The words moved up by less than a word.
const fn shifted([low, middle, high]: [u64; 3], bits: usize) -> [u64; 4] {
    if bits == 0 {
        return [low, middle, high, 0];
    }
    let back = 64 - bits;
    [low << bits, middle << bits | low >> back, high << bits | middle >> back, high >> back]
}

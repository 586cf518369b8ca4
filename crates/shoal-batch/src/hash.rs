//! A hash of one 64-bit number, for the tables on the hot path.
//!
//! The standard hash resists keys chosen by an attacker and costs three times as much. The keys here are numbers that
//! the owner hands out, so a multiplication that mixes all bits into both halves is enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table from 64-bit numbers that its owner hands out.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// 2^64 divided by the golden ratio, made odd. Source: Knuth, The Art of Computer Programming 3, section 6.4.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes one number.
#[derive(Clone, Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ GOLDEN) * u128::from(GOLDEN);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(number: u64) -> u64 {
        let mut hasher = NumberHasher::default();
        hasher.write_u64(number);
        hasher.finish()
    }

    #[test]
    fn consecutive_numbers_spread_over_the_low_and_the_high_bits() {
        let low: HashSet<u64> = (0..4096).map(|number| hash(number) & 0xFFF).collect();
        let high: HashSet<u64> = (0..4096).map(|number| hash(number) >> 52).collect();
        assert!(low.len() > 2000, "{}", low.len());
        assert!(high.len() > 2000, "{}", high.len());
    }
}

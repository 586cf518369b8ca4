//! Lengths that records are padded to, so that those of different lengths share a bucket.

/// The next of four steps in each power of two: 1 to 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 and so on; 0 stays 0.
///
/// A length grows by a fourth at most, and there are few lengths: less than forty up to a thousand.
#[must_use]
pub fn rounded_length(length: usize) -> usize {
    length.next_multiple_of((length.max(1).next_power_of_two() / 8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_grows_by_a_fourth_at_most_and_there_are_few_of_them() {
        let mut steps: Vec<usize> = (1..=1000).map(rounded_length).collect();
        assert!((1..=1000).zip(&steps).all(|(length, step)| length <= *step && 4 * step <= 5 * length));
        steps.dedup();
        assert_eq!(steps[..13], [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20]);
        assert!(steps.len() < 40 && rounded_length(0) == 0);
    }
}

//! Numbers for the shapes of variable columns, exact and bounded by the requests that wait.

use std::collections::HashMap;

use shoal_batch::{Bucket, Kin, Shape};

use crate::padding::Lengths;

/// Shapes whose numbers outlive their requests: what was learned of them is of use when they come again.
pub(crate) const SHAPES_KEPT: usize = 256;

#[derive(Default)]
pub(crate) struct Buckets {
    known: HashMap<Vec<usize>, (u64, usize)>,
    /// By the dimensions that padding leaves alone.
    kins: HashMap<Vec<usize>, Kin>,
    next: u64,
}

/// The bucket of a request.
pub(crate) struct Entered {
    pub(crate) bucket: Bucket,
    pub(crate) is_new: bool,
    /// Numbers that stand for nothing any more.
    pub(crate) swept: Vec<Bucket>,
}

impl Buckets {
    pub(crate) fn enter(&mut self, shapes: Option<&Vec<usize>>) -> Entered {
        let known = |number| Entered { bucket: Bucket(number), is_new: false, swept: Vec::new() };
        let Some(shapes) = shapes else { return known(0) };
        if let Some((number, users)) = self.known.get_mut(shapes) {
            *users += 1;
            return known(*number);
        }
        let swept = if self.known.len() >= SHAPES_KEPT { self.sweep() } else { Vec::new() };
        self.next += 1;
        self.known.insert(shapes.clone(), (self.next, 1));
        Entered { bucket: Bucket(self.next), is_new: true, swept }
    }

    fn sweep(&mut self) -> Vec<Bucket> {
        let unused = self.known.extract_if(|_, (_, users)| *users == 0);
        unused.map(|(_, (number, _))| Bucket(number)).collect()
    }

    /// What the batcher is told of a shape that is padded.
    pub(crate) fn shape(&mut self, Lengths { beside, padded, row_bytes }: Lengths) -> Shape {
        if self.kins.len() >= SHAPES_KEPT {
            // Who is told from here on travels with those who are: no number is used twice.
            self.kins.clear();
        }
        self.next += 1;
        let kin = *self.kins.entry(beside).or_insert(Kin(self.next));
        Shape { kin, lengths: padded.into(), row_bytes }
    }

    pub(crate) fn leave(&mut self, shapes: Option<&Vec<usize>>) {
        if let Some((_, users)) = shapes.and_then(|shapes| self.known.get_mut(shapes)) {
            *users -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_shapes_that_nobody_uses_few_are_kept_and_one_in_use_keeps_its_number() {
        let mut buckets = Buckets::default();
        let used = buckets.enter(Some(&vec![3])).bucket;
        let mut swept = Vec::new();
        for size in 10..2000 {
            let shapes = vec![size];
            swept.extend(buckets.enter(Some(&shapes)).swept);
            buckets.leave(Some(&shapes));
        }
        assert!(buckets.known.len() <= SHAPES_KEPT && swept.len() >= 1990 - SHAPES_KEPT);
        assert!(!swept.contains(&used));
        let again = buckets.enter(Some(&vec![3]));
        assert!(again.bucket == used && !again.is_new);
    }

    #[test]
    fn shapes_are_of_one_kin_if_they_differ_in_padded_lengths_only() {
        let mut buckets = Buckets::default();
        let mut kin =
            |beside: usize, length: usize| buckets.shape(Lengths { beside: vec![beside], padded: vec![length], row_bytes: 8 * length }).kin;
        assert_eq!(kin(1, 4), kin(1, 8));
        assert_ne!(kin(1, 4), kin(2, 4));
        let early = kin(1, 4);
        (10..1000).for_each(|beside| assert_ne!(kin(beside, 4), early));
        assert!(buckets.kins.len() <= SHAPES_KEPT);
    }
}

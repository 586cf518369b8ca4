//! Which buckets of different lengths go together: those for which one call, padded to the longest, is cheaper.
//!
//! 1. The bucket whose turn it is goes in any case. The **target** is itself or a longer one that waits; shorter ones
//!    join it, the longest first, each whole.
//! 2. One joins if its rows in this call cost less than a call of their own, by more than what costs are uncertain by. So
//!    the executor is free sooner, for those behind and for whoever comes later. That those who go along wait for a
//!    longer call counts for nothing: where it did, the mean of those who waited at the moment was better, and the tail
//!    of a loop of few clients a quarter worse.
//! 3. Of several targets the one wins that saves most.
//! 4. A time that is not known at all is no reason: that bucket goes alone, and is known then.

use crate::kin::{Load, Queued, Shape};
use crate::{Bucket, Limits};

/// Costs are known to within so much of themselves; a saving that is smaller is none.
pub(crate) const UNCERTAINTY: f64 = 0.05;

/// A bucket that waits, with its shape and the seconds that it takes alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'s> {
    pub(crate) waits: Queued,
    pub(crate) shape: &'s Shape,
    pub(crate) alone: f64,
}

/// Buckets that go together; the first is the target.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    pub(crate) members: Vec<Bucket>,
    pub(crate) rows: usize,
    /// Seconds that it saves.
    saved: f64,
}

/// What a choice is made by.
pub(crate) struct Terms<'t, Took: Fn(&Queued, &Shape, usize) -> Option<f64>> {
    pub(crate) limits: &'t Limits,
    /// Seconds that a call may take at most.
    pub(crate) longest: f64,
    /// The seconds of so many rows in a bucket, if they are known.
    pub(crate) took: Took,
}

/// The best company for the first of the candidates; none if it goes alone.
pub(crate) fn choose<Took>(candidates: &[Candidate<'_>], terms: &Terms<'_, Took>) -> Option<Company>
where
    Took: Fn(&Queued, &Shape, usize) -> Option<f64>,
{
    let first = candidates.first()?;
    let targets = candidates.iter().filter(|target| target.shape.takes(first.shape));
    let companies = targets.filter_map(|target| gather(first, target, candidates, terms));
    companies.max_by(|one, other| one.saved.total_cmp(&other.saved))
}

/// A company that grows.
struct Growing<'g, 's> {
    target: &'g Candidate<'s>,
    members: Vec<Bucket>,
    load: Load,
    /// Seconds of the one call.
    together: f64,
    saved: f64,
}

/// All that are worth taking along to a target; `first` goes in any case.
fn gather<'s, Took>(first: &Candidate<'s>, target: &Candidate<'s>, candidates: &[Candidate<'s>], terms: &Terms<'_, Took>) -> Option<Company>
where
    Took: Fn(&Queued, &Shape, usize) -> Option<f64>,
{
    let load = Load::default().with(&target.waits, 0);
    let mut growing = Growing { target, members: vec![target.waits.bucket], load, together: target.alone, saved: 0.0 };
    let is_first = |candidate: &Candidate<'_>| candidate.waits.bucket == first.waits.bucket;
    if !is_first(target) {
        growing.admit(first, terms).then_some(())?;
    }
    let is_in = |candidate: &&Candidate<'_>| candidate.waits.bucket == target.waits.bucket || is_first(candidate);
    let mut joining: Vec<&Candidate<'_>> =
        candidates.iter().filter(|candidate| !is_in(candidate) && target.shape.takes(candidate.shape)).collect();
    joining.sort_by_key(|candidate| std::cmp::Reverse(candidate.shape.row_bytes));
    for candidate in joining {
        growing.admit(candidate, terms);
    }
    let Growing { members, load, saved, .. } = growing;
    (members.len() > 1).then_some(Company { members, rows: load.rows, saved })
}

impl Growing<'_, '_> {
    /// Takes one along if that is worth it.
    fn admit<Took>(&mut self, joining: &Candidate<'_>, terms: &Terms<'_, Took>) -> bool
    where
        Took: Fn(&Queued, &Shape, usize) -> Option<f64>,
    {
        let load = self.load.with(&joining.waits, self.target.shape.row_bytes - joining.shape.row_bytes);
        if !load.is_within(terms.limits) {
            return false;
        }
        let Some(together) = (terms.took)(&self.target.waits, self.target.shape, load.rows) else { return false };
        if together > terms.longest {
            return false;
        }
        let dearer = together - self.together;
        let is_worth_it = dearer < joining.alone * (1.0 - UNCERTAINTY);
        if is_worth_it {
            self.members.push(joining.waits.bucket);
            self.load = load;
            self.together = together;
            self.saved += joining.alone - dearer;
        }
        is_worth_it
    }
}

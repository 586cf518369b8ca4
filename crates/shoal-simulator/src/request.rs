//! A simulated request.

use shoal_batch::Moment;

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number, in order of arrival.
    pub id: u64,
    /// Its connection, from 1 on.
    pub client: u64,
    /// The requests it may be batched with.
    pub bucket: u64,
    /// How many rows.
    pub rows: usize,
    /// When it came.
    pub arrived: Moment,
    /// From when on an answer is of no use.
    pub deadline: Option<Moment>,
    /// As the protocol counts.
    pub priority: u8,
    /// Which source sent it.
    pub source: usize,
}

impl Request {
    pub(crate) fn is_late(&self, now: Moment) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

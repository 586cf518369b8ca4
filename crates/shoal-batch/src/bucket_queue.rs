//! The queue of one bucket: a line for each priority in it.

use crate::kin::Queued;
use crate::line::Line;
use crate::waiting::{Key, Place, Room, Share};
use crate::{Bucket, Moment};

/// Which line of a bucket goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The most urgent line, until it is empty.
    MostUrgent,
    /// The line whose next place is the oldest, whatever its priority.
    Oldest,
}

/// What the choice between buckets looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The rank of the most urgent line that is not empty, and its next place.
    pub(crate) urgent: (u8, u64),
    /// The oldest next place of all lines.
    pub(crate) oldest: Place,
}

#[derive(Debug)]
pub(crate) struct BucketQueue {
    pub(crate) bucket: Bucket,
    pub(crate) standing: Option<Standing>,
    /// Rows that wait.
    pub(crate) rows: usize,
    /// And their bytes.
    pub(crate) bytes: usize,
    /// The most urgent first; some may be empty.
    lines: Vec<Line>,
}

impl BucketQueue {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, standing: None, rows: 0, bytes: 0, lines: Vec::new() }
    }

    /// What waits, in numbers.
    pub(crate) const fn waiting(&self) -> Queued {
        Queued { bucket: self.bucket, rows: self.rows, bytes: self.bytes }
    }

    /// So much waits no more.
    pub(crate) const fn take(&mut self, share: Share) {
        self.rows -= share.rows;
        self.bytes -= share.bytes;
    }

    /// Keeps the memory of one small line for the bucket that comes next.
    pub(crate) fn close(&mut self) {
        self.lines.truncate(1);
        self.lines.iter_mut().for_each(Line::shrink);
    }

    /// The line of this rank, which is opened if it is missing.
    pub(crate) fn line(&mut self, rank: u8) -> &mut Line {
        let position = self.lines.partition_point(|line| line.rank < rank);
        if self.lines.get(position).is_none_or(|line| line.rank != rank) {
            self.lines.insert(position, Line::new(rank));
        }
        &mut self.lines[position]
    }

    /// The request whose turn is next.
    pub(crate) fn next(&self, order: Order, room: &Room) -> Option<Key> {
        match order {
            Order::MostUrgent => self.lines.iter().find_map(|line| line.next(room)),
            Order::Oldest => self.oldest_line(room)?.next(room),
        }
    }

    /// When the longest-waiting of the requests that are next in their lines arrived.
    pub(crate) fn oldest_arrival(&self, room: &Room) -> Option<Moment> {
        self.lines.iter().filter_map(|line| line.next(room)).map(|key| room[key].arrived).min()
    }

    fn oldest_line(&self, room: &Room) -> Option<&Line> {
        let waiting = self.lines.iter().filter_map(|line| Some((line.front(room)?.number, line)));
        waiting.min_by_key(|(number, _)| *number).map(|(_, line)| line)
    }

    /// How the bucket stands now; none if nothing waits in it.
    pub(crate) fn stand(&self, room: &Room) -> Option<Standing> {
        let mut fronts = self.lines.iter().filter_map(|line| Some((line.rank, line.front(room)?)));
        let (rank, first) = fronts.next()?;
        let oldest = fronts.fold(first, |oldest, (_, place)| if place.number < oldest.number { place } else { oldest });
        Some(Standing { urgent: (rank, first.number), oldest })
    }
}

//! The queues of all buckets, and which of them is served next.
//!
//! 1. The bucket with the most urgent request; among equals the one whose next place is the oldest. So buckets of equal
//!    urgency take turns and none starves.
//! 2. A place that has waited for `patience` is overdue. While the oldest place of all is overdue and the rule above
//!    passes it over, every fourth micro-batch is filled in order of place instead, whatever the priorities. So lower
//!    priorities move on under any load, and the higher ones keep three quarters of the executor.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bucket_queue::{BucketQueue, Order, Standing};
use crate::hash::NumberMap;
use crate::waiting::Room;
use crate::{Bucket, Moment};

/// How often an overdue place is passed over in a row, at most.
pub(crate) const PASSED_OVER_AT_MOST: u8 = 3;

#[derive(Debug, Default)]
pub(crate) struct Queues {
    all: Vec<BucketQueue>,
    /// Queues of no bucket, to be used again.
    free: Vec<usize>,
    by_bucket: NumberMap<Bucket, usize>,
    /// Queues by rank and place of their most urgent request.
    by_urgency: BTreeMap<(u8, u64), usize>,
    /// Queues by their oldest place, and since when it is taken.
    by_age: BTreeMap<u64, (Moment, usize)>,
    passed_over: u8,
}

impl Queues {
    /// The queue of a bucket, which is opened if it is missing.
    pub(crate) fn of_bucket(&mut self, bucket: Bucket) -> usize {
        if let Some(queue) = self.by_bucket.get(&bucket) {
            return *queue;
        }
        let queue = self.open(bucket);
        self.by_bucket.insert(bucket, queue);
        queue
    }

    fn open(&mut self, bucket: Bucket) -> usize {
        if let Some(queue) = self.free.pop() {
            self.all[queue].bucket = bucket;
            return queue;
        }
        self.all.push(BucketQueue::new(bucket));
        self.all.len() - 1
    }

    /// The queue of a bucket in which somebody waits.
    pub(crate) fn find(&self, bucket: Bucket) -> Option<usize> {
        self.by_bucket.get(&bucket).copied()
    }

    /// All queues, the one first whose next place is the oldest.
    pub(crate) fn by_age(&self) -> impl Iterator<Item = &BucketQueue> {
        self.by_age.values().map(|(_, queue)| &self.all[*queue])
    }

    pub(crate) fn get(&self, queue: usize) -> &BucketQueue {
        &self.all[queue]
    }

    pub(crate) fn get_mut(&mut self, queue: usize) -> &mut BucketQueue {
        &mut self.all[queue]
    }

    /// The queue to serve next, and in which order.
    pub(crate) fn choose(&mut self, now: Moment, patience: Duration) -> Option<(usize, Order)> {
        let (queue, order, passed_over) = self.foresee(now, patience)?;
        self.passed_over = passed_over;
        Some((queue, order))
    }

    /// What `choose` would choose, and how often the oldest place is passed over then.
    pub(crate) fn foresee(&self, now: Moment, patience: Duration) -> Option<(usize, Order, u8)> {
        let (&(_, urgent), &queue) = self.by_urgency.first_key_value()?;
        let (&oldest, &(since, oldest_queue)) = self.by_age.first_key_value()?;
        let is_passed_over = oldest != urgent && now - since >= patience;
        Some(match (is_passed_over, self.passed_over) {
            (false, _) => (queue, Order::MostUrgent, 0),
            (true, PASSED_OVER_AT_MOST) => (oldest_queue, Order::Oldest, 0),
            (true, passed_over) => (queue, Order::MostUrgent, passed_over + 1),
        })
    }

    /// Brings the choice up to date after a queue has changed, and closes the queue if it is empty.
    pub(crate) fn settle(&mut self, queue: usize, room: &Room) {
        let old = self.all[queue].standing;
        let new = self.all[queue].stand(room);
        if old != new {
            self.restand(queue, old, new);
        }
        if new.is_none() {
            self.by_bucket.remove(&self.all[queue].bucket);
            self.all[queue].close();
            self.free.push(queue);
        }
    }

    fn restand(&mut self, queue: usize, old: Option<Standing>, new: Option<Standing>) {
        if let Some(old) = old {
            self.by_urgency.remove(&old.urgent);
            self.by_age.remove(&old.oldest.number);
        }
        if let Some(new) = new {
            self.by_urgency.insert(new.urgent, queue);
            self.by_age.insert(new.oldest.number, (new.oldest.since, queue));
        }
        self.all[queue].standing = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Exit;
    use crate::waiting::Waiting;
    use crate::waiting::tests::someone;

    #[test]
    fn a_bucket_that_is_empty_leaves_its_queue_to_the_next_one() {
        let (mut queues, mut room) = (Queues::default(), Room::default());
        for ticket in 0..1000 {
            let queue = queues.of_bucket(Bucket(ticket));
            let key = room.enter(Waiting { queue, ..someone(ticket) }).unwrap();
            queues.get_mut(queue).line(0).join(&mut room, key);
            queues.settle(queue, &room);
            assert_eq!(queues.get(queue).bucket, Bucket(ticket));
            let gone = room.leave(key);
            queues.get_mut(queue).line(0).remove(&mut room, &gone, Exit::Released);
            queues.settle(queue, &room);
        }
        assert_eq!((queues.all.len(), queues.by_bucket.len(), queues.by_age.len()), (1, 0, 0));
    }
}

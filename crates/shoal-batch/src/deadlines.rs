//! Requests by deadline, the earliest first.
//!
//! One that left (released, cancelled) is not searched for: its entry stays, is known by its void ticket, and is
//! dropped when it comes to the top. Two things keep that honest: the top always waits, so that `earliest` can be read
//! without change, and once more than half of the entries are void, all void ones are swept out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Moment;
use crate::waiting::{Key, Room};

/// Below this many entries a sweep is not worth its call.
const SWEEP_FROM: usize = 64;

/// Equal deadlines go by ticket: first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) deadline: Moment,
    pub(crate) ticket: u64,
    pub(crate) key: Key,
}

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Due>>,
    waiting: usize,
}

impl Deadlines {
    pub(crate) fn earliest(&self) -> Option<Due> {
        self.heap.peek().map(|Reverse(due)| *due)
    }

    pub(crate) fn add(&mut self, due: Due) {
        self.heap.push(Reverse(due));
        self.waiting += 1;
    }

    pub(crate) fn shrink_to(&mut self, entries: usize) {
        self.heap.shrink_to(entries);
    }

    /// To be called once for each request that was added and has left the room.
    pub(crate) fn one_left(&mut self, room: &Room) {
        self.waiting -= 1;
        if self.heap.len() > SWEEP_FROM.max(2 * self.waiting) {
            self.heap.retain(|Reverse(due)| room.holds(due.key, due.ticket));
        }
        while self.earliest().is_some_and(|due| !room.holds(due.key, due.ticket)) {
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::tests::someone;

    fn due(room: &mut Room, ticket: u64, deadline: u64) -> Due {
        let key = room.enter(someone(ticket)).unwrap();
        Due { deadline: Moment::from_nanos(deadline), ticket, key }
    }

    #[test]
    fn the_earliest_is_always_one_that_waits() {
        let (mut room, mut deadlines) = (Room::default(), Deadlines::default());
        let dues = [(0, 30), (1, 10), (2, 20), (3, 10)].map(|(ticket, at)| due(&mut room, ticket, at));
        for due in dues {
            deadlines.add(due);
        }
        for (leaving, earliest) in [(2, Some(1)), (1, Some(3)), (3, Some(0)), (0, None)] {
            room.leave(dues[leaving].key);
            deadlines.one_left(&room);
            assert_eq!(deadlines.earliest(), earliest.map(|next: usize| dues[next]));
        }
    }

    #[test]
    fn who_left_is_swept_out_behind_one_that_stays_for_long() {
        let (mut room, mut deadlines) = (Room::default(), Deadlines::default());
        let patient = due(&mut room, 0, 0);
        deadlines.add(patient);
        for ticket in 1..1000 {
            let leaving = due(&mut room, ticket, ticket);
            deadlines.add(leaving);
            room.leave(leaving.key);
            deadlines.one_left(&room);
            assert!(deadlines.heap.len() <= SWEEP_FROM);
            assert_eq!(deadlines.earliest(), Some(patient));
        }
    }
}

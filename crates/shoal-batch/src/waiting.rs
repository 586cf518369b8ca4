//! The requests that wait: one slot each, found by key or by id, both at constant cost.
//!
//! Slots are reused, so a key alone does not name a request for long; a ticket, given once and never again, does.

use std::ops::{Index, IndexMut};

use crate::hash::NumberMap;
use crate::{Client, Limits, Moment, RequestId};

/// The slot of a request.
pub(crate) type Key = u32;

/// The key of no request.
pub(crate) const NOBODY: Key = Key::MAX;

/// A place in line: the smaller the number, the earlier its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) since: Moment,
}

/// One request that waits, whole or in part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: RequestId,
    pub(crate) client: Client,
    /// Unique for the life of the batcher.
    pub(crate) ticket: u64,
    /// The slot of its bucket's queue.
    pub(crate) queue: usize,
    pub(crate) rank: u8,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) released_rows: usize,
    pub(crate) released_bytes: usize,
    pub(crate) arrived: Moment,
    pub(crate) deadline: Option<Moment>,
    /// Its own place, if it carries no deadline.
    pub(crate) place: Place,
    /// Its neighbours in line, if it carries no deadline.
    pub(crate) before: Key,
    pub(crate) after: Key,
}

/// Rows of a request and the bytes they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Waiting {
    /// What was not released yet.
    pub(crate) fn remaining(&self) -> Share {
        Share { rows: self.rows - self.released_rows, bytes: self.bytes - self.released_bytes }
    }

    /// The same with rows of so many more bytes: padded to longer ones.
    pub(crate) const fn grown(&self, growth: usize) -> Self {
        let (bytes, released_bytes) = (self.bytes + growth * self.rows, self.released_bytes + growth * self.released_rows);
        Self { bytes, released_bytes, ..*self }
    }

    /// Whether one micro-batch can hold it, and no part of it has gone yet.
    pub(crate) fn fits_whole(&self, limits: &Limits) -> bool {
        self.released_rows == 0 && self.rows <= limits.max_rows && self.bytes <= limits.max_bytes
    }

    /// As many of the remaining rows as fit into `rows` and `bytes`; perhaps none.
    pub(crate) fn share_within(&self, rows: usize, bytes: usize) -> Share {
        let remaining = self.remaining();
        if remaining.rows <= rows && remaining.bytes <= bytes {
            return remaining;
        }
        self.share_of(remaining.rows.min(rows).min(self.rows_within(bytes)))
    }

    /// The next `rows` rows.
    ///
    /// The first r rows count as floor(bytes * r / rows). Slices are differences of these, so they add up to `bytes`
    /// exactly however the request is cut.
    pub(crate) fn share_of(&self, rows: usize) -> Share {
        let end = (self.released_rows + rows) as u128;
        let upto = self.bytes as u128 * end / self.rows as u128;
        Share { rows, bytes: narrow(upto) - self.released_bytes }
    }

    /// The most rows whose share is within `bytes`: the largest r with floor(B * r / R) <= t is ((t + 1) * R - 1) / B.
    fn rows_within(&self, bytes: usize) -> usize {
        if self.bytes == 0 {
            return self.rows;
        }
        let most = self.released_bytes as u128 + bytes as u128;
        let end = ((most + 1) * self.rows as u128 - 1) / self.bytes as u128;
        narrow(end) - self.released_rows
    }
}

/// The numbers here are bounded by sizes in memory; one that is not could only mean "more than there is".
fn narrow(number: u128) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// All requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Room {
    slots: Vec<Waiting>,
    free: Vec<Key>,
    keys: NumberMap<RequestId, Key>,
}

impl Room {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key_of(&self, id: RequestId) -> Option<Key> {
        self.keys.get(&id).copied()
    }

    /// The slot that the next request will get; none once all four billion are taken.
    fn vacancy(&mut self) -> Option<Key> {
        self.free.pop().or_else(|| Key::try_from(self.slots.len()).ok()).filter(|key| *key != NOBODY)
    }

    pub(crate) fn enter(&mut self, waiting: Waiting) -> Option<Key> {
        let key = self.vacancy()?;
        match self.slots.get_mut(key as usize) {
            Some(slot) => *slot = waiting,
            None => self.slots.push(waiting),
        }
        self.keys.insert(waiting.id, key);
        Some(key)
    }

    /// Takes a request out; its ticket is void from here on.
    pub(crate) fn leave(&mut self, key: Key) -> Waiting {
        let gone = self[key];
        self[key].ticket = VOID;
        self.keys.remove(&gone.id);
        self.free.push(key);
        gone
    }

    /// Whether the request with this ticket still waits.
    pub(crate) fn holds(&self, key: Key, ticket: u64) -> bool {
        self[key].ticket == ticket
    }
}

/// The ticket of an empty slot.
const VOID: u64 = u64::MAX;

impl Index<Key> for Room {
    type Output = Waiting;

    fn index(&self, key: Key) -> &Waiting {
        &self.slots[key as usize]
    }
}

impl IndexMut<Key> for Room {
    fn index_mut(&mut self, key: Key) -> &mut Waiting {
        &mut self.slots[key as usize]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request of one row and eight bytes.
    pub(crate) fn someone(ticket: u64) -> Waiting {
        let place = Place { number: ticket, since: Moment::EPOCH };
        Waiting {
            id: RequestId(ticket),
            client: Client::default(),
            ticket,
            queue: 0,
            rank: 0,
            rows: 1,
            bytes: 8,
            released_rows: 0,
            released_bytes: 0,
            arrived: Moment::EPOCH,
            deadline: None,
            place,
            before: NOBODY,
            after: NOBODY,
        }
    }

    #[test]
    fn a_slot_is_used_again_and_the_old_ticket_stays_void() {
        let mut room = Room::default();
        for ticket in 0..1000 {
            let key = room.enter(someone(ticket)).unwrap();
            assert!(room.holds(key, ticket) && room.key_of(RequestId(ticket)) == Some(key));
            room.leave(key);
            assert!(!room.holds(key, ticket) && room.key_of(RequestId(ticket)).is_none());
        }
        assert_eq!((room.len(), room.slots.len()), (0, 1));
    }

    #[test]
    fn the_shares_of_any_cut_add_up_and_keep_within_their_bytes() {
        for (rows, bytes, room) in [(7, 101, 30), (3, 2, 1), (5, 0, 0), (10, 1000, 99)] {
            let mut waiting = Waiting { rows, bytes, ..someone(0) };
            while waiting.remaining().rows > 0 {
                let fitting = waiting.share_within(rows, room);
                assert!(fitting.bytes <= room && fitting.bytes <= waiting.remaining().bytes);
                let share = if fitting.rows == 0 { waiting.share_of(1) } else { fitting };
                waiting.released_rows += share.rows;
                waiting.released_bytes += share.bytes;
            }
            assert_eq!(waiting.released_bytes, bytes);
        }
    }
}

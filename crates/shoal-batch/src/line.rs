//! One line: the requests of one bucket and one priority, and whose turn it is.
//!
//! 1. Who arrives takes a place at the end. A request without a deadline keeps its place: first come, first served.
//! 2. The places of requests with deadlines belong to all of them together: when the turn comes to such a place, the
//!    one with the earliest deadline takes it (equal deadlines: who came first). So a deadline moves a request ahead of
//!    other deadlines, and never ahead of a request without one that came before the place.
//! 3. Who is cancelled or expires gives a place back: its own, or the last of those shared by deadlines.
//! 4. Who filled a whole micro-batch alone and has rows left takes a new place at the end.

use std::collections::VecDeque;

use crate::deadlines::{Deadlines, Due};
use crate::waiting::{Key, NOBODY, Place, Room, Waiting};

/// Room for deadlines that an empty line keeps: a usual micro-batch. Many buckets could hold much memory otherwise.
const KEPT_PLACES: usize = 64;

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) rank: u8,
    /// The ends of the list of requests without a deadline.
    first: Key,
    last: Key,
    dated: Deadlines,
    /// One for each request with a deadline, in order.
    dated_places: VecDeque<Place>,
}

/// How a request leaves its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Its turn came and all its rows went.
    Released,
    /// Cancelled or expired.
    GivenUp,
}

impl Line {
    pub(crate) fn new(rank: u8) -> Self {
        Self { rank, first: NOBODY, last: NOBODY, dated: Deadlines::default(), dated_places: VecDeque::new() }
    }

    /// The place whose turn is next; none if the line is empty.
    pub(crate) fn front(&self, room: &Room) -> Option<Place> {
        let dated = self.dated_places.front().copied();
        if self.first == NOBODY {
            return dated;
        }
        let plain = room[self.first].place;
        dated.filter(|dated| dated.number < plain.number).or(Some(plain))
    }

    /// The request whose turn is next.
    pub(crate) fn next(&self, room: &Room) -> Option<Key> {
        let front = self.front(room)?;
        if self.dated_places.front() == Some(&front) {
            return self.dated.earliest().map(|due| due.key);
        }
        Some(self.first)
    }

    pub(crate) fn join(&mut self, room: &mut Room, key: Key) {
        let Waiting { deadline, ticket, place, .. } = room[key];
        match deadline {
            Some(deadline) => {
                self.dated.add(Due { deadline, ticket, key });
                self.dated_places.push_back(place);
            }
            None => self.link_last(room, key),
        }
    }

    /// Puts `gone`, which has left the room already, out of the line.
    pub(crate) fn remove(&mut self, room: &mut Room, gone: &Waiting, exit: Exit) {
        if gone.deadline.is_none() {
            return self.unlink(room, gone);
        }
        self.dated.one_left(room);
        match exit {
            Exit::Released => self.dated_places.pop_front(),
            Exit::GivenUp => self.dated_places.pop_back(),
        };
    }

    /// Moves the request whose turn it is to a new place at the end.
    pub(crate) fn move_to_end(&mut self, room: &mut Room, key: Key, place: Place) {
        if room[key].deadline.is_some() {
            self.dated_places.pop_front();
            return self.dated_places.push_back(place);
        }
        let moved = room[key];
        self.unlink(room, &moved);
        room[key].place = place;
        self.link_last(room, key);
    }

    /// Gives back what a crowd has left behind; the line is empty.
    pub(crate) fn shrink(&mut self) {
        self.dated.shrink_to(KEPT_PLACES);
        self.dated_places.shrink_to(KEPT_PLACES);
    }

    fn link_last(&mut self, room: &mut Room, key: Key) {
        room[key].before = self.last;
        room[key].after = NOBODY;
        match self.last {
            NOBODY => self.first = key,
            last => room[last].after = key,
        }
        self.last = key;
    }

    fn unlink(&mut self, room: &mut Room, gone: &Waiting) {
        match gone.before {
            NOBODY => self.first = gone.after,
            before => room[before].after = gone.after,
        }
        match gone.after {
            NOBODY => self.last = gone.before,
            after => room[after].before = gone.before,
        }
    }
}

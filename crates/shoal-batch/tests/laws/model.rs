//! The rule book of the crate, written again as plainly as can be: lists that are searched and sorted anew each time.
//!
//! `replay` follows a history and demands of every step that the batcher did the same.

use std::time::Duration;

use shoal_batch::{Arrival, Bucket, Limits, MicroBatch, Moment, Reason, Refusal, RequestId, Size, Slice};

use crate::history::{Event, Play, Queue, Step, shape};

/// A place in the line of a bucket and a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    number: u64,
    since: Moment,
    bucket: Bucket,
    rank: u8,
    is_dated: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    arrival: Arrival,
    arrived: Place,
    /// The number of the own place; moves only if there is no deadline.
    own_place: u64,
    released: usize,
}

struct Model {
    limits: Limits,
    patience: Duration,
    /// In order of arrival.
    waiting: Vec<Waiting>,
    /// In order of number; one for each request that waits.
    places: Vec<Place>,
    expired: Vec<(Moment, RequestId)>,
    next_number: u64,
    passed_over: u8,
    is_draining: bool,
    is_padded: bool,
}

pub(crate) fn replay(script: &Play, history: &[Step]) {
    let mut model = Model::new(script);
    for step in history {
        assert_eq!(model.follow(step), step.event, "at {:?}", step.now);
        assert_eq!(model.queue(), step.after, "after {:?}", step.event);
    }
}

impl Waiting {
    /// The bytes of the first `rows` rows.
    fn bytes_of_first(&self, rows: usize) -> usize {
        self.arrival.bytes * rows / self.arrival.rows
    }

    fn bytes_between(&self, start: usize, end: usize) -> usize {
        self.bytes_of_first(end) - self.bytes_of_first(start)
    }
}

impl Model {
    fn new(script: &Play) -> Self {
        let Limits { max_rows, max_bytes, queue_rows, queue_bytes } = script.limits;
        let limits = Limits {
            max_rows: max_rows.max(1),
            max_bytes: max_bytes.max(1),
            queue_rows: queue_rows.max(1),
            queue_bytes: queue_bytes.max(1),
        };
        Self {
            limits,
            patience: script.patience,
            waiting: Vec::new(),
            places: Vec::new(),
            expired: Vec::new(),
            next_number: 0,
            passed_over: 0,
            is_draining: false,
            is_padded: script.is_padded,
        }
    }

    fn follow(&mut self, step: &Step) -> Event {
        match &step.event {
            Event::Submitted(arrival, _) => Event::Submitted(*arrival, self.submit(step.now, *arrival)),
            Event::Cancelled(id, _) => Event::Cancelled(*id, self.give_up(*id)),
            Event::Expired(_) => Event::Expired(self.expire(step.now)),
            Event::Released(size, company, _) => Event::Released(*size, company.clone(), self.release(step.now, *size, company)),
            Event::Passed => Event::Passed,
            Event::Drained => {
                self.is_draining = true;
                Event::Drained
            }
        }
    }

    fn queue(&self) -> Queue {
        let deadlines = self.waiting.iter().filter_map(|waiting| waiting.arrival.deadline);
        let met = self.expired.iter().map(|(deadline, _)| *deadline);
        Queue {
            rows: self.rows(),
            bytes: self.bytes(),
            requests: self.waiting.len(),
            is_empty: self.waiting.is_empty() && self.expired.is_empty(),
            next_deadline: deadlines.chain(met).min(),
        }
    }

    fn rows(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.arrival.rows - waiting.released).sum()
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.bytes_between(waiting.released, waiting.arrival.rows)).sum()
    }

    fn submit(&mut self, now: Moment, arrival: Arrival) -> Result<(), Refusal> {
        self.admit(now, &arrival)?;
        let place = self.take_place(now, &arrival);
        self.waiting.push(Waiting { arrival, arrived: place, own_place: place.number, released: 0 });
        Ok(())
    }

    fn admit(&self, now: Moment, arrival: &Arrival) -> Result<(), Refusal> {
        let (rows, bytes) = (self.rows(), self.bytes());
        let Limits { queue_rows, queue_bytes, .. } = self.limits;
        if self.is_draining {
            Err(Refusal::Draining)
        } else if arrival.rows == 0 {
            Err(Refusal::Empty)
        } else if arrival.deadline.is_some_and(|deadline| deadline <= now) {
            Err(Refusal::DeadlinePassed)
        } else if arrival.rows > queue_rows || arrival.bytes > queue_bytes {
            Err(Refusal::TooLarge { queue_rows, queue_bytes })
        } else if rows + arrival.rows > queue_rows || bytes + arrival.bytes > queue_bytes {
            Err(Refusal::QueueFull { rows, bytes })
        } else {
            Ok(())
        }
    }

    fn take_place(&mut self, since: Moment, arrival: &Arrival) -> Place {
        let place = Place {
            number: self.next_number,
            since,
            bucket: arrival.bucket,
            rank: arrival.priority.0.wrapping_sub(1),
            is_dated: arrival.deadline.is_some(),
        };
        self.next_number += 1;
        self.places.push(place);
        place
    }

    fn index_of(&self, id: RequestId) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.arrival.id == id)
    }

    /// A request that leaves early gives back its own place, or the last one that deadlines share in its line.
    fn give_up(&mut self, id: RequestId) -> bool {
        let Some(index) = self.index_of(id) else {
            return false;
        };
        let gone = self.waiting.remove(index);
        let is_its_place = |place: &Place| match gone.arrival.deadline {
            None => place.number == gone.own_place,
            Some(_) => place.is_dated && (place.bucket, place.rank) == (gone.arrived.bucket, gone.arrived.rank),
        };
        let last = self.places.iter().rposition(is_its_place).expect("a place");
        self.places.remove(last);
        true
    }

    fn expire(&mut self, now: Moment) -> Vec<RequestId> {
        self.set_expired_aside(now);
        self.expired.drain(..).map(|(_, id)| id).collect()
    }

    fn set_expired_aside(&mut self, now: Moment) {
        let mut due: Vec<_> = self
            .waiting
            .iter()
            .filter_map(|waiting| Some((waiting.arrival.deadline?, waiting.arrived.number, waiting.arrival.id)))
            .filter(|(deadline, _, _)| *deadline <= now)
            .collect();
        due.sort();
        for (deadline, _, id) in due {
            self.give_up(id);
            self.expired.push((deadline, id));
        }
    }

    /// Every place with the request whose turn it is there, in order of number.
    fn turns(&self) -> Vec<(Place, RequestId)> {
        let mut left: Vec<&Waiting> = self.waiting.iter().collect();
        let mut turns = Vec::new();
        for place in &self.places {
            let fits = |waiting: &&Waiting| {
                let line = (waiting.arrived.bucket, waiting.arrived.rank);
                match waiting.arrival.deadline {
                    None => waiting.own_place == place.number,
                    Some(_) => place.is_dated && line == (place.bucket, place.rank),
                }
            };
            let next = (0..left.len())
                .filter(|index| fits(&left[*index]))
                .min_by_key(|index| (left[*index].arrival.deadline, left[*index].arrived.number))
                .expect("someone for each place");
            turns.push((*place, left.remove(next).arrival.id));
        }
        turns
    }

    fn release(&mut self, now: Moment, size: Size, company: &[Bucket]) -> Option<MicroBatch> {
        self.set_expired_aside(now);
        let mut turns = self.turns();
        let oldest = turns.first()?.0;
        let urgent = turns.iter().map(|(place, _)| *place).min_by_key(|place| (place.rank, place.number))?;
        let chosen = self.choose(now, oldest, urgent);
        let target = self.target(chosen.bucket, company, size);
        let members: Vec<Bucket> = company.iter().copied().filter(|_| target.is_some()).collect();
        let is_other = |place: &Place| place.bucket != chosen.bucket && shape(place.bucket).kin == shape(chosen.bucket).kin;
        let others = turns.iter().map(|(place, _)| place).filter(|place| is_other(place));
        let youngest = others.map(|place| place.number).min().filter(|_| self.is_padded && size.in_turn && target.is_none());
        turns.retain(|(place, _)| place.bucket == chosen.bucket || members.contains(&place.bucket));
        let order = |bucket: Bucket| (bucket != chosen.bucket, members.iter().position(|member| *member == bucket));
        let rank = |place: &Place| if chosen == urgent { place.rank } else { 0 };
        turns.sort_by_key(|(place, _)| (order(place.bucket), rank(place), place.number));
        Some(self.fill(now, (target.unwrap_or(chosen.bucket), size, youngest), &turns))
    }

    /// The first of a company, if all that waits in it fits into one micro-batch, as long as the rows of the first.
    fn target(&self, own: Bucket, company: &[Bucket], size: Size) -> Option<Bucket> {
        let target = *company.first()?;
        let takes = |bucket: &Bucket| *bucket == target || self.is_padded && shape(target).takes(&shape(*bucket));
        let members = || self.waiting.iter().filter(|waiting| company.contains(&waiting.arrival.bucket));
        let rows: usize = members().map(|waiting| waiting.arrival.rows - waiting.released).sum();
        let bytes: usize = members().map(|waiting| self.bytes_in(target, waiting, (waiting.released, waiting.arrival.rows))).sum();
        let is_there = |bucket: &Bucket| members().any(|waiting| waiting.arrival.bucket == *bucket);
        let can_go = company.contains(&own) && company.iter().all(|bucket| takes(bucket) && is_there(bucket));
        let fits = rows <= self.limits.max_rows.min(size.most.max(1)) && bytes <= self.limits.max_bytes;
        (can_go && fits).then_some(target)
    }

    /// Bytes of some rows of a request in a micro-batch of this bucket.
    fn bytes_in(&self, target: Bucket, waiting: &Waiting, (start, end): (usize, usize)) -> usize {
        let own = waiting.bytes_between(start, end);
        if !self.is_padded || waiting.arrival.bucket == target {
            return own;
        }
        own + (end - start) * shape(target).row_bytes.saturating_sub(shape(waiting.arrival.bucket).row_bytes)
    }

    fn choose(&mut self, now: Moment, oldest: Place, urgent: Place) -> Place {
        let is_passed_over = oldest != urgent && now - oldest.since >= self.patience;
        self.passed_over = if is_passed_over { self.passed_over + 1 } else { 0 };
        if self.passed_over <= 3 {
            return urgent;
        }
        self.passed_over = 0;
        oldest
    }

    fn fill(&mut self, now: Moment, (bucket, size, youngest): (Bucket, Size, Option<u64>), turns: &[(Place, RequestId)]) -> MicroBatch {
        let most = self.limits.max_rows.min(size.most.max(1));
        let mut batch = MicroBatch { slices: Vec::new(), bucket, rows: 0, bytes: 0, reason: Reason::ExecutorFree, waited: Duration::ZERO };
        for (place, id) in turns {
            let waiting = self.waiting[self.index_of(*id).expect("it waits")].clone();
            let begins_with_a_rest = batch.slices.first().is_some_and(|slice| slice.start > 0);
            let half = if begins_with_a_rest { most.div_ceil(2) } else { most };
            let has_enough = size.enough.is_some_and(|enough| batch.rows >= enough.min(half));
            let is_too_young = !batch.slices.is_empty() && youngest.is_some_and(|youngest| waiting.own_place > youngest);
            if is_too_young || has_enough && self.is_spared(&batch, &waiting, most) {
                batch.reason = if self.is_draining { Reason::Drain } else { self.reason_at_size(&batch) };
                return batch;
            }
            let is_whole = self.add(&mut batch, &waiting, (now, most));
            let is_alone = batch.slices.len() == 1 && batch.slices[0].id == *id;
            if is_whole {
                self.places.retain(|kept| kept != place);
                self.waiting.retain(|kept| kept.arrival.id != *id);
            } else if is_alone {
                self.places.retain(|kept| kept != place);
                let moved = self.take_place(now, &waiting.arrival);
                let index = self.index_of(*id).expect("it waits");
                self.waiting[index].own_place = moved.number;
            }
            if !is_whole || batch.rows == most || batch.bytes >= self.limits.max_bytes {
                batch.reason = self.reason_to_close(&batch, most);
                return batch;
            }
        }
        if self.is_draining {
            batch.reason = Reason::Drain;
        }
        batch
    }

    /// Whether a request would be cut that could travel whole in a micro-batch of its own.
    fn is_spared(&self, batch: &MicroBatch, waiting: &Waiting, most: usize) -> bool {
        let Arrival { rows, bytes, .. } = waiting.arrival;
        let can_travel_whole = waiting.released == 0 && rows <= most && bytes <= self.limits.max_bytes;
        can_travel_whole && (batch.rows + rows > most || batch.bytes + bytes > self.limits.max_bytes)
    }

    fn reason_at_size(&self, batch: &MicroBatch) -> Reason {
        if batch.rows == self.limits.max_rows { Reason::RowsFull } else { Reason::BestSize }
    }

    fn reason_to_close(&self, batch: &MicroBatch, most: usize) -> Reason {
        if self.is_draining {
            Reason::Drain
        } else if batch.rows == most {
            self.reason_at_size(batch)
        } else {
            Reason::BytesFull
        }
    }

    /// Adds row after row until one does not fit; returns whether all of them did.
    fn add(&mut self, batch: &mut MicroBatch, waiting: &Waiting, (now, most): (Moment, usize)) -> bool {
        let start = waiting.released;
        let mut end = start;
        while end < waiting.arrival.rows {
            let bytes = self.bytes_in(batch.bucket, waiting, (start, end + 1));
            let fits = batch.rows + end + 1 - start <= most && batch.bytes + bytes <= self.limits.max_bytes;
            let is_first = batch.rows == 0 && end == start;
            if !fits && !is_first {
                break;
            }
            end += 1;
        }
        if end > start {
            let (id, client, rows) = (waiting.arrival.id, waiting.arrival.client, end - start);
            batch.slices.push(Slice { id, client, is_last: end == waiting.arrival.rows, start, rows });
            batch.rows += rows;
            batch.bytes += self.bytes_in(batch.bucket, waiting, (start, end));
            batch.waited = batch.waited.max(now - waiting.arrived.since);
        }
        let index = self.index_of(waiting.arrival.id).expect("it waits");
        self.waiting[index].released = end;
        end == waiting.arrival.rows
    }
}

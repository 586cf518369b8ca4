//! Who was answered a moment ago and is about to speak again: the only reason for a free executor to wait.
//!
//! 1. Each answer to a client is an expectation until the client speaks again. Several requests in flight on one
//!    connection have several expectations; the oldest is met first.
//! 2. A client's **habit** is the chance that it returns soon after an answer, and the mean and deviation of its
//!    turnaround. A client that is late by six deviations is expected no more until it speaks.
//! 3. Waiting until e is worth (sum of the chances of those due by e) * (relief - wait) - waiting * wait, where `relief` is
//!    what one call saves over two, or how soon another executor is free if that is less, and `waiting` is how many
//!    requests wait with the executor. The best e wins; if none is worth more than nothing, nobody waits.
//! 4. `wait` is the expected one: of k clients the last is there after k / (k + 1) of the time by which all are due.
//! 5. Returns weigh more where nearly all requests were expected; see `weight`.
//!
//! So a lone client never waits for itself, strangers who come and go are expected by nobody, and there is no delay to
//! choose.

use std::collections::VecDeque;
use std::time::Duration;

use crate::hash::NumberMap;
use crate::{Bucket, Client, Kin, Moment};

/// How fast the chance follows what a client does.
const CHANCE_RATE: f64 = 0.2;
/// How fast mean and deviation follow ...
const TURNAROUND_RATE: f64 = 0.1;
/// A client less likely to return than this is not waited for.
const LIKELY: f64 = 0.5;
/// ... and the deviation at first, of which one turnaround says nothing.
const FIRST_DEVIATION_RATE: f64 = 0.5;
/// A client is due when it has been away for its mean and so many deviations.
const DUE_DEVIATIONS: f64 = 3.0;
/// How fast the share of expected requests follows.
const REGULARS_RATE: f64 = 0.02;
/// Above this share of expected requests a return weighs more than a wait ...
const FEW_STRANGERS: f64 = 0.8;
/// ... up to so many times.
const WEIGHT_AMONG_REGULARS: f64 = 8.0;
/// One that is late by so many deviations is expected no more.
const LATE_DEVIATIONS: f64 = 6.0;
/// Answers of one client that are remembered at most.
const ANSWERS_KEPT: usize = 256;
/// Clients whose habits are remembered at most.
const CLIENTS_KEPT: usize = 1 << 16;

/// The habits of all clients, and whom to expect.
#[derive(Debug, Default)]
pub(crate) struct Returns {
    habits: NumberMap<Client, Habit>,
    expected: Vec<Option<Expected>>,
    free: Vec<usize>,
    next_ticket: u64,
    /// The share of requests that were expected.
    regulars: f64,
    /// Room for the decision, used again.
    due: Vec<(Moment, f64)>,
}

#[derive(Debug, Default)]
struct Habit {
    returns: f64,
    chance: f64,
    mean: f64,
    deviation: f64,
    answers: VecDeque<Answered>,
}

/// An answer after which the client has not spoken; `ticket` is its slot among the expected, if it has one.
#[derive(Clone, Copy, Debug)]
struct Answered {
    at: Moment,
    ticket: Option<Ticket>,
}

/// A slot among the expected and the number of who took it: slots are used again.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    place: usize,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    number: u64,
    group: Group,
    due: Moment,
    late: Moment,
    chance: f64,
}

/// Requests that may share a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Those of one bucket.
    Alone(Bucket),
    /// Those of all buckets of a kin.
    Kin(Kin),
}

/// What a decision to wait weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// Whose micro-batch would grow.
    pub(crate) group: Group,
    /// Requests that wait with the executor.
    pub(crate) waiting: usize,
    /// What a newcomer gains by going along.
    pub(crate) relief: Duration,
    /// The wait may not go on beyond this moment.
    pub(crate) latest: Moment,
}

impl Returns {
    /// A client was answered.
    pub(crate) fn answered(&mut self, now: Moment, client: Client, group: Group) {
        if client == Client::default() {
            return;
        }
        if self.habits.len() >= CLIENTS_KEPT && !self.habits.contains_key(&client) {
            self.forget_strangers();
        }
        let habit = self.habits.entry(client).or_default();
        let number = self.next_ticket;
        self.next_ticket += 1;
        let expected = (habit.chance >= LIKELY).then(|| habit.expect(now, (group, number)));
        let oldest = if habit.answers.len() == ANSWERS_KEPT { habit.answers.pop_front() } else { None };
        let ticket = expected.map(|expected| {
            let place = seat(&mut self.expected, &mut self.free, expected);
            Ticket { place, number }
        });
        habit.answers.push_back(Answered { at: now, ticket });
        self.clear(oldest.and_then(|answered| answered.ticket));
    }

    /// A client speaks; a turnaround beyond `horizon` does not count as a return.
    pub(crate) fn spoke(&mut self, now: Moment, client: Client, horizon: Duration) {
        self.regulars -= REGULARS_RATE * self.regulars;
        let Some(habit) = self.habits.get_mut(&client) else { return };
        let Some(answered) = habit.answers.pop_front() else { return };
        habit.learn(now - answered.at, horizon);
        if self.clear(answered.ticket) {
            self.regulars += REGULARS_RATE;
        }
    }

    /// Forgets the habits of all who are not expected at the moment.
    fn forget_strangers(&mut self) {
        let expected = &self.expected;
        let is_expected = |answered: &Answered| {
            answered.ticket.is_some_and(|ticket| expected[ticket.place].is_some_and(|expected| expected.number == ticket.number))
        };
        self.habits.retain(|_, habit| habit.answers.iter().any(is_expected));
    }

    /// A client is gone and will not speak again.
    pub(crate) fn gone(&mut self, client: Client) {
        for answered in self.habits.remove(&client).into_iter().flat_map(|habit| habit.answers) {
            self.clear(answered.ticket);
        }
    }

    /// Whether somebody was still expected there.
    fn clear(&mut self, ticket: Option<Ticket>) -> bool {
        let held = ticket.filter(|ticket| self.expected[ticket.place].is_some_and(|expected| expected.number == ticket.number));
        held.inspect(|ticket| self.forget(ticket.place)).is_some()
    }

    /// Until when waiting is worth it; none if it is not.
    pub(crate) fn worth_waiting(&mut self, now: Moment, question: Question) -> Option<Moment> {
        let last = question.latest.min(now + question.relief);
        self.due.clear();
        for place in 0..self.expected.len() {
            let Some(expected) = self.expected[place] else { continue };
            if expected.late <= now {
                // It keeps its answer, so that its next word is still measured.
                self.forget(place);
            } else if expected.due > now && expected.due <= last && expected.group == question.group {
                self.due.push((expected.due, expected.chance));
            }
        }
        self.due.sort_unstable_by_key(|(due, _)| *due);
        best(now, &self.due, weight(self.regulars), question)
    }

    /// How many clients are expected, or were and are late.
    pub(crate) fn expected(&self) -> usize {
        self.expected.len() - self.free.len()
    }

    /// Of how many clients the habits are known.
    pub(crate) fn remembered(&self) -> usize {
        self.habits.len()
    }

    fn forget(&mut self, place: usize) {
        self.expected[place] = None;
        self.free.push(place);
    }
}

/// Puts an expectation into a free slot.
fn seat(slots: &mut Vec<Option<Expected>>, free: &mut Vec<usize>, expected: Expected) -> usize {
    let place = free.pop().unwrap_or(slots.len());
    match slots.get_mut(place) {
        Some(slot) => *slot = Some(expected),
        None => slots.push(Some(expected)),
    }
    place
}

/// What a return weighs against a wait: one, and more as nearly all requests are expected ones.
///
/// Among strangers an idle executor delays who has not come yet, and that is not in the formula. Where all are expected
/// there is nobody else: a wait costs little, and one client left behind waits for two micro-batches.
fn weight(regulars: f64) -> f64 {
    let above = (regulars - FEW_STRANGERS).max(0.0) / (1.0 - FEW_STRANGERS);
    1.0 + above * (WEIGHT_AMONG_REGULARS - 1.0)
}

/// The moment up to which waiting is worth most, if it is worth anything.
fn best(now: Moment, due: &[(Moment, f64)], weight: f64, question: Question) -> Option<Moment> {
    let relief = question.relief.as_secs_f64();
    let waiting = question.waiting as f64;
    let (mut returns, mut most, mut until) = (0.0, 0.0, None);
    for (count, (moment, chance)) in due.iter().enumerate() {
        let wait = (*moment - now).as_secs_f64();
        // Of k clients that come at any moment up to then, the last is expected after k / (k + 1) of the time.
        let expected = wait * (count as f64 + 1.0) / (count as f64 + 2.0);
        returns += chance;
        let worth = weight * returns * (relief - expected) - waiting * expected;
        if worth > most {
            (most, until) = (worth, Some(*moment));
        }
    }
    until
}

impl Habit {
    fn expect(&self, now: Moment, (group, number): (Group, u64)) -> Expected {
        let after = |deviations: f64| now + nanos(self.mean + deviations * self.deviation);
        Expected { number, group, due: after(DUE_DEVIATIONS), late: after(LATE_DEVIATIONS), chance: self.chance }
    }

    fn learn(&mut self, turnaround: Duration, horizon: Duration) {
        if turnaround >= horizon {
            self.chance -= CHANCE_RATE * self.chance;
            return;
        }
        let turnaround = turnaround.as_nanos() as f64;
        if self.returns == 0.0 {
            (self.mean, self.deviation) = (turnaround, turnaround / 2.0);
        }
        self.returns += 1.0;
        // The first turnarounds count alike: one of them may have been unusual.
        let rate = TURNAROUND_RATE.max(1.0 / self.returns);
        let error = turnaround - self.mean;
        self.mean += rate * error;
        self.deviation += rate.min(FIRST_DEVIATION_RATE) * (error.abs() - self.deviation);
        self.chance += CHANCE_RATE * (1.0 - self.chance);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "turnarounds are positive and bounded by the horizon")]
fn nanos(number: f64) -> Duration {
    Duration::from_nanos(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Group = Group::Alone(Bucket(0));

    const HORIZON: Duration = Duration::from_millis(10);

    fn at(micros: u64) -> Moment {
        Moment::from(Duration::from_micros(micros))
    }

    /// Clients that have returned after `turnaround` for a while, and were answered at the moment returned.
    fn regulars(clients: u64, turnaround: u64) -> (Returns, u64) {
        let (mut returns, mut now) = (Returns::default(), 0);
        for _ in 0..20 {
            (1..=clients).for_each(|client| returns.answered(at(now), Client(client), GROUP));
            now += turnaround;
            (1..=clients).for_each(|client| returns.spoke(at(now), Client(client), HORIZON));
            now += 1000;
        }
        (1..=clients).for_each(|client| returns.answered(at(now), Client(client), GROUP));
        (returns, now)
    }

    fn question(waiting: usize, relief: u64) -> Question {
        Question { group: GROUP, waiting, relief: Duration::from_micros(relief), latest: at(u64::MAX / 2000) }
    }

    #[test]
    fn regulars_are_waited_for_where_the_batch_is_long() {
        let (mut returns, now) = regulars(8, 100);
        let until = returns.worth_waiting(at(now), question(1, 1000)).unwrap();
        assert!((100..200).contains(&(until - at(now)).as_micros()));
    }

    #[test]
    fn nobody_is_waited_for_where_going_twice_is_quicker() {
        let (mut returns, now) = regulars(8, 100);
        assert_eq!(returns.worth_waiting(at(now), question(1, 90)), None);
        assert_eq!(returns.worth_waiting(at(now), question(1000, 1000)), None, "too many would wait for a few");
    }

    #[test]
    fn those_who_have_returned_are_expected_no_more() {
        let (mut returns, now) = regulars(8, 100);
        (1..=8).for_each(|client| returns.spoke(at(now + 50), Client(client), HORIZON));
        assert_eq!(returns.worth_waiting(at(now + 50), question(8, 1000)), None);
    }

    #[test]
    fn who_is_late_or_gone_is_expected_no_more() {
        let (mut returns, now) = regulars(8, 100);
        assert_eq!(returns.worth_waiting(at(now + 5000), question(1, 1000)), None);
        assert!(returns.expected.iter().all(Option::is_none));
        let (mut returns, now) = regulars(1, 100);
        returns.gone(Client(1));
        assert_eq!(returns.worth_waiting(at(now), question(1, 1000)), None);
        assert!(returns.habits.is_empty() && returns.expected.iter().all(Option::is_none));
    }

    #[test]
    fn strangers_and_nobody_in_particular_are_not_waited_for() {
        let mut returns = Returns::default();
        for client in 1..100 {
            returns.answered(at(client), Client(client), GROUP);
            returns.answered(at(client), Client(0), GROUP);
            returns.spoke(at(client), Client(0), HORIZON);
        }
        assert_eq!(returns.worth_waiting(at(100), question(1, 1_000_000)), None);
    }

    #[test]
    fn clients_of_another_bucket_and_beyond_the_latest_moment_do_not_count() {
        let (mut returns, now) = regulars(8, 100);
        assert_eq!(returns.worth_waiting(at(now), Question { group: Group::Alone(Bucket(1)), ..question(1, 1000) }), None);
        assert_eq!(returns.worth_waiting(at(now), Question { latest: at(now + 10), ..question(1, 1000) }), None);
    }

    #[test]
    fn several_requests_in_flight_on_one_connection_are_several_returns() {
        let (mut returns, mut now) = (Returns::default(), 0);
        for _ in 0..20 {
            (0..8).for_each(|_| returns.answered(at(now), Client(1), GROUP));
            now += 100;
            (0..8).for_each(|_| returns.spoke(at(now), Client(1), HORIZON));
            now += 1000;
        }
        (0..8).for_each(|_| returns.answered(at(now), Client(1), GROUP));
        let eight = returns.worth_waiting(at(now), question(8, 400));
        assert!(eight.is_some());
        (0..7).for_each(|_| returns.spoke(at(now + 1), Client(1), HORIZON));
        assert_eq!(returns.worth_waiting(at(now + 1), question(100, 400)), None, "one is left, a hundred wait");
    }

    #[test]
    fn who_stays_away_for_long_loses_its_place() {
        let (mut returns, mut now) = regulars(1, 100);
        for _ in 0..12 {
            now += 50_000;
            returns.spoke(at(now), Client(1), HORIZON);
            returns.answered(at(now), Client(1), GROUP);
        }
        assert_eq!(returns.worth_waiting(at(now), question(1, 1000)), None);
    }

    #[test]
    fn memory_is_bounded_by_those_who_are_away() {
        let (mut returns, now) = regulars(4, 100);
        for _ in 0..1000 {
            returns.answered(at(now), Client(1), GROUP);
        }
        assert_eq!(returns.habits[&Client(1)].answers.len(), ANSWERS_KEPT);
        assert!(returns.expected.iter().flatten().count() <= ANSWERS_KEPT + 3);
    }
}

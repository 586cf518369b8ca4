//! A play: limits and a list of actions. Its history: what the batcher answered to each.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shoal_batch::{
    Arrival, Batcher, Bucket, Client, Kin, Limits, MicroBatch, Moment, Priority, Refusal, RequestId, Shape, Size, rounded_length,
};

/// No size but the limits'.
pub(crate) const ALL: Size = Size { most: usize::MAX, enough: None, in_turn: false };

#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) limits: Limits,
    pub(crate) patience: Duration,
    /// Whether the batcher knows the shapes of buckets.
    pub(crate) is_padded: bool,
    pub(crate) actions: Vec<Action>,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Submit(Request),
    /// The n-th request, if there is one.
    Cancel(usize),
    Expire,
    Release(Size),
    /// Together with a few of those that wait: one for each bit.
    Together(Size, u64),
    Pass(Duration),
    Drain,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    bucket: u64,
    rows: usize,
    bytes: usize,
    priority: u8,
    /// From the moment it is submitted.
    deadline: Option<Duration>,
}

/// What happened, when, and how the queue stood afterwards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) now: Moment,
    pub(crate) event: Event,
    pub(crate) after: Queue,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Submitted(Arrival, Result<(), Refusal>),
    Cancelled(RequestId, bool),
    Expired(Vec<RequestId>),
    Released(Size, Vec<Bucket>, Option<MicroBatch>),
    Passed,
    Drained,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Queue {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
    pub(crate) is_empty: bool,
    pub(crate) next_deadline: Option<Moment>,
}

fn milliseconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn any_request() -> impl Strategy<Value = Request> {
    let rows = prop_oneof![6 => Just(1_usize), 4 => 1..8_usize, 2 => 8..60_usize, 1 => Just(0)];
    let bytes = prop_oneof![6 => 1..40_usize, 2 => 0..400_usize];
    let priority = prop_oneof![4 => Just(0_u8), 1 => 1..4_u8];
    let deadline = option::weighted(0.4, milliseconds(0..30));
    (0..3_u64, rows, bytes, priority, deadline).prop_map(|(bucket, rows, bytes, priority, deadline)| Request {
        bucket,
        rows,
        bytes,
        priority,
        deadline,
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        40 => any_request().prop_map(Action::Submit),
        8 => (0..60_usize).prop_map(Action::Cancel),
        6 => Just(Action::Expire),
        20 => any_size().prop_map(Action::Release),
        3 => (any_size(), few_bits()).prop_map(|(size, mask)| Action::Together(size, mask)),
        15 => milliseconds(0..6).prop_map(Action::Pass),
    ]
}

/// All that waits, or sizes about the limits of a play.
fn any_size() -> impl Strategy<Value = Size> {
    let sized = (0..14_usize, option::of(0..14_usize), any::<bool>()).prop_map(|(most, enough, in_turn)| Size { most, enough, in_turn });
    prop_oneof![Just(ALL), Just(Size { in_turn: true, ..ALL }), sized]
}

/// About one bit in eight.
fn few_bits() -> impl Strategy<Value = u64> {
    any::<[u64; 3]>().prop_map(|[one, two, three]| one & two & three)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (0..12_usize, 0..150_usize, 0..80_usize, 0..800_usize).prop_map(|(max_rows, max_bytes, queue_rows, queue_bytes)| Limits {
        max_rows,
        max_bytes,
        queue_rows,
        queue_bytes,
    })
}

/// Any actions, then a drain at some point among the last ones.
pub(crate) fn any_play() -> impl Strategy<Value = Play> {
    let actions = (vec(any_action(), 0..120), vec(any_action(), 0..20));
    (any_limits(), milliseconds(0..12), actions).prop_map(|(limits, patience, (before, after))| {
        let actions = before.into_iter().chain([Action::Drain]).chain(after).collect();
        Play { limits, patience, is_padded: false, actions }
    })
}

/// Requests whose records are padded: a bucket for each rounded length, which is also what a row counts in bytes.
fn padded_request() -> impl Strategy<Value = Request> {
    let length = prop_oneof![4 => 1..40_usize, 3 => 40..400_usize, 1 => 400..3000_usize];
    let rows = prop_oneof![6 => Just(1_usize), 2 => 1..8_usize, 1 => 8..60_usize];
    (length, rows, 0..4_u8).prop_map(|(length, rows, priority)| {
        let padded = rounded_length(length);
        Request { bucket: padded as u64, rows, bytes: rows * padded, priority, deadline: None }
    })
}

/// What the padded plays tell of a bucket; one in five is of another kin.
pub(crate) fn shape(bucket: Bucket) -> Shape {
    let length = usize::try_from(bucket.0).expect("a length");
    Shape { kin: Kin(u64::from(length % 5 == 0)), lengths: [length].into(), row_bytes: length }
}

/// Plays of padded requests, with short patience and queues that hold a crowd.
pub(crate) fn padded_play() -> impl Strategy<Value = Play> {
    let action = prop_oneof![
        40 => padded_request().prop_map(Action::Submit),
        3 => (0..60_usize).prop_map(Action::Cancel),
        10 => any_size().prop_map(Action::Release),
        30 => (any_size(), few_bits()).prop_map(|(size, mask)| Action::Together(size, mask)),
        15 => milliseconds(0..6).prop_map(Action::Pass),
    ];
    let limits = (1..12_usize, 1..4000_usize).prop_map(|(max_rows, max_bytes)| Limits {
        max_rows,
        max_bytes,
        queue_rows: 500,
        queue_bytes: 100_000,
    });
    (limits, milliseconds(0..12), vec(action, 0..200)).prop_map(|(limits, patience, actions)| Play {
        limits,
        patience,
        is_padded: true,
        actions,
    })
}

/// The first plays of a fixed seed.
pub(crate) fn sample(plays: usize) -> Vec<Play> {
    first(&any_play(), plays)
}

/// The first padded plays of a fixed seed.
pub(crate) fn padded_sample(plays: usize) -> Vec<Play> {
    first(&padded_play(), plays)
}

fn first(strategy: &impl Strategy<Value = Play>, plays: usize) -> Vec<Play> {
    let mut runner = TestRunner::deterministic();
    (0..plays).map(|_| strategy.new_tree(&mut runner).expect("a play").current()).collect()
}

/// Runs a play to its end: after the last action the queue is drained to the last row.
pub(crate) fn play(script: &Play) -> Vec<Step> {
    let mut stage = Stage::new(script);
    for action in &script.actions {
        stage.act(action);
    }
    stage.act(&Action::Drain);
    while stage.act(&Action::Release(ALL)) {}
    stage.act(&Action::Expire);
    stage.history
}

struct Stage {
    batcher: Batcher,
    now: Moment,
    arrivals: Vec<Arrival>,
    history: Vec<Step>,
    is_padded: bool,
}

impl Stage {
    fn new(script: &Play) -> Self {
        Self {
            batcher: Batcher::with_patience(script.limits, script.patience),
            now: Moment::EPOCH,
            arrivals: Vec::new(),
            history: Vec::new(),
            is_padded: script.is_padded,
        }
    }

    /// Returns whether a micro-batch was released.
    fn act(&mut self, action: &Action) -> bool {
        let event = match action {
            Action::Submit(request) => self.submit(request),
            Action::Cancel(index) => self.cancel(*index),
            Action::Expire => self.expire(),
            Action::Release(size) => self.release(*size),
            Action::Together(size, mask) => self.release_together(*size, *mask),
            Action::Pass(duration) => self.pass(*duration),
            Action::Drain => self.drain(),
        };
        let is_released = matches!(event, Event::Released(.., Some(_)));
        self.record(event);
        is_released
    }

    fn submit(&mut self, request: &Request) -> Event {
        let arrival = Arrival {
            id: RequestId(self.arrivals.len() as u64),
            client: Client(self.arrivals.len() as u64 % 5),
            bucket: Bucket(request.bucket),
            rows: request.rows,
            bytes: request.bytes,
            priority: Priority(request.priority),
            deadline: request.deadline.map(|duration| self.now + duration),
        };
        self.arrivals.push(arrival);
        if self.is_padded {
            self.batcher.tell(arrival.bucket, shape(arrival.bucket));
        }
        Event::Submitted(arrival, self.batcher.submit(self.now, arrival))
    }

    fn release(&mut self, size: Size) -> Event {
        let batch = if size == ALL { self.batcher.release(self.now) } else { self.batcher.release_sized(self.now, size) };
        Event::Released(size, Vec::new(), batch)
    }

    /// With some of those that wait, the longest first, and usually with the one whose turn it is: they may go or not.
    fn release_together(&mut self, size: Size, mask: u64) -> Event {
        let turn = self.batcher.next_up(self.now).map(|turn| turn.bucket).filter(|_| !mask.count_ones().is_multiple_of(4));
        let waiting = self.batcher.queued_by_age().map(|queued| queued.bucket).enumerate();
        let mut company: Vec<Bucket> =
            waiting.filter(|(index, bucket)| Some(*bucket) == turn || mask >> (index % 60) & 1 > 0).map(|(_, bucket)| bucket).collect();
        company.sort_by_key(|bucket| std::cmp::Reverse(bucket.0));
        let batch = self.batcher.release_together(self.now, size, &company);
        Event::Released(size, company, batch)
    }

    fn cancel(&mut self, index: usize) -> Event {
        let id = RequestId(index as u64);
        Event::Cancelled(id, self.batcher.cancel(id))
    }

    fn expire(&mut self) -> Event {
        let mut expired = Vec::new();
        self.batcher.expire(self.now, &mut expired);
        Event::Expired(expired)
    }

    fn pass(&mut self, duration: Duration) -> Event {
        self.now = self.now + duration;
        Event::Passed
    }

    fn drain(&mut self) -> Event {
        self.batcher.drain();
        Event::Drained
    }

    fn record(&mut self, event: Event) {
        let batcher = &self.batcher;
        let after = Queue {
            rows: batcher.queued_rows(),
            bytes: batcher.queued_bytes(),
            requests: batcher.queued_requests(),
            is_empty: batcher.is_empty(),
            next_deadline: batcher.next_deadline(),
        };
        self.history.push(Step { now: self.now, event, after });
    }
}

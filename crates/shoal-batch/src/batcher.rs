//! The batcher itself: admission, release, cancellation, expiry, drain.

use std::time::Duration;

use crate::bucket_queue::{BucketQueue, Order};
use crate::dated::DatedRows;
use crate::deadlines::{Deadlines, Due};
use crate::kin::{Load, Queued, Shape, Shapes};
use crate::line::Exit;
use crate::open::{Bounds, Open, Size, next_share};
use crate::queues::Queues;
use crate::waiting::{Key, NOBODY, Place, Room, Share, Waiting};
use crate::{Arrival, Bucket, Limits, MicroBatch, Moment, Reason, Refusal, RequestId, Slice};

/// How long a request may be passed over for more urgent ones before it counts as overdue.
///
/// A second is long beside any model's batch and short beside a client's usual timeout of many seconds.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many empty lists of slices are kept for later micro-batches: more than a server has executors.
const SPARE_LISTS: usize = 16;

/// One central queue of requests, from which free executors take micro-batches.
///
/// The owner calls [`release`](Self::release) whenever an executor is free and something waits, and
/// [`expire`](Self::expire) at [`next_deadline`](Self::next_deadline). Every accepted request ends in exactly one of
/// three ways: all its rows are released, once each; [`cancel`](Self::cancel) returned true; or `expire` handed it
/// back. After the last two, rows that were released before are of no use and no more rows follow.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    patience: Duration,
    room: Room,
    queues: Queues,
    deadlines: Deadlines,
    /// Expired requests that were met before `expire` was called; the earliest deadline first.
    expired: Vec<(Moment, RequestId)>,
    queued: Share,
    dated: DatedRows,
    shapes: Shapes,
    next_number: u64,
    is_draining: bool,
    spare: Vec<Vec<Slice>>,
}

/// What waits in the bucket whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextUp {
    /// The bucket.
    pub bucket: Bucket,
    /// Rows that wait in it.
    pub rows: usize,
    /// When the one of its requests came that waits for longest, of those first in their lines.
    pub oldest: Moment,
}

impl Batcher {
    /// An empty batcher. A limit of zero counts as one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_patience(limits, PATIENCE)
    }

    /// An empty batcher whose requests count as overdue after `patience` instead of [`PATIENCE`].
    #[must_use]
    pub fn with_patience(limits: Limits, patience: Duration) -> Self {
        Self {
            limits: limits.at_least_one(),
            patience,
            room: Room::default(),
            queues: Queues::default(),
            deadlines: Deadlines::default(),
            expired: Vec::new(),
            queued: Share { rows: 0, bytes: 0 },
            dated: DatedRows::default(),
            shapes: Shapes::default(),
            next_number: 0,
            is_draining: false,
            spare: Vec::new(),
        }
    }

    /// Accepts a request into the queue, or says why not; a refused request leaves no trace.
    ///
    /// The checks, in this order: draining, no rows, an id that waits already, a deadline that is not after `now`,
    /// larger than the whole queue, no room now.
    pub fn submit(&mut self, now: Moment, arrival: Arrival) -> Result<(), Refusal> {
        self.check(now, &arrival)?;
        let place = self.new_place(now);
        let queue = self.queues.of_bucket(arrival.bucket);
        let waiting = wait(&arrival, queue, place);
        let Some(key) = self.room.enter(waiting) else {
            self.queues.settle(queue, &self.room);
            return Err(self.full());
        };
        self.queued.rows += arrival.rows;
        self.queued.bytes += arrival.bytes;
        self.line_up(key, &waiting);
        Ok(())
    }

    /// Whether `submit` would accept this request now.
    pub fn check(&self, now: Moment, arrival: &Arrival) -> Result<(), Refusal> {
        if self.is_draining {
            return Err(Refusal::Draining);
        }
        if arrival.rows == 0 {
            return Err(Refusal::Empty);
        }
        if self.room.key_of(arrival.id).is_some() {
            return Err(Refusal::DuplicateId);
        }
        if arrival.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::DeadlinePassed);
        }
        self.check_size(arrival)
    }

    fn check_size(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let Limits { queue_rows, queue_bytes, .. } = self.limits;
        if arrival.rows > queue_rows || arrival.bytes > queue_bytes {
            return Err(Refusal::TooLarge { queue_rows, queue_bytes });
        }
        let has_room = arrival.rows <= queue_rows - self.queued.rows && arrival.bytes <= queue_bytes - self.queued.bytes;
        if has_room { Ok(()) } else { Err(self.full()) }
    }

    fn full(&self) -> Refusal {
        Refusal::QueueFull { rows: self.queued.rows, bytes: self.queued.bytes }
    }

    fn new_place(&mut self, since: Moment) -> Place {
        let number = self.next_number;
        self.next_number += 1;
        Place { number, since }
    }

    fn line_up(&mut self, key: Key, waiting: &Waiting) {
        if let Some(deadline) = waiting.deadline {
            let ticket = waiting.ticket;
            self.deadlines.add(Due { deadline, ticket, key });
        }
        let queue = self.queues.get_mut(waiting.queue);
        queue.rows += waiting.rows;
        queue.bytes += waiting.bytes;
        self.dated.add(waiting.deadline, waiting.rows);
        queue.line(waiting.rank).join(&mut self.room, key);
        self.queues.settle(waiting.queue, &self.room);
    }

    /// Takes back a request that waits, whole or in part, and frees its room in the queue at once.
    ///
    /// Returns false if nothing of it waits: it was released to its last row, has expired, or was never accepted.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let Some(key) = self.room.key_of(id) else {
            return false;
        };
        self.give_up(key);
        true
    }

    fn give_up(&mut self, key: Key) {
        let queue = self.room[key].queue;
        let remaining = self.room[key].remaining();
        self.queued.rows -= remaining.rows;
        self.queued.bytes -= remaining.bytes;
        self.queues.get_mut(queue).take(remaining);
        self.dated.remove(self.room[key].deadline, remaining.rows);
        self.remove(key, Exit::GivenUp);
        self.queues.settle(queue, &self.room);
    }

    /// Takes a request out of the room and its line; the caller settles its queue.
    fn remove(&mut self, key: Key, exit: Exit) {
        let gone = self.room.leave(key);
        let line = self.queues.get_mut(gone.queue).line(gone.rank);
        line.remove(&mut self.room, &gone, exit);
        if gone.deadline.is_some() {
            self.deadlines.one_left(&self.room);
        }
    }

    /// Hands over the next micro-batch: to be called when an executor is free. None means that nothing waits.
    ///
    /// Requests whose deadline has passed at `now` are never released; `expire` hands them back.
    pub fn release(&mut self, now: Moment) -> Option<MicroBatch> {
        self.release_sized(now, Size { most: self.limits.max_rows, enough: None, in_turn: false })
    }

    /// As `release`, with a micro-batch of this size where that is within the limits.
    pub fn release_sized(&mut self, now: Moment, size: Size) -> Option<MicroBatch> {
        self.release_together(now, size, &[])
    }

    /// As `release_sized`, with rows of several buckets: all that wait in `company`, padded to the first of them.
    ///
    /// They go if the bucket whose turn it is is one of them, the first can take the rows of all of them, and all fit whole.
    /// Otherwise the bucket whose turn it is goes alone.
    pub fn release_together(&mut self, now: Moment, size: Size, company: &[Bucket]) -> Option<MicroBatch> {
        self.set_expired_aside(now);
        let (queue, order) = self.queues.choose(now, self.patience)?;
        let own = self.queues.get(queue).bucket;
        let limits = Limits { max_rows: self.limits.max_rows.min(size.most.max(1)), ..self.limits };
        let target = self.target(own, company, &limits);
        let mut open = Open::new(now, self.spare.pop().unwrap_or_default());
        let youngest = if size.in_turn && target.is_none() { self.oldest_of_kin(own) } else { None };
        let bounds = Bounds { now, limits: &limits, enough: size.enough, youngest: youngest.unwrap_or(u64::MAX) };
        self.fill(queue, (order, self.growth(own, target)), (&mut open, &bounds));
        let others = if target.is_some() { company } else { &[] };
        for bucket in others.iter().filter(|bucket| **bucket != own) {
            let Some(queue) = self.queues.find(*bucket) else { continue };
            self.fill(queue, (order, self.growth(*bucket, target)), (&mut open, &bounds));
        }
        Some(MicroBatch {
            reason: self.reason(&open, limits.max_rows),
            slices: open.slices,
            bucket: target.unwrap_or(own),
            rows: open.filled.rows,
            bytes: open.filled.bytes,
            waited: now - open.oldest,
        })
    }

    /// The bucket to whose lengths all of the company are padded, if they can go together.
    fn target(&self, own: Bucket, company: &[Bucket], limits: &Limits) -> Option<Bucket> {
        let target = *company.first().filter(|_| company.contains(&own))?;
        let mut load = Load::default();
        for bucket in company {
            let waiting = self.queues.get(self.queues.find(*bucket)?).waiting();
            load = load.with(&waiting, self.shapes.growth(*bucket, target)?);
        }
        load.is_within(limits).then_some(target)
    }

    /// The oldest place in the other buckets of a bucket's kin.
    fn oldest_of_kin(&self, own: Bucket) -> Option<u64> {
        let kin = self.shapes.of(own)?.kin;
        let is_kin = |queue: &&BucketQueue| queue.bucket != own && self.shapes.of(queue.bucket).is_some_and(|shape| shape.kin == kin);
        Some(self.queues.by_age().find(is_kin)?.standing?.oldest.number)
    }

    fn growth(&self, bucket: Bucket, target: Option<Bucket>) -> usize {
        target.and_then(|target| self.shapes.growth(bucket, target)).unwrap_or(0)
    }

    /// Tells the shape of a bucket: its rows may travel with others of their kin from here on.
    pub fn tell(&mut self, bucket: Bucket, shape: Shape) {
        self.shapes.tell(bucket, shape);
    }

    /// Takes the shape of a bucket back: it is of no kin from here on.
    pub fn forget(&mut self, bucket: Bucket) {
        self.shapes.forget(bucket);
    }

    /// The shape of a bucket, if it was told.
    #[must_use]
    pub fn shape(&self, bucket: Bucket) -> Option<&Shape> {
        self.shapes.of(bucket)
    }

    /// What waits in the buckets, the one first whose next place is the oldest.
    pub fn queued_by_age(&self) -> impl Iterator<Item = Queued> {
        self.queues.by_age().map(BucketQueue::waiting)
    }

    /// Whose turn it is: what `release` would take from. None means that nothing waits.
    #[must_use]
    pub fn next_up(&self, now: Moment) -> Option<NextUp> {
        let (queue, ..) = self.queues.foresee(now, self.patience)?;
        let queue = self.queues.get(queue);
        let oldest = queue.oldest_arrival(&self.room)?;
        Some(NextUp { bucket: queue.bucket, rows: queue.rows, oldest })
    }

    /// Takes from one bucket, whose rows grow by so many bytes in this micro-batch.
    fn fill(&mut self, queue: usize, (order, growth): (Order, usize), (open, bounds): (&mut Open, &Bounds<'_>)) {
        let before = open.filled;
        while !open.is_full {
            let Some(key) = self.queues.get(queue).next(order, &self.room) else {
                break;
            };
            self.take(key, growth, (open, bounds));
        }
        let rows = open.filled.rows - before.rows;
        let taken = Share { rows, bytes: open.filled.bytes - before.bytes - growth * rows };
        self.queued.rows -= taken.rows;
        self.queued.bytes -= taken.bytes;
        self.queues.get_mut(queue).take(taken);
        self.queues.settle(queue, &self.room);
    }

    /// Takes what fits of one request; what does not fit closes the micro-batch and stays where it is in line.
    fn take(&mut self, key: Key, growth: usize, (open, bounds): (&mut Open, &Bounds<'_>)) {
        let limits = bounds.limits;
        let grown;
        let waiting = if growth == 0 {
            &self.room[key]
        } else {
            grown = self.room[key].grown(growth);
            &grown
        };
        let share = next_share(waiting, limits, open);
        let would_be_cut = open.has(bounds.enough, limits.max_rows) && share.rows < waiting.rows && waiting.fits_whole(limits);
        let is_too_young = waiting.place.number > bounds.youngest && !open.slices.is_empty();
        open.spared_one = would_be_cut || is_too_young;
        if share.rows == 0 || open.spared_one {
            open.is_full = true;
            return;
        }
        open.add(waiting, share, limits);
        let left = &mut self.room[key];
        left.released_rows += share.rows;
        left.released_bytes += share.bytes - growth * share.rows;
        self.dated.remove(left.deadline, share.rows);
        if left.released_rows == left.rows {
            return self.remove(key, Exit::Released);
        }
        open.is_full = true;
        if open.slices.len() == 1 {
            self.yield_place(key, bounds.now);
        }
    }

    /// One large request must not keep the executor from those behind it for longer than one micro-batch.
    fn yield_place(&mut self, key: Key, now: Moment) {
        let place = self.new_place(now);
        let Waiting { queue, rank, .. } = self.room[key];
        let line = self.queues.get_mut(queue).line(rank);
        line.move_to_end(&mut self.room, key, place);
    }

    fn reason(&self, open: &Open, max_rows: usize) -> Reason {
        if self.is_draining {
            Reason::Drain
        } else if open.filled.rows == self.limits.max_rows {
            Reason::RowsFull
        } else if open.filled.rows == max_rows || open.spared_one {
            Reason::BestSize
        } else if open.is_full {
            Reason::BytesFull
        } else {
            Reason::ExecutorFree
        }
    }

    /// Gives the list of slices of a finished micro-batch back, so that the next one need not allocate. Optional.
    pub fn recycle(&mut self, mut slices: Vec<Slice>) {
        if self.spare.len() < SPARE_LISTS {
            slices.clear();
            self.spare.push(slices);
        }
    }

    /// Appends the requests whose deadline is not after `now` to `expired`, each once, the earliest deadline first.
    ///
    /// One of which a part was released already is among them: the rest will not follow.
    pub fn expire(&mut self, now: Moment, expired: &mut Vec<RequestId>) {
        self.set_expired_aside(now);
        expired.extend(self.expired.drain(..).map(|(_, id)| id));
    }

    fn set_expired_aside(&mut self, now: Moment) {
        while let Some(due) = self.deadlines.earliest().filter(|due| due.deadline <= now) {
            self.expired.push((due.deadline, self.room[due.key].id));
            self.give_up(due.key);
        }
    }

    /// When `expire` has something to hand back, if nothing changes until then.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let met = self.expired.first().map(|(deadline, _)| *deadline);
        met.or_else(|| self.deadlines.earliest().map(|due| due.deadline))
    }

    /// Accepts nothing from here on; what waits is still released, cancelled or expired.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether `drain` was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Rows that wait.
    #[must_use]
    pub fn queued_rows(&self) -> usize {
        self.queued.rows
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued.bytes
    }

    /// Requests of which at least one row waits.
    #[must_use]
    pub fn queued_requests(&self) -> usize {
        self.room.len()
    }

    /// Rows that go before a request with this deadline: those without one, and those due earlier. To within 8 ms; a
    /// lower bound where very many different deadlines wait.
    #[must_use]
    pub fn rows_before(&self, deadline: Moment) -> usize {
        self.queued.rows - self.dated.total() + self.dated.until(deadline)
    }

    /// Gives up the requests whose deadline is not after `moment`, which may lie ahead: `expire` hands them back.
    pub fn give_up_before(&mut self, moment: Moment) {
        self.set_expired_aside(moment);
    }

    /// Whether nothing waits and nothing is left for `expire` to hand back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.room.len() == 0 && self.expired.is_empty()
    }

    /// The limits it keeps to.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

fn wait(arrival: &Arrival, queue: usize, place: Place) -> Waiting {
    Waiting {
        id: arrival.id,
        client: arrival.client,
        ticket: place.number,
        queue,
        rank: arrival.priority.rank(),
        rows: arrival.rows,
        bytes: arrival.bytes,
        released_rows: 0,
        released_bytes: 0,
        arrived: place.since,
        deadline: arrival.deadline,
        place,
        before: NOBODY,
        after: NOBODY,
    }
}

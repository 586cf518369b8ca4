//! The policy that learns: when a free executor takes a micro-batch, how large, and who is turned away at the door.
//!
//! A [`Scheduler`] stands on a [`Batcher`], which keeps the queue, and adds what is learned while it serves:
//!
//! 1. **Size.** A micro-batch takes no more rows than are worth one call ([`CostModel`]): the knee, and more where one call
//!    for all is as cheap as several. Where more than 64 rows wait, only throughput counts: the best size. A request
//!    that would be cut waits whole for the next micro-batch where this one is as cheap without it. With a latency target, no more than can be answered within it. Limits bound it all the same.
//! 2. **Waiting.** A free executor waits only for clients that were just answered and usually speak again at once, only
//!    while that is worth more than it costs those who wait, never beyond `max_wait`, and never while another executor
//!    is idle: a newcomer would be taken by that one.
//! 3. **Admission.** A request with a deadline is refused at the door if what waits before it takes too long, and told
//!    when to come again. A deadline that cannot be met any more when its turn comes is handed back instead of run. One
//!    in [`DOUBT`] of these is run all the same: a prediction that is never tried can never be corrected.
//! 4. **Trials.** About one micro-batch in a hundred has another size than the best known one, of rows that wait anyway,
//!    so that costs that are unknown, or wrong by now, are learned ([`trials`](crate::trials)).
//! 5. **Company.** Buckets of one kin, which differ in the lengths of their rows, go together where one call is cheaper
//!    ([`company`](crate::company)). Where even rows of one length save little together, all go in the order in which they came.
//! 6. **Nothing to set.** Limits are limits; everything else is measured.

use std::time::Duration;

use crate::batcher::NextUp;
use crate::company::{Candidate, Company, Terms, UNCERTAINTY, choose};
use crate::cost::CostModel;
use crate::costs::Costs;
use crate::kin_costs::KinCosts;
use crate::open::Size;
use crate::returns::{Group, Question, Returns};
use crate::trials::{Choice, Trials};
use crate::{Arrival, Batcher, Bucket, Client, Limits, Measured, MicroBatch, Moment, Queued, Reason, Refusal, RequestId, Shape};

/// One in so many requests that cannot make it is tried all the same.
pub const DOUBT: u32 = 32;
/// Where more rows than this wait, size is chosen for throughput.
const CROWD: usize = 64;
/// A client that stays away for longer than so many micro-batches has not returned soon ...
const SOON_BATCHES: u32 = 3;
/// ... of so many rows.
const USUAL_ROWS: usize = 8;
/// Below this a turnaround is soon, however quick the model is.
const SOON_AT_LEAST: Duration = Duration::from_micros(50);
/// Rows of one length that are cheaper together by less than this do not pass longer ones that came before.
const WORTH_PASSING: f64 = 0.125;
/// All that waits: no size bounds it.
const ALL: Size = Size { most: usize::MAX, enough: None, in_turn: false };
/// Buckets that are looked at for company, those whose turn is next.
const LOOKED_AT: usize = 64;

/// What bounds the policy beside the limits of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Micro-batches that may run at once.
    pub executors: usize,
    /// A request with a free executor waits for company no longer than this.
    pub max_wait: Duration,
    /// From arrival to answer, if the operator wants it: micro-batches stay small enough for it.
    pub latency_target: Option<Duration>,
}

impl Default for Policy {
    /// One executor; 100 ms is beyond any wait that is worth it on processors and short beside a person's patience.
    fn default() -> Self {
        Self { executors: 1, max_wait: Duration::from_millis(100), latency_target: None }
    }
}

/// What a free executor is to do.
#[derive(Debug)]
pub enum Next {
    /// Run this, then call [`Scheduler::finish`] with it.
    Run(Run),
    /// Ask again at this moment, or when a request arrives.
    WaitUntil(Moment),
    /// Ask again when a request arrives.
    Nothing,
}

/// A micro-batch on its way through the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its rows.
    pub batch: MicroBatch,
    /// How long it was expected to take; none before anything was learned.
    pub predicted: Option<Duration>,
    number: u64,
}

/// Why a request was turned away, and when it may be worth coming again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Why.
    pub refusal: Refusal,
    /// From now on; none where coming again is of no use, or nothing is known yet.
    pub retry_after: Option<Duration>,
}

/// A queue that learns when and how to empty itself.
#[derive(Debug)]
pub struct Scheduler {
    batcher: Batcher,
    policy: Policy,
    costs: Costs,
    kin_costs: KinCosts,
    returns: Returns,
    running: Vec<(u64, Option<Moment>)>,
    next_run: u64,
    /// Turnarounds up to this count as "soon": kept, because every request asks.
    horizon: Duration,
    /// Whether an executor was told to wait since the last micro-batch went.
    has_waited: bool,
    doubted: u32,
    trials: Trials,
}

impl Scheduler {
    /// An empty queue that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits, policy: Policy) -> Self {
        Self {
            batcher: Batcher::new(limits),
            policy,
            costs: Costs::default(),
            kin_costs: KinCosts::default(),
            returns: Returns::default(),
            running: Vec::new(),
            next_run: 0,
            horizon: SOON_AT_LEAST,
            has_waited: false,
            doubted: 0,
            trials: Trials::default(),
        }
    }

    /// Learns a cost that was measured before: when the model was warmed up, or in an earlier life.
    pub fn learn(&mut self, bucket: Bucket, measured: Measured) {
        self.observe(bucket, measured.rows, measured.took);
    }

    fn observe(&mut self, bucket: Bucket, rows: usize, took: Duration) {
        self.costs.observe(bucket, rows, took);
        if let Some(shape) = self.batcher.shape(bucket) {
            self.kin_costs.observe(shape, rows, took.as_nanos() as f64);
        }
        let usual = self.costs.of(bucket).predict(USUAL_ROWS).unwrap_or_default();
        self.horizon = (SOON_BATCHES * usual).max(SOON_AT_LEAST);
    }

    /// What is known of a bucket's costs.
    #[must_use]
    pub fn cost(&self, bucket: Bucket) -> &CostModel {
        self.costs.of(bucket)
    }

    /// Whether a micro-batch went.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        self.next_run > 0
    }

    /// What is known of the costs of all buckets together.
    #[must_use]
    pub fn overall_cost(&self) -> &CostModel {
        self.costs.overall()
    }

    /// Accepts a request into the queue, or says why not and when to come again.
    pub fn submit(&mut self, now: Moment, arrival: Arrival) -> Result<(), TurnedAway> {
        self.returns.spoke(now, arrival.client, self.horizon);
        self.admit(now, &arrival)?;
        let submitted = self.batcher.submit(now, arrival);
        submitted.map_err(|refusal| self.turned_away(now, &arrival, refusal))
    }

    fn admit(&mut self, now: Moment, arrival: &Arrival) -> Result<(), TurnedAway> {
        let Some(deadline) = arrival.deadline.filter(|deadline| *deadline > now) else { return Ok(()) };
        if self.batcher.check(now, arrival).is_err() {
            // The queue itself says why.
            return Ok(());
        }
        let budget = deadline - now;
        if self.is_far(now, arrival, budget) {
            return Ok(());
        }
        let ahead = self.batcher.rows_before(deadline);
        let Some(predicted) = self.predicted(now, arrival, ahead).filter(|predicted| *predicted > budget) else { return Ok(()) };
        if self.is_doubted() {
            return Ok(());
        }
        Err(TurnedAway { refusal: Refusal::OutOfReach { predicted, budget }, retry_after: Some(predicted.saturating_sub(budget)) })
    }

    /// Whether all that waits would be done by then one row at a time: most deadlines are that far, and nothing is to be weighed.
    fn is_far(&self, now: Moment, arrival: &Arrival, budget: Duration) -> bool {
        let rows = u32::try_from(self.batcher.queued_rows() + arrival.rows).unwrap_or(u32::MAX);
        let one_by_one = self.costs.of(arrival.bucket).predict(1).and_then(|one| one.checked_mul(rows));
        one_by_one.is_some_and(|all| self.until_free(now) + all <= budget)
    }

    fn is_doubted(&mut self) -> bool {
        self.doubted = (self.doubted + 1) % DOUBT;
        self.doubted == 0
    }

    /// The least time until a request is answered behind `ahead` rows; none while nothing is known.
    ///
    /// While larger micro-batches were not tried, only one counts, as large as the largest that was: small ones that were
    /// slow say little of what many rows take.
    fn predicted(&self, now: Moment, arrival: &Arrival, ahead: usize) -> Option<Duration> {
        let cost = self.costs.of(arrival.bucket);
        let full = self.worth(arrival.bucket, self.batcher.queued_rows() + arrival.rows);
        let in_the_last = (ahead % full + arrival.rows).min(full);
        if !cost.is_tried(full) {
            return Some(self.until_free(now) + cost.predict(in_the_last.min(cost.largest()))?);
        }
        let full_ones = (ahead + arrival.rows.saturating_sub(1)) / full;
        Some(self.until_free(now) + self.time_of_batches(full_ones, cost.predict(full)?) + cost.predict(in_the_last)?)
    }

    /// How long so many full micro-batches take on all executors together.
    fn time_of_batches(&self, batches: usize, each: Duration) -> Duration {
        let share = batches as f64 / self.policy.executors.max(1) as f64;
        Duration::try_from_secs_f64(each.as_secs_f64() * share).unwrap_or(Duration::MAX)
    }

    /// When the first executor is free, as far as it is known.
    fn until_free(&self, now: Moment) -> Duration {
        if self.running.len() < self.policy.executors {
            return Duration::ZERO;
        }
        self.running.iter().filter_map(|(_, end)| *end).min().map_or(Duration::ZERO, |end| end - now)
    }

    fn turned_away(&self, now: Moment, arrival: &Arrival, refusal: Refusal) -> TurnedAway {
        let is_temporary = matches!(refusal, Refusal::QueueFull { .. });
        let retry_after = is_temporary.then(|| self.until_room(now, arrival)).flatten();
        TurnedAway { refusal, retry_after }
    }

    /// How long until the queue has room for a request.
    fn until_room(&self, now: Moment, arrival: &Arrival) -> Option<Duration> {
        let full = self.worth(arrival.bucket, usize::MAX);
        let batches = arrival.rows.div_ceil(full);
        Some(self.until_free(now) + self.time_of_batches(batches, self.costs.of(arrival.bucket).predict(full)?))
    }

    /// The most rows worth one call while `waiting` rows wait.
    fn worth(&self, bucket: Bucket, waiting: usize) -> usize {
        let cost = self.costs.of(bucket);
        let (limit, target) = (self.batcher.limits().max_rows, self.policy.latency_target);
        let knee = cost.worth(limit, target, false);
        if waiting > limit.min(CROWD) {
            return cost.worth(limit, target, true);
        }
        let is_within = waiting <= limit && target.is_none_or(|target| cost.predict(waiting).is_some_and(|took| 2 * took <= target));
        if waiting > knee && is_within && cost.is_whole_as_cheap(waiting, knee) { waiting } else { knee }
    }

    /// What a free executor is to do now.
    pub fn next(&mut self, now: Moment) -> Next {
        let Some(turn) = self.batcher.next_up(now) else { return Next::Nothing };
        let company = self.company(turn);
        let next_up = company.as_ref().map_or(turn, |company| NextUp { bucket: company.members[0], rows: company.rows, ..turn });
        let rows = self.worth(next_up.bucket, next_up.rows);
        if let Some(until) = self.worth_waiting(now, next_up) {
            self.has_waited = true;
            return Next::WaitUntil(until);
        }
        let predicted = self.took(next_up.bucket, rows.min(next_up.rows));
        self.give_up_hopeless(now, predicted);
        let batch = if let Some(company) = company {
            self.batcher.release_together(now, ALL, &company.members)
        } else {
            let size = self.trial(next_up, rows).unwrap_or_else(|| self.size(next_up, rows));
            let size = Size { in_turn: self.goes_in_turn(next_up, rows.min(next_up.rows)), ..size };
            self.batcher.release_sized(now, size)
        };
        batch.map_or(Next::Nothing, |batch| Next::Run(self.depart(now, batch)))
    }

    /// The buckets that go with the one whose turn it is, if any do.
    fn company(&self, turn: NextUp) -> Option<Company> {
        let own = self.batcher.shape(turn.bucket)?;
        let seconds =
            |waits: &Queued, shape: &Shape, rows: usize| Some(self.kin_costs.predict(shape, self.costs.known(waits.bucket), rows)? / 1e9);
        let candidate = |waits: Queued| {
            let shape = self.batcher.shape(waits.bucket).filter(|shape| shape.kin == own.kin)?;
            Some(Candidate { waits, shape, alone: seconds(&waits, shape, waits.rows)? })
        };
        let mut candidates: Vec<Candidate<'_>> = self.batcher.queued_by_age().take(LOOKED_AT).filter_map(candidate).collect();
        let first = candidates.iter().position(|candidate| candidate.waits.bucket == turn.bucket)?;
        candidates.swap(0, first);
        let limits = self.batcher.limits();
        let longest = self.policy.latency_target.map_or(f64::INFINITY, |target| target.as_secs_f64() / 2.0);
        choose(&candidates, &Terms { limits: &limits, longest, took: seconds })
    }

    /// How long so many rows of a bucket take, as far as it or its kin are known.
    fn took(&self, bucket: Bucket, rows: usize) -> Option<Duration> {
        let own = self.costs.known(bucket);
        let by_kin = self.batcher.shape(bucket).and_then(|shape| self.kin_costs.predict(shape, own, rows));
        match by_kin {
            Some(nanos) => Duration::try_from_secs_f64(nanos / 1e9).ok(),
            None => self.costs.of(bucket).predict(rows),
        }
    }

    /// Whether rows of one length save so little in one call that those of others should not wait for it.
    fn goes_in_turn(&self, next_up: NextUp, rows: usize) -> bool {
        let each = |rows: usize| Some(self.took(next_up.bucket, rows)?.as_secs_f64() / rows as f64);
        let has_kin = self.batcher.shape(next_up.bucket).is_some();
        has_kin && each(rows).zip(each(1)).is_some_and(|(many, one)| many > (1.0 - WORTH_PASSING) * one)
    }

    fn size(&self, next_up: NextUp, rows: usize) -> Size {
        if rows >= next_up.rows {
            // All that waits goes along: no size has bounded it.
            return ALL;
        }
        Size { most: rows, enough: Some(self.costs.of(next_up.bucket).enough(rows)), in_turn: false }
    }

    /// Another size than `rows`, if it is the turn of one.
    fn trial(&mut self, next_up: NextUp, rows: usize) -> Option<Size> {
        if self.batcher.is_draining() {
            return None;
        }
        let NextUp { bucket, rows: waiting, .. } = next_up;
        let limit = self.batcher.limits().max_rows;
        let choice = Choice { rows: rows.min(waiting), waiting, limit, target: self.policy.latency_target };
        let most = self.trials.instead(self.costs.of(bucket), choice)?;
        Some(Size { most, enough: None, in_turn: false })
    }

    fn worth_waiting(&mut self, now: Moment, next_up: NextUp) -> Option<Moment> {
        let is_alone = self.running.len() + 1 >= self.policy.executors;
        let latest = next_up.oldest + self.policy.max_wait;
        let is_full = self.worth(next_up.bucket, next_up.rows + 1) <= next_up.rows;
        if self.batcher.is_draining() || is_full || latest <= now || !is_alone {
            return None;
        }
        let others = self.running.iter().filter_map(|(_, end)| *end).min();
        let saving = self.saving(next_up.bucket, next_up.rows)?;
        let relief = others.map_or(saving, |end| saving.min(end - now));
        let waiting = self.batcher.queued_requests();
        self.returns.worth_waiting(now, Question { group: self.group(next_up.bucket), waiting, relief, latest })
    }

    /// Those whose return could make a micro-batch of this bucket larger.
    fn group(&self, bucket: Bucket) -> Group {
        self.batcher.shape(bucket).map_or(Group::Alone(bucket), |shape| Group::Kin(shape.kin))
    }

    /// What one call saves over two, if all who are expected join the rows that wait.
    fn saving(&self, bucket: Bucket, rows: usize) -> Option<Duration> {
        let limit = self.batcher.limits().max_rows;
        let joining = self.returns.expected().min(limit.saturating_sub(rows)).max(1);
        let together = self.took(bucket, rows + joining)?;
        let saved = (self.took(bucket, rows)? + self.took(bucket, joining)?).saturating_sub(together);
        Some(saved.saturating_sub(together.mul_f64(UNCERTAINTY)))
    }

    /// Hands back what cannot be answered in time even if it goes now.
    fn give_up_hopeless(&mut self, now: Moment, predicted: Option<Duration>) {
        let finish = now + predicted.unwrap_or_default();
        if self.batcher.next_deadline().is_some_and(|deadline| deadline <= finish && deadline > now) && !self.is_doubted() {
            self.batcher.give_up_before(finish);
        }
    }

    fn depart(&mut self, now: Moment, mut batch: MicroBatch) -> Run {
        if std::mem::take(&mut self.has_waited) && batch.reason == Reason::ExecutorFree {
            batch.reason = Reason::Returned;
        }
        let predicted = self.took(batch.bucket, batch.rows);
        let number = self.next_run;
        self.next_run += 1;
        self.running.push((number, predicted.map(|took| now + took)));
        Run { batch, predicted, number }
    }

    /// A micro-batch is done and its clients are answered. `took` is its time in the model; none if it says nothing
    /// about others, because the model failed.
    pub fn finish(&mut self, now: Moment, run: Run, took: Option<Duration>) {
        self.running.retain(|(number, _)| *number != run.number);
        let MicroBatch { slices, bucket, rows, .. } = run.batch;
        if let Some(took) = took {
            self.observe(bucket, rows, took);
        }
        let group = self.group(bucket);
        slices.iter().filter(|slice| slice.is_last).for_each(|slice| self.returns.answered(now, slice.client, group));
        self.batcher.recycle(slices);
    }

    /// A client has gone: nobody waits for it.
    pub fn gone(&mut self, client: Client) {
        self.returns.gone(client);
    }

    /// How many clients it has a memory of.
    #[must_use]
    pub fn remembered_clients(&self) -> usize {
        self.returns.remembered()
    }

    /// Tells the shape of a bucket; see [`Batcher::tell`].
    pub fn tell(&mut self, bucket: Bucket, shape: Shape) {
        self.batcher.tell(bucket, shape);
    }

    /// Takes the shape of a bucket back; see [`Batcher::forget`].
    pub fn forget(&mut self, bucket: Bucket) {
        self.batcher.forget(bucket);
    }

    /// Takes back a request; see [`Batcher::cancel`].
    pub fn cancel(&mut self, id: RequestId) -> bool {
        self.batcher.cancel(id)
    }

    /// Appends the requests whose deadline has passed or cannot be met; see [`Batcher::expire`].
    pub fn expire(&mut self, now: Moment, expired: &mut Vec<RequestId>) {
        self.batcher.expire(now, expired);
    }

    /// The queue itself.
    #[must_use]
    pub fn queue(&self) -> &Batcher {
        &self.batcher
    }

    /// Accepts nothing from here on, and waits for nobody.
    pub fn drain(&mut self) {
        self.batcher.drain();
    }
}

//! The requests of one model: who waits, who is being run, and the parts that are already answered.
//!
//! Pure bookkeeping around a [`Scheduler`]: no clock and no waiting. Every accepted request leaves in exactly
//! one way: its answer is sent once, or its caller gave it up (`forget`). Answers find their request
//! by a number that is never used twice, so rows that come back late cannot reach somebody else.

use std::sync::Arc;
use std::time::Duration;

use shoal_batch::{
    Arrival, Bucket, Client, CostModel, Limits, Measured, Moment, Next, NumberMap, Policy, Priority, Refusal, RequestId, Run, Scheduler,
    TurnedAway,
};
use tokio::sync::oneshot;

use crate::bodies::SOON;
use crate::buckets::Buckets;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::{Answer, Flight, Member, rejoin};
use crate::mailbox::Slip;
use crate::padding::Padding;
use crate::trace::Ledger;
use crate::values::{Dtype, Table};

/// What a caller may say about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// 0 is the default, 1 the most urgent.
    pub priority: u8,
    /// From when on the answer is of no use.
    pub deadline: Option<Moment>,
    /// Who asks: whoever was answered there may be about to ask again.
    pub client: Client,
}

/// Where the answer to a request goes.
pub(crate) enum Reply {
    /// To a caller that waits for this one alone.
    One(oneshot::Sender<Outcome<Answer>>),
    /// To one that waits for several.
    Slip(Slip),
}

impl Reply {
    /// Whether somebody still wants the outcome.
    fn send(self, outcome: Outcome<Answer>) -> bool {
        match self {
            Self::One(sender) => sender.send(outcome).is_ok(),
            Self::Slip(slip) => slip.send(outcome),
        }
    }
}

/// A request before it is accepted.
pub(crate) struct Order {
    pub(crate) table: Arc<Table>,
    /// Those that its records will have in a micro-batch, if columns are variable.
    pub(crate) shapes: Option<Vec<usize>>,
    pub(crate) wishes: Wishes,
    pub(crate) reply: Reply,
}

/// What a free executor is to do.
pub(crate) enum Turn {
    /// Run this, then call [`Queue::finish`].
    Fly(Flight),
    /// Ask again at this moment, or when a request arrives.
    WaitUntil(Moment),
    /// Ask again when a request arrives.
    Nothing,
}

struct Pending {
    table: Arc<Table>,
    shapes: Option<Vec<usize>>,
    rows_left: usize,
    /// Answers to slices, with the row at which each starts.
    parts: Vec<(usize, Answer)>,
    reply: Reply,
    /// Whether it bears the name of a client: of several requests of one envelope, one does.
    is_named: bool,
}

/// The requests of one model.
pub(crate) struct Queue {
    scheduler: Scheduler,
    pending: NumberMap<u64, Pending>,
    /// How many of them bear the name of a client.
    named: usize,
    buckets: Buckets,
    next_id: u64,
    output_dtypes: Vec<Dtype>,
    /// There while requests are traced.
    ledger: Option<Box<Ledger>>,
    padding: Option<Arc<Padding>>,
}

impl Queue {
    pub(crate) fn new(limits: Limits, policy: Policy, output_dtypes: Vec<Dtype>) -> Self {
        let (scheduler, pending, buckets) = (Scheduler::new(limits, policy), NumberMap::default(), Buckets::default());
        Self { scheduler, pending, named: 0, buckets, next_id: 0, output_dtypes, ledger: None, padding: None }
    }

    /// Tells of every request from here on.
    pub(crate) fn trace(&mut self, ledger: Ledger) {
        self.ledger = Some(Box::new(ledger));
    }

    /// Whether a micro-batch went.
    pub(crate) const fn has_run(&self) -> bool {
        self.scheduler.has_run()
    }

    /// What is known of costs, of all shapes together.
    pub(crate) fn costs(&self) -> &CostModel {
        self.scheduler.overall_cost()
    }

    /// The queue of a model whose records are padded, if there is padding.
    pub(crate) fn with_padding(self, padding: Option<Arc<Padding>>) -> Self {
        Self { padding, ..self }
    }

    /// Accepts a request, or answers it at once with why it is refused.
    pub(crate) fn submit(&mut self, now: Moment, order: Order) -> Option<RequestId> {
        let Order { table, shapes, wishes, reply } = order;
        let id = RequestId(self.next_id);
        let bucket = self.bucket(shapes.as_ref(), &table);
        let arrival = Arrival {
            id,
            client: wishes.client,
            bucket,
            rows: table.rows,
            // A record takes the room that it will have in its micro-batch.
            bytes: self.padding.as_ref().map_or_else(|| table.size_bytes(), |padding| padding.size_bytes(&table)),
            priority: Priority(wishes.priority),
            deadline: wishes.deadline,
        };
        if let Err(away) = self.scheduler.submit(now, arrival) {
            self.buckets.leave(shapes.as_ref());
            let fault = refused(away);
            if let Some(ledger) = &self.ledger {
                ledger.refused(now, &arrival, fault.code);
            }
            reply.send(Err(fault));
            return None;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.arrived(now, &arrival);
        }
        self.next_id += 1;
        let (rows_left, is_named) = (table.rows, wishes.client != Client::default());
        self.named += usize::from(is_named);
        self.pending.insert(id.0, Pending { table, shapes, rows_left, parts: Vec::new(), reply, is_named });
        Some(id)
    }

    /// The bucket of a request. Of a new one the scheduler is told which others it may travel with.
    fn bucket(&mut self, shapes: Option<&Vec<usize>>, table: &Table) -> Bucket {
        let entered = self.buckets.enter(shapes);
        if entered.is_new {
            entered.swept.into_iter().for_each(|bucket| self.scheduler.forget(bucket));
            if let Some(lengths) = self.padding.as_ref().and_then(|padding| padding.lengths(table)) {
                self.scheduler.tell(entered.bucket, self.buckets.shape(lengths));
            }
        }
        entered.bucket
    }

    /// Learns what a micro-batch costs, measured before the first request. Models of fixed shape have one bucket.
    pub(crate) fn learn(&mut self, measured: Measured) {
        self.scheduler.learn(Bucket(0), measured);
    }

    /// What a free executor is to do.
    pub(crate) fn next(&mut self, now: Moment) -> Turn {
        self.expire(now);
        let next = self.scheduler.next(now);
        // What could not be met any more was given up just now.
        self.expire(now);
        match next {
            Next::Run(run) => Turn::Fly(self.board(run)),
            Next::WaitUntil(until) => Turn::WaitUntil(until),
            Next::Nothing => Turn::Nothing,
        }
    }

    fn board(&self, run: Run) -> Flight {
        let member = |slice: &shoal_batch::Slice| {
            let table = Arc::clone(&self.pending.get(&slice.id.0)?.table);
            Some(Member { id: slice.id, table, start: slice.start, rows: slice.rows })
        };
        let members = run.batch.slices.iter().filter_map(member).collect();
        Flight { run, members }
    }

    fn expire(&mut self, now: Moment) {
        let mut expired = Vec::new();
        self.scheduler.expire(now, &mut expired);
        for id in expired {
            self.end(now, id, Err(deadline_passed()));
        }
    }

    /// Sends the outcomes of a flight to its members. `took` is its time in the model.
    pub(crate) fn finish(&mut self, now: Moment, flight: Flight, outcomes: Vec<Outcome<Answer>>, took: Duration) {
        let Flight { mut run, members } = flight;
        let batch_rows = members.iter().map(|member| member.rows).sum();
        // A failed call, and those that look for who failed it, say nothing about the next one.
        let is_whole = outcomes.iter().all(Result::is_ok);
        if let Some(ledger) = &mut self.ledger {
            ledger.flew(now, took, run.batch.rows);
        }
        for (member, outcome) in members.iter().zip(outcomes) {
            let outcome = outcome.map(|answer| Answer { batch_rows, ..answer });
            if !self.settle(now, member, outcome) {
                // Nobody was answered: the client is not expected to speak again, and may be gone.
                run.batch.slices.iter_mut().filter(|slice| slice.id == member.id).for_each(|slice| slice.client = Client::default());
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.landed();
        }
        self.scheduler.finish(now, run, is_whole.then_some(took));
    }

    /// Whether the request was still wanted.
    fn settle(&mut self, now: Moment, member: &Member, outcome: Outcome<Answer>) -> bool {
        match outcome {
            Ok(answer) if answer.rows == member.table.rows => self.end(now, member.id, Ok(answer)),
            Ok(answer) => self.add_part(now, member, answer),
            Err(fault) => {
                self.scheduler.cancel(member.id);
                self.end(now, member.id, Err(fault))
            }
        }
    }

    fn add_part(&mut self, now: Moment, member: &Member, answer: Answer) -> bool {
        let Some(pending) = self.pending.get_mut(&member.id.0) else { return false };
        pending.rows_left -= answer.rows;
        pending.parts.push((member.start, answer));
        if pending.rows_left == 0 {
            pending.parts.sort_by_key(|(start, _)| *start);
            let parts: Vec<Answer> = pending.parts.drain(..).map(|(_, answer)| answer).collect();
            let answer = rejoin(&parts, &self.output_dtypes);
            return self.end(now, member.id, answer);
        }
        true
    }

    /// Whether somebody still wanted that outcome.
    fn end(&mut self, now: Moment, id: RequestId, outcome: Outcome<Answer>) -> bool {
        let Some(pending) = self.remove(id) else { return false };
        if let Some(ledger) = &mut self.ledger {
            ledger.ended(now, id, outcome.as_ref().err().map(|fault| fault.code));
        }
        pending.reply.send(outcome)
    }

    /// Gives up a request: what waits of it is not run, what is being run is thrown away.
    pub(crate) fn forget(&mut self, now: Moment, id: RequestId) {
        self.scheduler.cancel(id);
        if let (Some(_), Some(ledger)) = (self.remove(id), &mut self.ledger) {
            ledger.abandoned(now, id);
        }
    }

    fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&id.0)?;
        self.named -= usize::from(pending.is_named);
        self.buckets.leave(pending.shapes.as_ref());
        Some(pending)
    }

    /// A client has gone: nobody waits for it.
    pub(crate) fn gone(&mut self, client: Client) {
        self.scheduler.gone(client);
    }

    /// Accepts nothing from here on.
    pub(crate) fn drain(&mut self) {
        self.scheduler.drain();
    }

    /// Whether nothing more will come.
    pub(crate) fn is_drained(&self) -> bool {
        self.scheduler.queue().is_draining() && self.pending.is_empty()
    }

    /// Whether nothing waits and nothing is being run.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many requests are not answered yet.
    pub(crate) fn owed(&self) -> usize {
        self.pending.len()
    }

    /// How many callers are not answered yet.
    pub(crate) const fn callers(&self) -> usize {
        self.named
    }

    /// (rows, bytes) that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.scheduler.queue().queued_rows(), self.scheduler.queue().queued_bytes())
    }
}

/// The fault of a request whose deadline passed.
pub(crate) fn deadline_passed() -> Fault {
    Fault::new(Code::DeadlineExceeded, "the deadline of the request passed before it was answered")
}

fn refused(TurnedAway { refusal, retry_after }: TurnedAway) -> Fault {
    let code = match refusal {
        Refusal::QueueFull { .. } => Code::QueueFull,
        Refusal::TooLarge { .. } => Code::BodyTooLarge,
        Refusal::OutOfReach { .. } => Code::DeadlineOutOfReach,
        Refusal::DeadlinePassed => Code::DeadlineExceeded,
        Refusal::Draining => Code::ShuttingDown,
        Refusal::Empty | Refusal::DuplicateId => Code::Internal,
    };
    // Before the first micro-batch has ended nobody knows how long it takes.
    let retry_after = if code == Code::QueueFull { retry_after.or(Some(SOON)) } else { retry_after };
    let fault = Fault::new(code, refusal.to_string()).retry_after(retry_after);
    match refusal {
        Refusal::QueueFull { .. } | Refusal::OutOfReach { .. } => fault.hint("try again later"),
        Refusal::TooLarge { .. } => fault.hint("send fewer records in one request"),
        Refusal::Draining => fault.hint("send the request to another server"),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Buffer, Payload, Values};

    fn table(numbers: &[i64]) -> Table {
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(numbers)));
        Table { rows: numbers.len(), columns: vec![Values { shape: vec![], payload, missing: vec![] }] }
    }

    fn queue(max_rows: usize) -> Queue {
        Queue::new(Limits { max_rows, max_bytes: 1 << 20, queue_rows: 100, queue_bytes: 1 << 20 }, Policy::default(), vec![Dtype::Int64])
    }

    type Receiver = oneshot::Receiver<Outcome<Answer>>;

    fn submit(queue: &mut Queue, numbers: &[i64], shapes: Option<Vec<usize>>, wishes: Wishes) -> (Option<RequestId>, Receiver) {
        let (sender, receiver) = oneshot::channel();
        let order = Order { table: Arc::new(table(numbers)), shapes, wishes, reply: Reply::One(sender) };
        (queue.submit(Moment::EPOCH, order), receiver)
    }

    fn fly(queue: &mut Queue) -> Option<Flight> {
        match queue.next(Moment::EPOCH) {
            Turn::Fly(flight) => Some(flight),
            Turn::WaitUntil(_) | Turn::Nothing => None,
        }
    }

    /// Answers each row with itself.
    fn echo(queue: &mut Queue, flight: Flight) {
        let answer = |member: &Member| Ok(Answer::new(Arc::clone(&member.table), member.start, member.rows));
        let outcomes = flight.members.iter().map(answer).collect();
        queue.finish(Moment::EPOCH, flight, outcomes, Duration::from_micros(10));
    }

    fn numbers(answer: &Answer) -> Vec<i64> {
        let Payload::Fixed(buffer) = &answer.table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice::<u8, i64>(buffer.bytes())[answer.start..answer.start + answer.rows].to_vec()
    }

    #[test]
    fn an_oversize_request_comes_back_whole_even_if_its_slices_finish_out_of_order() {
        let mut queue = queue(2);
        let (_, mut reply) = submit(&mut queue, &[1, 2, 3, 4, 5], None, Wishes::default());
        let mut flights: Vec<Flight> = std::iter::from_fn(|| fly(&mut queue)).collect();
        assert_eq!(flights.len(), 3);
        flights.reverse();
        for flight in flights {
            echo(&mut queue, flight);
        }
        let answer = reply.try_recv().unwrap().unwrap();
        assert_eq!((numbers(&answer), answer.batch_rows), (vec![1, 2, 3, 4, 5], 2));
    }

    #[test]
    fn a_forgotten_request_is_not_answered_and_its_late_rows_reach_nobody() {
        let mut queue = queue(8);
        let (gone, mut reply) = submit(&mut queue, &[1], None, Wishes::default());
        let flight = fly(&mut queue).unwrap();
        queue.forget(Moment::EPOCH, gone.unwrap());
        let (_, mut other) = submit(&mut queue, &[2], None, Wishes::default());
        echo(&mut queue, flight);
        assert!(reply.try_recv().is_err() && other.try_recv().is_err());
        let flight = fly(&mut queue).unwrap();
        echo(&mut queue, flight);
        assert_eq!(numbers(&other.try_recv().unwrap().unwrap()), [2]);
    }

    #[test]
    fn nobody_expects_a_client_that_left_before_its_answer() {
        let mut queue = queue(8);
        let wishes = Wishes { client: Client(1), ..Wishes::default() };
        let (id, _reply) = submit(&mut queue, &[1], None, wishes);
        let flight = fly(&mut queue).unwrap();
        queue.forget(Moment::EPOCH, id.unwrap());
        queue.gone(Client(1));
        echo(&mut queue, flight);
        assert_eq!(queue.scheduler.remembered_clients(), 0);
    }

    #[test]
    fn one_caller_with_many_requests_is_one_of_those_who_wait() {
        let mut queue = queue(8);
        let named = Wishes { client: Client(1), ..Wishes::default() };
        let mut replies: Vec<_> = [Wishes::default(), Wishes::default(), named].map(|wishes| submit(&mut queue, &[1], None, wishes)).into();
        assert_eq!((queue.owed(), queue.callers()), (3, 1));
        let flight = fly(&mut queue).unwrap();
        queue.forget(Moment::EPOCH, replies.pop().and_then(|(id, _)| id).unwrap());
        assert_eq!((queue.owed(), queue.callers()), (2, 0));
        echo(&mut queue, flight);
        assert_eq!((queue.owed(), queue.callers()), (0, 0));
    }

    #[test]
    fn a_passed_deadline_is_answered_by_name_and_not_run() {
        let mut queue = queue(8);
        let wishes = Wishes { deadline: Some(Moment::from_nanos(5)), ..Wishes::default() };
        let (_, mut reply) = submit(&mut queue, &[1], None, wishes);
        assert!(matches!(queue.next(Moment::from_nanos(6)), Turn::Nothing));
        assert_eq!(reply.try_recv().unwrap().unwrap_err().code, Code::DeadlineExceeded);
    }

    #[test]
    fn a_full_queue_says_try_later_and_a_request_larger_than_it_says_send_less() {
        let mut queue = queue(8);
        let (_, _reply) = submit(&mut queue, &[0; 60], None, Wishes::default());
        let mut refused = |rows| submit(&mut queue, &vec![0; rows], None, Wishes::default()).1.try_recv().unwrap().unwrap_err();
        let (full, large) = (refused(60), refused(101));
        assert_eq!((full.code, large.code), (Code::QueueFull, Code::BodyTooLarge));
        assert!(full.hint.is_some() && large.hint.is_some());
        assert!(full.retry_after.is_some() && large.retry_after.is_none());
    }

    #[test]
    fn a_shape_keeps_its_number_while_its_requests_come_and_go() {
        let mut queue = queue(8);
        for shapes in [vec![3], vec![4]] {
            submit(&mut queue, &[1], Some(shapes), Wishes::default());
        }
        let mut numbers = Vec::new();
        while let Some(flight) = fly(&mut queue) {
            assert_eq!(flight.members.len(), 1);
            numbers.push(flight.run.batch.bucket);
            echo(&mut queue, flight);
        }
        assert_eq!([vec![3], vec![4]].map(|shapes| queue.buckets.enter(Some(&shapes)).bucket).to_vec(), numbers);
    }
}

//! The requests of one model: who waits, who is being run, and the parts that are already answered.
//!
//! Pure bookkeeping around a [`Batcher`]: no clock and no waiting. Every accepted request leaves in exactly
//! one way: its answer is sent once, or its caller gave it up (`forget`). Answers find their request
//! by a number that is never used twice, so rows that come back late cannot reach somebody else.

use std::collections::HashMap;
use std::sync::Arc;

use shoal_batch::{Arrival, Batcher, Bucket, Limits, MicroBatch, Moment, Priority, Refusal, RequestId};
use tokio::sync::oneshot;

use crate::fault::{Code, Fault, Outcome};
use crate::flight::{Answer, Flight, Member, rejoin};
use crate::values::{Dtype, Table};

/// What a caller may say about a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// 0 is the default, 1 the most urgent.
    pub priority: u8,
    /// From when on the answer is of no use.
    pub deadline: Option<Moment>,
}

/// Where the answer to a request arrives.
pub(crate) type Reply = oneshot::Receiver<Outcome<Answer>>;

struct Pending {
    table: Arc<Table>,
    shapes: Option<Vec<usize>>,
    rows_left: usize,
    /// Answers to slices, with the row at which each starts.
    parts: Vec<(usize, Answer)>,
    reply: oneshot::Sender<Outcome<Answer>>,
}

/// The requests of one model.
pub(crate) struct Queue {
    batcher: Batcher,
    pending: HashMap<u64, Pending>,
    buckets: Buckets,
    next_id: u64,
    output_dtypes: Vec<Dtype>,
}

impl Queue {
    pub(crate) fn new(limits: Limits, output_dtypes: Vec<Dtype>) -> Self {
        Self { batcher: Batcher::new(limits), pending: HashMap::new(), buckets: Buckets::default(), next_id: 0, output_dtypes }
    }

    /// Accepts a request. `shapes` are those of its variable columns, if there are any.
    pub(crate) fn submit(&mut self, now: Moment, table: Table, shapes: Option<Vec<usize>>, wishes: Wishes) -> Outcome<(RequestId, Reply)> {
        let id = RequestId(self.next_id);
        let bucket = self.buckets.enter(shapes.as_ref());
        let arrival = Arrival {
            id,
            bucket,
            rows: table.rows,
            bytes: table.size_bytes(),
            priority: Priority(wishes.priority),
            deadline: wishes.deadline,
        };
        if let Err(refusal) = self.batcher.submit(now, arrival) {
            self.buckets.leave(shapes.as_ref());
            return Err(refused(refusal));
        }
        self.next_id += 1;
        let (reply, receiver) = oneshot::channel();
        let rows_left = table.rows;
        self.pending.insert(id.0, Pending { table: Arc::new(table), shapes, rows_left, parts: Vec::new(), reply });
        Ok((id, receiver))
    }

    /// The next micro-batch for a free executor.
    pub(crate) fn release(&mut self, now: Moment) -> Option<Flight> {
        self.expire(now);
        let batch = self.batcher.release(now)?;
        let member = |slice: &shoal_batch::Slice| {
            let table = Arc::clone(&self.pending.get(&slice.id.0)?.table);
            Some(Member { id: slice.id, table, start: slice.start, rows: slice.rows })
        };
        let members = batch.slices.iter().filter_map(member).collect();
        Some(Flight { batch, members })
    }

    fn expire(&mut self, now: Moment) {
        let mut expired = Vec::new();
        self.batcher.expire(now, &mut expired);
        for id in expired {
            self.end(id, Err(deadline_passed()));
        }
    }

    /// Sends the outcomes of a micro-batch to its members.
    pub(crate) fn finish(&mut self, batch: MicroBatch, members: &[Member], outcomes: Vec<Outcome<Answer>>) {
        for (member, outcome) in members.iter().zip(outcomes) {
            match outcome {
                Ok(answer) if answer.rows == member.table.rows => self.end(member.id, Ok(answer)),
                Ok(answer) => self.add_part(member, answer),
                Err(fault) => {
                    self.batcher.cancel(member.id);
                    self.end(member.id, Err(fault));
                }
            }
        }
        self.batcher.recycle(batch.slices);
    }

    fn add_part(&mut self, member: &Member, answer: Answer) {
        let Some(pending) = self.pending.get_mut(&member.id.0) else { return };
        pending.rows_left -= answer.rows;
        pending.parts.push((member.start, answer));
        if pending.rows_left == 0 {
            pending.parts.sort_by_key(|(start, _)| *start);
            let parts: Vec<Answer> = pending.parts.drain(..).map(|(_, answer)| answer).collect();
            let answer = rejoin(&parts, &self.output_dtypes);
            self.end(member.id, answer);
        }
    }

    fn end(&mut self, id: RequestId, outcome: Outcome<Answer>) {
        if let Some(pending) = self.pending.remove(&id.0) {
            self.buckets.leave(pending.shapes.as_ref());
            // The caller may have gone meanwhile; then nobody wants the answer.
            drop(pending.reply.send(outcome));
        }
    }

    /// Gives up a request: what waits of it is not run, what is being run is thrown away.
    pub(crate) fn forget(&mut self, id: RequestId) {
        self.batcher.cancel(id);
        if let Some(pending) = self.pending.remove(&id.0) {
            self.buckets.leave(pending.shapes.as_ref());
        }
    }

    /// Accepts nothing from here on.
    pub(crate) fn drain(&mut self) {
        self.batcher.drain();
    }

    /// Whether nothing more will come.
    pub(crate) fn is_drained(&self) -> bool {
        self.batcher.is_draining() && self.pending.is_empty()
    }

    /// Whether nothing waits and nothing is being run.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// (rows, bytes) that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.batcher.queued_rows(), self.batcher.queued_bytes())
    }
}

/// The fault of a request whose deadline passed.
pub(crate) fn deadline_passed() -> Fault {
    Fault::new(Code::DeadlineExceeded, "the deadline of the request passed before it was answered")
}

fn refused(refusal: Refusal) -> Fault {
    let code = match refusal {
        Refusal::QueueFull { .. } => Code::QueueFull,
        Refusal::TooLarge { .. } => Code::BodyTooLarge,
        Refusal::DeadlinePassed => Code::DeadlineExceeded,
        Refusal::Draining => Code::ShuttingDown,
        Refusal::Empty | Refusal::DuplicateId => Code::Internal,
    };
    let fault = Fault::new(code, refusal.to_string());
    match refusal {
        Refusal::QueueFull { .. } => fault.hint("try again later"),
        Refusal::TooLarge { .. } => fault.hint("send fewer records in one request"),
        _ => fault,
    }
}

/// Numbers for the shapes of variable columns, exact and bounded by the requests that wait.
#[derive(Default)]
struct Buckets {
    known: HashMap<Vec<usize>, (u64, usize)>,
    next: u64,
}

impl Buckets {
    fn enter(&mut self, shapes: Option<&Vec<usize>>) -> Bucket {
        let Some(shapes) = shapes else { return Bucket(0) };
        if !self.known.contains_key(shapes) {
            self.next += 1;
            self.known.insert(shapes.clone(), (self.next, 0));
        }
        self.known.get_mut(shapes).map_or(Bucket(0), |(number, users)| {
            *users += 1;
            Bucket(*number)
        })
    }

    fn leave(&mut self, shapes: Option<&Vec<usize>>) {
        let Some(shapes) = shapes else { return };
        if let Some((_, users)) = self.known.get_mut(shapes) {
            *users -= 1;
            if *users == 0 {
                self.known.remove(shapes);
            }
        }
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
        Queue::new(Limits { max_rows, max_bytes: 1 << 20, queue_rows: 100, queue_bytes: 1 << 20 }, vec![Dtype::Int64])
    }

    /// Answers each row with itself.
    fn echo(queue: &mut Queue, flight: Flight) {
        let answer = |member: &Member| Ok(Answer { table: Arc::clone(&member.table), start: member.start, rows: member.rows });
        let outcomes = flight.members.iter().map(answer).collect();
        queue.finish(flight.batch, &flight.members, outcomes);
    }

    fn numbers(answer: &Answer) -> Vec<i64> {
        let Payload::Fixed(buffer) = &answer.table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice::<u8, i64>(buffer.bytes())[answer.start..answer.start + answer.rows].to_vec()
    }

    #[test]
    fn an_oversize_request_comes_back_whole_even_if_its_slices_finish_out_of_order() {
        let mut queue = queue(2);
        let (_, mut reply) = queue.submit(Moment::EPOCH, table(&[1, 2, 3, 4, 5]), None, Wishes::default()).unwrap();
        let mut flights: Vec<Flight> = std::iter::from_fn(|| queue.release(Moment::EPOCH)).collect();
        assert_eq!(flights.len(), 3);
        flights.reverse();
        for flight in flights {
            echo(&mut queue, flight);
        }
        assert_eq!(numbers(&reply.try_recv().unwrap().unwrap()), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_forgotten_request_is_not_answered_and_its_late_rows_reach_nobody() {
        let mut queue = queue(8);
        let (gone, mut reply) = queue.submit(Moment::EPOCH, table(&[1]), None, Wishes::default()).unwrap();
        let flight = queue.release(Moment::EPOCH).unwrap();
        queue.forget(gone);
        let (_, mut other) = queue.submit(Moment::EPOCH, table(&[2]), None, Wishes::default()).unwrap();
        echo(&mut queue, flight);
        assert!(reply.try_recv().is_err() && other.try_recv().is_err());
        let flight = queue.release(Moment::EPOCH).unwrap();
        echo(&mut queue, flight);
        assert_eq!(numbers(&other.try_recv().unwrap().unwrap()), [2]);
    }

    #[test]
    fn a_passed_deadline_is_answered_by_name_and_not_run() {
        let mut queue = queue(8);
        let wishes = Wishes { deadline: Some(Moment::from_nanos(5)), ..Wishes::default() };
        let (_, mut reply) = queue.submit(Moment::EPOCH, table(&[1]), None, wishes).unwrap();
        assert!(queue.release(Moment::from_nanos(6)).is_none());
        assert_eq!(reply.try_recv().unwrap().unwrap_err().code, Code::DeadlineExceeded);
    }

    #[test]
    fn a_full_queue_says_try_later_and_a_request_larger_than_it_says_send_less() {
        let mut queue = queue(8);
        let (_, _reply) = queue.submit(Moment::EPOCH, table(&[0; 60]), None, Wishes::default()).unwrap();
        let full = queue.submit(Moment::EPOCH, table(&[0; 60]), None, Wishes::default()).unwrap_err();
        let large = queue.submit(Moment::EPOCH, table(&[0; 101]), None, Wishes::default()).unwrap_err();
        assert_eq!((full.code, large.code), (Code::QueueFull, Code::BodyTooLarge));
        assert!(full.hint.is_some() && large.hint.is_some());
    }

    #[test]
    fn shapes_are_forgotten_with_their_last_request() {
        let mut queue = queue(8);
        queue.submit(Moment::EPOCH, table(&[1]), Some(vec![3]), Wishes::default()).unwrap();
        queue.submit(Moment::EPOCH, table(&[2]), Some(vec![4]), Wishes::default()).unwrap();
        assert_eq!(queue.buckets.known.len(), 2);
        while let Some(flight) = queue.release(Moment::EPOCH) {
            assert_eq!(flight.members.len(), 1);
            echo(&mut queue, flight);
        }
        assert!(queue.buckets.known.is_empty());
    }
}

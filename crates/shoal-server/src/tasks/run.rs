//! All tasks of an envelope on their way: into the queues of their models at once, and each answer out as soon as it is there.
//!
//! - The requests of one model go into its queue together, so that they and those of others share micro-batches.
//! - The last request for a model bears the name of its client: when that one is answered, the client may be about to ask again.
//! - A task ends once: answered, refused, or given up when its budget has passed. Whatever comes for it later is thrown away.
//! - A run that is dropped gives up what has not ended.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use shoal_batch::RequestId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::draft::{Draft, Drafts, Refused, Request, Routed, Way};
use super::kept::{Known, Name, News, Ticket};
use super::route::join;
use super::{Caller, Done, Envelope, Query, Task};
use crate::catalog::Catalog;
use crate::description::Author;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::http::count;
use crate::lineup::Offer;
use crate::mailbox::{Letter, Mailbox};
use crate::queue::{Order, Reply, Wishes, deadline_passed};
use crate::tables::Typed;
use crate::tables::answer::answered;

/// Answers all tasks of an envelope, in their order.
pub(crate) async fn run(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller) -> Vec<Done> {
    let mut run = Run::begin(catalog, envelope, caller);
    run.takes_all_at_once = run.jobs.iter().all(|job| job.ticket.is_none());
    poll_fn(|context| run.poll_all(context)).await;
    let mut ended = Vec::from(std::mem::take(&mut run.ready));
    ended.sort_by_key(|(place, _)| *place);
    ended.into_iter().map(|(_, done)| done).collect()
}

/// The tasks of an envelope that are on their way.
pub(crate) struct Run {
    catalog: Arc<Catalog>,
    caller: Caller,
    arrived: Instant,
    jobs: Vec<Job>,
    pieces: Vec<Piece>,
    mailbox: Arc<Mailbox>,
    /// Letters that will come.
    owed: usize,
    /// Whether nobody looks before all have come, neither the caller nor another task with the same key.
    takes_all_at_once: bool,
    ready: VecDeque<(usize, Done)>,
    /// Tasks that wait for another one with their key.
    waiting: JoinSet<(usize, Task, Outcome<News>)>,
    /// The latest first.
    deadlines: Vec<(Instant, usize)>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// A task, which has ended or not.
struct Job {
    id: String,
    weight: f64,
    ticket: Option<Ticket>,
    pieces: Range<usize>,
    /// Of a task for a router: the answers of its models.
    gathered: Option<Gathered>,
    deadline: Option<Instant>,
    is_open: bool,
}

/// The answers of a router's models, as far as they have come.
struct Gathered {
    router: Arc<Offer>,
    way: Arc<Way>,
    query: Arc<Query>,
    /// In the order of the legs.
    answers: Vec<Option<Typed>>,
    batch_rows: usize,
}

impl Gathered {
    /// All answers as one; None while some have not come.
    fn joined(&mut self) -> Option<Outcome<Typed>> {
        if self.answers.iter().any(Option::is_none) {
            return None;
        }
        let answers = std::mem::take(&mut self.answers).into_iter().flatten();
        let places = self.way.legs.iter().map(|leg| leg.places.as_slice());
        Some(join(self.way.rows, places.zip(answers).collect(), self.query.outputs.as_deref()))
    }
}

/// One request to a model.
struct Piece {
    job: usize,
    offer: Arc<Offer>,
    lane: Arc<Served>,
    /// There while it may be given up.
    request: Option<RequestId>,
    wanted: Arc<[usize]>,
}

/// What goes into one queue: pieces by their numbers, and their orders.
struct Load {
    lane: Arc<Served>,
    pieces: Vec<usize>,
    orders: Vec<Order>,
}

impl Run {
    /// Puts all tasks into the queues of their models; on the event loop.
    pub(crate) fn begin(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller) -> Self {
        let count = envelope.tasks.len();
        let mut run = Self {
            catalog: Arc::clone(catalog),
            caller,
            arrived: envelope.arrived,
            jobs: Vec::with_capacity(count),
            pieces: Vec::with_capacity(count),
            mailbox: Mailbox::with_room(count),
            owed: 0,
            takes_all_at_once: false,
            ready: VecDeque::with_capacity(count),
            waiting: JoinSet::new(),
            deadlines: Vec::new(),
            alarm: None,
        };
        let (mut drafts, mut loads) = (Drafts::new(catalog), Vec::new());
        for task in envelope.tasks {
            run.add(task, &mut drafts, &mut loads);
        }
        run.submit_all(loads);
        run
    }

    fn add(&mut self, mut task: Task, drafts: &mut Drafts<'_>, loads: &mut Vec<Load>) {
        let number = self.jobs.len();
        let deadline = task.timeout.and_then(|timeout| self.arrived.checked_add(timeout));
        self.jobs.push(Job {
            id: std::mem::take(&mut task.id),
            weight: task.weight,
            ticket: None,
            pieces: 0..0,
            gathered: None,
            deadline,
            is_open: true,
        });
        if let Some(task) = self.unless_known(number, task) {
            self.draft(number, task, drafts, loads);
        }
    }

    fn draft(&mut self, number: usize, task: Task, drafts: &mut Drafts<'_>, loads: &mut Vec<Load>) {
        let priority = task.priority;
        match drafts.draft(task) {
            Ok(draft) => self.take(number, draft, priority, loads),
            Err(Refused { fault, offer }) => self.fail(number, offer.as_deref(), fault),
        }
    }

    /// The task, if it is to be run: it has no key, or is the first with it.
    fn unless_known(&mut self, number: usize, task: Task) -> Option<Task> {
        let Some((key, digest)) = task.key.clone().zip(task.digest) else { return Some(task) };
        let name = Name { owner: self.caller.owner, key };
        match self.catalog.kept.enter(Instant::now(), &name, digest) {
            Ok(Known::Fresh(ticket)) => {
                self.jobs[number].ticket = Some(ticket);
                return Some(task);
            }
            Ok(Known::Done(done)) => self.copy(number, &done),
            Ok(Known::Runs(news)) => {
                let deadline = self.jobs[number].deadline;
                self.waiting.spawn(async move { (number, task, wait(news, deadline).await) });
            }
            Err(fault) => self.fail(number, None, fault),
        }
        None
    }

    /// What the wait for another task with the same key has come to.
    fn heard(&mut self, number: usize, task: Task, news: Outcome<News>) {
        match news {
            Ok(News::Done(done)) => self.copy(number, &done),
            Ok(News::Turn(ticket)) => {
                self.jobs[number].ticket = Some(ticket);
                self.takes_all_at_once = false;
                let catalog = Arc::clone(&self.catalog);
                let (mut drafts, mut loads) = (Drafts::new(&catalog), Vec::new());
                self.draft(number, task, &mut drafts, &mut loads);
                self.submit_all(loads);
            }
            Err(fault) => self.fail(number, None, fault),
        }
    }

    /// Answers a task as another one was.
    fn copy(&mut self, number: usize, done: &Done) {
        let job = &self.jobs[number];
        self.deliver(number, Done { id: job.id.clone(), weight: job.weight, ..done.clone() });
    }

    fn take(&mut self, number: usize, draft: Draft, priority: u8, loads: &mut Vec<Load>) {
        self.jobs[number].pieces = self.pieces.len()..self.pieces.len();
        match draft {
            Draft::Asked(request) => self.load(number, request, priority, loads),
            Draft::Routed(Routed { router, requests, way, query }) => {
                let answers = requests.iter().map(|_| None).collect();
                self.jobs[number].gathered = Some(Gathered { router, way, query, answers, batch_rows: 0 });
                for request in requests {
                    self.load(number, request, priority, loads);
                }
                // A router that got no records waits for nobody.
                self.join(number);
            }
        }
    }

    fn load(&mut self, number: usize, request: Request, priority: u8, loads: &mut Vec<Load>) {
        let Request { offer, table, wanted } = request;
        if table.rows == 0 {
            return self.answer(number, &offer, &wanted, (offer.no_rows(), self.arrived.elapsed()));
        }
        let lane = Arc::clone(offer.lane());
        let piece = Piece { job: number, offer, lane, request: None, wanted };
        let deadline = self.jobs[number].deadline;
        self.deadlines.extend(deadline.map(|deadline| (deadline, number)));
        let wishes = Wishes { priority, deadline: deadline.map(|deadline| piece.lane.moment(deadline)), ..Wishes::default() };
        let order = piece.lane.order(table, wishes, Reply::Slip(self.mailbox.slip(self.pieces.len())));
        let load = load_of(loads, &piece.lane, self.jobs.capacity());
        load.orders.push(order);
        load.pieces.push(self.pieces.len());
        self.pieces.push(piece);
        self.jobs[number].pieces.end = self.pieces.len();
    }

    /// Puts all that was loaded into the queues.
    fn submit_all(&mut self, loads: Vec<Load>) {
        self.deadlines.sort_unstable_by(|one, other| other.cmp(one));
        for load in loads {
            self.submit(load);
        }
    }

    fn submit(&mut self, mut load: Load) {
        if let Some(last) = load.orders.last_mut() {
            last.wishes.client = self.caller.client;
        }
        self.owed += load.orders.len();
        let requests = load.lane.submit_all(load.orders.into_iter());
        for (piece, request) in load.pieces.into_iter().zip(requests) {
            self.pieces[piece].request = request;
        }
    }

    /// The next task that has ended, with its place in the envelope; None when all have.
    pub(crate) async fn next(&mut self) -> Option<(usize, Done)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for those who poll.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Done)>> {
        while self.ready.is_empty() && ready!(self.poll_more(context)) {}
        Poll::Ready(self.ready.pop_front())
    }

    /// Ready when all tasks have ended.
    fn poll_all(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while ready!(self.poll_more(context)) {}
        Poll::Ready(())
    }

    /// Looks whether tasks have ended; false when all had before.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.owed == 0 && self.waiting.is_empty() {
            let Some(lost) = self.jobs.iter().position(|job| job.is_open) else { return Poll::Ready(false) };
            self.fail(lost, None, Fault::new(Code::Internal, "the task was lost"));
        } else if !(self.has_waited(context) | self.has_letters(context) || self.has_late(context)) {
            return Poll::Pending;
        }
        Poll::Ready(true)
    }

    /// Whether the wait of a task for another one has ended.
    fn has_waited(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(ended)) = self.waiting.poll_join_next(context) else { return false };
        if let Ok((number, task, news)) = ended {
            self.heard(number, task, news);
        }
        true
    }

    fn has_letters(&mut self, context: &Context<'_>) -> bool {
        if self.owed == 0 {
            return false;
        }
        let wanted = if self.takes_all_at_once { self.owed } else { 1 };
        let Poll::Ready(letters) = self.mailbox.poll_take(context, wanted) else { return false };
        self.open(letters);
        true
    }

    fn open(&mut self, letters: Vec<Letter>) {
        self.owed -= letters.len();
        let took = self.arrived.elapsed();
        for (number, outcome) in letters {
            let piece = &mut self.pieces[number];
            piece.request = None;
            if !self.jobs[piece.job].is_open {
                continue;
            }
            let (job, offer, wanted) = (piece.job, Arc::clone(&piece.offer), Arc::clone(&piece.wanted));
            match outcome {
                Ok(answer) if self.jobs[job].gathered.is_some() => self.gather(number, &offer, &wanted, answer),
                Ok(answer) => self.answer(job, &offer, &wanted, (answer, took)),
                Err(fault) => self.fail(job, Some(&offer), fault),
            }
        }
    }

    /// Whether there was something to do about tasks whose budget has passed.
    fn has_late(&mut self, context: &mut Context<'_>) -> bool {
        while self.deadlines.pop_if(|(_, number)| !self.jobs[*number].is_open).is_some() {}
        let Some((deadline, _)) = self.deadlines.last() else { return false };
        let deadline = tokio::time::Instant::from_std(*deadline);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(context).is_pending() {
            return false;
        }
        // What has come in time is not late because nobody looked.
        let letters = self.mailbox.take();
        self.open(letters);
        let now = Instant::now();
        while let Some((_, number)) = self.deadlines.pop_if(|(deadline, _)| *deadline <= now) {
            if !self.jobs[number].is_open {
                continue;
            }
            let late = self.pieces[self.jobs[number].pieces.clone()].iter().find(|piece| piece.request.is_some());
            let offer = late.map(|piece| Arc::clone(&piece.offer));
            self.fail(number, offer.as_deref(), deadline_passed());
        }
        true
    }

    /// A model has answered, and that is how long it took.
    fn answer(&mut self, number: usize, offer: &Offer, wanted: &[usize], (answer, took): (Answer, Duration)) {
        count(&self.catalog, offer, took, None);
        let (batch_rows, author) = (answer.batch_rows, Some(Arc::clone(offer.author())));
        let outcome = Ok(answered(offer.description(), answer, wanted));
        self.end(number, Ended { author, outcome, batch_rows });
    }

    /// A model of a router has answered.
    fn gather(&mut self, piece: usize, offer: &Offer, wanted: &[usize], answer: Answer) {
        count(&self.catalog, offer, self.arrived.elapsed(), None);
        let number = self.pieces[piece].job;
        let job = &mut self.jobs[number];
        if let Some(gathered) = &mut job.gathered {
            gathered.batch_rows = gathered.batch_rows.max(answer.batch_rows);
            gathered.answers[piece - job.pieces.start] = Some(answered(offer.description(), answer, wanted));
        }
        self.join(number);
    }

    /// Answers a task for a router, if all that it waits for has come.
    fn join(&mut self, number: usize) {
        let Some(gathered) = self.jobs[number].gathered.as_mut() else { return };
        let Some(outcome) = gathered.joined() else { return };
        let (router, batch_rows) = (Arc::clone(&gathered.router), gathered.batch_rows);
        match outcome {
            Err(fault) => self.fail(number, None, fault),
            Ok(table) => {
                count(&self.catalog, &router, self.arrived.elapsed(), None);
                self.end(number, Ended { author: Some(Arc::clone(router.author())), outcome: Ok(table), batch_rows });
            }
        }
    }

    /// A task has failed, at a model if there is one, and for its router if it has one; what else was asked for it is given up.
    fn fail(&mut self, number: usize, offer: Option<&Offer>, fault: Fault) {
        let (router, took) = (self.jobs[number].gathered.as_ref().map(|gathered| &*gathered.router), self.arrived.elapsed());
        match offer.or(router) {
            Some(offer) => count(&self.catalog, offer, took, Some(&fault)),
            None => self.catalog.metrics.reject(fault.code.name()),
        }
        // The operator is told once, of the model.
        if let (Some(_), Some(router)) = (offer, router) {
            router.metrics().failed(fault.code.name(), took);
        }
        self.give_up(self.jobs[number].pieces.clone());
        self.end(number, Ended { author: None, outcome: Err(fault), batch_rows: 0 });
    }

    fn end(&mut self, number: usize, ended: Ended) {
        let job = &mut self.jobs[number];
        let Ended { author, outcome, batch_rows } = ended;
        let mut done = Done { id: std::mem::take(&mut job.id), author, outcome, batch_rows, weight: job.weight };
        if let Some(ticket) = job.ticket.take() {
            // What is kept and what is answered are the same numbers.
            done.outcome = done.outcome.map(Typed::shared);
            ticket.settle(Instant::now(), &done);
        }
        self.deliver(number, done);
    }

    fn deliver(&mut self, number: usize, done: Done) {
        self.jobs[number].is_open = false;
        self.catalog.metrics.task(done.outcome.as_ref().err().map(|fault| fault.code));
        self.ready.push_back((number, done));
    }

    /// Gives up those pieces that are not answered, each queue at once.
    fn give_up(&mut self, pieces: Range<usize>) {
        let request = |piece: &mut Piece| piece.request.take().map(|request| (Arc::clone(&piece.lane), request));
        let mut open: Vec<_> = self.pieces[pieces].iter_mut().filter_map(request).collect();
        open.sort_by_key(|(lane, _)| Arc::as_ptr(lane).addr());
        for same in open.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)) {
            same[0].0.forget_all(same.iter().map(|(_, request)| *request));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.mailbox.close();
        self.give_up(0..self.pieces.len());
    }
}

/// How a task ended.
struct Ended {
    author: Option<Arc<Author>>,
    outcome: Outcome<Typed>,
    batch_rows: usize,
}

/// What goes into that queue, of so many tasks in all.
fn load_of<'l>(loads: &'l mut Vec<Load>, lane: &Arc<Served>, tasks: usize) -> &'l mut Load {
    // Tasks for one model mostly stand together.
    let place = loads.iter().rposition(|load| Arc::ptr_eq(&load.lane, lane)).unwrap_or_else(|| {
        // Mostly all of them are for the first.
        let room = if loads.is_empty() { tasks } else { 0 };
        loads.push(Load { lane: Arc::clone(lane), pieces: Vec::with_capacity(room), orders: Vec::with_capacity(room) });
        loads.len() - 1
    });
    &mut loads[place]
}

/// Waits for news of a task with the same key, at most until the deadline.
async fn wait(news: oneshot::Receiver<News>, deadline: Option<Instant>) -> Outcome<News> {
    let told = match deadline {
        None => news.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), news).await.map_err(|_| deadline_passed())?,
    };
    told.map_err(|_| Fault::new(Code::Internal, "the task was lost"))
}

#[cfg(test)]
mod tests;

//! All tasks of an envelope on their way: into the queues of their models at once, and each answer out as soon as it is there.
//!
//! - The requests of one model go into its queue together, so that they and those of others share micro-batches.
//! - The last request for a model bears the name of its client: when that one is answered, the client may be about to ask again.
//! - A task ends once: answered, refused, or given up when its budget has passed. Whatever comes for it later is thrown away.
//! - A run that is dropped gives up what has not ended.

mod jobs;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::Sleep;

use self::jobs::{Ended, Job, Piece};
use super::convoy::{Answered, Answers, Convoy, Load, Rider, forget, joined, together};
use super::draft::{Draft, Drafts, Records, Refused, Request, Routed};
use super::gathered::Gathered;
use super::kept::{Known, Name, News, wait};
use super::{Caller, Done, Envelope, Output, Task};
use crate::catalog::Catalog;
use crate::engine::Served;
use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;
use crate::http::count;
use crate::lineup::Offer;
use crate::mailbox::{Letter, Mailbox};
use crate::queue::{Order, Reply, Wishes, deadline_passed};
use crate::tables::stack::Span;
use crate::values::Table;

/// Answers all tasks of an envelope, in their order.
pub(crate) async fn run(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller) -> Vec<Done> {
    let mut run = Run::start(catalog, envelope, caller, true);
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
    convoys: Vec<Convoy>,
    /// The pieces of all convoys.
    riders: Vec<usize>,
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

impl Run {
    /// Puts all tasks into the queues of their models, for somebody who takes each answer as it comes; on the event loop.
    pub(crate) fn begin(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller) -> Self {
        Self::start(catalog, envelope, caller, false)
    }

    fn start(catalog: &Arc<Catalog>, envelope: Envelope, caller: Caller, is_patient: bool) -> Self {
        let count = envelope.tasks.len();
        let mut run = Self {
            catalog: Arc::clone(catalog),
            caller,
            arrived: envelope.arrived,
            jobs: Vec::with_capacity(count),
            pieces: Vec::with_capacity(count),
            convoys: Vec::new(),
            riders: Vec::with_capacity(count),
            mailbox: Arc::default(),
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
        drop(drafts);
        run.takes_all_at_once = is_patient && run.jobs.iter().all(|job| job.ticket.is_none());
        run.submit_all(loads, is_patient);
        run
    }

    fn add(&mut self, mut task: Task, drafts: &mut Drafts, loads: &mut Vec<Load>) {
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
        match self.known(&mut task) {
            Ok(None) => self.draft(number, task, drafts, loads),
            Ok(Some(Known::Fresh(ticket))) => {
                self.jobs[number].ticket = Some(ticket);
                self.draft(number, task, drafts, loads);
            }
            Ok(Some(Known::Done(done))) => self.copy(number, &done),
            Ok(Some(Known::Runs(news))) => {
                self.waiting.spawn(async move { (number, task, wait(news, deadline).await) });
            }
            Err(fault) => self.fail(number, None, fault),
        }
    }

    fn draft(&mut self, number: usize, task: Task, drafts: &mut Drafts, loads: &mut Vec<Load>) {
        let Task { query, input, priority, .. } = task;
        match drafts.draft(&query, input) {
            Ok(draft) => self.take(number, draft, priority, loads),
            Err(Refused { fault, offer }) => self.fail(number, offer.as_deref(), fault),
        }
    }

    /// What is known of a task with a key; None of one that has none.
    fn known(&self, task: &mut Task) -> Outcome<Option<Known>> {
        let Some((key, digest)) = task.key.take().zip(task.digest) else { return Ok(None) };
        self.catalog.kept.enter(Instant::now(), Name { owner: self.caller.owner, key }, digest).map(Some)
    }

    /// What the wait for another task with the same key has come to.
    fn heard(&mut self, number: usize, task: Task, news: Outcome<News>) {
        match news {
            Ok(News::Done(done)) => self.copy(number, &done),
            Ok(News::Turn(ticket)) => {
                self.jobs[number].ticket = Some(ticket);
                self.takes_all_at_once = false;
                let (mut drafts, mut loads) = (Drafts::new(&self.catalog), Vec::new());
                self.draft(number, task.by_itself(), &mut drafts, &mut loads);
                self.submit_all(loads, false);
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
                self.jobs[number].gathered = Some(Box::new(Gathered { router, way, query, answers, batch_rows: 0 }));
                for request in requests {
                    self.load(number, request, priority, loads);
                }
                // A router that got no records waits for nobody.
                self.join(number);
            }
        }
    }

    fn load(&mut self, number: usize, request: Request, priority: u8, loads: &mut Vec<Load>) {
        let Request { offer, records, wanted } = request;
        let rows = records.within().1.rows;
        if rows == 0 {
            let nothing = Answered::alone(offer.description(), offer.no_rows(), &wanted);
            count(&self.catalog, &offer, self.arrived.elapsed(), None);
            return self.end(number, Ended::well(Arc::clone(offer.author()), nothing));
        }
        let (deadline, lane) = (self.jobs[number].deadline, offer.lane());
        self.deadlines.extend(deadline.map(|deadline| (deadline, number)));
        let wishes = Wishes { priority, deadline: deadline.map(|deadline| lane.moment(deadline)), ..Wishes::default() };
        let load = Load::of(loads, lane, self.jobs.capacity());
        load.riders.push(Rider { piece: self.pieces.len(), records, wishes });
        self.pieces.push(Piece { job: number, offer, rows, wanted, convoy: None });
        self.jobs[number].pieces.end = self.pieces.len();
    }

    /// Puts all that was loaded into the queues, as few requests if riders `are_joined`.
    fn submit_all(&mut self, loads: Vec<Load>, are_joined: bool) {
        self.deadlines.sort_unstable_by(|one, other| other.cmp(one));
        for load in loads {
            self.submit(load, are_joined);
        }
    }

    /// Puts a load into its queue.
    fn submit(&mut self, mut load: Load, are_joined: bool) {
        let (first, room, mut orders) = (self.convoys.len(), load.room(are_joined), Vec::new());
        let mut rest = load.riders.as_mut_slice();
        while !rest.is_empty() {
            let (riders, others) = rest.split_at_mut(together(rest, room));
            orders.push(self.send_off(&load.lane, riders));
            rest = others;
        }
        if let Some(last) = orders.last_mut() {
            last.wishes.client = self.caller.client;
        }
        self.owed += orders.len();
        let requests = load.lane.submit_all(orders.into_iter());
        for (convoy, request) in self.convoys[first..].iter_mut().zip(requests) {
            convoy.request = request;
        }
    }

    /// Makes one request of riders.
    fn send_off(&mut self, lane: &Arc<Served>, riders: &mut [Rider]) -> Order {
        let (number, start, wishes) = (self.convoys.len(), self.riders.len(), riders[0].wishes);
        for rider in &*riders {
            self.pieces[rider.piece].convoy = Some(number);
            self.riders.push(rider.piece);
        }
        let table = joined(riders, lane);
        self.convoys.push(Convoy::new(lane, start..self.riders.len(), (&table, wishes)));
        lane.order(table, wishes, Reply::Slip(self.mailbox.slip(number)))
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
            let convoy = &mut self.convoys[number];
            convoy.request = None;
            let riders = convoy.riders.clone();
            match (convoy.shared.take(), outcome) {
                (None, outcome) => self.hear_one(self.riders[riders.start], outcome, took),
                // Late are all of them.
                (Some(shared), Err(fault)) if fault.code != Code::DeadlineExceeded => self.dissolve(number, &shared),
                (Some(_), outcome) => {
                    let outcome = outcome.map(|answer| Answers::of(convoy.lane.description(), answer));
                    self.hear_all(riders, outcome, took);
                }
            }
        }
    }

    /// What has become of one that travelled alone.
    fn hear_one(&mut self, number: usize, outcome: Outcome<Answer>, took: Duration) {
        self.hear(number, took, |piece| Ok(Answered::alone(piece.offer.description(), outcome?, &piece.wanted)));
    }

    /// What has become of those who travelled together.
    fn hear_all(&mut self, riders: Range<usize>, mut outcome: Outcome<Answers>, took: Duration) {
        let mut start = 0;
        for rider in riders {
            let number = self.riders[rider];
            let span = Span { start, rows: self.pieces[number].rows };
            start += span.rows;
            self.hear(number, took, |piece| match &mut outcome {
                Ok(answers) => Ok(answers.part(piece.offer.description(), &piece.wanted, span)),
                Err(fault) => Err(fault.clone()),
            });
        }
    }

    /// What has become of a piece, if its task has not ended.
    fn hear(&mut self, number: usize, took: Duration, outcome: impl FnOnce(&Piece) -> Outcome<Answered>) {
        let piece = &self.pieces[number];
        let job = piece.job;
        if !self.jobs[job].is_open {
            return;
        }
        match outcome(piece) {
            Ok(answered) if self.jobs[job].gathered.is_some() => self.gather(number, answered),
            Ok(answered) => {
                let author = Arc::clone(piece.offer.author());
                count(&self.catalog, &piece.offer, took, None);
                self.end(job, Ended::well(author, answered));
            }
            Err(fault) => {
                let offer = Arc::clone(&piece.offer);
                self.fail(job, Some(&offer), fault);
            }
        }
    }

    /// Asks again for each of those who travelled together, by itself.
    fn dissolve(&mut self, number: usize, (table, wishes): &(Arc<Table>, Wishes)) {
        let (convoy, mut start) = (&self.convoys[number], 0);
        let dtypes = convoy.lane.description().input_dtypes();
        let mut load = Load { lane: Arc::clone(&convoy.lane), riders: Vec::with_capacity(convoy.riders.len()) };
        for piece in &self.riders[convoy.riders.clone()] {
            let Piece { job, rows, .. } = self.pieces[*piece];
            if self.jobs[job].is_open {
                let records = Records::Own(table.slice(&dtypes, start, rows));
                load.riders.push(Rider { piece: *piece, records, wishes: *wishes });
            }
            start += rows;
        }
        self.submit(load, false);
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
            let late = self.pieces[self.jobs[number].pieces.clone()].iter().find(|piece| self.is_asked(piece));
            let offer = late.map(|piece| Arc::clone(&piece.offer));
            self.fail(number, offer.as_deref(), deadline_passed());
        }
        true
    }

    /// A model of a router has answered.
    fn gather(&mut self, piece: usize, Answered { output, batch_rows }: Answered) {
        let Piece { job: number, offer, .. } = &self.pieces[piece];
        count(&self.catalog, offer, self.arrived.elapsed(), None);
        let number = *number;
        let job = &mut self.jobs[number];
        if let Some(gathered) = &mut job.gathered {
            gathered.batch_rows = gathered.batch_rows.max(batch_rows);
            gathered.answers[piece - job.pieces.start] = Some(output.into_table());
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
                self.end(number, Ended::well(Arc::clone(router.author()), Answered { output: Output::Own(table), batch_rows }));
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
            ticket.settle(Instant::now(), done.keep());
        }
        self.deliver(number, done);
    }

    fn deliver(&mut self, number: usize, done: Done) {
        self.jobs[number].is_open = false;
        self.catalog.metrics.task(done.outcome.as_ref().err().map(|fault| fault.code));
        self.ready.push_back((number, done));
    }

    /// Whether an answer may still come.
    fn is_asked(&self, piece: &Piece) -> bool {
        piece.convoy.is_some_and(|convoy| self.convoys[convoy].request.is_some())
    }

    /// Nobody waits for those pieces: gives up the requests that nobody waits for.
    fn give_up(&mut self, pieces: Range<usize>) {
        let mut given_up = Vec::new();
        for convoy in self.pieces[pieces].iter().filter_map(|piece| piece.convoy) {
            let convoy = &mut self.convoys[convoy];
            convoy.waited_for = convoy.waited_for.saturating_sub(1);
            given_up.extend(convoy.given_up());
        }
        forget(given_up);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.mailbox.close();
        self.convoys.iter_mut().for_each(|convoy| convoy.waited_for = 0);
        forget(self.convoys.iter_mut().filter_map(Convoy::given_up).collect());
    }
}

#[cfg(test)]
mod tests;

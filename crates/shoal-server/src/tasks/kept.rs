//! Results that are kept by their key of idempotency, so that a task which is sent again is not run again.
//!
//! - A key belongs to who sent it: [`Name`] holds the API key's hash beside it.
//! - The first task with a key gets a [`Ticket`] and is run. Others with it wait for its result, or take the one that is kept.
//!   Those of another content are a conflict.
//! - Results are kept for two minutes, and as many as fit in 64 MiB; the oldest go first. Errors are not kept: they go to those who
//!   wait, unless they tell of the first one's own patience or bad luck. Then the ticket goes to the one that has waited longest,
//!   which is run itself, and the others wait for that.
//! - A ticket that is dropped without a result, because its client left, does the same.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tokio::sync::oneshot;

use super::Done;
use super::digest::Digest;
use crate::fault::{Code, Fault, Outcome};
use crate::queue::deadline_passed;

/// How long a result is kept.
const KEPT_FOR: Duration = Duration::from_mins(2);
/// What all results that are kept may take.
const KEPT_BYTES: usize = 64 << 20;
/// How many results are forgotten at once, so that nobody waits for very many.
const SWEPT: usize = 16;
/// What a result takes beside its table.
const ENTRY_BYTES: usize = 1024;

/// A key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) owner: Option<[u8; 32]>,
    pub(crate) key: String,
}

/// A name, hashed once, and what is asked under it.
#[derive(Clone)]
struct Title {
    hash: u64,
    name: Arc<Name>,
    digest: Digest,
}

/// What those who wait are told.
pub(crate) enum News {
    /// The result.
    Done(Arc<Done>),
    /// There is none: run the task, and say how it ended.
    Turn(Ticket),
}

/// Those who wait, whoever came first before the others.
type Waiters = VecDeque<oneshot::Sender<News>>;

/// A task for which there is a ticket.
struct Running {
    title: Title,
    waiters: Waiters,
}

/// A result that is kept.
struct KeptResult {
    title: Title,
    done: Arc<Done>,
    bytes: usize,
    since: Instant,
}

#[derive(Default)]
struct Inside {
    running: HashTable<Running>,
    /// The oldest first: they go as they came, and lie side by side.
    results: VecDeque<KeptResult>,
    /// Where a result lies, counted from the first one ever.
    places: HashTable<usize>,
    /// How many have gone.
    gone: usize,
    bytes: usize,
}

/// All results that are kept.
#[derive(Default)]
pub(crate) struct Kept {
    hasher: RandomState,
    inside: Mutex<Inside>,
}

/// What is known of a key.
pub(crate) enum Known {
    /// Nothing: run the task, and say how it ended.
    Fresh(Ticket),
    /// The result.
    Done(Arc<Done>),
    /// It is being run.
    Runs(oneshot::Receiver<News>),
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a task with this key and content.
    ///
    /// # Errors
    /// `IdempotencyConflict`.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant, name: Name, digest: Digest) -> Outcome<Known> {
        let title = Title { hash: self.hasher.hash_one(&name), name: Arc::new(name), digest };
        let mut inside = self.lock();
        inside.sweep(now, SWEPT);
        match inside.result(&title) {
            Some(result) if result.is_old(now) => inside.sweep(now, usize::MAX),
            Some(result) => {
                result.title.check(&title)?;
                return Ok(Known::Done(Arc::clone(&result.done)));
            }
            None => {}
        }
        match inside.running.entry(title.hash, |running| running.title.name == title.name, |running| running.title.hash) {
            Entry::Occupied(mut place) => {
                place.get().title.check(&title)?;
                Ok(Known::Runs(enqueue(&mut place.get_mut().waiters)))
            }
            Entry::Vacant(place) => {
                place.insert(Running { title: title.clone(), waiters: Waiters::new() });
                Ok(Known::Fresh(Ticket { title, kept: Some(Arc::clone(self)) }))
            }
        }
    }
}

impl Title {
    /// Whether another one of this name asks for the same.
    fn check(&self, other: &Self) -> Outcome<()> {
        if self.digest == other.digest { Ok(()) } else { Err(conflict(&self.name.key)) }
    }
}

impl KeptResult {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= KEPT_FOR
    }
}

impl Inside {
    fn result(&self, title: &Title) -> Option<&KeptResult> {
        let is_it = |place: &usize| self.results[place - self.gone].title.name == title.name;
        self.places.find(title.hash, is_it).map(|place| &self.results[place - self.gone])
    }

    /// Forgets what is too much, and of what is too old so many.
    fn sweep(&mut self, now: Instant, mut most: usize) {
        while let Some(oldest) = self.results.pop_front_if(|oldest| self.bytes > KEPT_BYTES || (most > 0 && oldest.is_old(now))) {
            most = most.saturating_sub(1);
            if let Ok(place) = self.places.find_entry(oldest.title.hash, |place| *place == self.gone) {
                place.remove();
            }
            self.gone += 1;
            self.bytes -= oldest.bytes;
        }
    }

    /// Keeps a result, or forgets the key of an error. Who is to be told.
    fn settle(&mut self, now: Instant, title: &Title, done: &Arc<Done>) -> Waiters {
        let waiters = self.end(title);
        let bytes = done.outcome.as_ref().map_or(usize::MAX, |table| table.size_bytes() + ENTRY_BYTES);
        if bytes > KEPT_BYTES {
            return waiters;
        }
        let Self { results, places, gone, .. } = self;
        results.push_back(KeptResult { title: title.clone(), done: Arc::clone(done), bytes, since: now });
        places.insert_unique(title.hash, *gone + results.len() - 1, |place| results[*place - *gone].title.hash);
        self.bytes += bytes;
        self.sweep(now, SWEPT);
        waiters
    }

    /// The task of a ticket does not run any more. Those who wait for it.
    fn end(&mut self, title: &Title) -> Waiters {
        let ended = self.running.find_entry(title.hash, |running| Arc::ptr_eq(&running.title.name, &title.name));
        ended.map(|place| place.remove().0.waiters).unwrap_or_default()
    }

    /// Whose turn it is after whoever had a ticket; where nobody waits, the key is forgotten.
    fn next(&mut self, title: &Title) -> Option<oneshot::Sender<News>> {
        let is_it = |running: &Running| Arc::ptr_eq(&running.title.name, &title.name);
        let waiters = &mut self.running.find_mut(title.hash, is_it)?.waiters;
        while let Some(waiter) = waiters.pop_front() {
            if !waiter.is_closed() {
                return Some(waiter);
            }
        }
        self.end(title);
        None
    }
}

/// A place among those who wait. Those who have left are passed over now and then, so that they take no room.
fn enqueue(waiters: &mut Waiters) -> oneshot::Receiver<News> {
    if waiters.len().is_power_of_two() {
        waiters.retain(|waiter| !waiter.is_closed());
    }
    let (sender, news) = oneshot::channel();
    waiters.push_back(sender);
    news
}

fn conflict(key: &str) -> Fault {
    let shown: String = key.chars().take(64).collect();
    let message = format!("the key of idempotency {shown:?} was used for a task with another model, version, table or outputs");
    Fault::new(Code::IdempotencyConflict, message).hint("use a new key for each task, and the same one only to send it again")
}

/// The right to say how the first task with a key ended.
pub(crate) struct Ticket {
    title: Title,
    /// Where it is said; None once it was.
    kept: Option<Arc<Kept>>,
}

impl Ticket {
    /// Tells those who wait, and keeps a result; what is no result for others is the next one's turn.
    pub(crate) fn settle(mut self, now: Instant, done: Done) {
        if done.outcome.as_ref().is_err_and(|fault| is_ones_own(fault.code)) {
            return;
        }
        let Some(kept) = self.kept.take() else { return };
        let done = Arc::new(done);
        let waiters = kept.lock().settle(now, &self.title, &done);
        for waiter in waiters {
            // Who has left in the meantime does not miss it.
            drop(waiter.send(News::Done(Arc::clone(&done))));
        }
    }
}

/// Whether an error tells of when one task came and how long it could wait, and nothing of another that is the same.
const fn is_ones_own(code: Code) -> bool {
    matches!(code, Code::DeadlineExceeded | Code::DeadlineOutOfReach | Code::QueueFull)
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        let Some(waiter) = kept.lock().next(&self.title) else { return };
        let ticket = Self { title: self.title.clone(), kept: Some(kept) };
        // One who leaves in this moment drops it, and the next one has it.
        drop(waiter.send(News::Turn(ticket)));
    }
}

/// Waits for news of a task with the same key, at most until the deadline.
pub(super) async fn wait(news: oneshot::Receiver<News>, deadline: Option<Instant>) -> Outcome<News> {
    let told = match deadline {
        None => news.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), news).await.map_err(|_| deadline_passed())?,
    };
    told.map_err(|_| Fault::new(Code::Internal, "the task was lost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Typed;
    use crate::tasks::Output;

    fn name(key: &str) -> Name {
        Name { owner: None, key: key.into() }
    }

    fn digest(byte: u8) -> Digest {
        [byte; 32]
    }

    fn done(outcome: Outcome<Typed>) -> Done {
        Done { id: "0".into(), author: None, outcome: outcome.map(Output::Own), batch_rows: 1, weight: 1.0 }
    }

    fn table() -> Typed {
        Typed { rows: 0, columns: Vec::new() }
    }

    fn fresh(kept: &Arc<Kept>, now: Instant, key: &str) -> Ticket {
        match kept.enter(now, name(key), digest(1)).unwrap() {
            Known::Fresh(ticket) => ticket,
            Known::Done(_) | Known::Runs(_) => panic!("{key} is known"),
        }
    }

    fn waits(kept: &Arc<Kept>, now: Instant) -> oneshot::Receiver<News> {
        match kept.enter(now, name("a"), digest(1)).unwrap() {
            Known::Runs(news) => news,
            Known::Fresh(_) | Known::Done(_) => panic!("it does not run"),
        }
    }

    #[test]
    fn a_result_is_kept_for_two_minutes_for_the_same_content_and_the_same_owner() {
        let (kept, start) = (Arc::new(Kept::default()), Instant::now());
        fresh(&kept, start, "a").settle(start, done(Ok(table())));
        let soon = start + Duration::from_secs(119);
        assert!(matches!(kept.enter(soon, name("a"), digest(1)).unwrap(), Known::Done(_)));
        assert_eq!(kept.enter(soon, name("a"), digest(2)).err().map(|fault| fault.code), Some(Code::IdempotencyConflict));
        let other = Name { owner: Some([7; 32]), ..name("a") };
        assert!(matches!(kept.enter(soon, other, digest(2)).unwrap(), Known::Fresh(_)));
        assert!(matches!(kept.enter(start + KEPT_FOR, name("a"), digest(2)).unwrap(), Known::Fresh(_)));
    }

    #[test]
    fn those_who_wait_get_the_result_or_the_error_but_an_error_is_not_kept() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        let ticket = fresh(&kept, now, "a");
        let mut waiting = [waits(&kept, now), waits(&kept, now)];
        ticket.settle(now, done(Err(Fault::new(Code::ModelFailed, "on purpose"))));
        assert!(waiting.iter_mut().all(|news| matches!(news.try_recv(), Ok(News::Done(done)) if done.outcome.is_err())));
        drop(fresh(&kept, now, "a"));
    }

    #[test]
    fn after_anothers_short_patience_it_is_the_turn_of_one_who_waits_and_the_others_wait_on() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        let ticket = fresh(&kept, now, "a");
        let mut waiting: Vec<_> = (0..1000).map(|_| waits(&kept, now)).collect();
        drop(waiting.remove(0));
        ticket.settle(now, done(Err(Fault::new(Code::DeadlineExceeded, "too late"))));
        for place in 0..998 {
            let Ok(News::Turn(ticket)) = waiting[place].try_recv() else { panic!("it is the turn of {place}") };
            assert!(matches!(waiting[place + 1].try_recv(), Err(oneshot::error::TryRecvError::Empty)));
            drop(ticket);
        }
        let Ok(News::Turn(ticket)) = waiting[998].try_recv() else { panic!("it is the turn of the last one") };
        ticket.settle(now, done(Ok(table())));
        assert!(matches!(kept.enter(now, name("a"), digest(1)).unwrap(), Known::Done(_)));
    }

    #[test]
    fn those_who_have_left_take_no_room() {
        let (kept, now) = (Arc::new(Kept::default()), Instant::now());
        let _ticket = fresh(&kept, now, "a");
        (0..1000).for_each(|_| drop(waits(&kept, now)));
        let inside = kept.lock();
        assert_eq!(inside.running.len(), 1);
        assert!(inside.running.iter().all(|running| running.waiters.len() <= 2));
    }

    #[test]
    fn the_oldest_results_make_room() {
        let (kept, start) = (Arc::new(Kept::default()), Instant::now());
        let results = KEPT_BYTES / ENTRY_BYTES + 10;
        for number in 0..results {
            fresh(&kept, start, &number.to_string()).settle(start, done(Ok(table())));
        }
        let (inside, most) = (kept.lock(), KEPT_BYTES / ENTRY_BYTES);
        assert_eq!((inside.running.len(), inside.results.len(), inside.places.len(), inside.bytes), (0, most, most, KEPT_BYTES));
        drop(inside);
        assert!(matches!(kept.enter(start, name("10"), digest(1)).unwrap(), Known::Done(_)));
        assert!(matches!(kept.enter(start, name("9"), digest(1)).unwrap(), Known::Fresh(_)));
    }

    #[test]
    fn what_is_too_old_is_forgotten_little_by_little_unless_it_is_asked_for() {
        let (kept, start) = (Arc::new(Kept::default()), Instant::now());
        for number in 0..1000 {
            fresh(&kept, start, &number.to_string()).settle(start, done(Ok(table())));
        }
        let late = start + KEPT_FOR;
        fresh(&kept, late, "new").settle(late, done(Ok(table())));
        assert_eq!(kept.lock().results.len(), 1001 - 2 * SWEPT);
        drop(fresh(&kept, late, "500"));
        assert_eq!(kept.lock().results.len(), 1);
        assert!(matches!(kept.enter(late, name("new"), digest(1)).unwrap(), Known::Done(_)));
    }
}

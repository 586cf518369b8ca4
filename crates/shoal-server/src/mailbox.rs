//! Where the answers to several requests arrive that one caller waits for together.
//!
//! Each request has a [`Slip`], with which its answer is put in once. The caller is woken when as many letters lie there as it
//! wants to take at once, so that many answers of one micro-batch wake it once. A slip that is dropped without an answer
//! says so: nobody waits for what was lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::fault::{Code, Fault, Outcome};
use crate::flight::Answer;

/// The number of a request, and its outcome.
pub(crate) type Letter = (usize, Outcome<Answer>);

/// A box for letters, and who waits for them.
#[derive(Default)]
pub(crate) struct Mailbox {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    letters: Vec<Letter>,
    is_closed: bool,
    /// Who waits, and for how many letters.
    waits: Option<(usize, Waker)>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What request `number` gets its answer with.
    pub(crate) fn slip(self: &Arc<Self>, number: usize) -> Slip {
        Slip { mailbox: Some(Arc::clone(self)), number }
    }

    /// All letters, as soon as there are `wanted` of them.
    pub(crate) fn poll_take(&self, context: &Context<'_>, wanted: usize) -> Poll<Vec<Letter>> {
        let mut inside = self.lock();
        if inside.letters.len() >= wanted {
            inside.waits = None;
            return Poll::Ready(std::mem::take(&mut inside.letters));
        }
        match &mut inside.waits {
            Some((count, waker)) if waker.will_wake(context.waker()) => *count = wanted,
            waits => *waits = Some((wanted, context.waker().clone())),
        }
        Poll::Pending
    }

    /// Whatever letters there are.
    pub(crate) fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.lock().letters)
    }

    /// Takes no letters from here on.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Whether somebody still wants the letter.
    fn put(&self, letter: Letter) -> bool {
        let mut inside = self.lock();
        if inside.is_closed {
            return false;
        }
        inside.letters.push(letter);
        let enough = inside.letters.len();
        if let Some((_, waker)) = inside.waits.take_if(|(wanted, _)| *wanted <= enough) {
            drop(inside);
            waker.wake();
        }
        true
    }
}

/// The right to put one letter in.
pub(crate) struct Slip {
    /// None once it was used.
    mailbox: Option<Arc<Mailbox>>,
    number: usize,
}

impl Slip {
    /// Whether somebody still wants the outcome.
    pub(crate) fn send(mut self, outcome: Outcome<Answer>) -> bool {
        self.mailbox.take().is_some_and(|mailbox| mailbox.put((self.number, outcome)))
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.put((self.number, Err(Fault::new(Code::Internal, "the request was lost"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome<Answer> {
        Err(Fault::new(Code::ModelFailed, "on purpose"))
    }

    #[test]
    fn a_caller_is_woken_when_there_are_as_many_letters_as_it_wants() {
        let mailbox = Arc::new(Mailbox::default());
        let slips: Vec<Slip> = (0..3).map(|number| mailbox.slip(number)).collect();
        let mut wait = waiting(&mailbox, 2);
        assert!(wait.poll().is_pending());
        let mut slips = slips.into_iter();
        assert!(slips.next().is_some_and(|slip| slip.send(failed())) && !wait.is_woken());
        drop(slips.next());
        assert!(wait.is_woken());
        let Poll::Ready(letters) = wait.poll() else { panic!("two letters lie there") };
        let codes: Vec<(usize, Code)> = letters.into_iter().map(|(number, outcome)| (number, outcome.unwrap_err().code)).collect();
        assert_eq!(codes, [(0, Code::ModelFailed), (1, Code::Internal)]);
    }

    #[test]
    fn nobody_wants_a_letter_once_the_box_is_closed() {
        let mailbox = Arc::new(Mailbox::default());
        let slip = mailbox.slip(0);
        mailbox.close();
        assert!(!slip.send(failed()) && mailbox.take().is_empty());
    }

    struct Waiting {
        mailbox: Arc<Mailbox>,
        wanted: usize,
        flag: Arc<Flag>,
    }

    #[derive(Default)]
    struct Flag(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn waiting(mailbox: &Arc<Mailbox>, wanted: usize) -> Waiting {
        Waiting { mailbox: Arc::clone(mailbox), wanted, flag: Arc::default() }
    }

    impl Waiting {
        fn poll(&mut self) -> Poll<Vec<Letter>> {
            let waker = Waker::from(Arc::clone(&self.flag));
            self.mailbox.poll_take(&Context::from_waker(&waker), self.wanted)
        }

        fn is_woken(&self) -> bool {
            self.flag.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }
}

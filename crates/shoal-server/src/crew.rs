//! The executors that are at work, by the model whose queue they empty.
//!
//! Executors start and end while the server runs. Once the crew is closed nobody starts any more, so that a model
//! which is loaded while the server ends does not keep it alive.

use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Running, Served, start};
use crate::executor::Executor;
use crate::fault::{Code, Fault, Outcome};

/// The executors of all models.
#[derive(Default)]
pub(crate) struct Crew {
    teams: Mutex<Teams>,
}

#[derive(Default)]
struct Teams {
    at_work: Vec<Team>,
    is_closed: bool,
}

/// The executors of one model.
struct Team {
    served: Arc<Served>,
    running: Vec<Running>,
}

impl Crew {
    /// Starts the executors of a model; on the event loop or a thread of its runtime.
    ///
    /// # Errors
    /// `ShuttingDown` once the crew is closed; `Internal` when a thread cannot be started.
    pub(crate) fn start(&self, served: &Arc<Served>, executors: Vec<Box<dyn Executor>>) -> Outcome<()> {
        let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
        if teams.is_closed {
            return Err(Fault::new(Code::ShuttingDown, "the server is shutting down; no model is loaded any more"));
        }
        let running = start(served, executors)?;
        teams.at_work.push(Team { served: Arc::clone(served), running });
        Ok(())
    }

    /// Closes the queue of a model, and waits until what it had accepted is answered and its executors have ended.
    pub(crate) async fn dismiss(&self, served: &Arc<Served>) {
        served.drain();
        let team = {
            let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
            let place = teams.at_work.iter().position(|team| Arc::ptr_eq(&team.served, served));
            place.map(|place| teams.at_work.swap_remove(place))
        };
        finish(team.into_iter()).await;
    }

    /// The same for all models, for good.
    pub(crate) async fn close(&self) {
        let teams = {
            let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
            teams.is_closed = true;
            std::mem::take(&mut teams.at_work)
        };
        for team in &teams {
            team.served.drain();
        }
        finish(teams.into_iter()).await;
    }

    /// Whether no model has anything to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.teams.lock().unwrap_or_else(PoisonError::into_inner).at_work.iter().all(|team| team.served.is_idle())
    }
}

async fn finish(teams: impl Iterator<Item = Team>) {
    for Team { served, running } in teams {
        for each in running {
            match each {
                // An executor that panicked has answered its callers; there is nothing left to do for it.
                Running::Task(task) => drop(task.await),
                Running::Thread(thread) => drop(tokio::task::spawn_blocking(|| thread.join()).await),
            }
        }
        drop(tokio::task::spawn_blocking(move || served.keep_costs()).await);
    }
}

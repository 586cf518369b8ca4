//! One worker process: started, killed, and asked how it ended.
//!
//! Its standard input is the socket; its standard output is the server's standard error, so that nothing a model
//! prints reaches the socket. It leads a process group of its own: Ctrl-C in a terminal does not reach it, and
//! killing the group also ends what the model has started.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::fault::{Code, Fault, Outcome};

/// How long somebody who saw a socket close waits to hear how the process ended.
const END_WAIT: Duration = Duration::from_secs(5);

/// What is started, and for which package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// Where the files of the package lie, unpacked.
    pub directory: String,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    group: Pid,
    /// How it ended; until then its number is its own.
    end: Mutex<Option<String>>,
    ended: Condvar,
    /// Whether it has opened the model.
    pub(crate) is_open: AtomicBool,
    /// Whether it has answered a micro-batch.
    pub(crate) has_answered: AtomicBool,
}

/// Starts a process and gives the server's end of its socket.
///
/// # Errors
/// `ModelUnavailable` with the program, when it cannot be started.
pub(crate) fn spawn(launch: &Launch) -> Outcome<(Process, Child, UnixStream)> {
    let program = launch.command.first().map_or("", String::as_str);
    let refused =
        |error: std::io::Error| Fault::new(Code::ModelUnavailable, format!("the worker program {program:?} cannot be started: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(refused)?;
    let child = Command::new(program)
        .args(&launch.command[1..])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(std::io::stderr()))
        .process_group(0)
        .spawn()
        .map_err(refused)?;
    let group = Pid::from_child(&child);
    let (is_open, has_answered) = (AtomicBool::new(false), AtomicBool::new(false));
    let process = Process { group, end: Mutex::default(), ended: Condvar::new(), is_open, has_answered };
    Ok((process, child, ours))
}

impl Process {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.lock().is_none()
    }

    /// Kills the process and what it has started.
    pub(crate) fn kill(&self) {
        if self.lock().is_none() {
            self.kill_group();
        }
    }

    fn kill_group(&self) {
        // The group may be gone already, which is what is wanted.
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Notes that the process answered a micro-batch.
    pub(crate) fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Waits for the end of the process, on the thread that started it.
    pub(crate) fn watch(&self, mut child: Child) {
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(self.group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
        // Nobody kills by number while the number is given back.
        let mut end = self.lock();
        self.kill_group();
        *end = Some(child.wait().map_or_else(|error| format!("ended unseen: {error}"), told));
        self.ended.notify_all();
    }

    /// How the process ended, waiting a little for it to do so.
    pub(crate) fn end(&self) -> String {
        let (end, _) = self.ended.wait_timeout_while(self.lock(), END_WAIT, |end| end.is_none()).unwrap_or_else(PoisonError::into_inner);
        end.clone().unwrap_or_else(|| "closed its socket".to_owned())
    }
}

/// How a process ended, in words that follow "the worker".
fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed by signal 9 (SIGKILL)".to_owned(),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    }
}

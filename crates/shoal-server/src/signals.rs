//! SIGTERM and SIGINT: the first drains, after the notice that the options give; the second abandons.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::fault::{Code, Fault, Outcome};
use crate::server::Server;

/// Both signals, caught from the moment this exists.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both signals from here on.
    ///
    /// # Errors
    /// `Internal` when signals cannot be received.
    pub fn catch() -> Outcome<Self> {
        let internal = |error: std::io::Error| Fault::new(Code::Internal, format!("signals cannot be received: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
        let (terminate, interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate()).map_err(internal)?, signal(SignalKind::interrupt()).map_err(internal)?)
        };
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for the first signal and lets the server drain: whether it did. False when a second signal came before;
    /// what is not answered then is named in the log of the server.
    pub fn drain(&mut self, server: &Server) -> bool {
        let Self { runtime, terminate, interrupt } = self;
        let mut ended = server.ended.clone();
        let has_drained = runtime.block_on(async {
            either(terminate, interrupt).await;
            let drain = async {
                server.give_notice().await;
                server.stop();
                // Nothing is ever sent: the sender goes when the event loop ends.
                drop(ended.changed().await);
            };
            tokio::select! {
                // A second signal that comes when all is answered abandons nothing.
                biased;
                () = drain => true,
                () = either(terminate, interrupt) => false,
            }
        });
        if !has_drained {
            server.name_abandoned();
        }
        has_drained
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

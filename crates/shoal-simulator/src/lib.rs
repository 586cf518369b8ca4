//! Plays loads against batching policies, in simulated time.
//!
//! The policy of Shoal in here is not a model of it: it is [`shoal_batch::Scheduler`], the state machine that serves. The
//! policies of other servers follow their sources ([`rivals`]). A play is determined by its workload and its seed.

mod at_the_door;
mod clients;
pub mod event_loop;
pub mod fleet;
pub mod play;
pub mod recording;
pub mod replay;
pub mod report;
pub mod request;
pub mod rivals;
pub mod service;
pub mod shoal;
pub mod workload;

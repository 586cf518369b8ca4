//! Models that run in processes of their own: the protocol is `protocol/worker.md`.
//!
//! [`frames`] turns micro-batches into bytes and bytes into answers; [`connection`] carries one frame there and
//! one back within a time; [`process`] starts a process, kills it and says how it ended; [`pool`] keeps as many
//! alive as were asked for; [`executor`] is what the queue of a model sees. A process that dies or hangs costs the
//! micro-batch that it held, nothing else: [`crate::flight`] runs that one again.

mod connection;
pub(crate) mod executor;
pub(crate) mod frames;
#[cfg(test)]
pub(crate) mod fuzz;
mod pool;
mod process;
#[cfg(test)]
mod tests;

pub use executor::open;
pub use process::Launch;

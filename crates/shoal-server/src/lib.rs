//! The server of Shoal, and the runtimes that it shares with Python.
//!
//! Follow one request: [`listen`](crate::server) accepts it, `http` or `grpc` decodes it into a
//! [`values::Table`], `engine` puts it into the queue of its model, the queue closes a micro-batch when an
//! executor is free, an [`executor::Executor`] runs it, and the answer travels the same way back.

mod answer;
mod binary;
mod catalog;
pub mod description;
pub mod engine;
pub mod executor;
pub mod fault;
pub mod flight;
#[cfg(test)]
mod fuzz;
mod grpc;
mod http;
pub mod intake;
mod json;
mod metrics;
mod missing;
pub mod onnx;
mod pages;
pub mod queue;
pub mod server;
pub mod values;
#[cfg(test)]
mod vectors;

//! The server of Shoal, and the runtimes that it shares with Python.
//!
//! Follow one request: [`server`] accepts its connection, `http` or `grpc` reads it, `json` or `binary` decodes
//! it, [`intake`] holds it to the signature, [`engine`] puts it into the [`queue`] of its model, where it
//! travels in a [`flight`] through an [`executor`], which is [`onnx`] or a [`worker`] process; the answer goes the same way back.

mod admin;
mod answer;
mod attendant;
mod binary;
mod bodies;
mod buckets;
mod canary;
mod catalog;
mod compression;
mod connections;
mod cors;
mod crew;
pub mod cut;
pub mod description;
mod docs;
mod door;
pub mod engine;
pub mod executor;
pub mod fault;
mod files;
pub mod flight;
#[cfg(test)]
mod fuzz;
mod golden;
mod grpc;
mod guard;
mod http;
pub mod intake;
mod json;
mod keys;
mod lineup;
pub mod log;
mod mailbox;
mod metrics;
mod missing;
pub mod onnx;
mod openapi;
pub mod options;
pub mod padding;
mod pages;
mod profiles;
pub mod queue;
mod refusal;
mod reply;
pub mod repository;
mod sample;
pub mod server;
pub mod signals;
mod tables;
mod tasks;
mod tasks_v1;
mod threads;
mod tls;
mod trace;
mod try_page;
mod untaken;
mod v1;
pub mod values;
#[cfg(test)]
mod vectors;
mod warm_up;
mod wire;
pub mod worker;

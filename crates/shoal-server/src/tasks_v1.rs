//! The messages and the service of `protocol/shoal/v1/tasks.proto`.

#![allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated from the protocol")]

tonic::include_proto!("shoal.v1");

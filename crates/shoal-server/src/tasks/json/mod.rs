//! Envelopes and answers in JSON; the head of an envelope in Arrow is the same.
//!
//! The frame is read first, in one pass, with every table as the text that it is; then each table by itself, once, when the first
//! task refers to it. So a table that is wrong is the fault of its tasks, and what breaks the frame refuses all of it.

mod fields;
mod frame;
mod write;

pub(crate) use frame::frame;
pub(crate) use write::{write, write_line, write_merged_line, write_with};

use super::Envelope;
use super::room::Room;
use crate::fault::{Code, Fault, Outcome};
use crate::tables;

/// Reads an envelope.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`, those of [`Room::settle`] and of [`Envelope::new`].
pub(crate) fn read(body: &[u8], room: Room) -> Outcome<Envelope> {
    frame(body)?.envelope(room, tables::json::read)
}

/// The fault of a task that refers to a table which is not there.
pub(crate) fn unknown_table(name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::UnknownTable, format!("the envelope has no shared table {shown:?}")).hint("put it into `tables`, by this name")
}

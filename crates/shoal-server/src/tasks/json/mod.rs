//! Envelopes and answers in JSON; the head of an envelope in Arrow is the same.
//!
//! A table that is wrong is the fault of its tasks; what breaks the frame around the tables refuses all of it.

mod frame;
mod scan;
mod write;

pub(crate) use frame::{Tables, frame};
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
    frame(body, room, Tables::AsJson)?.envelope(tables::json::read)
}

/// The fault of a task that refers to a table which is not there.
pub(crate) fn unknown_table(name: &str) -> Fault {
    let shown: String = name.chars().take(64).collect();
    Fault::new(Code::UnknownTable, format!("the envelope has no shared table {shown:?}")).hint("put it into `tables`, by this name")
}

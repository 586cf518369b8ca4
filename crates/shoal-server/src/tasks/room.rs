//! The room that the tables and the names of one envelope may take in memory, whatever they are sent as.
//!
//! A few bytes may stand for many: numbers of one digit, nulls of tensors, entries of a dictionary. What every table takes is
//! added up while they are read, and nothing more is read once there is no room.

use crate::fault::{Code, Fault, Outcome};
use crate::tables::Typed;

/// So many times the limit of a body: a number of eight bytes in JSON has at least two.
const TIMES: usize = 4;

/// What is left.
#[derive(Debug)]
pub(crate) struct Room {
    limit_bytes: usize,
    taken_bytes: usize,
    is_full: bool,
}

impl Room {
    /// The room that goes with that limit of a body.
    pub(crate) const fn of_body(limit_bytes: usize) -> Self {
        Self { limit_bytes: limit_bytes.saturating_mul(TIMES), taken_bytes: 0, is_full: false }
    }

    /// The table that `read` gives, if there is room for it.
    ///
    /// # Errors
    /// Those of `read`; `BodyTooLarge`, which [`Room::settle`] tells again.
    pub(crate) fn hold(&mut self, read: impl FnOnce() -> Outcome<Typed>) -> Outcome<Typed> {
        if self.is_full {
            return Err(self.too_large());
        }
        let table = read()?;
        self.take(table.size_bytes())?;
        Ok(table)
    }

    /// Takes bytes that something other than a table needs.
    ///
    /// # Errors
    /// `BodyTooLarge`.
    pub(crate) fn take(&mut self, bytes: usize) -> Outcome<()> {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        self.is_full = self.taken_bytes > self.limit_bytes;
        if self.is_full { Err(self.too_large()) } else { Ok(()) }
    }

    /// How many bytes were taken.
    ///
    /// # Errors
    /// `BodyTooLarge` where there was no room.
    pub(crate) fn settle(self) -> Outcome<usize> {
        if self.is_full { Err(self.too_large()) } else { Ok(self.taken_bytes) }
    }

    fn too_large(&self) -> Fault {
        let message = format!("the tables and names of the envelope take more than {} bytes in memory", self.limit_bytes);
        Fault::new(Code::BodyTooLarge, message).hint("send the tasks in several envelopes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Column, json};

    #[test]
    fn nothing_more_is_read_once_there_is_no_room() {
        let mut room = Room::of_body(size_of::<Column>() / 2);
        let read = |numbers: &str| json::read(format!(r#"{{"columns":[{{"name":"","dtype":"INT64","data":{numbers}}}]}}"#).as_bytes());
        assert!(room.hold(|| read("[1,2,3]")).is_ok());
        assert_eq!(room.hold(|| read("[1,2]")).unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(room.hold(|| unreachable!("there is no room")).unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(room.settle().unwrap_err().code, Code::BodyTooLarge);
    }
}

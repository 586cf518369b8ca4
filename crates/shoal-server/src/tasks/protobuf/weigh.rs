//! What a message takes in memory beside its own bytes, before anything is made of it: a library makes a message of every few
//! bytes.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::tasks_v1 as v1;

/// Where a field stands.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Request,
    Stream,
    SharedTable,
    Task,
    Table,
    Column,
    Merge,
}

impl Place {
    /// What a field with this number becomes in memory beside its own bytes, and where its fields stand.
    const fn field(self, number: u32) -> (usize, Option<Self>) {
        match (self, number) {
            (Self::Request | Self::Stream, 1) => (size_of::<v1::SharedTable>(), Some(Self::SharedTable)),
            (Self::Stream, 2) => (size_of::<v1::Task>(), Some(Self::Task)),
            (Self::Request, 3) => (0, Some(Self::Merge)),
            (Self::SharedTable, 2) | (Self::Task, 4) => (0, Some(Self::Table)),
            (Self::Task, 6) | (Self::Merge, 2) => (size_of::<String>(), None),
            (Self::Table, 2) => (size_of::<v1::Column>(), Some(Self::Column)),
            (Self::Column, 5) => (size_of::<Bytes>(), None),
            (Self::Column, 6) => (size_of::<v1::Scalar>(), None),
            _ => (0, None),
        }
    }

    /// What a number of a list of numbers becomes.
    const fn number(self, number: u32) -> usize {
        if matches!((self, number), (Self::Column, 3)) { size_of::<u64>() } else { 0 }
    }
}

/// Adds up a message; one that is none ends it, and is refused when it is decoded.
pub(super) fn weigh(mut bytes: &[u8], place: Place) -> usize {
    let mut total = 0_usize;
    while bytes.has_remaining() {
        let Ok((number, wire_type)) = decode_key(&mut bytes) else { return total };
        if wire_type != WireType::LengthDelimited {
            let Ok(()) = skip_field(wire_type, number, &mut bytes, DecodeContext::default()) else { return total };
            total = total.saturating_add(place.number(number));
            continue;
        }
        let Some(field) = content(&mut bytes) else { return total };
        let (size, within) = place.field(number);
        // Numbers that lie side by side have a byte each at least.
        total = total.saturating_add(size).saturating_add(place.number(number) * field.len());
        total = total.saturating_add(within.map_or(0, |within| weigh(field, within)));
    }
    total
}

/// The content of a field whose length comes next.
pub(super) fn content<'b>(message: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(decode_varint(message).ok()?).ok()?;
    let (content, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(content)
}

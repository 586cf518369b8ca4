//! Texts, which are cut out by offsets, and values that name others: entries of dictionaries, and of the children of unions.
//!
//! An index of one byte may stand for any text of a dictionary, so what all of them stand for in a stream is bounded.

use arrow_ipc::DictionaryBatch;
use bytes::Bytes;

use super::batches::{Batch, Flags, bit};
use super::fields::{Child, ChildKind, Index};
use super::{Dictionaries, broken};
use crate::fault::{Code, Fault, Outcome};
use crate::tables::Scalar;

use std::collections::HashMap;

/// What may be repeated in any stream, in bytes, and for each of its bytes.
const REPEATED: usize = 64 << 20;
const REPEATED_EACH: usize = 16;

/// Texts of one column of a batch.
pub(super) struct Texts {
    offsets: Bytes,
    is_large: bool,
    data: Bytes,
}

impl Texts {
    /// Reads offsets, which do not go back, and the bytes that they cut.
    pub(super) fn read(batch: &mut Batch<'_>, length: usize, is_large: bool) -> Outcome<Self> {
        let width = if is_large { 8 } else { 4 };
        let least = if length == 0 { Some(0) } else { length.checked_add(1).and_then(|count| count.checked_mul(width)) };
        let texts = Self { offsets: batch.buffer(least)?, is_large, data: batch.buffer(Some(0))? };
        let mut before = 0;
        for place in 0..if length == 0 { 0 } else { length + 1 } {
            let offset = texts.offset(place).filter(|offset| *offset >= before && *offset <= texts.data.len());
            before = offset.ok_or_else(|| broken(format!("text {place} does not begin within its bytes, behind the one before")))?;
        }
        Ok(texts)
    }

    fn offset(&self, place: usize) -> Option<usize> {
        if self.is_large {
            usize::try_from(at::<8>(&self.offsets, place).map(i64::from_le_bytes)?).ok()
        } else {
            usize::try_from(at::<4>(&self.offsets, place).map(i32::from_le_bytes)?).ok()
        }
    }

    pub(super) fn get(&self, place: usize) -> &[u8] {
        let range = self.offset(place).zip(self.offset(place + 1));
        range.and_then(|(start, end)| self.data.get(start..end)).unwrap_or_default()
    }
}

/// The bytes of the value of `WIDTH` bytes at a place.
fn at<const WIDTH: usize>(bytes: &[u8], place: usize) -> Option<[u8; WIDTH]> {
    bytes.get(place.checked_mul(WIDTH)?..)?.first_chunk().copied()
}

impl Index {
    /// The index at a place; None below zero.
    fn get(self, bytes: &[u8], place: usize) -> Option<usize> {
        let value = match self.width {
            1 => u64::from(bytes[place]),
            2 => u64::from(u16::from_le_bytes(at(bytes, place)?)),
            4 => u64::from(u32::from_le_bytes(at(bytes, place)?)),
            _ => u64::from_le_bytes(at(bytes, place)?),
        };
        // Below zero the highest bit is set.
        let is_negative = self.is_signed && value >> (self.width * 8 - 1) & 1 == 1;
        if is_negative { None } else { usize::try_from(value).ok() }
    }
}

/// The dictionaries of a stream, as far as it has been read, and what may still be repeated of them.
pub(super) struct Repeats {
    kinds: Dictionaries,
    entries: HashMap<i64, Vec<Option<Vec<u8>>>>,
    room: usize,
}

impl Repeats {
    pub(super) fn new(kinds: Dictionaries, stream_bytes: usize) -> Self {
        let room = REPEATED.saturating_add(stream_bytes.saturating_mul(REPEATED_EACH));
        Self { kinds, entries: HashMap::new(), room }
    }

    /// Takes a dictionary, in the place of the one before or behind its entries.
    pub(super) fn define(&mut self, message: &DictionaryBatch<'_>, body: Bytes) -> Outcome<()> {
        let is_large = *self.kinds.get(&message.id()).ok_or_else(|| broken("a dictionary belongs to no column"))?;
        let header = message.data().ok_or_else(|| broken("a dictionary has no content"))?;
        let mut batch = Batch::new(&header, body)?;
        let (length, has_nulls) = batch.node()?;
        if usize::try_from(header.length()).ok() != Some(length) {
            return Err(broken(format!("a dictionary has {length} entries and says {}", header.length())));
        }
        let validity = batch.validity(length, has_nulls)?;
        let texts = Texts::read(&mut batch, length, is_large)?;
        let entry = |place| validity.as_ref().is_none_or(|bits| bit(bits, place)).then(|| texts.get(place).to_vec());
        let entries = self.entries.entry(message.id()).or_default();
        if !message.isDelta() {
            entries.clear();
        }
        entries.extend((0..length).map(entry));
        Ok(())
    }

    /// Adds the texts that indices name; those that name a null are missing.
    pub(super) fn look_up(
        &mut self,
        id: i64,
        (indices, index): (&[u8], Index),
        length: usize,
        flags: &mut Flags,
        items: &mut Vec<Vec<u8>>,
    ) -> Outcome<()> {
        let entries = self.entries.get(&id).map(Vec::as_slice).unwrap_or_default();
        for place in 0..length {
            if flags.as_ref().is_some_and(|flags| flags[place]) {
                items.push(Vec::new());
                continue;
            }
            let entry = index.get(indices, place).and_then(|named| entries.get(named));
            let entry = entry.ok_or_else(|| broken(format!("index {place} is not in its dictionary of {} entries", entries.len())))?;
            if entry.is_none() {
                flags.get_or_insert_with(|| vec![false; length])[place] = true;
            }
            let text = entry.as_deref().unwrap_or_default();
            self.room = taken(self.room, text.len() + size_of::<Vec<u8>>())?;
            items.push(text.to_vec());
        }
        Ok(())
    }
}

fn taken(room: usize, bytes: usize) -> Outcome<usize> {
    room.checked_sub(bytes).ok_or_else(|| {
        Fault::new(Code::BodyTooLarge, format!("dictionaries and unions stand for more than {REPEATED} bytes beyond their stream"))
            .hint("send fewer records in one table, or the texts themselves")
    })
}

/// What a child of a union holds.
struct Held {
    code: i8,
    kind: ChildKind,
    length: usize,
    validity: Option<Bytes>,
    /// Bits, or values of 8 bytes.
    values: Bytes,
    texts: Option<Texts>,
}

impl Held {
    fn read(batch: &mut Batch<'_>, child: &Child) -> Outcome<Self> {
        let (length, has_nulls) = batch.node()?;
        let mut held = Self { code: child.code, kind: child.kind, length, validity: None, values: Bytes::new(), texts: None };
        if child.kind == ChildKind::Null {
            return Ok(held);
        }
        held.validity = batch.validity(length, has_nulls)?;
        match child.kind {
            ChildKind::Bool => held.values = batch.buffer(Some(length.div_ceil(8)))?,
            ChildKind::Int64 | ChildKind::Fp64 => held.values = batch.buffer(length.checked_mul(8))?,
            ChildKind::Utf8 => held.texts = Some(Texts::read(batch, length, false)?),
            ChildKind::Null => {}
        }
        Ok(held)
    }

    fn get(&self, place: usize) -> Outcome<Scalar> {
        if self.validity.as_ref().is_some_and(|bits| !bit(bits, place)) {
            return Ok(Scalar::Missing);
        }
        let octets = || at(&self.values, place).unwrap_or_default();
        Ok(match self.kind {
            ChildKind::Null => Scalar::Missing,
            ChildKind::Bool => Scalar::Bool(bit(&self.values, place)),
            ChildKind::Int64 => Scalar::Int64(i64::from_le_bytes(octets())),
            ChildKind::Fp64 => Scalar::Fp64(f64::from_le_bytes(octets())),
            ChildKind::Utf8 => {
                let text = self.texts.as_ref().map(|texts| texts.get(place)).unwrap_or_default();
                let text = std::str::from_utf8(text).map_err(|_| Fault::new(Code::WrongDtype, "a text of a union is no UTF-8"))?;
                Scalar::Utf8(text.to_owned())
            }
        })
    }
}

/// Adds the records of a dense union: for each a type code, and its place in the child of that code.
pub(super) fn mixed(
    batch: &mut Batch<'_>,
    (length, children): (usize, &[Child]),
    scalars: &mut Vec<Scalar>,
    repeats: &mut Repeats,
) -> Outcome<()> {
    let codes = batch.buffer(Some(length))?;
    let places = batch.buffer(length.checked_mul(4))?;
    let held = children.iter().map(|child| Held::read(batch, child)).collect::<Outcome<Vec<_>>>()?;
    for record in 0..length {
        let code = codes[record].cast_signed();
        let child = held.iter().find(|child| child.code == code);
        let child = child.ok_or_else(|| broken(format!("record {record} of a union has the type code {code} of no child")))?;
        let place = at(&places, record).and_then(|place| usize::try_from(i32::from_le_bytes(place)).ok());
        let place = place.filter(|place| *place < child.length);
        let scalar = child.get(place.ok_or_else(|| broken(format!("record {record} of a union is not in its child")))?)?;
        if let Scalar::Utf8(text) = &scalar {
            repeats.room = taken(repeats.room, text.len())?;
        }
        scalars.push(scalar);
    }
    Ok(())
}

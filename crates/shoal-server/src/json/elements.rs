//! Values of one column, flat or nested, read straight into its bytes.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};

use super::{Trouble, moments, raise};
use crate::description::Column;
use crate::fault::{Code, Fault};
use crate::values::{Dtype, Payload};

/// What the nulls of one column may stand for, in bytes.
const NULLS_LIMIT: usize = 8 << 20;
/// Lists within lists, at most: more than any tensor has.
const DEEPEST: usize = 16;

/// What a moment is as a number.
const SECONDS: &str = "whole seconds since 1970-01-01 UTC";

/// A text as a message shows it.
fn shown(text: &str) -> String {
    format!("the text {:?}", text.chars().take(64).collect::<String>())
}

/// Collects the values of one column.
pub(super) struct Sink<'c> {
    column: &'c Column,
    pub(super) payload: Payload,
    /// One flag for each value; empty as long as none is missing.
    pub(super) missing: Vec<bool>,
    /// The length of the lists at each depth; empty for a bare value.
    pub(super) dims: Vec<usize>,
    /// The depth at which values lie, once one was seen.
    leaf_depth: Option<usize>,
    /// Nulls before the first value: whether each is a value or a whole record shows with the first value.
    leading_nulls: usize,
    count: usize,
    /// Whether bytes may come as `{"b64": text}`.
    pub(super) takes_base64: bool,
    /// Whether moments may come as text; a tensor of the Open Inference Protocol has values of its datatype only.
    pub(super) takes_text: bool,
}

impl<'c> Sink<'c> {
    pub(super) fn new(column: &'c Column, values: usize) -> Self {
        let payload = Payload::with_capacity(column.dtype, values);
        Self {
            column,
            payload,
            missing: Vec::new(),
            dims: Vec::new(),
            leaf_depth: None,
            leading_nulls: 0,
            count: 0,
            takes_base64: false,
            takes_text: false,
        }
    }

    /// How many values were read.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    fn wrong(&self, value: impl fmt::Display) -> Fault {
        let message = format!("column {:?} is {}; value {} is {value}", self.column.name, self.column.dtype.name(), self.count);
        Fault::new(Code::WrongDtype, message)
    }

    /// The shape of one record as the signature says it, 0 where it varies.
    pub(super) fn record_shape(&self) -> Vec<usize> {
        self.column.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect()
    }

    /// Values of one record.
    fn per_record(&self) -> usize {
        self.record_shape().iter().product()
    }

    /// Counts a value that is about to be added at `depth`.
    fn leaf(&mut self, depth: usize) -> Result<(), Fault> {
        match self.leaf_depth {
            Some(known) if known != depth => return Err(self.ragged()),
            Some(_) => {}
            None => {
                self.leaf_depth = Some(depth);
                let each = if depth == 1 { 1 } else { self.per_record() };
                self.leading(each)?;
            }
        }
        self.count += 1;
        Ok(())
    }

    /// How many nulls there were, if there was nothing else.
    pub(super) fn leading_nulls(&self) -> Option<usize> {
        (self.leaf_depth.is_none() && self.leading_nulls > 0).then_some(self.leading_nulls)
    }

    /// Everything was read; with nothing but nulls they are records, or values if that is what `records` says.
    pub(super) fn finish(&mut self, records: Option<usize>) -> Result<(), Fault> {
        let is_value = records.is_some_and(|records| records != self.leading_nulls);
        self.leading(if is_value { 1 } else { self.per_record() })
    }

    fn leading(&mut self, each: usize) -> Result<(), Fault> {
        let leading = std::mem::take(&mut self.leading_nulls);
        self.nulls(leading.saturating_mul(each))
    }

    /// Adds missing values. Four letters can stand for a large record, so what they grow to is bounded, too.
    fn nulls(&mut self, count: usize) -> Result<(), Fault> {
        if count == 0 {
            return Ok(());
        }
        let width = self.column.dtype.width().max(1);
        if count.saturating_add(self.count).saturating_mul(width) > NULLS_LIMIT {
            let message = format!("the nulls of column {:?} stand for more than {NULLS_LIMIT} bytes", self.column.name);
            return Err(Fault::new(Code::BodyTooLarge, message).hint("send fewer records in one request"));
        }
        self.missing.resize(self.count, false);
        self.count += count;
        self.missing.resize(self.count, true);
        match &mut self.payload {
            Payload::Fixed(buffer) => buffer.extend(&vec![0; count * self.column.dtype.width()]),
            Payload::Bytes(list) => list.resize(self.count, Vec::new()),
        }
        Ok(())
    }

    fn ragged(&self) -> Fault {
        let message =
            format!("the nested data of column {:?} is ragged: lists at the same depth must have the same length", self.column.name);
        Fault::new(Code::WrongShape, message)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Payload::Fixed(buffer) = &mut self.payload {
            buffer.extend(bytes);
        }
        if !self.missing.is_empty() {
            self.missing.push(false);
        }
    }

    /// Adds a missing value, or a missing record of several values.
    pub(super) fn null(&mut self, depth: usize) -> Result<(), Fault> {
        let may_be_record = depth == 1 && !self.column.shape.is_empty();
        match self.leaf_depth {
            None if may_be_record => self.leading_nulls += 1,
            Some(known) if may_be_record && known > 1 => self.nulls(self.per_record())?,
            Some(known) if known != depth => return Err(self.ragged()),
            Some(_) => self.nulls(1)?,
            None => {
                self.leaf_depth = Some(depth);
                self.leading(self.per_record())?;
                self.nulls(1)?;
            }
        }
        Ok(())
    }

    fn float(&mut self, number: f64, depth: usize) -> Result<(), Fault> {
        match self.column.dtype {
            #[expect(clippy::cast_possible_truncation, reason = "the column holds 32-bit floats; one that overflows is refused")]
            Dtype::Fp32 if (number as f32).is_finite() => {
                self.leaf(depth)?;
                self.bytes(&(number as f32).to_le_bytes());
            }
            Dtype::Fp64 => {
                self.leaf(depth)?;
                self.bytes(&number.to_le_bytes());
            }
            _ => return Err(self.wrong(number)),
        }
        Ok(())
    }

    fn unsigned(&mut self, number: u64, depth: usize) -> Result<(), Fault> {
        match i64::try_from(number) {
            Ok(signed) => self.integer(signed, depth),
            Err(_) if self.column.dtype == Dtype::Uint64 => {
                self.leaf(depth)?;
                self.bytes(&number.to_le_bytes());
                Ok(())
            }
            Err(_) => self.float(number as f64, depth),
        }
    }

    fn integer(&mut self, number: i64, depth: usize) -> Result<(), Fault> {
        let fits = match self.column.dtype {
            Dtype::Fp32 | Dtype::Fp64 => return self.float(number as f64, depth),
            Dtype::Uint8 => u8::try_from(number).is_ok(),
            Dtype::Uint16 => u16::try_from(number).is_ok(),
            Dtype::Uint32 => u32::try_from(number).is_ok(),
            Dtype::Uint64 => number >= 0,
            Dtype::Int8 => i8::try_from(number).is_ok(),
            Dtype::Int16 => i16::try_from(number).is_ok(),
            Dtype::Int32 => i32::try_from(number).is_ok(),
            Dtype::Int64 => true,
            Dtype::Bool | Dtype::Fp16 | Dtype::Bytes => false,
        };
        if !fits {
            return Err(self.wrong(number));
        }
        self.leaf(depth)?;
        self.bytes(&number.to_le_bytes()[..self.column.dtype.width()]);
        Ok(())
    }

    fn boolean(&mut self, value: bool, depth: usize) -> Result<(), Fault> {
        if self.column.dtype != Dtype::Bool {
            return Err(self.wrong(value));
        }
        self.leaf(depth)?;
        self.bytes(&[u8::from(value)]);
        Ok(())
    }

    fn text(&mut self, text: &str, depth: usize) -> Result<(), Fault> {
        if self.column.moment {
            return self.moment(text, depth);
        }
        if self.column.dtype != Dtype::Bytes {
            return Err(self.wrong(shown(text)));
        }
        self.octets(text.as_bytes().to_vec(), depth)
    }

    /// Adds a moment that came as text.
    fn moment(&mut self, text: &str, depth: usize) -> Result<(), Fault> {
        if !self.takes_text {
            return Err(self.wrong(shown(text)).hint(format!("send {SECONDS}; /predict and version 1 take dates as text")));
        }
        let seconds = moments::read(text).ok_or_else(|| {
            let message = format!("column {:?} holds moments; value {} is {}", self.column.name, self.count, shown(text));
            let form = "an ISO 8601 date or date-time such as \"2021-05-31\" or \"2021-05-31T10:20:30+02:00\"";
            Fault::new(Code::WrongDtype, message).hint(format!("send {form}, or {SECONDS}"))
        })?;
        self.integer(seconds, depth)
    }

    /// Adds bytes that came as base64 (RFC 4648, with padding).
    pub(super) fn base64(&mut self, text: &str, depth: usize) -> Result<(), Fault> {
        let refused = || self.wrong("an object; bytes may be sent as {\"b64\": base64 with padding}");
        let octets = if self.takes_encoded() { STANDARD.decode(text).ok() } else { None };
        let octets = octets.ok_or_else(refused)?;
        self.octets(octets, depth)
    }

    /// Whether the column holds bytes, which may come as base64.
    pub(super) fn takes_encoded(&self) -> bool {
        self.takes_base64 && self.column.dtype == Dtype::Bytes
    }

    fn octets(&mut self, octets: Vec<u8>, depth: usize) -> Result<(), Fault> {
        self.leaf(depth)?;
        if let Payload::Bytes(list) = &mut self.payload {
            list.push(octets);
        }
        if !self.missing.is_empty() {
            self.missing.push(false);
        }
        Ok(())
    }

    /// A list of `length` entries ended at `depth`.
    pub(super) fn list(&mut self, depth: usize, length: usize) -> Result<(), Fault> {
        if self.dims.len() <= depth {
            self.dims.resize(depth + 1, usize::MAX);
        }
        let known = &mut self.dims[depth];
        if *known == usize::MAX {
            *known = length;
        }
        if *known == length { Ok(()) } else { Err(self.ragged()) }
    }
}

/// Reads one value or list into a sink.
pub(super) struct Elements<'s, 'c> {
    pub(super) sink: &'s mut Sink<'c>,
    pub(super) trouble: &'s Trouble,
    pub(super) depth: usize,
}

seed!(Elements<'_, '_>, (), deserialize_any);

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {} value or a list of them", self.sink.column.dtype.name())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.sink.float(number, self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.sink.unsigned(number, self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.sink.integer(number, self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.sink.boolean(value, self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.sink.text(text, self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.sink.null(self.depth).map_err(|fault| raise(self.trouble, fault))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let is_encoded = self.sink.takes_encoded() && map.next_key::<Cow<'de, str>>()?.is_some_and(|key| key == "b64");
        if !is_encoded {
            return Err(raise(self.trouble, self.sink.wrong("an object")));
        }
        let text: Cow<'de, str> = map.next_value()?;
        self.sink.base64(&text, self.depth).map_err(|fault| raise(self.trouble, fault))?;
        match map.next_key::<Cow<'de, str>>()? {
            None => Ok(()),
            Some(_) => Err(raise(self.trouble, self.sink.wrong("an object with more than \"b64\""))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { sink, trouble, depth } = self;
        if depth == DEEPEST {
            let message = format!("the data of column {:?} is nested deeper than {DEEPEST} lists", sink.column.name);
            return Err(raise(trouble, Fault::new(Code::WrongShape, message)));
        }
        let mut length = 0;
        while list.next_element_seed(Elements { sink: &mut *sink, trouble, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        sink.list(depth, length).map_err(|fault| raise(trouble, fault))
    }
}

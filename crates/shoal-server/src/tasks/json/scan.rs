//! JSON looked through for its objects, lists and fields: each value is a text that somebody else reads.
//!
//! Values are delimited, and texts with escapes and numbers read, by `serde_json`; what is done here is what lies between them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fault::{Code, Fault, Outcome};
use crate::tables::json::Cursor;

/// A text, and how far it has been looked through.
#[derive(Clone)]
pub(super) struct Scan<'t> {
    cursor: Cursor<'t>,
}

/// What an object is called in messages, and which fields it has: 32 at most, those first that must be there.
pub(super) struct Form {
    pub(super) what: &'static str,
    pub(super) known: &'static [&'static str],
    pub(super) required: usize,
}

impl<'t> Scan<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { cursor: Cursor::new(text) }
    }

    /// All of it.
    pub(super) const fn text(&self) -> &'t [u8] {
        self.cursor.text
    }

    /// How many bytes have been looked through.
    pub(super) const fn at(&self) -> usize {
        self.cursor.at
    }

    /// For whoever reads a value that comes next.
    pub(super) const fn cursor(&mut self) -> &mut Cursor<'t> {
        &mut self.cursor
    }

    /// Goes behind a text, if it comes next, byte by byte.
    pub(super) fn pass(&mut self, wanted: &[u8]) -> Option<()> {
        self.rest().starts_with(wanted).then(|| self.skip(wanted.len()))
    }

    /// What has not been looked through.
    pub(super) fn rest(&self) -> &'t [u8] {
        &self.cursor.text[self.cursor.at..]
    }

    /// Goes behind so many bytes, which somebody else has read.
    pub(super) const fn skip(&mut self, bytes: usize) {
        self.cursor.at += bytes;
    }

    /// The next byte that is not white space; 0, which no JSON has there, at the end.
    pub(super) fn peek(&mut self) -> u8 {
        self.cursor.peek()
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// `MalformedJson`.
    pub(super) fn end(&mut self) -> Outcome<()> {
        self.cursor.end().map_err(|_| self.malformed("nothing more"))
    }

    /// The next value, whatever it is.
    ///
    /// # Errors
    /// `MalformedJson`.
    pub(super) fn value(&mut self) -> Outcome<&'t [u8]> {
        let mut values = serde_json::Deserializer::from_slice(self.rest()).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                self.cursor.at += values.byte_offset();
                Ok(value.get().as_bytes())
            }
            Some(Err(error)) => {
                Err(Fault::new(Code::MalformedJson, format!("the envelope is not JSON behind byte {}: {error}", self.cursor.at)))
            }
            None => Err(self.malformed("a value")),
        }
    }

    /// The next value, read as the field of that name.
    ///
    /// # Errors
    /// `MalformedJson`, `InvalidRequest`.
    pub(super) fn read<T: Deserialize<'t>>(&mut self, field: &str) -> Outcome<T> {
        let value = self.value()?;
        serde_json::from_slice(value).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Fault::new(Code::InvalidRequest, format!("the field {field:?} is wrong: {error}")),
            _ => Fault::new(Code::MalformedJson, format!("the field {field:?} is not JSON: {error}")),
        })
    }

    /// The next value, which is a number, read as the field of that name: infinite where it is too large for a double.
    ///
    /// # Errors
    /// `MalformedJson`, `InvalidRequest`.
    pub(super) fn number(&mut self, field: &str) -> Outcome<f64> {
        let value = self.value()?;
        let text = std::str::from_utf8(value).ok().filter(|text| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        let wrong = || Fault::new(Code::InvalidRequest, format!("the field {field:?} is {}; expected a number", shown(value)));
        text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
    }

    /// The next value, which is a text, read as the field of that name.
    ///
    /// # Errors
    /// `MalformedJson`, `InvalidRequest`.
    pub(super) fn string(&mut self, field: &str) -> Outcome<Cow<'t, str>> {
        match self.plain() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.read(field).map(Cow::Owned),
        }
    }

    /// The next value, if it is a text without escapes.
    fn plain(&mut self) -> Option<&'t str> {
        if self.peek() != b'"' {
            return None;
        }
        let inside = &self.rest()[1..];
        let length = inside.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).filter(|end| inside[*end] == b'"')?;
        let text = std::str::from_utf8(&inside[..length]).ok()?;
        self.cursor.at += length + 2;
        Some(text)
    }

    /// Looks through a list, calling back at each of its entries.
    ///
    /// # Errors
    /// `MalformedJson`, `InvalidRequest` for what is no list, and those of `entry`.
    pub(super) fn list(&mut self, what: &str, mut entry: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        self.open(b'[', what)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            entry(self)?;
            if !self.is_more(b']')? {
                return Ok(());
            }
        }
    }

    /// Looks through an object, calling back with each name at its value.
    ///
    /// # Errors
    /// `MalformedJson`, `InvalidRequest` for what is no object, and those of `entry`.
    pub(super) fn object(&mut self, what: &str, mut entry: impl FnMut(&mut Self, &str) -> Outcome<()>) -> Outcome<()> {
        self.open(b'{', what)?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != b'"' {
                return Err(self.malformed("the name of a field"));
            }
            let name = self.string("name")?;
            if !self.take(b':') {
                return Err(self.malformed("a colon"));
            }
            entry(self, &name)?;
            if !self.is_more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Looks through an object of a form, calling back with the number of each field at its value.
    ///
    /// # Errors
    /// `InvalidRequest` for a field that is not known, stands twice or is missing, and those of [`Scan::object`].
    pub(super) fn fields(&mut self, form: &Form, mut field: impl FnMut(&mut Self, usize) -> Outcome<()>) -> Outcome<()> {
        let mut seen = 0_u32;
        self.object(form.what, |scan, name| {
            let number = form.known.iter().position(|known| *known == name).ok_or_else(|| form.unknown(name))?;
            if seen & 1 << number != 0 {
                return Err(Fault::new(Code::InvalidRequest, format!("the field {name:?} stands twice in {}", form.what)));
            }
            seen |= 1 << number;
            field(scan, number)
        })?;
        match (0..form.required).find(|number| seen & 1 << number == 0) {
            None => Ok(()),
            Some(number) => Err(Fault::new(Code::InvalidRequest, format!("{} has no field {:?}", form.what, form.known[number]))),
        }
    }

    fn open(&mut self, bracket: u8, what: &str) -> Outcome<()> {
        if self.take(bracket) {
            return Ok(());
        }
        let value = self.value()?;
        let form = if bracket == b'[' { "list" } else { "object" };
        Err(Fault::new(Code::InvalidRequest, format!("{what} is {}; expected {form}", shown(value))))
    }

    fn take(&mut self, wanted: u8) -> bool {
        self.cursor.take(wanted)
    }

    fn is_more(&mut self, end: u8) -> Outcome<bool> {
        self.cursor.is_more(end).map_err(|_| self.malformed("a comma or an end"))
    }

    fn malformed(&self, wanted: &str) -> Fault {
        Fault::new(Code::MalformedJson, format!("the envelope is not JSON at byte {}: expected {wanted}", self.cursor.at))
    }
}

/// The beginning of a value, as a message shows it.
fn shown(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(32).collect()
}

impl Form {
    fn unknown(&self, name: &str) -> Fault {
        let shown: String = name.chars().take(64).collect();
        Fault::new(Code::InvalidRequest, format!("unknown field {shown:?} in {}; known are {}", self.what, self.known.join(", ")))
    }
}

//! A stream as its messages: four bytes `ff`, the length of a flatbuffer, the flatbuffer, and as many bytes of values as it says.

use arrow_ipc::{Message, MetadataVersion, root_as_message_with_opts};
use bytes::Bytes;
use flatbuffers::VerifierOptions;

use super::broken;
use crate::fault::Outcome;

/// What begins a message.
const MARK: [u8; 4] = [0xff; 4];
/// The mark and the length.
const PREFIX: usize = 8;
/// Tables within tables: a schema has at most a field for each dimension, and a few around and in them.
const DEEPEST: usize = 32;

/// One message, and its values.
pub(super) struct Part<'b> {
    pub(super) message: Message<'b>,
    pub(super) body: Bytes,
}

/// A stream, and how far it has been read.
pub(super) struct Messages<'b> {
    stream: &'b Bytes,
    at: usize,
}

impl<'b> Messages<'b> {
    pub(super) const fn new(stream: &'b Bytes) -> Self {
        Self { stream, at: 0 }
    }

    /// How many bytes were read.
    pub(super) const fn read_bytes(&self) -> usize {
        self.at
    }

    /// So many bytes more.
    fn take(&mut self, bytes: usize) -> Outcome<std::ops::Range<usize>> {
        let range = self.at..self.at.saturating_add(bytes);
        if range.end > self.stream.len() {
            return Err(broken(format!("it ends after {} bytes, within a message", self.stream.len())));
        }
        self.at = range.end;
        Ok(range)
    }

    /// The next message; None at the end of the stream.
    pub(super) fn next(&mut self) -> Outcome<Option<Part<'b>>> {
        let stream: &'b Bytes = self.stream;
        let prefix = &stream[self.take(PREFIX)?];
        let Some(length) = prefix.strip_prefix(&MARK).and_then(|length| length.try_into().ok().map(u32::from_le_bytes)) else {
            return Err(broken("a message does not begin with its mark"));
        };
        if length == 0 {
            return Ok(None);
        }
        let flatbuffer = &stream[self.take(usize::try_from(length).unwrap_or(usize::MAX))?];
        let message = root_as_message_with_opts(&options(flatbuffer.len()), flatbuffer)
            .map_err(|error| broken(error.to_string().lines().next().unwrap_or_default()))?;
        if ![MetadataVersion::V4, MetadataVersion::V5].contains(&message.version()) {
            return Err(broken(format!("a message has the metadata version {:?}; expected V4 or V5", message.version())));
        }
        let length = usize::try_from(message.bodyLength()).map_err(|_| broken("a message has a negative length"))?;
        let body = stream.slice(self.take(length)?);
        Ok(Some(Part { message, body }))
    }
}

/// Limits by the size of a flatbuffer: one whose parts refer to the same parts over and over would take long to verify.
fn options(length: usize) -> VerifierOptions {
    VerifierOptions { max_depth: DEEPEST, max_tables: length / 4 + 1, max_apparent_size: 16 * length + 1024, ..VerifierOptions::default() }
}

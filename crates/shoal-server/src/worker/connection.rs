//! One frame to a worker, one frame back, within a time.
//!
//! A frame is written with one call and, up to [`FIRST_READ_BYTES`], read with one: at micro-batches of
//! microseconds, calls are what costs. Memory grows with what arrives, not with what is announced.

use std::borrow::Cow;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frames::{HEADER_BYTES, Kind, read_header};
use super::process::Process;

/// What the first read asks for: a usual answer is smaller.
const FIRST_READ_BYTES: usize = 64 << 10;
/// By how much room grows while an answer arrives.
const READ_STEP_BYTES: usize = 1 << 20;
/// Room above this is not kept for the next answer.
const KEPT_BYTES: usize = 16 << 20;

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing of the frame can have been acted upon: not all of it was delivered.
    NotSent,
    /// The other side ended.
    Ended,
    /// No whole frame came back in time.
    TooLate,
    /// What came back is no frame.
    Garbled(String),
}

/// The server's end of a worker's socket.
pub(crate) struct Connection {
    stream: UnixStream,
    pub(crate) process: Arc<Process>,
    limit: Duration,
    received: Vec<u8>,
}

impl Drop for Connection {
    /// Tells the worker to end: nothing more will come, whoever else still has the socket open.
    fn drop(&mut self) {
        // One that has ended already need not be told.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

impl Connection {
    /// Exchanges on `stream` may take `limit` each.
    pub(crate) fn new(stream: UnixStream, process: Arc<Process>, limit: Duration) -> std::io::Result<Self> {
        let mut connection = Self { stream, process, limit, received: Vec::new() };
        connection.set_limit(limit)?;
        Ok(connection)
    }

    /// Changes how long an exchange may take.
    pub(crate) fn set_limit(&mut self, limit: Duration) -> std::io::Result<()> {
        self.limit = limit;
        self.stream.set_write_timeout(Some(limit))?;
        self.stream.set_read_timeout(Some(limit))
    }

    /// Writes a frame and waits for the one that answers it: its kind and its body.
    pub(crate) fn exchange(&mut self, parts: &[Cow<'_, [u8]>]) -> Result<(Kind, &[u8]), Broken> {
        self.write(parts).map_err(|_| Broken::NotSent)?;
        self.read()
    }

    fn write(&mut self, parts: &[Cow<'_, [u8]>]) -> std::io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.stream.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the next frame.
    pub(crate) fn read(&mut self) -> Result<(Kind, &[u8]), Broken> {
        let ends_at = Instant::now() + self.limit;
        self.received.truncate(KEPT_BYTES);
        self.received.shrink_to(KEPT_BYTES);
        self.fill(0, HEADER_BYTES, ends_at)
            .and_then(|have| {
                let mut header = [0; HEADER_BYTES];
                header.copy_from_slice(&self.received[..HEADER_BYTES]);
                let (kind, body_bytes) = read_header(&header).map_err(Broken::Garbled)?;
                let end = HEADER_BYTES + body_bytes;
                if self.fill(have, end, ends_at)? > end {
                    return Err(Broken::Garbled("bytes follow a frame that nobody asked for".to_owned()));
                }
                Ok((kind, end))
            })
            .map(|(kind, end)| (kind, &self.received[HEADER_BYTES..end]))
    }

    /// Reads until `want` bytes are there, of which `have` are already; says how many are there then.
    fn fill(&mut self, mut have: usize, want: usize, ends_at: Instant) -> Result<usize, Broken> {
        while have < want {
            let room = want.min(have + READ_STEP_BYTES).max(FIRST_READ_BYTES);
            if self.received.len() < room {
                self.received.resize(room, 0);
            }
            match self.stream.read(&mut self.received[have..room]) {
                Ok(0) => return Err(Broken::Ended),
                Ok(read) => have += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Err(Broken::TooLate),
                Err(_) => return Err(Broken::Ended),
            }
            // One read waits for the limit at most, so an exchange that comes in drops takes twice that at most.
            if have < want && Instant::now() > ends_at {
                return Err(Broken::TooLate);
            }
        }
        Ok(have)
    }
}

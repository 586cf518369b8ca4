//! The bodies that are in flight: read, or being answered.
//!
//! All of them together have a limit, over both doors. What counts is what has arrived, not what was announced: a
//! client that announces much and sends nothing takes no room from others. What a request holds is given back when it
//! has been answered or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::fault::{Code, Fault, Outcome};

/// When a busy server may be asked again: no body is held for long. Over HTTP this is rounded up to a second.
pub(crate) const SOON: Duration = Duration::from_millis(100);

/// So much room is made at once for a body that announces its length.
const ROOM: usize = 1 << 20;

/// Bytes of all bodies, and how many there may be.
#[derive(Debug)]
pub(crate) struct Bodies {
    bytes: AtomicUsize,
    limit: usize,
}

impl Bodies {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit }
    }

    /// How many bytes are held now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that have arrived.
    ///
    /// # Errors
    /// `ServerBusy`; nothing is counted then.
    pub(crate) fn take(&self, bytes: usize) -> Outcome<()> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit {
            return Ok(());
        }
        self.give(bytes);
        let message = format!("the server holds bodies of {} bytes, and takes at most {}", self.bytes(), self.limit);
        let fault = Fault::new(Code::ServerBusy, message).hint("send the request again a little later");
        Err(fault.retry_after(Some(SOON)))
    }

    /// Counts bytes that are gone.
    pub(crate) fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one request holds.
pub(crate) struct Held<'a> {
    bodies: &'a Bodies,
    bytes: usize,
}

impl<'a> Held<'a> {
    pub(crate) const fn new(bodies: &'a Bodies) -> Self {
        Self { bodies, bytes: 0 }
    }

    /// Counts bytes that this request holds from here on.
    ///
    /// # Errors
    /// `ServerBusy`; nothing is counted then.
    pub(crate) fn add(&mut self, bytes: usize) -> Outcome<()> {
        self.bodies.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Held<'_> {
    /// What is held here, for whoever answers longer than this request.
    pub(crate) fn hand_over(&mut self, bodies: &Arc<Bodies>) -> Holding {
        Holding { bodies: Arc::clone(bodies), bytes: std::mem::take(&mut self.bytes) }
    }
}

/// What an answer that is still being sent holds.
#[derive(Debug)]
pub(crate) struct Holding {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Holding {
    /// Counts bytes that are held from here on.
    ///
    /// # Errors
    /// `ServerBusy`; nothing is counted then.
    pub(crate) fn add(&mut self, bytes: usize) -> Outcome<()> {
        self.bodies.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.bodies.give(self.bytes);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.bodies.give(self.bytes);
    }
}

/// The fault for a body over the limit of one.
pub(crate) fn too_large(limit: usize) -> Fault {
    Fault::new(Code::BodyTooLarge, format!("the body is over the limit of {limit} bytes")).hint("send fewer records in one request")
}

/// Reads a body whole.
///
/// # Errors
/// `BodyTooLarge`, `ServerBusy`, `InvalidRequest` for one that does not arrive whole.
pub(crate) async fn gather(body: &mut Incoming, limit: usize, held: &mut Held<'_>) -> Outcome<Bytes> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let Some(first) = next(body, limit, held).await? else { return Ok(Bytes::new()) };
    // The usual body comes in one piece.
    if first.len() as u64 == announced {
        return Ok(first);
    }
    // Room that is not written to takes no memory, but a promise is not believed without end.
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).map_or(ROOM, |announced| announced.min(ROOM)).max(first.len()));
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(more) = next(body, limit, held).await? {
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Incoming, limit: usize, held: &mut Held<'_>) -> Outcome<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::new(Code::InvalidRequest, format!("the body did not arrive whole: {error}")))?;
        // Whatever is no data is a trailer, which nothing here needs.
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes + data.len() > limit {
            return Err(too_large(limit));
        }
        held.add(data.len())?;
        return Ok(Some(data));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_is_given_back_also_after_a_refusal() {
        let bodies = Bodies::new(10);
        let mut held = Held::new(&bodies);
        held.add(8).unwrap();
        assert_eq!(held.add(3).unwrap_err().code, Code::ServerBusy);
        assert_eq!(bodies.bytes(), 8);
        drop(held);
        assert_eq!(bodies.bytes(), 0);
    }
}

//! One connection, plain or TLS: what passes is noted, a client that is given up is cut off, and what hyper would refuse
//! without a word is refused with one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::connections::{Late, Place, Watch};
use crate::refusal::{Refusal, is_bare};
use crate::untaken::Untaken;

/// The bytes of a connection, as they come or through TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// What a gRPC client sends before anything else: the preface and the head of its settings (RFC 9113, 3.4 and 4.1).
const OPENING_BYTES: usize = 24 + 9;

/// The opening of a gRPC connection, and until when it may take. Afterwards pings tell whether the client is there.
struct Opening {
    until: Pin<Box<Sleep>>,
    missing_bytes: usize,
}

/// When the client of a gRPC connection is given up, and whom to tell.
struct Tending {
    late: Pin<Box<dyn Future<Output = ()> + Send>>,
    count: Box<dyn FnOnce(Late) + Send>,
}

/// One connection.
pub(crate) struct Wire {
    stream: Stream,
    watch: Arc<Watch>,
    opening: Option<Opening>,
    untaken: Option<Arc<Untaken>>,
    tending: Option<Tending>,
    refusal: Option<Box<Refusal>>,
    _place: Place,
}

impl Wire {
    fn new(stream: Stream, place: Place) -> Self {
        Self { stream, watch: Arc::default(), opening: None, untaken: None, tending: None, refusal: None, _place: place }
    }

    pub(crate) fn plain(stream: TcpStream, place: Place) -> Self {
        Self::new(Stream::Plain(stream), place)
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, place: Place) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), place)
    }

    /// The same connection, closed when its client does not take an answer in this time; `count` is told why, also
    /// when it is closed because it was not opened in time.
    pub(crate) fn taken_within(mut self, time: Duration, count: impl FnOnce(Late) + Send + 'static) -> Self {
        let untaken = Arc::<Untaken>::default();
        self.untaken = Some(Arc::clone(&untaken));
        self.tending = Some(Tending { late: Box::pin(async move { untaken.until_late(time).await }), count: Box::new(count) });
        self
    }

    /// The same connection, closed when the client has not opened it as gRPC does in this time.
    pub(crate) fn opened_within(mut self, time: Duration) -> Self {
        self.opening = Some(Opening { until: Box::pin(tokio::time::sleep(time)), missing_bytes: OPENING_BYTES });
        self
    }

    /// What passes here.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

/// The other end of a gRPC connection.
#[derive(Clone)]
pub(crate) struct Peer {
    /// By which clients are told apart.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) untaken: Option<Arc<Untaken>>,
}

impl Connected for Wire {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer { address: self.stream.socket().peer_addr().ok(), untaken: self.untaken.clone() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let bytes = buffer.filled().len() - before;
        self.watch.has_read(bytes);
        if self.opening.is_some() && self.is_late(context, bytes) {
            return Poll::Ready(Err(self.give_up(Late::Head)));
        }
        if read.is_pending() { self.poll_given_up(context).map(Err) } else { read }
    }
}

impl Wire {
    fn give_up(&mut self, late: Late) -> io::Error {
        if let Some(tending) = self.tending.take() {
            (tending.count)(late);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// Ready when the client is given up: then the connection ends with this error.
    fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(tending) = &mut self.tending else { return Poll::Pending };
        ready!(tending.late.as_mut().poll(context));
        Poll::Ready(self.give_up(Late::Write))
    }

    fn poll_plainly(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.watch.has_written(&written);
        written
    }

    /// Writes an error in the form of all others where hyper would write a bare one.
    fn poll_refuse(&mut self, context: &mut Context<'_>, bare: &[u8]) -> Poll<io::Result<usize>> {
        let mut refusal = self.refusal.take().unwrap_or_else(|| Box::new(Refusal::in_place_of(bare)));
        let mut ended = Poll::Ready(Ok(bare.len()));
        while !refusal.rest.is_empty() {
            match self.poll_plainly(context, refusal.rest) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => refusal.rest = &refusal.rest[bytes..],
                other => {
                    ended = other;
                    break;
                }
            }
        }
        self.refusal = Some(refusal);
        ended
    }

    fn is_late(&mut self, context: &mut Context<'_>, bytes: usize) -> bool {
        let Some(opening) = &mut self.opening else { return false };
        opening.missing_bytes = opening.missing_bytes.saturating_sub(bytes);
        if opening.missing_bytes == 0 {
            self.opening = None;
            return false;
        }
        opening.until.as_mut().poll(context).is_ready()
    }
}

/// A head and a short body are sooner copied into one piece of this size than sent as two.
const PIECE_BYTES: usize = 1024;

/// Copies all slices into one piece, and says how long it is; None when they do not fit.
fn gather(slices: &[io::IoSlice<'_>], piece: &mut [u8; PIECE_BYTES]) -> Option<usize> {
    slices.iter().try_fold(0, |start, slice| {
        let end = start + slice.len();
        piece.get_mut(start..end)?.copy_from_slice(slice);
        Some(end)
    })
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if is_bare(bytes) {
            return self.poll_refuse(context, bytes);
        }
        let written = self.poll_plainly(context, bytes);
        if written.is_pending() { self.poll_given_up(context).map(Err) } else { written }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE_BYTES];
        if let Some(length) = gather(slices, &mut piece) {
            return self.poll_write(context, &piece[..length]);
        }
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.watch.has_written(&written);
        if written.is_pending() { self.poll_given_up(context).map(Err) } else { written }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        if let Stream::Tls(_) = self.stream {
            self.watch.set_stalled(flushed.is_pending());
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        match &mut wire.stream {
            Stream::Plain(stream) => ready!(Pin::new(stream).poll_shutdown(context))?,
            Stream::Tls(stream) => ready!(Pin::new(stream).poll_shutdown(context))?,
        }
        if let Some(refusal) = &mut wire.refusal {
            match &mut wire.stream {
                Stream::Plain(stream) => ready!(refusal.poll_farewell(stream, context)),
                Stream::Tls(stream) => ready!(refusal.poll_farewell(stream.as_mut(), context)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_slices_become_one_piece_and_long_ones_do_not() {
        let mut piece = [0; PIECE_BYTES];
        let long = vec![7; PIECE_BYTES - 3];
        let length = gather(&[io::IoSlice::new(b"abc"), io::IoSlice::new(&long)], &mut piece).unwrap();
        assert_eq!((length, &piece[..4]), (PIECE_BYTES, &b"abc\x07"[..]));
        assert_eq!(gather(&[io::IoSlice::new(b"abcd"), io::IoSlice::new(&long)], &mut piece), None);
    }
}

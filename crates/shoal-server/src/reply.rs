//! What goes back over HTTP: nearly always a whole body, and lines where a caller takes answers as they are ready.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};

use crate::tasks::lines::Lines;

/// A reply.
pub(crate) type Reply = Response<Content>;

/// The body of a reply.
pub(crate) enum Content {
    Whole(Full<Bytes>),
    Lines(Box<Lines>),
}

impl<B: Into<Bytes>> From<B> for Content {
    fn from(body: B) -> Self {
        Self::Whole(Full::new(body.into()))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Lines(lines) => lines.poll_more(context).map(|more| more.map(|more| Ok(Frame::data(more)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Lines(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Lines(_) => SizeHint::default(),
        }
    }
}

//! What hyper refuses before there is a request: a head that is over the limit, or no HTTP at all.
//!
//! hyper answers such a client by itself, with a status and no body. The bytes of that answer are recognised where they
//! go out, and the same error in the form of every other goes out in their place. Closing with bytes unread would reset
//! the connection before the client has read its answer, so what it still sends is read for a moment.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use crate::fault::{Code, Fault};
use crate::http::error_body;

/// How long such a client may take to read its answer, and how much it may still send.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 4096;

static TOO_LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fault = Fault::new(Code::HeadersTooLarge, "the head of the request is over the limit").hint("send fewer headers, or shorter ones");
    answer(&fault, "431 Request Header Fields Too Large")
});
static MALFORMED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fault = Fault::new(Code::InvalidRequest, "this is no HTTP request").hint("speak HTTP/1.1 at this address; gRPC has one of its own");
    answer(&fault, "400 Bad Request")
});

fn answer(fault: &Fault, status: &str) -> Vec<u8> {
    let body = error_body(fault);
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

/// Whether these bytes are an answer that hyper made by itself: no answer of this server to an error is empty.
pub(crate) fn is_bare(bytes: &[u8]) -> bool {
    let is_error = bytes.starts_with(b"HTTP/1.") && bytes.get(8..10) == Some(b" 4");
    is_error && bytes.windows(EMPTY.len()).any(|window| window == EMPTY)
}

const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";

/// The answer that goes out instead, and the end of the connection.
pub(crate) struct Refusal {
    /// What has not gone out yet.
    pub(crate) rest: &'static [u8],
    until: Option<Pin<Box<Sleep>>>,
    spare_bytes: usize,
}

impl Refusal {
    /// In the place of hyper's own. A URI that is too long is a head that is too large.
    pub(crate) fn in_place_of(bytes: &[u8]) -> Self {
        let rest: &'static [u8] = if bytes.get(9..12) == Some(b"400") { &MALFORMED } else { &TOO_LARGE };
        Self { rest, until: None, spare_bytes: FAREWELL_BYTES }
    }

    /// Ready when the client has hung up, or has had its time.
    pub(crate) fn poll_farewell(&mut self, stream: &mut (impl AsyncRead + Unpin), context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL)));
        while until.as_mut().poll(context).is_pending() && self.spare_bytes > 0 {
            let mut space = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            let bytes = buffer.filled().len();
            if read.is_err() || bytes == 0 {
                break;
            }
            self.spare_bytes = self.spare_bytes.saturating_sub(bytes);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_answer_of_hyper_is_told_from_one_of_this_server() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(is_bare(bare));
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n"[..],
            &TOO_LARGE,
            b"",
        ] {
            assert!(!is_bare(other));
        }
    }

    #[test]
    fn what_goes_out_instead_is_a_whole_answer_with_the_code_of_its_status() {
        for (bare, status, code) in [(b"HTTP/1.1 400 ", 400, Code::InvalidRequest), (b"HTTP/1.1 414 ", 431, Code::HeadersTooLarge)] {
            let text = std::str::from_utf8(Refusal::in_place_of(bare).rest).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && head.ends_with(&format!("content-length: {}", body.len())));
            let error: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((error["code"].as_str(), code.http()), (Some(code.name()), status));
        }
    }
}

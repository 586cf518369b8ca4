//! From an accepted socket to a connection that may ask: a place, then TLS where it is spoken.
//!
//! A client for whom there is no place gets a plain 503 over HTTP, where it can read it; over TLS and gRPC its
//! connection is closed. Both are counted, and told in the log at most once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::catalog::Catalog;
use crate::connections::Place;
use crate::fault::Outcome;
use crate::wire::Wire;

/// What a client gets for whom there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 124\r\n\r\n{\"error\":\"the server has as many connections as it may\",\"code\":\"server_busy\",\
    \"hint\":\"send the request again a little later\"}";
/// How long such a client may take to read that, and how much it may still send.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: u64 = 64 << 10;
/// Clients to whom it is said at the same time; all others are only closed.
pub(crate) const FAREWELLS: usize = 64;

/// TLS for the front door that speaks this protocol; None when the server speaks none.
///
/// # Errors
/// `Internal` when the cryptography has no version of TLS.
pub(crate) fn acceptor(catalog: &Catalog, protocol: &str) -> Outcome<Option<TlsAcceptor>> {
    catalog.guard.identity.as_ref().map(|identity| identity.acceptor(protocol)).transpose()
}

/// A place for a new connection; without one, it is counted and told.
pub(crate) fn place(catalog: &Catalog) -> Option<Place> {
    let place = catalog.guard.connections.enter();
    if place.is_none() {
        catalog.metrics.drop_connection("limit");
        if let Some(missed) = catalog.guard.full.may_speak() {
            warn!(max_connections = catalog.options.max_connections, missed, "a connection was refused: there are as many as there may be");
        }
    }
    place
}

/// Makes the connection ready to be spoken over; None when the client does not manage TLS in its time.
pub(crate) async fn open(catalog: &Catalog, stream: TcpStream, tls: Option<&TlsAcceptor>, place: Place) -> Option<Wire> {
    // Without it, small answers wait for the client's acknowledgement; a socket that refuses is served all the same.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else { return Some(Wire::plain(stream, place)) };
    match tokio::time::timeout(catalog.guard.patience.head, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(Wire::tls(stream, place)),
        // What rustls says may tell what the client sent.
        Ok(Err(_)) => catalog.metrics.drop_connection("tls_failed"),
        Err(_) => catalog.metrics.drop_connection("header_timeout"),
    }
    debug!("a client did not manage TLS");
    None
}

/// Tells a client over plain HTTP that there is no place for it, unless many are being told already.
pub(crate) async fn turn_away(catalog: Arc<Catalog>, mut stream: TcpStream) {
    let Some(_place) = catalog.guard.farewells.enter() else { return };
    let farewell = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        // Closing with bytes unread would reset the connection before the client has read its answer.
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    // A client that does not listen is owed no more.
    drop(tokio::time::timeout(FAREWELL, farewell).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_answer_in_the_form_of_every_error() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["code"], crate::fault::Code::ServerBusy.name());
    }
}

//! The floor under a JSON server on one thread: the body is read whole, the answer is a constant.

use std::error::Error;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::TcpListener;

/// Listens on `address` (port 0 picks a free one), prints the ready line, and answers until it is killed.
pub(crate) fn serve(address: &str, answer: &str) -> Result<(), Box<dyn Error>> {
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(listen(address, answer))
}

async fn listen(address: &str, answer: Bytes) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", serde_json::json!({"event": "ready", "http": listener.local_addr()?.to_string()}));
    let listener = listener.tap_io(|stream| {
        // Nagle's algorithm would hold back an answer; a connection that is gone already needs no option.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route("/predict", post(reply)).with_state(answer)).await?;
    Ok(())
}

async fn reply(State(answer): State<Bytes>, body: Bytes) -> impl IntoResponse {
    // The extractor has read the body to its end; its size is used so that the read cannot be dropped.
    std::hint::black_box(body.len());
    ([(CONTENT_TYPE, "application/json")], answer)
}

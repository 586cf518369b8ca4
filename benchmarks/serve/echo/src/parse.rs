//! The cost of turning a body into numbers, as a server that knows the type it wants would do it.

use std::error::Error;
use std::hint::black_box;

use serde::Deserialize;

use crate::stopwatch::nanoseconds_per_call;

/// A request for one row: `{"features":[...]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The numbers of the row, in the model's order.
    pub(crate) features: Vec<f32>,
}

/// Parses the bodies in turn (one per line of the file `path`); gives one line of JSON.
pub(crate) fn measure(path: &str) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let bodies: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let mut turn = bodies.iter().cycle();
    let cost = nanoseconds_per_call(|| {
        let body = turn.next().copied().unwrap_or_default();
        serde_json::from_slice::<Request>(black_box(body)).map(|request| drop(black_box(request)))
    })?;
    Ok(serde_json::json!({"parse_ns_per_row": cost, "bodies": bodies.len()}).to_string())
}

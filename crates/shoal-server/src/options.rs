//! What the operator of a server may choose. Every choice has a default that is safe on a network.
//!
//! One field here is one field of `shoal.serve.Options`, of the same name and default; a server gets them as JSON.
//! A number carries its unit in its name.

use serde::Deserialize;

use crate::fault::{Code, Fault, Outcome};

/// The choices of one server.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where to listen for HTTP, as "HOST:PORT"; port 0 picks a free one.
    pub http: String,
    /// The same for gRPC.
    pub grpc: String,
    /// A request body or message, at most.
    pub body_limit_bytes: usize,
    /// Instead of what packages say: a request with a free executor waits for company no longer than this.
    pub max_wait_ms: Option<f64>,
    /// Instead of what packages say: from arrival to answer; micro-batches stay small enough for it.
    pub latency_target_ms: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        // What Triton takes by default.
        Self {
            http: "127.0.0.1:0".into(),
            grpc: "127.0.0.1:0".into(),
            body_limit_bytes: 64 << 20,
            max_wait_ms: None,
            latency_target_ms: None,
        }
    }
}

impl Options {
    /// Reads the choices.
    ///
    /// # Errors
    /// `InvalidRequest` when the text is not JSON, or names an option that does not exist.
    pub fn from_json(text: &str) -> Outcome<Self> {
        serde_json::from_str(text).map_err(|error| Fault::new(Code::InvalidRequest, format!("these are no options of a server: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default_and_an_unknown_option_is_refused() {
        let some = Options::from_json(r#"{"body_limit_bytes":5}"#).unwrap();
        assert_eq!(some, Options { body_limit_bytes: 5, ..Options::default() });
        assert_eq!(Options::from_json(r#"{"bodies":5}"#).unwrap_err().code, Code::InvalidRequest);
    }
}

//! Cross-origin requests: which web pages may read answers.
//!
//! Off unless origins are named. A browser asks first (`OPTIONS`, without the key) and is answered for an origin that
//! is allowed; for any other the answer is the one it gets with CORS off. Source: the Fetch standard, section 3.2.

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::fault::{Code, Fault, Outcome};
use crate::reply::Reply;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static("accept, authorization, content-type, inference-header-content-length, x-api-key");
const EXPOSED: HeaderValue = HeaderValue::from_static("inference-header-content-length, retry-after");
/// How long a browser may remember the answer.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins that are allowed.
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// None when no origin is named.
    ///
    /// # Errors
    /// `InvalidConfiguration` for what no browser sends as an origin.
    pub(crate) fn new(origins: &[String]) -> Outcome<Option<Self>> {
        let origins: Vec<HeaderValue> = origins.iter().map(|origin| parse(origin)).collect::<Outcome<_>>()?;
        Ok((!origins.is_empty()).then_some(Self { origins }))
    }

    /// What stands in the answer for this request: its origin, or "*".
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        if self.origins.contains(&ANY) {
            return Some(ANY);
        }
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// The answer to a browser that asks whether it may send a request; None when this is none.
    pub(crate) fn preflight(&self, head: &Parts) -> Option<Reply> {
        if head.method != Method::OPTIONS || !head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        self.allowed(&head.headers)?;
        let mut reply = Reply::new(Bytes::new().into());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let headers = reply.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        Some(reply)
    }

    /// Tells the browser whether the page may read the answer, and caches that the answer depends on the page.
    pub(crate) fn mark(&self, head: &Parts, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers.append(VARY, HeaderValue::from_name(ORIGIN));
        if let Some(origin) = self.allowed(&head.headers) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

fn parse(origin: &str) -> Outcome<HeaderValue> {
    let host = origin.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, host)| host);
    let is_origin = origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*']));
    let value = is_origin.then(|| HeaderValue::from_str(&origin.to_ascii_lowercase()).ok()).flatten();
    value.ok_or_else(|| {
        Fault::new(Code::InvalidConfiguration, format!("{origin:?} is no origin"))
            .hint("an origin is SCHEME://HOST or SCHEME://HOST:PORT without a path, for example https://example.org; or *")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_no_path() {
        for good in ["*", "https://example.org", "http://localhost:3000"] {
            assert!(Cors::new(&[good.to_owned()]).unwrap().is_some());
        }
        for bad in ["example.org", "https://example.org/", "https://*.example.org", "://x", "https://", "null", "https://a\nb"] {
            assert_eq!(Cors::new(&[bad.to_owned()]).err().map(|fault| fault.code), Some(Code::InvalidConfiguration), "{bad}");
        }
        assert!(Cors::new(&[]).unwrap().is_none());
    }
}

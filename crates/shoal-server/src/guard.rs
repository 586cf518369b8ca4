//! What stands between the network and the models: keys, origins, limits and patience of one server.
//!
//! Each part that is off is absent, and costs a request one look at whether it is there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::HeaderMap;
use tracing::{error, info, warn};

use crate::bodies::Bodies;
use crate::connections::{Connections, Patience};
use crate::cors::Cors;
use crate::door::FAREWELLS;
use crate::fault::{Code, Fault, Outcome};
use crate::files::{self, LOOK, Stamp};
use crate::keys::{self, Keyring};
use crate::log::Seldom;
use crate::options::Options;
use crate::tls::Identity;
use crate::try_page;

/// The protection of one server.
pub(crate) struct Guard {
    pub(crate) keys: Option<Keyring>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) cors: Option<Cors>,
    pub(crate) has_try_page: bool,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) farewells: Arc<Connections>,
    pub(crate) patience: Patience,
    /// The files as they were before they were read, so that no change after that is missed.
    stamps: Vec<Stamp>,
    pub(crate) full: Seldom,
    pub(crate) failures: Seldom,
}

impl Guard {
    /// Reads what the options name.
    ///
    /// # Errors
    /// `PathNotFound`, `InvalidConfiguration`.
    pub(crate) fn new(options: &Options) -> Outcome<Self> {
        check(options)?;
        let stamps = stamps(files_of(options));
        Ok(Self {
            stamps,
            keys: options.api_keys.as_deref().map(Keyring::open).transpose()?,
            identity: identity(options)?,
            cors: Cors::new(&options.allow_origin)?,
            has_try_page: options.try_page,
            bodies: Arc::new(Bodies::new(options.bodies_in_flight_limit_bytes)),
            connections: Arc::new(Connections::new(options.max_connections)),
            farewells: Arc::new(Connections::new(FAREWELLS)),
            patience: Patience::new(options),
            full: Seldom::new(),
            failures: Seldom::new(),
        })
    }

    /// Lets a request in that needs no key or brings one.
    ///
    /// # Errors
    /// `Unauthorized`.
    pub(crate) fn admit(&self, path: &str, headers: &HeaderMap) -> Outcome<()> {
        match &self.keys {
            Some(keys) if !self.is_open(path) => keys.check(headers),
            _ => Ok(()),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        is_open(path) || (self.has_try_page && try_page::is_open(path))
    }

    /// Whose request it is, where that is told by a key.
    pub(crate) fn owner(&self, headers: &HeaderMap) -> Option<[u8; 32]> {
        self.keys.as_ref().and_then(|_| keys::hash_of(headers))
    }

    /// Tells the operator what is risky: keys and tokens that anybody on the way can read.
    pub(crate) fn warn(&self, addresses: (SocketAddr, SocketAddr), admin: Option<SocketAddr>) {
        if self.identity.is_some() {
            return;
        }
        let is_local = addresses.0.ip().is_loopback() && addresses.1.ip().is_loopback();
        if self.keys.is_some() && !is_local {
            warn!("API keys travel in plain text beyond this machine; serve with TLS, or behind a proxy that does");
        }
        if admin.is_some_and(|address| !address.ip().is_loopback()) {
            warn!("the admin token travels in plain text beyond this machine; serve with TLS, or keep the admin address local");
        }
    }

    /// Reads keys and certificate anew when their files change; ends at once when there are none.
    pub(crate) async fn follow_files(&self) {
        if self.keys.is_none() && self.identity.is_none() {
            return;
        }
        let mut known = self.stamps.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let stamps = stamps(self.files());
            if stamps != known {
                known = stamps;
                self.refresh();
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let keys = self.keys.iter().map(Keyring::path);
        self.identity.iter().flat_map(|identity| identity.paths()).chain(keys)
    }

    fn refresh(&self) {
        if let Some(keys) = &self.keys {
            match keys.refresh() {
                Ok(count) => info!(keys = count, "the API keys were read anew"),
                Err(fault) => error!(code = fault.code.name(), "the API keys stay as they were: {fault}"),
            }
        }
        if let Some(identity) = &self.identity {
            match identity.refresh() {
                Ok(()) => info!("the TLS certificate was read anew"),
                Err(fault) => error!(code = fault.code.name(), "the TLS certificate stays as it was: {fault}"),
            }
        }
    }
}

fn files_of(options: &Options) -> impl Iterator<Item = &Path> {
    [&options.tls_certificate, &options.tls_key, &options.api_keys].into_iter().flatten().map(PathBuf::as_path)
}

fn stamps<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<Stamp> {
    files.map(files::stamp).collect()
}

/// Health is for whoever watches over the server, and says nothing about models.
pub(crate) fn is_open(path: &str) -> bool {
    matches!(
        path.trim_end_matches('/'),
        "/v2/health/live"
            | "/v2/health/ready"
            | "/grpc.health.v1.Health/Check"
            | "/grpc.health.v1.Health/Watch"
            | "/inference.GRPCInferenceService/ServerLive"
            | "/inference.GRPCInferenceService/ServerReady"
    )
}

fn identity(options: &Options) -> Outcome<Option<Arc<Identity>>> {
    match (&options.tls_certificate, &options.tls_key) {
        (Some(certificate), Some(key)) => Identity::open(certificate, key).map(Some),
        (None, None) => Ok(None),
        _ => Err(Fault::new(Code::InvalidConfiguration, "TLS needs both a certificate and its key; one of them was not given")),
    }
}

/// Refuses numbers with which no request could be answered.
fn check(options: &Options) -> Outcome<()> {
    let numbers = [
        ("body_limit_bytes", options.body_limit_bytes as u64, 1),
        ("bodies_in_flight_limit_bytes", options.bodies_in_flight_limit_bytes as u64, options.body_limit_bytes as u64),
        ("header_limit_bytes", options.header_limit_bytes as u64, 1024),
        ("max_connections", options.max_connections as u64, 1),
        ("max_streams", u64::from(options.max_streams), 1),
        ("header_timeout_ms", options.header_timeout_ms, 1),
        ("body_timeout_ms", options.body_timeout_ms, 1),
        ("slowest_body_bytes_per_s", options.slowest_body_bytes_per_s, 1),
        ("idle_timeout_ms", options.idle_timeout_ms, 1),
        ("write_timeout_ms", options.write_timeout_ms, 1),
    ];
    match numbers.into_iter().find(|(_, number, least)| number < least) {
        Some((name, number, least)) => {
            Err(Fault::new(Code::InvalidConfiguration, format!("{name} is {number}; expected at least {least}")))
        }
        None => Ok(()),
    }
}

/// One request while it is being answered: when its client leaves before the answer, that is counted.
pub(crate) struct Turn<F: Fn()> {
    leaves: F,
    is_answered: bool,
}

impl<F: Fn()> Turn<F> {
    pub(crate) const fn new(leaves: F) -> Self {
        Self { leaves, is_answered: false }
    }

    pub(crate) const fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl<F: Fn()> Drop for Turn<F> {
    fn drop(&mut self) {
        if !self.is_answered {
            (self.leaves)();
        }
    }
}

//! TLS for all doors: one certificate, read anew when its files change.
//!
//! rustls with ring speaks TLS 1.2 and 1.3; nothing about it can be chosen, so nothing can be chosen wrongly. Connections
//! that are open keep the certificate with which they began. New files that do not fit together leave the old
//! certificate in place and are told in the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::fault::{Code, Fault, Outcome};
use crate::files;

/// The certificate of this server, as it is now.
#[derive(Debug)]
pub(crate) struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// `PathNotFound`, `InvalidConfiguration` when a file is not what it should be or they do not belong together.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Outcome<Arc<Self>> {
        let current = RwLock::new(Arc::new(load(certificate, key)?));
        Ok(Arc::new(Self { certificate: certificate.to_owned(), key: key.to_owned(), current }))
    }

    /// The two files.
    pub(crate) fn paths(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    /// Reads both files anew. The certificate stays as it was when that fails.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn refresh(&self) -> Outcome<()> {
        let fresh = load(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// What makes TLS connections, for a protocol such as `http/1.1` or `h2`.
    ///
    /// # Errors
    /// `Internal` when the cryptography has no version of TLS.
    pub(crate) fn acceptor(self: &Arc<Self>, protocol: &str) -> Outcome<TlsAcceptor> {
        let internal = |error| Fault::new(Code::Internal, format!("TLS cannot be spoken: {error}"));
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let mut config =
            versions.map_err(internal)?.with_no_client_auth().with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn load(certificate: &Path, key: &Path) -> Outcome<CertifiedKey> {
    let text = files::read_text(certificate, "TLS certificate")?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(|error| unusable("TLS certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable("TLS certificate", certificate, &"it has no certificate in PEM"));
    }
    let text = files::read_text(key, "TLS key")?;
    // What the parser says of a broken key may quote it.
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unusable("TLS key", key, &"it has no private key in PEM"))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable("TLS key", key, &format!("it is not the key of the certificate {}", certificate.display()))
        }
        other => unusable("TLS certificate or key", certificate, &other),
    })
}

fn unusable(what: &str, path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::InvalidConfiguration, format!("the {what} {} cannot be used: {why}", path.display()))
        .hint("both files are PEM: the certificates of this server, its own first, and its private key without password")
}

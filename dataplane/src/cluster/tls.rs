//! TLS between nodes: both sides show a certificate of the cluster's own authority, and the one that is asked must be the
//! node it should be, by its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};

/// Why TLS between nodes cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("`cluster`: cannot read a {wanted} in PEM form from `{}`: {source}{instead}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What the file holds in its place, where that is known.
        instead: &'static str,
        /// Why it was not found.
        source: pem::Error,
    },
    /// The files do not fit together.
    #[error("`cluster`: the certificate, its key and the authority do not fit together: {0}")]
    Unusable(String),
}

/// Both sides' configurations, made once at the start.
#[derive(Debug, Clone)]
pub struct ClusterTls {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

impl ClusterTls {
    /// Reads the files. The certificate must name the node (as a DNS name) and be good for servers and clients.
    pub fn load(certificate: &Path, key: &Path, authority: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let private_key = || PrivateKeyDer::from_pem_file(key).map_err(|source| unreadable(key, "private key", source));
        let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
        let mut roots = RootCertStore::empty();
        for root in certificates(authority)? {
            roots.add(root).map_err(|error| unusable(&error))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let verifier = verifier.build().map_err(|error| unusable(&error))?;
        let versions = &[&rustls::version::TLS13];
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), private_key()?)
            .map_err(|error| unusable(&error))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private_key()?)
            .map_err(|error| unusable(&error))?;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn unreadable(path: &Path, wanted: &'static str, source: pem::Error) -> TlsError {
    // A file that cannot be read is named as that by the error itself.
    let instead = std::fs::read(path).map_or("", |text| lgsp_shared::pem::instead(&text));
    TlsError::File { path: path.to_owned(), wanted, instead, source }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| unreadable(path, "certificate", source);
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(found) }
}

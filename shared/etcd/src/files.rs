//! The files that prove a client and name whom it trusts: read whole, checked as TLS will use them, errors that name the
//! setting and the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcd_client::{Certificate, Identity, TlsOptions};
use lgsp_process::secret_file::{self, Readers, SecretFileError};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use zeroize::Zeroizing;

use crate::access::{HANDSHAKE_WAIT, Tls};

/// The largest file read; a bundle of a hundred authorities has about 200 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest password file.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}`: `{}` {reason}", file.display())]
pub struct UnusableFile {
    /// The setting that names it, in full.
    pub setting: String,
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: Box<Reason>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be read.
    #[error("cannot be read: {0}; check the path, and that this program's user may read it")]
    Unreadable(std::io::Error),
    /// It holds a password, and others can read it or it is no text.
    #[error("{0}")]
    Secret(SecretFileError),
    /// It is another kind of file.
    #[error("has more than {FILE_BYTES_MAX} bytes; is it the right file?")]
    TooLarge,
    /// It has no certificate.
    #[error("holds no certificate in PEM form: {0}")]
    NoCertificate(pem::Error),
    /// It has no key.
    #[error("holds no private key in PEM form: {0}")]
    NoKey(pem::Error),
    /// Its certificate cannot be trusted as an authority.
    #[error("holds a certificate that is no authority's: {0}")]
    NoAuthority(rustls::Error),
    /// The key is not the certificate's.
    #[error("cannot prove the client with the key `{}`: {source}; use the key it was issued for", key.display())]
    Mismatch {
        /// The key file.
        key: PathBuf,
        /// What TLS says.
        source: rustls::Error,
    },
}

/// Reads files on behalf of settings.
pub(crate) struct Reader {
    pub within: &'static str,
}

impl Reader {
    /// A password, in a file that others cannot read.
    pub fn secret(&self, setting: &str, file: &Path) -> Result<Zeroizing<String>, UnusableFile> {
        secret_file::read(file, Readers::OwnerAndGroup, PASSWORD_BYTES_MAX)
            .map_err(|error| self.unusable(setting, file, Reason::Secret(error)))
    }

    pub fn text(&self, setting: &str, file: &Path) -> Result<Zeroizing<String>, UnusableFile> {
        let unusable = |reason| self.unusable(setting, file, reason);
        let length = std::fs::metadata(file).map_err(|error| unusable(Reason::Unreadable(error)))?.len();
        if length > FILE_BYTES_MAX {
            return Err(unusable(Reason::TooLarge));
        }
        std::fs::read_to_string(file).map(Zeroizing::new).map_err(|error| unusable(Reason::Unreadable(error)))
    }

    /// The options for TLS, after the same files were put together the way the client will.
    pub fn tls(&self, Tls { ca, identity }: &Tls) -> Result<TlsOptions, UnusableFile> {
        let ca_pem = self.text("tls.ca", ca)?;
        let roots = self.authorities(ca, &ca_pem)?;
        let mut options =
            TlsOptions::new().ca_certificate(Certificate::from_pem(ca_pem.as_bytes())).timeout(HANDSHAKE_WAIT);
        if let Some((certificate, key)) = identity {
            let chain_pem = self.text("tls.certificate", certificate)?;
            let key_pem = self.text("tls.key", key)?;
            self.check_identity(roots, (certificate, &chain_pem), (key, &key_pem))?;
            options = options.identity(Identity::from_pem(chain_pem.as_bytes(), key_pem.as_bytes()));
        }
        Ok(options)
    }

    fn authorities(&self, file: &Path, text: &str) -> Result<RootCertStore, UnusableFile> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates("tls.ca", file, text)? {
            roots.add(certificate).map_err(|error| self.unusable("tls.ca", file, Reason::NoAuthority(error)))?;
        }
        Ok(roots)
    }

    fn certificates(
        &self,
        setting: &str,
        file: &Path,
        text: &str,
    ) -> Result<Vec<CertificateDer<'static>>, UnusableFile> {
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) })
            .map_err(|error| self.unusable(setting, file, Reason::NoCertificate(error)))
    }

    fn check_identity(
        &self,
        roots: RootCertStore,
        (certificate, chain): (&Path, &str),
        (key, key_pem): (&Path, &str),
    ) -> Result<(), UnusableFile> {
        let chain = self.certificates("tls.certificate", certificate, chain)?;
        let private = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| self.unusable("tls.key", key, Reason::NoKey(error)))?;
        let mismatch = |source| {
            let reason = Reason::Mismatch { key: key.to_owned(), source };
            self.unusable("tls.certificate", certificate, reason)
        };
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(mismatch)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private)
            .map_err(mismatch)?;
        Ok(())
    }

    fn unusable(&self, setting: &str, file: &Path, reason: Reason) -> UnusableFile {
        UnusableFile { setting: format!("{}.{setting}", self.within), file: file.to_owned(), reason: Box::new(reason) }
    }
}

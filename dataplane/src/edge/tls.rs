//! Certificates that change while the node runs: validated as a pair before use, swapped atomically, and kept when
//! their replacement is bad.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};

/// The largest PEM file read; a chain of ten certificates has about 20 KiB.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any certificate chain.
    #[error("`{}` has more than {PEM_BYTES_MAX} bytes: it is not a PEM certificate or key", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("`{}` holds no {wanted} in PEM form: {source}{instead}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What it holds in its place, where that is known.
        instead: &'static str,
        /// Why it was not found.
        source: pem::Error,
    },
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error(
        "the key `{}` cannot serve the certificate `{}`: {source}; install the key the certificate was issued for",
        key.display(),
        certificate.display()
    )]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// The state of the two files at the time they were read; a difference means: read them again.
type Fingerprint = [Option<(SystemTime, u64, u64)>; 2];

/// A certificate in use and the files it comes from.
#[derive(Debug)]
pub struct RotatingCertificate {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Fingerprint>,
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Rotation {
    /// Nothing new since the last look.
    Unchanged,
    /// A new pair is in use for new connections.
    Replaced,
    /// The new pair is unusable; the old one stays.
    Kept(CertificateError),
}

impl RotatingCertificate {
    /// Reads and checks the pair.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let seen = fingerprint(certificate, key);
        let pair = read_pair(certificate, key)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(pair),
            seen: Mutex::new(seen),
        }))
    }

    /// Looks at the files and takes a new pair into use. A bad pair is reported once per change.
    pub fn refresh(&self) -> Rotation {
        // The fingerprint is taken first: a change during the read is found by the next look.
        let found = fingerprint(&self.certificate, &self.key);
        let seen = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), found);
        if seen == found {
            return Rotation::Unchanged;
        }
        match read_pair(&self.certificate, &self.key) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                Rotation::Replaced
            }
            Err(error) => Rotation::Kept(error),
        }
    }

    /// The certificate file, for messages.
    pub fn path(&self) -> &Path {
        &self.certificate
    }
}

impl ResolvesServerCert for RotatingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Makes ring the one crypto provider of the process; doing it again changes nothing.
pub fn install_crypto_provider() {
    // An error means that a provider is installed already, and the only caller installs this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let not_pem = |path: &Path, wanted, text: &[u8]| {
        let (path, instead) = (path.to_owned(), lgsp_shared::pem::instead(text));
        move |source| CertificateError::NotPem { path, wanted, instead, source }
    };
    let (text, key_text) = (read_file(certificate)?, read_file(key)?);
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(not_pem(certificate, "certificate", &text))?;
    let private = PrivateKeyDer::from_pem_slice(&key_text).map_err(not_pem(key, "private key", &key_text))?;
    CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()).map_err(|source| {
        CertificateError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source }
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > PEM_BYTES_MAX {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}

fn fingerprint(certificate: &Path, key: &Path) -> Fingerprint {
    use std::os::unix::fs::MetadataExt;
    [certificate, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.ino(), metadata.len()))
    })
}

#[cfg(test)]
mod tests;

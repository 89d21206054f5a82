//! TLS towards other servers: their certificates are checked against those in a file, and nothing is taken without.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The largest file of certificates, in bytes; Debian's bundle has about 220 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where Debian keeps the certificates it trusts.
pub const DEBIAN_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// The file cannot be read, or is too long.
    #[error("cannot read the certificates in `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds none.
    #[error("`{path}` holds no certificate; it has to be a PEM file")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Checks servers against the certificates in this file.
pub fn config(ca_file: &Path) -> Result<TlsConfig, CaFileError> {
    let path = || ca_file.to_owned();
    let unreadable = |source| CaFileError::Unreadable { path: path(), source };
    let bytes = std::fs::metadata(ca_file).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!("{bytes} bytes are more than {FILE_BYTES_MAX}"))));
    }
    let text = std::fs::read(ca_file).map_err(unreadable)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(CaFileError::Empty { path: path() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(matches!(config(&path), Err(CaFileError::Unreadable { .. })));
        std::fs::write(&path, "nothing").unwrap();
        assert!(matches!(config(&path), Err(CaFileError::Empty { .. })));
    }
}

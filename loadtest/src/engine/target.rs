//! Whom to ask: the address, the name it is asked by, and whether over TLS.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use lgsp_shared::head::Scheme;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Where requests go.
#[derive(Clone)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// The value of `Host`; part of what is signed.
    pub authority: String,
    /// Over TLS, verified as this name.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())
    }
}

/// Why a target cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not an address.
    #[error(
        "`{0}` is not a target: write it as `http://127.0.0.1:8080` or `https://lgsp.example.gov.vn`, without a path"
    )]
    Malformed(String),
    /// No such host.
    #[error("the host of `{0}` has no address")]
    Unknown(String, #[source] std::io::Error),
    /// TLS needs to know whom to trust.
    #[error("`{0}` speaks TLS: name the authority that its certificate is signed by with `--ca FILE`")]
    NoAuthority(String),
    /// The file holds no certificate.
    #[error("`{}` holds no certificate in PEM form", .0.display())]
    Certificate(PathBuf),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

impl Target {
    /// Reads a URL; with `host`, asks by that name.
    pub fn parse(url: &str, host: Option<&str>, authorities: Option<&Path>) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(malformed()),
        };
        let (Some(name), Some(authority)) = (uri.host(), uri.authority()) else { return Err(malformed()) };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(malformed());
        }
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let unknown = |error| TargetError::Unknown(url.to_owned(), error);
        let address = (name.trim_matches(['[', ']']), port).to_socket_addrs().map_err(unknown)?.next();
        let address = address.ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))?;
        let authority = host.unwrap_or(authority.as_str()).to_owned();
        let tls = if secure {
            let file = authorities.ok_or_else(|| TargetError::NoAuthority(url.to_owned()))?;
            let asked = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name).to_owned();
            Some((Arc::new(client_config(file)?), ServerName::try_from(asked).map_err(|_| malformed())?))
        } else {
            None
        };
        Ok(Self { address, authority, tls })
    }

    /// For people, and for results.
    pub fn url(&self) -> String {
        format!("{}://{} ({})", self.scheme().as_str(), self.authority, self.address)
    }

    /// Plain or TLS.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

fn client_config(file: &Path) -> Result<ClientConfig, TargetError> {
    let none = || TargetError::Certificate(file.to_owned());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|_| none())? {
        roots.add(certificate.map_err(|_| none())?)?;
    }
    if roots.is_empty() {
        return Err(none());
    }
    let builder = ClientConfig::builder_with_provider(crypto::ring::default_provider().into());
    let mut config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

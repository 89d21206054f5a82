//! A throw-away certificate authority, and certificates signed by it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority that exists for one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, as PEM text.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

/// The files a [`Certificate`] was written to.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority; `name` is its common name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a self-signed certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate: what clients trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these host names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        let key = KeyPair::generate().expect("a key pair");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("valid subject names");
        let cert = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Certificate { cert_pem: cert.pem(), key_pem: key.serialize_pem() }
    }
}

impl Certificate {
    /// Writes `<name>.cert.pem` and `<name>.key.pem` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> CertificateFiles {
        let files =
            CertificateFiles { cert: dir.join(format!("{name}.cert.pem")), key: dir.join(format!("{name}.key.pem")) };
        std::fs::write(&files.cert, &self.cert_pem).expect("the certificate is written");
        std::fs::write(&files.key, &self.key_pem).expect("the key is written");
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_is_its_own() {
        let authority = Authority::new("LGSP test");
        let (one, two) = (authority.issue(&["localhost", "127.0.0.1"]), authority.issue(&["localhost"]));
        assert!(one.cert_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(one.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(one.key_pem, two.key_pem);
    }
}

//! Certificates: what is refused, and that a bad replacement changes nothing.

use std::fs;

use lgsp_testkit::certificate::{Authority, Certificate};

use super::*;

fn localhost() -> Certificate {
    Authority::new("LGSP test").issue(&["localhost"])
}

fn install(directory: &Path, pair: &Certificate) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    replace(&certificate, &pair.cert_pem);
    replace(&key, &pair.key_pem);
    (certificate, key)
}

fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

fn served(rotating: &RotatingCertificate) -> Vec<u8> {
    rotating.current.load().end_entity_cert().unwrap().to_vec()
}

#[test]
fn a_bad_pair_is_refused_with_the_file_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = install(directory.path(), &localhost());
    let missing = RotatingCertificate::load(Path::new("/nowhere/cert.pem"), &key).unwrap_err().to_string();
    assert!(missing.contains("cannot read `/nowhere/cert.pem`"), "{missing}");
    let swapped = RotatingCertificate::load(&key, &certificate).unwrap_err().to_string();
    assert!(swapped.contains("key.pem` holds no certificate"), "{swapped}");
    replace(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let encrypted = RotatingCertificate::load(&certificate, &key).unwrap_err().to_string();
    assert!(encrypted.contains("its key is encrypted"), "{encrypted}");
    replace(&key, &format!("\u{feff}{}", localhost().key_pem));
    let marked = RotatingCertificate::load(&certificate, &key).unwrap_err().to_string();
    assert!(marked.contains("byte-order mark"), "{marked}");
    replace(&key, &localhost().key_pem);
    let foreign = RotatingCertificate::load(&certificate, &key).unwrap_err().to_string();
    assert!(foreign.contains("install the key the certificate was issued for"), "{foreign}");
    replace(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(RotatingCertificate::load(&certificate, &key).is_err());
}

#[test]
fn a_new_pair_is_taken_into_use_and_a_bad_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = install(directory.path(), &localhost());
    let rotating = RotatingCertificate::load(&certificate, &key).unwrap();
    let first = served(&rotating);
    assert!(matches!(rotating.refresh(), Rotation::Unchanged));

    let second = localhost();
    replace(&certificate, &second.cert_pem);
    assert!(matches!(rotating.refresh(), Rotation::Kept(CertificateError::Unusable { .. })));
    assert!(matches!(rotating.refresh(), Rotation::Unchanged), "a bad pair is reported once");
    assert_eq!(served(&rotating), first);

    replace(&key, &second.key_pem);
    assert!(matches!(rotating.refresh(), Rotation::Replaced));
    assert_ne!(served(&rotating), first);
}

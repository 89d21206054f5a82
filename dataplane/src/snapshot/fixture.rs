//! A small configuration for unit tests: one source, one target, one route, one permission.

use std::sync::Arc;

use lgsp_shared::bundle::content_hash;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::seal::{SealKey, Secret, credential_identity};
use serde_json::{Value, json};

use super::{Compiled, Snapshot, SnapshotSource, compile};
use crate::upstream::{Rules, Targets};

/// The secret of every credential.
pub const SECRET: &[u8] = b"a secret of the test";

pub fn key() -> SealKey {
    SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap()
}

pub fn document(kind: &str, name: &str, spec: Value) -> Arc<Document> {
    Arc::new(Document { kind: kind.into(), name: name.into(), spec })
}

pub fn credential(name: &str, system: &str, access_key: &str) -> Value {
    let identity = credential_identity(name, system, access_key);
    let sealed = key().seal(&Secret::new(SECRET.to_vec()), &identity, [1; 12]).unwrap();
    json!({"system": system, "access_key": access_key, "secret": sealed, "state": "active"})
}

pub fn documents() -> Vec<Arc<Document>> {
    let endpoints = json!([{"address": "127.0.0.1:1"}]);
    let rate = json!({"requests_per_second": 1.0, "burst": 1});
    vec![
        document("Agency", "a", json!({"code": "H61", "title": "A"})),
        document("System", "source", json!({"agency": "a", "title": "S"})),
        document("System", "target", json!({"agency": "a", "title": "T"})),
        document("Credential", "source-1", credential("source-1", "source", "SOURCEKEY1")),
        document("Credential", "target-1", credential("target-1", "target", "TARGETKEY1")),
        document("Service", "v", json!({"system": "target", "title": "V", "endpoints": endpoints})),
        document("Route", "r", json!({"service": "v", "path": {"prefix": "/v"}})),
        document(
            "Permission",
            "p",
            json!({"source": "source", "service": "v", "methods": ["GET"], "paths": ["/v"], "rate": rate}),
        ),
    ]
}

pub fn build(documents: &[Arc<Document>], previous: Option<&Snapshot>) -> Compiled {
    let plain: Vec<Document> = documents.iter().map(|document| (**document).clone()).collect();
    let source = SnapshotSource {
        revision: Revision(1),
        hash: content_hash(&plain),
        documents: documents.iter().cloned().collect(),
    };
    compile(&source, &key().into(), &Targets::new(Rules::loopback(), Vec::new()), previous)
}

/// The configuration with one document's spec changed.
pub fn changed(kind: &str, name: &str, patch: impl Fn(&mut Value)) -> Vec<Arc<Document>> {
    let change = |document: Arc<Document>| {
        if (document.kind.as_str(), document.name.as_str()) != (kind, name) {
            return document;
        }
        let mut document = (*document).clone();
        patch(&mut document.spec);
        Arc::new(document)
    };
    documents().into_iter().map(change).collect()
}

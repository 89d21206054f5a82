//! A configuration for tests: a few lines name systems, services and permissions, and credentials come with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lgsp_shared::bundle::Bundle;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::seal::origin::{DATABASE_ID_BYTES, DatabaseId, Lineage};
use lgsp_shared::seal::{NONCE_BYTES, SealKey, SealKeys, Secret, credential_identity};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};

use crate::client::{Identity, random_nonce};

/// The key-encryption key of every test, as its file holds it.
pub const KEY_TEXT: &str = "3f9a0c17d25b8e6410f7c2a95d3e8b60714fd2ac9e05b83361c8f47a2d90be15";

/// The key-encryption key of every test.
pub fn seal_key() -> SealKey {
    SealKey::parse(KEY_TEXT).expect("the key is a key")
}

/// The same as a node or a control plane holds it.
pub fn seal_keys() -> SealKeys {
    seal_key().into()
}

/// The line of revisions that tests publish.
pub fn lineage() -> Lineage {
    Lineage { database: DatabaseId::new([0x5e; DATABASE_ID_BYTES]), since: UnixSeconds(1_764_000_000) }
}

/// Documents under construction.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    documents: BTreeMap<(String, String), Value>,
    identities: BTreeMap<String, Identity>,
}

impl Resources {
    /// One agency and nothing else.
    pub fn new() -> Self {
        Self::default().put("Agency", "so-tu-phap", json!({"code": "000.00.12.H61", "title": "Sở Tư pháp"}))
    }

    /// A source `mot-cua`, a service `ho-tich` of `tu-phap` at `targets` under `/ho-tich`, and the permission between
    /// them: what most tests need.
    pub fn usual(targets: &[SocketAddr]) -> Self {
        Self::new()
            .system("mot-cua")
            .system("tu-phap")
            .service("ho-tich", "tu-phap", targets)
            .route("ho-tich", json!({"service": "ho-tich", "path": {"prefix": "/ho-tich"}, "rewrite": {"prefix": "/"}}))
            .permission("mot-cua", "ho-tich")
    }

    /// Adds or replaces a document.
    pub fn put(mut self, kind: &str, name: &str, spec: Value) -> Self {
        self.documents.insert((kind.into(), name.into()), spec);
        self
    }

    /// Takes a document away.
    pub fn without(mut self, kind: &str, name: &str) -> Self {
        self.documents.remove(&(kind.to_owned(), name.to_owned())).expect("the document exists");
        self
    }

    /// Changes a document that exists.
    pub fn with(mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.documents.get_mut(&(kind.to_owned(), name.to_owned())).expect("the document exists"));
        self
    }

    /// A system with a credential called `<name>-1`.
    pub fn system(mut self, name: &str) -> Self {
        let random = random_nonce();
        let access_key = format!("TEST{}", &random.to_uppercase()[..16]);
        let secret = Secret::new(random_nonce().into_bytes());
        let credential = format!("{name}-1");
        let identity = credential_identity(&credential, name, &access_key);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&random.as_bytes()[..NONCE_BYTES]);
        let sealed = seal_key().seal(&secret, &identity, nonce).expect("a secret can be sealed");
        let spec = json!({"system": name, "access_key": access_key, "secret": sealed, "state": "active"});
        let access_key = access_key.parse().expect("letters and digits");
        self.identities.insert(name.into(), Identity { access_key, secret });
        self.put("System", name, json!({"agency": "so-tu-phap", "title": name})).put("Credential", &credential, spec)
    }

    /// A service of a system.
    pub fn service(self, name: &str, owner: &str, targets: &[SocketAddr]) -> Self {
        let endpoints: Vec<Value> = targets.iter().map(|address| json!({"address": address})).collect();
        self.put("Service", name, json!({"system": owner, "title": name, "endpoints": endpoints}))
    }

    /// A route.
    pub fn route(self, name: &str, spec: Value) -> Self {
        self.put("Route", name, spec)
    }

    /// Every method and path of a service, for a source.
    pub fn permission(self, source: &str, service: &str) -> Self {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
        let spec = json!({"source": source, "service": service, "methods": methods, "paths": ["/"]});
        self.put("Permission", &format!("{source}-{service}"), spec)
    }

    /// The credential of a system made with [`Resources::system`].
    pub fn identity(&self, system: &str) -> Identity {
        self.identities.get(system).cloned().expect("the system exists")
    }

    /// All documents.
    pub fn documents(&self) -> Vec<Document> {
        let document = |((kind, name), spec): (&(String, String), &Value)| Document {
            kind: kind.clone(),
            name: name.clone(),
            spec: spec.clone(),
        };
        self.documents.iter().map(document).collect()
    }

    /// All documents as one revision, marked as the control plane marks it.
    pub fn bundle(&self, revision: u64) -> Bundle {
        self.unmarked_bundle(revision).marked(&seal_keys(), &lineage())
    }

    /// The same without a proof of origin.
    pub fn unmarked_bundle(&self, revision: u64) -> Bundle {
        Bundle::new(Revision(revision), self.documents())
    }
}

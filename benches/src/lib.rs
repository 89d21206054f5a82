//! What the benches measure with: a configuration of any size, and requests signed for it.
//!
//! Benches say how long a step takes on the machine at hand; only ratios within one run mean anything across machines.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot be set up must stop")]

use std::sync::Arc;

use arrayvec::ArrayVec;
use lgsp_dataplane::snapshot::{Compiled, Snapshot, SnapshotSource, compile};
use lgsp_dataplane::upstream::{Rules, Targets};
use lgsp_shared::bundle::content_hash;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::seal::{NONCE_BYTES, SealKey, Secret, credential_identity};
use lgsp_shared::session::{Granted, PROOF_BYTES, PROOF_HEADER, Scope, SessionKey, TICKET_HEADER};
use lgsp_shared::signature::{KeyState, Rfc9421Params, sign_rfc9421};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};

/// The secret of every credential.
pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The host every request is for.
pub const HOST: &str = "lgsp.vinhlong.gov.vn";

/// The key-encryption key.
pub fn seal_key() -> SealKey {
    SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap()
}

/// A configuration of `services` services, each with a route, and `permissions` permissions spread over them.
pub fn documents(services: usize, permissions: usize) -> Vec<Arc<Document>> {
    let key = seal_key();
    let document = |kind: &str, name: String, spec: Value| Arc::new(Document { kind: kind.into(), name, spec });
    let credential = |name: &str, system: &str, access_key: &str| {
        let identity = credential_identity(name, system, access_key);
        let sealed = key.seal(&Secret::new(SECRET.to_vec()), &identity, [7; NONCE_BYTES]).unwrap();
        let spec = json!({"system": system, "access_key": access_key, "secret": sealed, "state": "active"});
        document("Credential", name.to_owned(), spec)
    };
    let systems = 100;
    let mut all = vec![document("Agency", "a".into(), json!({"code": "H61.1", "title": "A"}))];
    for at in 0..systems {
        all.push(document("System", format!("s{at}"), json!({"agency": "a", "title": "S"})));
        all.push(credential(&format!("c{at}"), &format!("s{at}"), &access_key(at)));
    }
    for at in 0..services {
        let endpoints = json!([{"address": "127.0.0.1:9"}, {"address": "127.0.0.2:9"}]);
        let service = json!({"system": format!("s{}", at % systems), "title": "V", "endpoints": endpoints});
        all.push(document("Service", format!("v{at}"), service));
        let route = json!({"service": format!("v{at}"), "path": {"prefix": format!("/v{at}")}});
        all.push(document("Route", format!("r{at}"), route));
    }
    for at in 0..permissions {
        let (source, service) = (format!("s{}", (at / services) % systems), format!("v{}", at % services));
        let spec = json!({"source": source, "service": service, "methods": ["GET", "POST"], "paths": ["/"]});
        all.push(document("Permission", format!("p{at}"), spec));
    }
    all
}

/// The access key of the `at`-th system.
pub fn access_key(at: usize) -> String {
    format!("BENCHKEY{at:04}")
}

/// Compiles documents, taking over what a previous snapshot had.
pub fn snapshot(documents: &[Arc<Document>], previous: Option<&Snapshot>) -> Snapshot {
    let plain: Vec<Document> = documents.iter().map(|document| (**document).clone()).collect();
    let source = SnapshotSource {
        revision: Revision(1),
        hash: content_hash(&plain),
        documents: documents.iter().cloned().collect(),
    };
    let Compiled { snapshot, problems } =
        compile(&source, &seal_key().into(), &Targets::new(Rules::loopback(), Vec::new()), previous);
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}

/// A request signed with RFC 9421 and what it borrows from.
#[derive(Debug)]
pub struct SignedRequest {
    path: String,
    input: Vec<u8>,
    signature: Vec<u8>,
    session: Option<(String, [u8; PROOF_BYTES])>,
}

/// A session of system 0 with a service, for everything it may do there, under the configuration's first ticket key.
pub fn session(snapshot: &Snapshot, service: &str, now: UnixSeconds) -> (String, SessionKey) {
    let key = SessionKey::new([7; 32]);
    let granted = Granted {
        source: &"s0".parse().unwrap(),
        access_key: &access_key(0).parse().unwrap(),
        service: &service.parse().unwrap(),
        scopes: &[Scope { methods: vec!["GET", "POST"], paths: vec![""] }],
        issued: now,
        lifetime_secs: 600,
        revision: snapshot.revision,
    };
    (snapshot.ticket_keys().seal(&granted, &key, [3; NONCE_BYTES]).unwrap(), key)
}

impl SignedRequest {
    /// A `GET` of system 0, signed now with a nonce of its own.
    pub fn get(path: &str, nonce: &str, now: UnixSeconds) -> Self {
        let mut request = Self { path: path.to_owned(), input: Vec::new(), signature: Vec::new(), session: None };
        request.sign(&["@method", "@authority", "@path", "@query"], nonce, now);
        request
    }

    /// The same as part of a session.
    pub fn get_in_session(path: &str, nonce: &str, now: UnixSeconds, (ticket, key): &(String, SessionKey)) -> Self {
        let session = Some((ticket.clone(), key.proof(nonce)));
        let mut request = Self { path: path.to_owned(), input: Vec::new(), signature: Vec::new(), session };
        let covered = ["@method", "@authority", "@path", "@query", TICKET_HEADER, PROOF_HEADER];
        request.sign(&covered, nonce, now);
        request
    }

    fn sign(&mut self, covered: &[&str], nonce: &str, now: UnixSeconds) {
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        let key_id = access_key(0);
        let params = Rfc9421Params { created: now, expires: None, nonce, key_id: &key_id, label: "sig1" };
        let key = KeyState::new(&Secret::new(SECRET.to_vec()));
        let fields = self.fields();
        sign_rfc9421(&self.head(&fields), covered, &params, &key, &mut input, &mut signature).unwrap();
        drop(fields);
        (self.input, self.signature) = (input, signature);
    }

    /// The fields as a client would send them.
    pub fn fields(&self) -> ArrayVec<Field<'_>, 7> {
        let mut fields = ArrayVec::new();
        fields.extend([
            Field { name: "Host", value: HOST.as_bytes() },
            Field { name: "User-Agent", value: b"bench" },
            Field { name: "Accept", value: b"*/*" },
            Field { name: "Signature-Input", value: &self.input },
            Field { name: "Signature", value: &self.signature },
        ]);
        if let Some((ticket, proof)) = &self.session {
            fields.push(Field { name: "Lgsp-Session", value: ticket.as_bytes() });
            fields.push(Field { name: "Lgsp-Session-Proof", value: proof });
        }
        fields
    }

    /// The head over such fields.
    pub fn head<'a>(&'a self, fields: &'a [Field<'a>]) -> RequestHead<'a> {
        head(&self.path, fields)
    }
}

fn head<'a>(path: &'a str, fields: &'a [Field<'a>]) -> RequestHead<'a> {
    RequestHead { method: "GET", scheme: Scheme::Http, authority: HOST, path, query: None, fields }
}

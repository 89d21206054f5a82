use std::sync::Arc;

use crate::snapshot::{NotFound, Snapshot, SnapshotSource, compile};
use crate::upstream::{Rules, Targets};
use lgsp_shared::bundle::content_hash;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::seal::SealKey;
use serde_json::{Value, json};

fn snapshot(routes: &[(&str, Value)]) -> Snapshot {
    let document = |kind: &str, name: &str, spec: Value| Document { kind: kind.into(), name: name.into(), spec };
    let mut documents = vec![
        document("Agency", "a", json!({"code": "H61", "title": "A"})),
        document("System", "s", json!({"agency": "a", "title": "S"})),
        document("Service", "v", json!({"system": "s", "title": "V", "endpoints": [{"address": "127.0.0.1:1"}]})),
    ];
    for (name, spec) in routes {
        let mut spec = spec.clone();
        spec["service"] = json!("v");
        documents.push(document("Route", name, spec));
    }
    let hash = content_hash(&documents);
    let documents = documents.into_iter().map(Arc::new).collect();
    let key = SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let targets = Targets::new(Rules::loopback(), Vec::new());
    let compiled = compile(&SnapshotSource { revision: Revision(1), hash, documents }, &key.into(), &targets, None);
    assert_eq!(compiled.problems, []);
    compiled.snapshot
}

fn found(snapshot: &Snapshot, authority: &str, path: &str, method: &str) -> (String, usize) {
    match snapshot.router().find(authority, path, method) {
        Ok(found) => (found.route.id.to_string(), found.matched.path_bytes),
        Err(NotFound::Path) => ("no path".into(), 0),
        Err(NotFound::Method(routes)) => ("no method".into(), routes.len()),
    }
}

#[test]
fn the_most_specific_route_wins() {
    let snapshot = snapshot(&[
        ("any", json!({"path": {"prefix": "/"}})),
        ("short", json!({"path": {"prefix": "/a"}})),
        ("long", json!({"path": {"prefix": "/a/b/"}})),
        ("exact", json!({"path": {"exact": "/a/b/c"}})),
        ("host", json!({"hosts": ["ho-tich.vinhlong.gov.vn"], "path": {"prefix": "/a"}})),
    ]);
    let cases = [
        ("x", "/", "any", 0),
        ("x", "/ab", "any", 0),
        ("x", "/a", "short", 2),
        ("x", "/a/c", "short", 2),
        ("x", "/a/b", "long", 4),
        ("x", "/a/b/d", "long", 4),
        ("x", "/a/b/c", "exact", 6),
        ("Ho-Tich.VinhLong.gov.vn:8443", "/a/b/c", "host", 2),
        ("ho-tich.vinhlong.gov.vn", "/other", "any", 0),
    ];
    for (authority, path, route, path_bytes) in cases {
        assert_eq!(found(&snapshot, authority, path, "GET"), (route.into(), path_bytes), "{authority}{path}");
    }
}

#[test]
fn a_method_nobody_takes_is_told_from_a_path_nobody_takes() {
    let snapshot = snapshot(&[
        ("read", json!({"path": {"prefix": "/a"}, "methods": ["GET"]})),
        ("write", json!({"path": {"prefix": "/a"}, "methods": ["POST", "PUT"]})),
    ]);
    assert_eq!(found(&snapshot, "x", "/a", "GET").0, "read");
    assert_eq!(found(&snapshot, "x", "/a", "PUT").0, "write");
    assert_eq!(found(&snapshot, "x", "/a", "DELETE"), ("no method".into(), 2));
    assert_eq!(found(&snapshot, "x", "/b", "GET").0, "no path");
}

#[test]
fn a_port_is_not_part_of_the_host() {
    let snapshot = snapshot(&[("v6", json!({"hosts": ["[::1]"], "path": {"prefix": "/"}}))]);
    assert_eq!(found(&snapshot, "[::1]:8080", "/", "GET").0, "v6");
    assert_eq!(found(&snapshot, "[::1]", "/", "GET").0, "v6");
}

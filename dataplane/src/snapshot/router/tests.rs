use std::sync::Arc;

use crate::snapshot::{NotFound, Snapshot, SnapshotSource, compile};
use crate::upstream::{Rules, Targets};
use lgsp_shared::bundle::content_hash;
use lgsp_shared::id::Revision;
use lgsp_shared::path::{MatchedPath, PathRoom};
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
    match snapshot.router().find(authority, &MatchedPath::of(path, &mut PathRoom::default()), method) {
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

#[test]
fn a_stricter_route_cannot_be_walked_around_by_spelling_its_path_otherwise() {
    let snapshot = snapshot(&[
        ("wide", json!({"path": {"prefix": "/ho-tich"}})),
        ("strict", json!({"path": {"prefix": "/ho-tich/mat"}, "require": {"session": true}})),
        ("exact", json!({"path": {"exact": "/ho-tich/mot"}})),
    ]);
    for (path, route, path_bytes) in [
        ("/ho-tich/mat/1", "strict", 12),
        ("/ho-tich/m%61t/1", "strict", 14),
        ("/ho-tich/%6D%61%74/1", "strict", 18),
        ("/ho-tich/mat;v=1/1", "strict", 16),
        ("/ho-tich/mat%3bv=1/1", "strict", 18),
        ("/ho-tich/m%6Ft", "exact", 14),
        ("/ho-tich/mot;x", "exact", 14),
        ("/ho-tich/m%2561t/1", "wide", 8),
    ] {
        assert_eq!(found(&snapshot, "x", path, "GET"), (route.into(), path_bytes), "{path}");
    }
}

#[test]
fn escapes_of_either_case_are_one_route() {
    let snapshot = snapshot(&[("r", json!({"path": {"prefix": "/h%e1%bb%93-s%c6%a1"}}))]);
    for path in ["/h%E1%BB%93-s%C6%A1/1", "/h%e1%bb%93-s%c6%a1/1", "/%68%E1%bb%93-s%C6%a1/1"] {
        assert_eq!(found(&snapshot, "x", path, "GET").0, "r", "{path}");
    }
}

#[test]
fn the_most_specific_path_decides_whatever_the_method() {
    let snapshot = snapshot(&[
        ("wide", json!({"path": {"prefix": "/t"}})),
        ("secret", json!({"path": {"prefix": "/t/secret"}, "methods": ["GET"], "require": {"nonce": true}})),
        ("host", json!({"hosts": ["a.gov.vn"], "path": {"prefix": "/t"}, "methods": ["GET"]})),
    ]);
    assert_eq!(found(&snapshot, "x", "/t/secret", "GET").0, "secret");
    for method in ["HEAD", "POST", "DELETE"] {
        assert_eq!(found(&snapshot, "x", "/t/secret/1", method), ("no method".into(), 1), "{method}");
        assert_eq!(found(&snapshot, "a.gov.vn", "/t/1", method), ("no method".into(), 1), "{method}");
        assert_eq!(found(&snapshot, "x", "/t/1", method).0, "wide");
    }
    assert_eq!(found(&snapshot, "a.gov.vn", "/t/secret", "GET").0, "host");
}

#[test]
fn a_final_dot_names_the_same_host() {
    let snapshot = snapshot(&[("r", json!({"hosts": ["dichvu.example.gov.vn"], "path": {"prefix": "/"}}))]);
    for authority in ["dichvu.example.gov.vn.", "DichVu.example.gov.vn.:8080", "dichvu.example.gov.vn"] {
        assert_eq!(found(&snapshot, authority, "/", "GET").0, "r", "{authority}");
    }
    assert_eq!(found(&snapshot, "dichvu.example.gov.vn..", "/", "GET").0, "no path");
}

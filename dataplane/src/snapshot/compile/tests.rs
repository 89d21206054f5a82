use serde_json::{Value, json};

use super::*;
use crate::snapshot::{Found, NotFound};
use lgsp_shared::path::{MatchedPath, PathRoom};

mod incremental;
use crate::snapshot::fixture::{build, changed, document, documents};

fn find(snapshot: &Snapshot, path: &str) -> Result<Found, NotFound> {
    snapshot.router().find("x", &MatchedPath::of(path, &mut PathRoom::default()), "GET")
}

fn grants(snapshot: &Snapshot) -> usize {
    snapshot.grants().of(&"source".parse().unwrap(), &"v".parse().unwrap()).len()
}

#[test]
fn a_whole_configuration_compiles_without_a_problem() {
    let compiled = build(&documents(), None);
    assert_eq!(compiled.problems, []);
    let snapshot = compiled.snapshot;
    let route = find(&snapshot, "/v/1").unwrap().route;
    let signer = route.service.signer_at(lgsp_shared::timestamp::UnixSeconds(0)).unwrap();
    assert_eq!((signer.access_key.as_str(), grants(&snapshot)), ("TARGETKEY1", 1));
    assert_eq!(snapshot.credential("SOURCEKEY1").unwrap().system.id.as_str(), "source");
    assert!(snapshot.credential("NOSUCHKEY").is_none());
}

#[test]
fn a_mode_that_is_not_known_grants_nothing_and_no_former_value_comes_back() {
    for mode in [json!("weekdays"), json!({"shadow": 1}), json!(1)] {
        let compiled = build(&changed("Permission", "p", |spec| spec["mode"] = mode.clone()), None);
        assert_eq!((&*compiled.problems[0].path, compiled.problems[0].effect), ("spec.mode", Effect::Closed), "{mode}");
        assert_eq!(grants(&compiled.snapshot), 0);
    }
}

#[test]
fn when_a_key_was_last_used_survives_a_change_of_its_credential() {
    let first = build(&documents(), None).snapshot;
    first.credential("SOURCEKEY1").unwrap().used.touch(lgsp_shared::timestamp::UnixSeconds(7));
    let retiring = changed("Credential", "source-1", |spec| {
        spec["state"] = json!("retiring");
        spec["not_after"] = json!("2100-01-01T00:00:00Z");
    });
    let second = build(&retiring, Some(&first)).snapshot;
    let used = |key: &str| second.credential(key).unwrap().used.get().map(|at| at.0);
    assert_eq!((used("SOURCEKEY1"), used("TARGETKEY1")), (Some(7), None));
}

#[test]
fn a_permission_with_an_unknown_field_grants_nothing() {
    let compiled = build(&changed("Permission", "p", |spec| spec["weekdays_only"] = json!(true)), None);
    assert_eq!(compiled.problems[0].path, "spec.weekdays_only");
    assert_eq!(compiled.problems[0].effect, Effect::Closed, "no former value may come back in its place");
    assert_eq!(grants(&compiled.snapshot), 0);
}

#[test]
fn a_credential_with_an_unknown_field_is_unknown() {
    let compiled =
        build(&changed("Credential", "source-1", |spec| spec["source_addresses"] = json!(["10.0.0.1"])), None);
    assert_eq!(compiled.problems[0].document, "Credential/source-1");
    assert!(compiled.snapshot.credential("SOURCEKEY1").is_none());
}

#[test]
fn a_route_with_an_unknown_requirement_is_closed_and_with_another_unknown_field_is_not() {
    let closed = |spec: fn(&mut Value)| {
        let compiled = build(&changed("Route", "r", spec), None);
        assert_eq!(compiled.problems.len(), 1);
        find(&compiled.snapshot, "/v").unwrap().route.closed
    };
    assert!(closed(|spec| spec["require"] = json!({"badge": true})));
    assert!(!closed(|spec| spec["colour"] = json!("blue")));
}

#[test]
fn one_bad_document_takes_only_what_refers_to_it_along() {
    let compiled = build(&changed("Service", "v", |spec| spec["endpoints"] = json!([])), None);
    let mut paths: Vec<&str> = compiled.problems.iter().map(|problem| problem.document.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["Permission/p", "Route/r", "Service/v"]);
    assert!(matches!(find(&compiled.snapshot, "/v"), Err(NotFound::Path)));
    assert!(compiled.snapshot.credential("SOURCEKEY1").is_some());
}

#[test]
fn an_endpoint_that_the_node_may_not_connect_to_is_named_and_the_others_serve() {
    let endpoints = json!([{"address": "127.0.0.1:1"}, {"address": "169.254.169.254:80"}, {"address": "10.0.0.1:80"}]);
    let compiled = build(&changed("Service", "v", |spec| spec["endpoints"] = endpoints.clone()), None);
    let told: Vec<(&str, &str, Effect)> =
        compiled.problems.iter().map(|one| (one.document.as_str(), one.path.as_str(), one.effect)).collect();
    let at = |path| ("Service/v", path, Effect::Noted);
    assert_eq!(told, [at("spec.endpoints[1].address"), at("spec.endpoints[2].address")]);
    let route = &compiled.snapshot.routes_to(&"v".parse().unwrap())[0];
    let reached: Vec<u16> = route.service.upstream.endpoints().iter().map(|endpoint| endpoint.address.port()).collect();
    assert_eq!(reached, [1]);
}

#[test]
fn endpoints_beyond_the_most_a_service_may_have_are_named() {
    let endpoints: Vec<Value> = (1..=66).map(|port| json!({"address": format!("127.0.0.1:{port}")})).collect();
    let compiled = build(&changed("Service", "v", |spec| spec["endpoints"] = json!(endpoints)), None);
    let paths: Vec<&str> = compiled.problems.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["spec.endpoints[64].address", "spec.endpoints[65].address"]);
}

#[test]
fn a_secret_moved_from_another_credential_does_not_open() {
    let stolen = documents()[4].spec["secret"].clone();
    let compiled = build(&changed("Credential", "source-1", |spec| spec["secret"] = stolen.clone()), None);
    assert_eq!(compiled.problems[0].path, "spec.secret");
    assert!(compiled.snapshot.credential("SOURCEKEY1").is_none());
}

#[test]
fn what_did_not_change_is_taken_over_and_quotas_are_not_refilled() {
    let before = documents();
    let first = build(&before, None).snapshot;
    let take = |snapshot: &Snapshot| {
        let grants = snapshot.grants().of(&"source".parse().unwrap(), &"v".parse().unwrap());
        grants[0].quota.as_ref().unwrap().take(crate::clock::MonotonicMillis(1))
    };
    assert_eq!(take(&first), Ok(()));
    let mut after = before.clone();
    after[0] = document("Agency", "a", json!({"code": "H61", "title": "renamed"}));
    let second = build(&after, Some(&first)).snapshot;
    assert!(Arc::ptr_eq(first.credential("SOURCEKEY1").unwrap(), second.credential("SOURCEKEY1").unwrap()));
    assert_eq!(take(&second), Err(1));
    after[0] = document("Agency", "a", json!({"code": "H62", "title": "renamed"}));
    let third = build(&after, Some(&second)).snapshot;
    let system = &third.credential("SOURCEKEY1").unwrap().system;
    assert_eq!(system.agency_code.as_str(), "H62", "a changed agency reaches its credentials");
}

#[test]
fn a_rewritten_path_is_found_again_as_the_source_would_send_it() {
    let before = |spec: Value, path: &str| {
        let put = |route: &mut Value| route.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let snapshot = build(&changed("Route", "r", put), None).snapshot;
        let route = &snapshot.routes_to(&"v".parse().unwrap())[0];
        route.path_before_rewrite(&MatchedPath::of(path, &mut PathRoom::default())).map(|path| path.into_owned())
    };
    let prefix = json!({"path": {"prefix": "/v"}, "rewrite": {"prefix": "/api/"}});
    assert_eq!(before(prefix.clone(), "/api/1").as_deref(), Some("/v/1"));
    assert_eq!(before(prefix.clone(), "/api").as_deref(), Some("/v"));
    assert_eq!(before(prefix.clone(), "/apis"), None);
    assert_eq!(before(prefix, "/v/1"), None, "what the target has there is not what the permission is about");
    let root = json!({"path": {"prefix": "/v"}, "rewrite": {"prefix": "/"}});
    assert_eq!(before(root, "/1").as_deref(), Some("/v/1"));
    let exact = json!({"path": {"exact": "/v/x"}, "rewrite": {"prefix": "/y"}});
    assert_eq!((before(exact.clone(), "/y").as_deref(), before(exact, "/y/z")), (Some("/v/x"), None));
    let plain = json!({"path": {"prefix": "/v"}});
    assert_eq!((before(plain.clone(), "/v/1").as_deref(), before(plain, "/w")), (Some("/v/1"), None));
}

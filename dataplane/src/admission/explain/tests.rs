use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{KeyState, Rfc9421Params, sign_rfc9421};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::admission::admit;
use crate::clock::MonotonicMillis;
use crate::snapshot::fixture::{SECRET, build, changed, document, documents};

const NOW: i64 = 1_800_000_000;

fn now() -> Now {
    Now { unix: UnixSeconds(NOW), monotonic: MonotonicMillis(1) }
}

fn system(name: &str) -> Source {
    Source::System(name.parse().unwrap())
}

fn asked<'a>(source: &'a Source, method: &'a str, path: &'a str) -> Asked<'a> {
    Asked { source: Some(source), method, authority: "x", path, service: None, signed: None, nonce: None }
}

fn walk(asked: &Asked<'_>, documents: &[Arc<lgsp_shared::resource::Document>]) -> Walk {
    explain(asked, &build(documents, None).snapshot, &ReplayWindow::new(1), now())
}

/// The step that fails, with its code and everything told about it.
fn failing(walk: &Walk) -> (Step, Code, String) {
    let check = walk.checks.iter().find(|check| check.mark == Mark::Fail).expect("a step fails");
    (check.step, check.code.unwrap(), format!("{}\n{}", check.text, check.facts.join("\n")))
}

fn assert_failing(walk: &Walk, step: Step, code: Code, told: &[&str]) {
    let (found_step, found_code, text) = failing(walk);
    assert_eq!((found_step, found_code), (step, code), "{text}");
    for part in told {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn what_would_pass_passes_every_step_and_takes_no_quota() {
    let (snapshot, replay) = (build(&documents(), None).snapshot, ReplayWindow::new(1));
    for _ in 0..3 {
        let walk = explain(&asked(&system("source"), "GET", "/v/1"), &snapshot, &replay, now());
        assert_eq!(walk.code(), None, "{walk:?}");
        assert!(walk.checks.iter().all(|check| matches!(check.mark, Mark::Pass | Mark::Assumed)));
        let quota = walk.checks.iter().find(|check| check.step == Step::Quota).unwrap();
        assert_eq!(quota.facts, ["Permission/p: 1 of 1 left on this node, 1 a second"]);
    }
}

#[test]
fn an_unknown_system_or_key_fails_at_identity_and_what_follows_from_it_is_not_told() {
    for source in [system("nowhere"), Source::AccessKey("NOSUCHKEY1".parse().unwrap())] {
        let walk = walk(&asked(&source, "GET", "/v/1"), &documents());
        assert_failing(&walk, Step::Identity, Code::KeyUnknown, &[]);
        let unknown = |step: Step| walk.checks.iter().any(|check| check.step == step && check.mark == Mark::Unknown);
        assert!(unknown(Step::Key) && unknown(Step::Permission) && unknown(Step::Quota) && !unknown(Step::Route));
    }
}

#[test]
fn a_key_fails_by_its_state_and_every_other_key_of_the_system_is_shown() {
    let retired = changed("Credential", "source-1", |spec| {
        spec["state"] = json!("retiring");
        spec["not_after"] = json!("2020-01-01T00:00:00Z");
    });
    let walk_one = walk(&asked(&system("source"), "GET", "/v/1"), &retired);
    let told = ["Credential/source-1 (SOURCEKEY1), retiring, until 2020-01-01T00:00:00Z: refused, key-retired"];
    assert_failing(&walk_one, Step::Key, Code::KeyRetired, &told);

    let mut two = retired;
    let spec = crate::snapshot::fixture::credential("source-2", "source", "SOURCEKEY2");
    two.push(document("Credential", "source-2", spec));
    let walk_two = walk(&asked(&system("source"), "GET", "/v/1"), &two);
    assert_eq!(walk_two.code(), None, "the successor does");
    let old = Source::AccessKey("SOURCEKEY1".parse().unwrap());
    let told = ["key-retired", "Credential/source-2 (SOURCEKEY2), active: usable"];
    assert_failing(&walk(&asked(&old, "GET", "/v/1"), &two), Step::Key, Code::KeyRetired, &told);
}

#[test]
fn the_clock_fails_with_both_times() {
    let signed = SignedAt { created: UnixSeconds(NOW - 400), expires: None, presigned: false };
    let source = system("source");
    let asked = Asked { signed: Some(signed), ..asked(&source, "GET", "/v/1") };
    let told = ["signed 400 s ago; 300 s are allowed", "signed at 2027-01-15T07:53:20Z", "2027-01-15T08:00:00Z"];
    assert_failing(&walk(&asked, &documents()), Step::Clock, Code::ClockSkew, &told);
}

#[test]
fn replay_fails_for_what_was_seen_and_for_a_missing_nonce() {
    let (snapshot, replay) = (build(&documents(), None).snapshot, ReplayWindow::new(1));
    let signed = Some(SignedAt { created: UnixSeconds(NOW), expires: None, presigned: false });
    let source = system("source");
    let asked = Asked { signed, nonce: Some(Nonce::Given("n")), ..asked(&source, "GET", "/v/1") };
    assert_eq!(explain(&asked, &snapshot, &replay, now()).code(), None);
    replay.see(&replay.name("SOURCEKEY1", Nonce::Given("n")), UnixSeconds(NOW + 300), UnixSeconds(NOW));
    assert_failing(&explain(&asked, &snapshot, &replay, now()), Step::Replay, Code::Replayed, &["seen it before"]);
    replay.span().begin(UnixSeconds(NOW), crate::admission::Ahead::new());
    let unseen = Asked { nonce: Some(Nonce::Given("m")), ..asked };
    let told = ["this node cannot know"];
    assert_failing(&explain(&unseen, &snapshot, &replay, now()), Step::Replay, Code::ReplayUnknown, &told);
    let demanding = changed("Route", "r", |spec| spec["require"] = json!({"nonce": true}));
    let bare = Asked { nonce: Some(Nonce::Signature([1; 32])), ..asked };
    assert_failing(&walk(&bare, &demanding), Step::Replay, Code::NonceMissing, &["Route/r"]);
}

#[test]
fn a_missing_route_fails_with_what_came_close() {
    let documents = changed("Route", "r", |spec| {
        spec["methods"] = json!(["POST"]);
        spec["hosts"] = json!(["lgsp.vinhlong.gov.vn"]);
        spec["path"] = json!({"prefix": "/v/a"});
    });
    let source = system("source");
    let told = ["another host: Route/r takes POST /v/a and below at lgsp.vinhlong.gov.vn, to Service/v"];
    let other_host = asked(&source, "POST", "/v/a/1");
    assert_failing(&walk(&other_host, &documents), Step::Route, Code::RouteNotFound, &told);
    let here = Asked { authority: "LGSP.vinhlong.gov.vn:8080", ..asked(&source, "GET", "/v/a/1") };
    let told = ["only with POST", "another method: Route/r"];
    assert_failing(&walk(&here, &documents), Step::Route, Code::MethodNotAllowed, &told);
    let alike = Asked { path: "/v/b", ..here };
    assert_failing(&walk(&alike, &documents), Step::Route, Code::RouteNotFound, &["begins the same: Route/r"]);
    let service = "v".parse().unwrap();
    let meant = Asked { path: "/elsewhere", service: Some(&service), ..here };
    assert_failing(&walk(&meant, &documents), Step::Route, Code::RouteNotFound, &["leads there: Route/r"]);
}

#[test]
fn a_closed_route_fails() {
    let documents = changed("Route", "r", |spec| spec["require"] = json!({"mood": true}));
    let walk = walk(&asked(&system("source"), "GET", "/v/1"), &documents);
    assert_failing(&walk, Step::Route, Code::RouteClosed, &["does not understand"]);
}

#[test]
fn a_missing_permission_fails_with_what_the_nearest_grants_lack() {
    let source = system("source");
    let told = ["Permission/p lacks the method (it grants GET)"];
    let documents = documents();
    let post = asked(&source, "POST", "/v/1");
    assert_failing(&walk(&post, &documents), Step::Permission, Code::PermissionMissing, &told);
    let narrow = changed("Permission", "p", |spec| {
        spec["paths"] = json!(["/v/2"]);
        spec["not_after"] = json!("2020-01-01T00:00:00Z");
    });
    let told = ["lacks the path (it grants /v/2) and the time (it holds until 2020-01-01T00:00:00Z)"];
    let get = asked(&source, "GET", "/v/1");
    assert_failing(&walk(&get, &narrow), Step::Permission, Code::PermissionMissing, &told);
    let target = system("target");
    let none = asked(&target, "GET", "/v/1");
    assert_failing(&walk(&none, &documents), Step::Permission, Code::PermissionMissing, &["no permission between"]);
}

#[test]
fn a_used_up_quota_fails_with_its_fill() {
    let snapshot = build(&documents(), None).snapshot;
    let grants = snapshot.grants().of(&"source".parse().unwrap(), &"v".parse().unwrap());
    grants[0].quota.as_ref().unwrap().take(MonotonicMillis(1)).unwrap();
    let walk = explain(&asked(&system("source"), "GET", "/v/1"), &snapshot, &ReplayWindow::new(1), now());
    assert_failing(&walk, Step::Quota, Code::QuotaExceeded, &["again in 1 s", "0 of 1 left"]);
}

#[test]
fn a_target_without_a_usable_endpoint_fails_last() {
    let snapshot = build(&documents(), None).snapshot;
    let route = snapshot.routes_to(&"v".parse().unwrap())[0].clone();
    route.service.upstream.endpoints()[0].count_check(false, 1, 1);
    let walk = explain(&asked(&system("source"), "GET", "/v/1"), &snapshot, &ReplayWindow::new(1), now());
    assert_failing(&walk, Step::Target, Code::TargetUnhealthy, &["127.0.0.1:1: out of service, 0 of"]);
}

#[test]
fn a_recorded_refusal_stands_at_its_step_and_the_steps_before_it_passed() {
    let source = system("source");
    let gone = changed("Credential", "source-1", |spec| spec["state"] = json!("disabled"));
    let mut recorded = walk(&asked(&source, "POST", "/v/1"), &gone);
    recorded.as_recorded(Code::PermissionMissing, "permission-missing", true);
    let mark = |walk: &Walk, step: Step| {
        let check = walk.checks.iter().find(|check| check.step == step).unwrap();
        (check.mark, check.text.clone())
    };
    assert_eq!(
        mark(&recorded, Step::Key),
        (Mark::Pass, "passed then; now: Credential/source-1 may not be used".into())
    );
    assert_eq!(mark(&recorded, Step::Signature), (Mark::Pass, "it verified".into()));
    assert_eq!(recorded.code(), Some(Code::PermissionMissing));
    assert_failing(&recorded, Step::Permission, Code::PermissionMissing, &["now: nothing grants", "lacks the method"]);

    let mut unsigned = walk(&Asked { source: None, ..asked(&source, "GET", "/v/1") }, &documents());
    unsigned.as_recorded(Code::SignatureMissing, "nothing is signed", false);
    assert_eq!(mark(&unsigned, Step::Identity).0, Mark::Unknown);
    assert_failing(&unsigned, Step::Signature, Code::SignatureMissing, &["nothing is signed"]);
    let mut full = walk(&asked(&source, "GET", "/v/1"), &documents());
    full.as_recorded(Code::Overloaded, "the node was over its limits", false);
    assert_eq!((full.checks[0].step, full.code()), (Step::Node, Some(Code::Overloaded)));
}

/// The usual permission with a mode, and perhaps another that is enforced; what was counted after some requests.
#[test]
fn a_permission_that_is_tried_is_counted_and_the_count_is_told() {
    let with = |mode: &str, other: bool| {
        let mut documents = changed("Permission", "p", |spec| {
            spec["mode"] = json!(mode);
            spec["rate"] = Value::Null;
        });
        if other {
            let spec = json!({"source": "source", "service": "v", "methods": ["GET"], "paths": ["/v/open"]});
            documents.push(document("Permission", "q", spec));
        }
        build(&documents, None).snapshot
    };
    let send = |snapshot: &Snapshot, path: &'static str, nonce: &'static str| {
        let case = Case { path, ..sample() };
        let signed = SignedAt { created: UnixSeconds(NOW), expires: None, presigned: false };
        decided_with(&case, signed, nonce, snapshot, &ReplayWindow::new(1))
    };
    let requests = |snapshot: &Snapshot| snapshot.watched()[0].requests();

    let shadow = with("shadow", true);
    assert_eq!(send(&shadow, "/v/1", "a"), Some(Code::PermissionMissing), "it grants nothing");
    assert_eq!(
        (send(&shadow, "/v/open/1", "b"), requests(&shadow)),
        (None, 1),
        "what is granted anyway is not counted"
    );
    let source = system("source");
    let told = explain(&asked(&source, "GET", "/v/1"), &shadow, &ReplayWindow::new(1), now());
    assert_failing(
        &told,
        Step::Permission,
        Code::PermissionMissing,
        &["Permission/p is in shadow", "granted 1 requests"],
    );

    let retiring = with("retiring", true);
    assert_eq!((send(&retiring, "/v/1", "a"), send(&retiring, "/v/open/1", "b")), (None, None), "it still grants");
    assert_eq!(requests(&retiring), 1, "only what nothing else would have granted");
    let alone = with("retiring", false);
    assert_eq!((send(&alone, "/v/open/1", "a"), requests(&alone)), (None, 1));
    let told = explain(&asked(&source, "GET", "/v/1"), &alone, &ReplayWindow::new(1), now());
    let permission = told.checks.iter().find(|check| check.step == Step::Permission).unwrap();
    assert!(permission.facts[0].contains("Permission/p is retiring: 1 requests"), "{permission:?}");
    assert!(with("enforce", true).watched().is_empty());
}

fn sample() -> Case {
    Case {
        access_key: "SOURCEKEY1",
        method: "GET",
        authority: "a.vn",
        path: "/v/1",
        ahead_secs: 0,
        ends_after_secs: None,
        repeated: false,
        quota_left: true,
        documents: Vec::new(),
    }
}

/// A request, and the configuration that decides on it.
#[derive(Debug, Clone)]
struct Case {
    access_key: &'static str,
    method: &'static str,
    authority: &'static str,
    path: &'static str,
    ahead_secs: i64,
    ends_after_secs: Option<i64>,
    repeated: bool,
    quota_left: bool,
    documents: Vec<(&'static str, &'static str, Value)>,
}

fn patches() -> impl Strategy<Value = Vec<(&'static str, &'static str, Value)>> {
    let credential = prop::sample::select(vec![
        json!({}),
        json!({"state": "disabled"}),
        json!({"state": "retiring", "not_after": UnixSeconds(NOW).to_string()}),
        json!({"state": "retiring", "not_after": UnixSeconds(NOW + 1).to_string()}),
        json!({"not_after": UnixSeconds(NOW - 1).to_string()}),
        json!({"not_before": UnixSeconds(NOW + 1).to_string()}),
    ]);
    let route = prop::sample::select(vec![
        json!({}),
        json!({"methods": ["POST"]}),
        json!({"hosts": ["a.vn"]}),
        json!({"require": {"nonce": true}}),
        json!({"require": {"mood": 1}}),
        json!({"path": {"exact": "/v"}}),
    ]);
    let permission = prop::sample::select(vec![
        json!({}),
        json!({"methods": ["POST", "GET"]}),
        json!({"paths": ["/v/2"]}),
        json!({"not_after": UnixSeconds(NOW).to_string()}),
        json!({"rate": null}),
        json!({"weekdays": 5}),
        json!({"mode": "shadow"}),
        json!({"mode": "retiring"}),
        json!({"mode": "mood"}),
    ]);
    (credential, route, permission).prop_map(|(credential, route, permission)| {
        vec![("Credential", "source-1", credential), ("Route", "r", route), ("Permission", "p", permission)]
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let request = (
        prop::sample::select(vec!["SOURCEKEY1", "SOURCEKEY1", "SOURCEKEY1", "TARGETKEY1", "NOSUCHKEY1"]),
        prop::sample::select(vec!["GET", "POST", "DELETE"]),
        prop::sample::select(vec!["a.vn", "A.vn:80", "b.vn"]),
        prop::sample::select(vec!["/v", "/v/1", "/v/2/x", "/elsewhere"]),
    );
    let times = (
        prop::sample::select(vec![0, 0, 0, -300, 300, -301, 301]),
        prop::sample::select(vec![None, None, Some(1), Some(300), Some(1_000)]),
    );
    (request, times, prop::bool::weighted(0.2), prop::bool::weighted(0.7), patches()).prop_map(
        |((access_key, method, authority, path), (ahead_secs, ends_after_secs), repeated, quota_left, documents)| {
            Case { access_key, method, authority, path, ahead_secs, ends_after_secs, repeated, quota_left, documents }
        },
    )
}

fn configured(case: &Case) -> Snapshot {
    let patched = documents().into_iter().map(|document| {
        let patch = case.documents.iter().find(|(kind, name, _)| (*kind, *name) == (&*document.kind, &*document.name));
        let Some((_, _, Value::Object(patch))) = patch else { return document };
        let mut document = (*document).clone();
        patch.iter().for_each(|(field, value)| document.spec[field] = value.clone());
        Arc::new(document)
    });
    build(&patched.collect::<Vec<_>>(), None).snapshot
}

/// Signs the request as its sender would and has it decided on.
fn decided(case: &Case, signed: SignedAt, snapshot: &Snapshot, replay: &ReplayWindow) -> Option<Code> {
    decided_with(case, signed, "n", snapshot, replay)
}

fn decided_with(
    case: &Case,
    signed: SignedAt,
    nonce: &str,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
) -> Option<Code> {
    let host = [Field { name: "host", value: case.authority.as_bytes() }];
    let head = RequestHead {
        method: case.method,
        scheme: Scheme::Http,
        authority: case.authority,
        path: case.path,
        query: None,
        fields: &host,
    };
    let params = Rfc9421Params {
        created: signed.created,
        expires: signed.expires,
        nonce,
        key_id: case.access_key,
        label: "sig1",
    };
    let key = KeyState::new(&Secret::new(SECRET.to_vec()));
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    sign_rfc9421(&head, &["@method", "@authority", "@path", "@query"], &params, &key, &mut input, &mut signature)
        .unwrap();
    let fields =
        [host[0], Field { name: "signature-input", value: &input }, Field { name: "signature", value: &signature }];
    admit(&RequestHead { fields: &fields, ..head }, snapshot, replay, now()).err().map(|refusal| refusal.code)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_explained_is_what_is_decided(case in cases()) {
        let (snapshot, replay) = (configured(&case), ReplayWindow::new(1));
        if case.repeated {
            let name = replay.name(case.access_key, Nonce::Given("n"));
            replay.see(&name, UnixSeconds(NOW + 1_000), UnixSeconds(NOW));
        }
        if !case.quota_left {
            let grants = snapshot.grants().of(&"source".parse().unwrap(), &"v".parse().unwrap());
            grants.iter().filter_map(|grant| grant.quota.as_ref()).for_each(|quota| {
                let _ = quota.take(MonotonicMillis(1));
            });
        }
        let created = UnixSeconds(NOW + case.ahead_secs);
        let expires = case.ends_after_secs.map(|secs| UnixSeconds(created.0 + secs));
        let signed = SignedAt { created, expires, presigned: false };
        let source = Source::AccessKey(case.access_key.parse().unwrap());
        let asked = Asked {
            source: Some(&source),
            method: case.method,
            authority: case.authority,
            path: case.path,
            service: None,
            signed: Some(signed),
            nonce: Some(Nonce::Given("n")),
        };
        let explained = explain(&asked, &snapshot, &replay, now()).code();
        prop_assert_eq!(explained, decided(&case, signed, &snapshot, &replay));
    }
}

#[test]
fn a_call_to_the_platform_itself_is_explained_without_a_route_and_by_the_service_it_names() {
    let (source, stranger) = (system("source"), system("target"));
    let (known, unknown) = ("v".parse().unwrap(), "nowhere".parse().unwrap());
    let call = |source, service| Asked { service, ..asked(source, "POST", "/lgsp/v1/sessions") };
    let granted = walk(&call(&source, Some(&known)), &documents());
    assert_eq!(granted.code(), None, "{granted:?}");
    let permission = granted.checks.iter().find(|check| check.step == Step::Permission).unwrap();
    assert_eq!((permission.mark, permission.facts.len()), (Mark::Assumed, 1), "{permission:?}");
    assert!(granted.checks.iter().all(|check| check.step != Step::Target), "no target is asked");

    let told = ["nothing grants System/target anything at Service/v"];
    assert_failing(
        &walk(&call(&stranger, Some(&known)), &documents()),
        Step::Permission,
        Code::PermissionMissing,
        &told,
    );
    let told = ["there is no Service/nowhere"];
    assert_failing(
        &walk(&call(&source, Some(&unknown)), &documents()),
        Step::Permission,
        Code::PermissionMissing,
        &told,
    );
    let over = changed("Permission", "p", |spec| spec["not_after"] = json!("2020-01-01T00:00:00Z"));
    let told = ["Permission/p does not hold at this time"];
    assert_failing(&walk(&call(&source, Some(&known)), &over), Step::Permission, Code::PermissionMissing, &told);

    let elsewhere = walk(&asked(&source, "POST", "/lgsp/v2"), &documents());
    assert_failing(&elsewhere, Step::Route, Code::RouteNotFound, &["/lgsp/v1/sessions"]);
    let got = walk(&asked(&source, "GET", "/lgsp/v1/verifications"), &documents());
    assert_failing(&got, Step::Route, Code::MethodNotAllowed, &["only with POST"]);
}

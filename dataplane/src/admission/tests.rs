use lgsp_shared::head::{Field, Scheme};
use lgsp_shared::refusal::Code;
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{KeyState, Nonce, Rfc9421Params, sign_rfc9421};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;

use super::*;
use crate::clock::MonotonicMillis;
use crate::snapshot::fixture::{SECRET, build, changed, documents};

const NOW: i64 = 1_800_000_000;

fn at(unix: i64) -> Now {
    Now { unix: UnixSeconds(unix), monotonic: MonotonicMillis(1) }
}

#[derive(Clone)]
struct Asked {
    method: &'static str,
    path: &'static str,
    access_key: &'static str,
    secret: &'static [u8],
    created: i64,
    expires: Option<i64>,
    nonce: &'static str,
    sign: bool,
}

const GOOD: Asked = Asked {
    method: "GET",
    path: "/v/1",
    access_key: "SOURCEKEY1",
    secret: SECRET,
    created: NOW,
    expires: None,
    nonce: "nonce-1",
    sign: true,
};

/// Signs what is asked and has it decided on.
fn decide(asked: &Asked, snapshot: &Snapshot, replay: &ReplayWindow) -> Result<Admission, Refusal> {
    let host = [Field { name: "host", value: b"lgsp.vinhlong.gov.vn" }];
    let head = RequestHead {
        method: asked.method,
        scheme: Scheme::Http,
        authority: "lgsp.vinhlong.gov.vn",
        path: asked.path,
        query: None,
        fields: &host,
    };
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    let params = Rfc9421Params {
        created: UnixSeconds(asked.created),
        expires: asked.expires.map(UnixSeconds),
        nonce: asked.nonce,
        key_id: asked.access_key,
        label: "sig1",
    };
    let covered = ["@method", "@authority", "@path", "@query"];
    let key = KeyState::new(&Secret::new(asked.secret.to_vec()));
    sign_rfc9421(&head, &covered, &params, &key, &mut input, &mut signature).unwrap();
    let signed =
        [host[0], Field { name: "signature-input", value: &input }, Field { name: "signature", value: &signature }];
    let fields: &[Field<'_>] = if asked.sign { &signed } else { &host };
    admit(&RequestHead { fields, ..head }, snapshot, replay, at(NOW))
}

fn code(asked: &Asked, snapshot: &Snapshot) -> Code {
    decide(asked, snapshot, &ReplayWindow::new(1)).unwrap_err().code
}

/// Without the permission's quota, which has a test of its own.
fn snapshot() -> Snapshot {
    let unlimited = |spec: &mut serde_json::Value| spec["rate"] = serde_json::Value::Null;
    build(&changed("Permission", "p", unlimited), None).snapshot
}

#[test]
fn a_signed_request_with_a_permission_is_admitted_and_everything_about_it_is_known() {
    let admission = decide(&GOOD, &snapshot(), &ReplayWindow::new(1)).unwrap();
    let known = (admission.credential.system.id.as_str(), admission.route.id.as_str(), admission.grant.id.as_str());
    assert_eq!(known, ("source", "r", "p"));
    assert_eq!((admission.matched.path_bytes, admission.scheme), (2, SignatureScheme::Rfc9421));
}

#[test]
fn what_is_not_proved_is_refused() {
    let snapshot = snapshot();
    assert_eq!(code(&Asked { sign: false, ..GOOD }, &snapshot), Code::SignatureMissing);
    assert_eq!(code(&Asked { access_key: "NOSUCHKEY1", ..GOOD }, &snapshot), Code::KeyUnknown);
    assert_eq!(code(&Asked { secret: b"another secret", ..GOOD }, &snapshot), Code::SignatureInvalid);
}

#[test]
fn a_key_is_refused_by_its_state_and_time_but_only_to_who_holds_its_secret() {
    let refused = |patch: &dyn Fn(&mut serde_json::Value), asked: &Asked| {
        code(asked, &build(&changed("Credential", "source-1", patch), None).snapshot)
    };
    let stranger = Asked { secret: b"another secret", ..GOOD };
    let disabled = |spec: &mut serde_json::Value| spec["state"] = json!("disabled");
    assert_eq!(refused(&disabled, &GOOD), Code::KeyDisabled);
    assert_eq!(refused(&disabled, &stranger), Code::SignatureInvalid);
    let expired = |spec: &mut serde_json::Value| spec["not_after"] = json!(UnixSeconds(NOW).to_string());
    assert_eq!(refused(&expired, &GOOD), Code::KeyExpired);
    assert_eq!(refused(&expired, &stranger), Code::SignatureInvalid);
    let retired = |spec: &mut serde_json::Value| {
        spec["state"] = json!("retiring");
        spec["not_after"] = json!(UnixSeconds(NOW).to_string());
    };
    assert_eq!(refused(&retired, &GOOD), Code::KeyRetired);
    assert_eq!(refused(&retired, &stranger), Code::SignatureInvalid);
    let early = |spec: &mut serde_json::Value| spec["not_before"] = json!(UnixSeconds(NOW + 1).to_string());
    assert_eq!(refused(&early, &GOOD), Code::KeyNotYetValid);
}

#[test]
fn a_retiring_key_still_works_to_the_last_second_of_its_overlap() {
    let documents = changed("Credential", "source-1", |spec| {
        spec["state"] = json!("retiring");
        spec["not_after"] = json!(UnixSeconds(NOW + 1).to_string());
    });
    assert!(decide(&GOOD, &build(&documents, None).snapshot, &ReplayWindow::new(1)).is_ok());
}

#[test]
fn the_clock_window_is_300_s_either_way_and_the_offset_is_told() {
    let snapshot = snapshot();
    let skew = |seconds: i64| decide(&Asked { created: NOW + seconds, ..GOOD }, &snapshot, &ReplayWindow::new(1));
    assert!(skew(-300).is_ok() && skew(300).is_ok());
    for (seconds, text) in [(-301, "signed 301 s ago"), (301, "signed 301 s in the future")] {
        let refusal = skew(seconds).unwrap_err();
        assert_eq!(refusal.code, Code::ClockSkew);
        assert!(refusal.detail.unwrap().starts_with(text));
    }
}

#[test]
fn a_signature_ends_when_it_says_so() {
    let snapshot = snapshot();
    assert_eq!(code(&Asked { created: NOW - 10, expires: Some(NOW), ..GOOD }, &snapshot), Code::SignatureExpired);
    assert!(decide(&Asked { expires: Some(NOW + 1), ..GOOD }, &snapshot, &ReplayWindow::new(1)).is_ok());
}

#[test]
fn a_nonce_is_good_once_even_for_a_request_that_changes_nothing() {
    let (snapshot, replay) = (snapshot(), ReplayWindow::new(1));
    assert!(decide(&GOOD, &snapshot, &replay).is_ok());
    let refusal = decide(&GOOD, &snapshot, &replay).unwrap_err();
    assert_eq!((refusal.code, refusal.credential.unwrap().id.as_str()), (Code::Replayed, "source-1"));
    assert!(decide(&Asked { nonce: "nonce-2", ..GOOD }, &snapshot, &replay).is_ok());
}

#[test]
fn a_forged_request_does_not_use_up_a_nonce() {
    let (snapshot, replay) = (snapshot(), ReplayWindow::new(1));
    assert!(decide(&Asked { secret: b"another secret", ..GOOD }, &snapshot, &replay).is_err());
    assert!(decide(&GOOD, &snapshot, &replay).is_ok());
}

#[test]
fn only_what_a_grant_names_is_permitted() {
    let snapshot = snapshot();
    assert_eq!(code(&Asked { method: "DELETE", ..GOOD }, &snapshot), Code::PermissionMissing);
    assert_eq!(code(&Asked { access_key: "TARGETKEY1", ..GOOD }, &snapshot), Code::PermissionMissing);
    assert_eq!(code(&Asked { path: "/elsewhere", ..GOOD }, &snapshot), Code::RouteNotFound);
    let narrower = build(&changed("Permission", "p", |spec| spec["paths"] = json!(["/v/2"])), None).snapshot;
    assert_eq!(code(&GOOD, &narrower), Code::PermissionMissing);
    let over = |spec: &mut serde_json::Value| spec["not_after"] = json!(UnixSeconds(NOW).to_string());
    assert_eq!(code(&GOOD, &build(&changed("Permission", "p", over), None).snapshot), Code::PermissionMissing);
}

#[test]
fn a_quota_is_refused_with_the_time_to_wait() {
    let (snapshot, replay) = (build(&documents(), None).snapshot, ReplayWindow::new(1));
    assert!(decide(&GOOD, &snapshot, &replay).is_ok());
    let refusal = decide(&Asked { nonce: "nonce-2", ..GOOD }, &snapshot, &replay).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_secs), (Code::QuotaExceeded, Some(1)));
    assert_eq!(refusal.route.unwrap().id.as_str(), "r");
}

#[test]
fn a_route_refuses_other_methods_and_says_which_it_takes() {
    let documents = changed("Route", "r", |spec| spec["methods"] = json!(["POST", "PUT"]));
    let refusal = decide(&GOOD, &build(&documents, None).snapshot, &ReplayWindow::new(1)).unwrap_err();
    assert_eq!((refusal.code, refusal.allow.join(",")), (Code::MethodNotAllowed, "POST,PUT".to_owned()));
}

#[test]
fn a_route_that_is_not_understood_is_closed() {
    let documents = changed("Route", "r", |spec| spec["require"] = json!({"badge": true}));
    assert_eq!(code(&GOOD, &build(&documents, None).snapshot), Code::RouteClosed);
}

#[test]
fn rfc_9421_without_a_digest_vouches_for_no_body_unless_the_route_says_so() {
    let rule = |documents: &[Arc<lgsp_shared::resource::Document>]| {
        decide(&GOOD, &build(documents, None).snapshot, &ReplayWindow::new(1)).unwrap().body
    };
    assert!(matches!(rule(&documents()), BodyRule::Empty));
    let open = changed("Route", "r", |spec| spec["unsigned_payload"] = json!(true));
    assert!(matches!(rule(&open), BodyRule::Unsigned));
}

#[test]
fn a_nonce_that_cannot_be_remembered_is_refused_and_the_caller_told_when_to_come_again() {
    let (snapshot, replay) = (snapshot(), ReplayWindow::new(1));
    let until = UnixSeconds(NOW + 300);
    // The smallest window has a few thousand slots; every one is taken after these.
    for other in 0..40_000 {
        let name = replay.name(&format!("OTHERKEY{}", other % 100), Nonce::Given(&other.to_string()));
        replay.see(&name, until, UnixSeconds(NOW));
    }
    let refusal = decide(&GOOD, &snapshot, &replay).unwrap_err();
    assert_eq!(refusal.code, Code::ReplayWindowFull);
    assert!(refusal.retry_after_secs.is_some_and(|secs| secs > 0));
}

#[test]
fn a_key_that_floods_the_window_is_refused_and_others_are_served() {
    let (snapshot, replay) = (snapshot(), ReplayWindow::new(1));
    let flood = |key: &str| {
        for other in 0..40_000 {
            let name = replay.name(key, Nonce::Given(&other.to_string()));
            replay.see(&name, UnixSeconds(NOW + 300), UnixSeconds(NOW));
        }
    };
    flood("OTHERKEY");
    assert!(decide(&GOOD, &snapshot, &replay).is_ok());
    flood(GOOD.access_key);
    let refusal = decide(&Asked { nonce: "nonce-2", ..GOOD }, &snapshot, &replay).unwrap_err();
    assert_eq!(refusal.code, Code::ReplayWindowFull);
    assert!(refusal.detail.unwrap().contains("share"));
}

#[test]
fn what_nobody_permitted_uses_up_nothing_and_what_is_over_its_quota_does() {
    let (narrow, wide, replay) =
        (changed("Permission", "p", |spec| spec["paths"] = json!(["/v/2"])), snapshot(), ReplayWindow::new(1));
    let narrow = build(&narrow, None).snapshot;
    for _ in 0..2 {
        assert_eq!(decide(&GOOD, &narrow, &replay).unwrap_err().code, Code::PermissionMissing);
    }
    assert!(decide(&GOOD, &wide, &replay).is_ok());
    let limited = build(&documents(), None).snapshot;
    assert!(decide(&Asked { nonce: "nonce-2", ..GOOD }, &limited, &replay).is_ok());
    let over = Asked { nonce: "nonce-3", ..GOOD };
    assert_eq!(decide(&over, &limited, &replay).unwrap_err().code, Code::QuotaExceeded);
    assert_eq!(decide(&over, &wide, &replay).unwrap_err().code, Code::Replayed, "it was refused, and stays refused");
}

#[test]
fn what_was_signed_before_the_start_is_left_to_be_found_out() {
    let (snapshot, replay) = (snapshot(), ReplayWindow::new(1));
    replay.span().begin(UnixSeconds(NOW - 10), Ahead::from([(KeyId::of(GOOD.access_key), UnixSeconds(NOW + 50))]));
    let question = |created, nonce| decide(&Asked { created, nonce, ..GOOD }, &snapshot, &replay).unwrap().question;
    assert!(question(NOW - 10, "1").is_some_and(|question| question.unknown && question.ahead.is_none()));
    assert!(question(NOW + 50, "2").is_some_and(|question| question.unknown));
    let ahead = question(NOW + 51, "3").unwrap();
    assert!(!ahead.unknown && ahead.ahead.is_some_and(|(_, secs)| secs == 51), "{ahead:?}");
    replay.span().begin(UnixSeconds(NOW - 10), Ahead::new());
    assert_eq!(question(NOW - 9, "4"), None);
    assert_eq!(question(NOW, "5"), None);
    replay.span().end(UnixSeconds(NOW - 5));
    assert!(question(NOW, "6").is_some_and(|question| question.unknown), "another process takes it");
}

#[test]
fn a_wider_clock_window_makes_nothing_good_that_was_used() {
    let clock = |secs: u32| {
        let mut snapshot = snapshot();
        snapshot.defaults.clock_window_secs = secs;
        snapshot
    };
    let (narrow, wide, replay) = (clock(5), clock(300), ReplayWindow::new(1));
    assert!(decide(&Asked { created: NOW - 4, ..GOOD }, &narrow, &replay).is_ok());
    // Its nonce is forgotten by now, as it would be seven seconds later.
    let used = replay.name(GOOD.access_key, Nonce::Given(GOOD.nonce));
    replay.forget(&Used::new(&used, UnixSeconds(NOW + 1), false), UnixSeconds(NOW));
    let late = Asked { created: NOW - 6, ..GOOD };
    assert_eq!(decide(&late, &narrow, &replay).unwrap_err().code, Code::ClockSkew);
    assert_eq!(decide(&late, &wide, &replay).unwrap_err().code, Code::ClockSkew);
    assert!(decide(&Asked { nonce: "nonce-2", ..GOOD }, &wide, &replay).is_ok());
}

#[test]
fn a_refusal_remembers_what_the_request_said_of_itself() {
    let refusal = decide(&Asked { created: NOW - 301, ..GOOD }, &snapshot(), &ReplayWindow::new(1)).unwrap_err();
    let stated = refusal.stated.unwrap();
    let signature = stated.signature.unwrap();
    assert_eq!((&*stated.authority, &*signature.access_key), ("lgsp.vinhlong.gov.vn", "SOURCEKEY1"));
    assert_eq!((signature.at.created, signature.has_nonce), (UnixSeconds(NOW - 301), true));
    let unsigned = decide(&Asked { sign: false, ..GOOD }, &snapshot(), &ReplayWindow::new(1)).unwrap_err();
    assert_eq!(unsigned.stated.unwrap().signature, None);
}

#[test]
fn a_key_counts_as_used_when_it_signed_and_not_when_somebody_pretends() {
    let snapshot = snapshot();
    let used = || snapshot.credential("SOURCEKEY1").unwrap().used.get();
    assert!(decide(&Asked { secret: b"another secret", ..GOOD }, &snapshot, &ReplayWindow::new(1)).is_err());
    assert_eq!(used(), None);
    assert!(decide(&Asked { method: "DELETE", ..GOOD }, &snapshot, &ReplayWindow::new(1)).is_err());
    assert_eq!(used(), Some(UnixSeconds(NOW)), "refused later, but its holder is there");
}

#[test]
fn a_bad_signature_is_explained_only_so_often_and_only_when_it_is_small() {
    let snapshot = snapshot();
    let told = |asked: &Asked| {
        let refusal = decide(asked, &snapshot, &ReplayWindow::new(1)).unwrap_err();
        assert_eq!(refusal.code, Code::SignatureInvalid);
        refusal.detail.unwrap().into_owned()
    };
    let wrong = Asked { secret: b"another secret of the test", ..GOOD };
    let large = Asked { path: Box::leak(format!("/v/{}", "a".repeat(4 << 10)).into_boxed_str()), ..wrong.clone() };
    assert!(told(&large).starts_with("the head is larger than 4 KiB"), "{}", told(&large));
    for _ in 0..crate::snapshot::DIAGNOSES_PER_SECOND_MAX {
        assert!(told(&wrong).starts_with("no usual difference"));
    }
    assert!(told(&wrong).starts_with("what differs was not looked for"), "{}", told(&wrong));
}

use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{Claim, KeyState};

use super::*;
use crate::admission::Admission;
use crate::snapshot::fixture::{SECRET, build, changed, documents};
use crate::snapshot::{Matched, Snapshot};

fn admission(snapshot: &Snapshot, scheme: SignatureScheme) -> Admission {
    let found = snapshot.router().find("x", &MatchedPath::of("/v/1", &mut PathRoom::default()), "GET").unwrap();
    Admission {
        credential: snapshot.credential("SOURCEKEY1").unwrap().clone(),
        scheme,
        grant: snapshot.grants().of(&"source".parse().unwrap(), &"v".parse().unwrap())[0].clone(),
        matched: Matched { path_bytes: found.matched.path_bytes },
        route: found.route,
        body: BodyRule::Empty,
        chunks: None,
        question: None,
        used: None,
    }
}

fn head<'a>(path: &'a str, query: Option<&'a str>) -> RequestHead<'a> {
    RequestHead { method: "GET", scheme: Scheme::Http, authority: "lgsp.vn:8080", path, query, fields: &[] }
}

fn target(route: serde_json::Value, scheme: SignatureScheme, head: &RequestHead<'_>) -> String {
    let documents = changed("Route", "r", |spec| {
        spec.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    });
    let mut out = Vec::new();
    append_target(head, &admission(&build(&documents, None).snapshot, scheme), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_rewrite_replaces_what_the_route_matched() {
    let rewrite = |prefix: &str| serde_json::json!({"rewrite": {"prefix": prefix}});
    let rfc = SignatureScheme::Rfc9421;
    assert_eq!(target(serde_json::json!({}), rfc, &head("/v/1", Some("a=b%20c&"))), "/v/1?a=b%20c&");
    assert_eq!(target(rewrite("/"), rfc, &head("/v/1", None)), "/1");
    assert_eq!(target(rewrite("/"), rfc, &head("/v", Some(""))), "/?");
    assert_eq!(target(rewrite("/api/ho-tich/"), rfc, &head("/v/1/2", None)), "/api/ho-tich/1/2");
}

#[test]
fn a_presigned_signature_does_not_reach_the_target() {
    let query = "X-Amz-Signature=abc&mã=1&X-Amz-Date=1&b=2&x-amz-security-token=s";
    let scheme = SignatureScheme::SigV4Presigned;
    assert_eq!(target(serde_json::json!({}), scheme, &head("/v/1", Some(query))), "/v/1?mã=1&b=2");
    assert_eq!(target(serde_json::json!({}), scheme, &head("/v/1", Some("X-Amz-Date=1"))), "/v/1");
    let own = "x-amz-meta-a=1&X-Amz-Checksum-Mode=ENABLED";
    let query = format!("{own}&X-Amz-Expires=5");
    assert_eq!(target(serde_json::json!({}), scheme, &head("/v/1", Some(&query))), format!("/v/1?{own}"));
}

#[test]
fn a_client_cannot_speak_in_the_platforms_name() {
    let stopped = [
        "lgsp-source",
        "LGSP-Agency",
        "lgsp-request-id",
        "lgsp-anything",
        "traceparent",
        "tracestate",
        "Signature",
        "signature-input",
        "content-digest",
        "x-amz-date",
        "X-Forwarded-For",
        "forwarded",
        "x-real-ip",
        "lgsp_source",
        "Lgsp_Agency",
        "Signature_Input",
        "X_Forwarded_For",
        "Transfer_Encoding",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "X-HTTP-Method-Override",
        "x_original_url",
        "x-rewrite-url",
        "proxy",
        "Host",
        "content-length",
        "transfer-encoding",
        "connection",
        "Upgrade",
        "expect",
        "proxy-authorization",
        "te",
    ];
    let snapshot = build(&documents(), None).snapshot;
    let route = admission(&snapshot, SignatureScheme::Rfc9421).route;
    let passes = |name: &str, scheme: SignatureScheme| passes_to_target(name, scheme, &route);
    for name in stopped {
        assert!(!passes(name, SignatureScheme::Rfc9421), "{name}");
    }
    let passing = [
        "accept",
        "content-type",
        "cookie",
        "authorization",
        "lgspx",
        "x-amz-copy-source",
        "x-amz-meta-a_b",
        "my_name",
    ];
    for name in passing {
        assert!(passes(name, SignatureScheme::Rfc9421), "{name}");
    }
    assert!(!passes("Authorization", SignatureScheme::SigV4Header));
    assert!(
        passes("Authorization", SignatureScheme::SigV4Presigned),
        "the target's own: the signature is in the query"
    );
    assert!(!passes_to_source("lgsp-request-id") && !passes_to_source("Connection") && passes_to_source("etag"));
    assert!(!passes_to_source("lgsp_request_id"));
}

#[test]
fn what_can_override_the_decision_passes_only_where_the_route_asks() {
    let asked = ["x-forwarded-for", "x-http-method-override"];
    let documents = changed("Route", "r", |spec| spec["pass_headers"] = serde_json::json!(asked));
    let snapshot = build(&documents, None).snapshot;
    let route = admission(&snapshot, SignatureScheme::Rfc9421).route;
    for (name, passes) in [
        ("X-Forwarded-For", true),
        ("X-HTTP-Method-Override", true),
        ("x-forwarded-host", false),
        ("x-original-url", false),
        ("lgsp-source", false),
    ] {
        assert_eq!(passes_to_target(name, SignatureScheme::Rfc9421, &route), passes, "{name}");
    }
}

#[test]
fn a_target_sees_the_former_code_signed_until_the_window_closes() {
    let lines = |until: i64, body: BodyRule| {
        let former = serde_json::json!({"code": "H07.1", "until": lgsp_shared::timestamp::UnixSeconds(until)});
        let documents = changed("System", "source", |spec| spec["former_agency"] = former.clone());
        let snapshot = build(&documents, None).snapshot;
        let admission = Admission { body, ..admission(&snapshot, SignatureScheme::Rfc9421) };
        let (mut lines, mut buffers) = (Vec::new(), IdentityBuffers::default());
        append_identity(&head("/v/1", None), &admission, "/1", RequestId::new(), Now::read(), &mut buffers, &mut lines);
        String::from_utf8(lines).unwrap()
    };
    let now = Now::read().unix.0;
    let digest = || BodyRule::Digest(lgsp_shared::signature::ExpectedDigest::sha256([7; 32]));
    for (body, with_digest) in [(BodyRule::Empty, false), (digest(), true)] {
        let told = lines(now + 1_000, body);
        assert!(told.contains("lgsp-agency: H61\r\n") && told.contains("lgsp-agency-former: H07.1\r\n"), "{told}");
        let input = told.lines().find(|line| line.starts_with("signature-input: ")).unwrap();
        assert!(input.contains("\"lgsp-agency-former\""), "what is not signed could be forged: {input}");
        assert_eq!(input.contains("\"content-digest\""), with_digest, "{input}");
    }
    let after = lines(now - 1, digest());
    assert!(after.contains("signature-input: ") && !after.contains("lgsp-agency-former"), "{after}");
}

#[test]
fn the_target_can_verify_who_is_calling_with_its_own_secret() {
    let snapshot = build(&documents(), None).snapshot;
    let mut admission = admission(&snapshot, SignatureScheme::Rfc9421);
    admission.body = BodyRule::Digest(lgsp_shared::signature::ExpectedDigest::sha256([7; 32]));
    let (request_id, now) = (RequestId::new(), Now::read());
    let mut lines = Vec::new();
    append_identity(
        &head("/v/1", None),
        &admission,
        "/1?x=y",
        request_id,
        now,
        &mut IdentityBuffers::default(),
        &mut lines,
    );
    let text = String::from_utf8(lines).unwrap();
    let fields: Vec<Field<'_>> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| Field { name, value: value.as_bytes() })
        .collect();
    let value = |name: &str| fields.iter().find(|field| field.is(name)).unwrap().text().unwrap();
    assert_eq!((value("lgsp-source"), value("lgsp-agency")), ("source", "H61"));
    assert_eq!(value("lgsp-request-id"), request_id.to_string());

    let received = RequestHead { path: "/1", query: Some("x=y"), fields: &fields, ..head("", None) };
    assert!(Claim::read(&received).is_err(), "a forwarded request is no request to the platform");
    let claim = Claim::read_forwarded(&received).unwrap();
    assert_eq!(claim.access_key(), "TARGETKEY1");
    let key = KeyState::new(&Secret::new(SECRET.to_vec()));
    assert!(claim.verify(&received, &key).is_ok());
    let forged: Vec<Field<'_>> = fields
        .iter()
        .map(|field| if field.is("lgsp-source") { Field { value: b"other", ..*field } } else { *field })
        .collect();
    let received = RequestHead { fields: &forged, ..received };
    assert!(Claim::read_forwarded(&received).unwrap().verify(&received, &key).is_err());
}

#[test]
fn aws_chunked_is_taken_out_of_the_content_encoding() {
    assert_eq!(without_aws_chunked("aws-chunked"), None);
    assert_eq!(without_aws_chunked("aws-chunked, gzip").as_deref(), Some("gzip"));
}

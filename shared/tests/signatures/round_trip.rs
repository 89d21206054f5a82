//! What the signer signs, the verifier verifies; and no byte of what is covered can change on the way.

use lgsp_shared::signature::{
    AmzDate, Claim, ContentDigest, ExpectedDigest, Rfc9421Params, SigV4Params, presign_sigv4, sign_rfc9421,
    sign_sigv4_header, sigv4,
};
use lgsp_shared::timestamp::UnixSeconds;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::request::{Request, key};

const BODY: &[u8] = b"{}";

/// Signs everything the request has, with a digest of [`BODY`].
pub fn signed_rfc9421(request: &Request, secret: &str) -> Request {
    let mut digest = Vec::new();
    ContentDigest::format(&ExpectedDigest::sha256(Sha256::digest(BODY).into()), &mut digest);
    let request = request.clone().with("Content-Digest", digest);
    let mut components = vec!["@method".to_owned(), "@authority".into(), "@path".into(), "@query".into()];
    for (name, _) in &request.headers {
        let name = name.to_ascii_lowercase();
        if !components.contains(&name) {
            components.push(name);
        }
    }
    let components: Vec<&str> = components.iter().map(String::as_str).collect();
    let params = Rfc9421Params {
        created: UnixSeconds(1_795_420_800),
        expires: Some(UnixSeconds(1_795_420_900)),
        nonce: "nonce",
        key_id: "SOURCEKEY1",
        label: "sig1",
    };
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    request.head(|head| sign_rfc9421(head, &components, &params, &key(secret), &mut input, &mut signature)).unwrap();
    request.with("Signature-Input", input).with("Signature", signature)
}

fn params<'a>(service: &'a str, payload: &'a str) -> SigV4Params<'a> {
    let date = AmzDate::of(UnixSeconds(1_795_420_800)).unwrap();
    SigV4Params { access_key: "SOURCEKEY1", region: "vn", service, date, payload }
}

fn names(request: &Request) -> Vec<String> {
    let mut names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    names
}

/// Signs everything the request has, with the hash of [`BODY`].
pub fn signed_sigv4(request: &Request, secret: &str, service: &str) -> Request {
    let payload = sigv4::payload_hash(BODY);
    let params = params(service, &payload);
    let request =
        request.clone().with("x-amz-date", params.date.as_str()).with("x-amz-content-sha256", payload.as_str());
    let names = names(&request);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut authorization = Vec::new();
    request.head(|head| sign_sigv4_header(head, &names, &params, &key(secret), &mut authorization)).unwrap();
    request.with("Authorization", authorization)
}

fn presigned(request: &Request, secret: &str) -> Request {
    let names = names(request);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let params = params("s3", sigv4::UNSIGNED_PAYLOAD);
    let mut query = Vec::new();
    request.head(|head| presign_sigv4(head, &names, &params, 60, &key(secret), &mut query)).unwrap();
    Request { query: Some(String::from_utf8(query).unwrap()), ..request.clone() }
}

/// The whole decision: the access key names the secret (SigV4 does not sign it), and the secret made the signature.
fn verifies(request: &Request, secret: &str) -> bool {
    request.head(|head| {
        Claim::read(head)
            .is_ok_and(|claim| claim.access_key() == "SOURCEKEY1" && claim.verify(head, &key(secret)).is_ok())
    })
}

fn arbitrary_request() -> impl Strategy<Value = Request> {
    let path = "(/[a-zA-Z0-9_~!$&'()*+,=:@-]{1,8}(%[2-7][1-9a-d])?){1,4}/?";
    let query = proptest::option::of("([a-z0-9]{1,3}(=[a-zA-Z0-9%20+-]{0,4})?&){0,5}[a-z]{1,2}=1");
    let headers = proptest::collection::vec(("x-[a-f]{1,2}", "[!-~]{0,5}( {0,2}[!-~]{1,4}){0,2}"), 0..5);
    (path, query, headers, "[A-Z]{3,7}").prop_filter_map("one reading", |(path, query, headers, method)| {
        let query = query.map(|query| query.replace('%', "%25"));
        lgsp_shared::signature::check_target(&path, query.as_deref()).ok()?;
        let mut request = Request { method, ..Request::get(&path, query.as_deref()) };
        for (name, value) in headers {
            request = request.with(&name, value.as_bytes());
        }
        Some(request)
    })
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_only_with_its_secret(request in arbitrary_request(), secret in "[ -~]{1,80}") {
        let signed = [
            signed_rfc9421(&request, &secret),
            signed_sigv4(&request, &secret, "s3"),
            signed_sigv4(&request, &secret, "lgsp"),
            presigned(&request, &secret),
        ];
        for request in signed {
            prop_assert!(verifies(&request, &secret), "{request:?}");
            prop_assert!(!verifies(&request, &format!("{secret}x")), "{request:?}");
        }
    }

    #[test]
    fn reading_never_panics(
        method in ".{0,4}", authority in ".{0,6}", path in "/?.{0,12}", query in proptest::option::of(".{0,40}"),
        input in "(sig=\\(\"@method\"\\);)?[ -~]{0,60}", signature in "(sig1=:)?[ -~]{0,50}:?",
        authorization in "(AWS4-HMAC-SHA256 Credential=)?[ -~]{0,80}", digest in "(sha-256=:)?[ -~]{0,50}", pick in 0..8_u8,
    ) {
        let mut request = Request { method, authority, query, ..Request::get(&path, None) };
        request.headers.clear();
        if pick & 1 == 0 {
            request = request.with("signature-input", input).with("signature", signature);
        }
        if pick & 2 == 0 {
            request = request.with("authorization", authorization);
        }
        if pick & 4 == 0 {
            request = request.with("content-digest", digest);
        }
        prop_assert!(!verifies(&request, "secret"));
    }
}

/// Every request that differs from `request` in one byte of one covered part, and which part that is.
fn with_one_byte_changed(request: &Request) -> Vec<(String, Request)> {
    // Another byte that is legal almost everywhere, so that the change itself is not what is refused.
    let other = |byte: u8| if byte == b'q' { b'w' } else { b'q' };
    let changed = |text: &[u8]| -> Vec<(usize, Vec<u8>)> {
        let change =
            |at: usize| text.iter().enumerate().map(|(i, byte)| if i == at { other(*byte) } else { *byte }).collect();
        (0..text.len()).map(|at| (at, change(at))).collect()
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut all = Vec::new();
    for (at, method) in changed(request.method.as_bytes()) {
        all.push((format!("method at {at}"), Request { method: text(method), ..request.clone() }));
    }
    for (at, path) in changed(request.path.as_bytes()) {
        all.push((format!("path at {at}"), Request { path: text(path), ..request.clone() }));
    }
    for (at, query) in changed(request.query.clone().unwrap().as_bytes()) {
        all.push((format!("query at {at}"), Request { query: Some(text(query)), ..request.clone() }));
    }
    for (index, (name, value)) in request.headers.iter().enumerate() {
        for (at, value) in changed(value) {
            let mut different = request.clone();
            if name == "Host" {
                different.authority = text(value.clone());
            }
            different.headers[index].1 = value;
            all.push((format!("{name} at {at}"), different));
        }
    }
    all
}

#[test]
fn no_byte_of_what_is_covered_can_change() {
    let request =
        Request::get("/v1/dossiers%20a/7", Some("a=1&b=x%20y")).with("X-A", "1, 2").with("Content-Length", "2");
    let with_nonce = request.clone().with("lgsp-nonce", "n-1");
    let signed = [
        signed_rfc9421(&request, "secret"),
        signed_sigv4(&with_nonce, "secret", "s3"),
        signed_sigv4(&with_nonce, "secret", "lgsp"),
        presigned(&request, "secret"),
    ];
    for request in signed {
        assert!(verifies(&request, "secret"));
        let changed = with_one_byte_changed(&request);
        assert!(changed.len() > 250, "{}", changed.len());
        let through: Vec<&String> =
            changed.iter().filter(|(_, request)| verifies(request, "secret")).map(|(part, _)| part).collect();
        assert!(through.is_empty(), "{through:?}");
    }
}

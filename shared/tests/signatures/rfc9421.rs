//! RFC 9421 appendix B.2.5, the one example with a shared secret, and the bases of the other request examples.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::rfc9421::signature_base;
use lgsp_shared::signature::{Claim, ClaimError, ContentDigest};
use sha2::Sha256;

use super::request::Request;
use super::{read, third_party};

fn example(name: &str) -> (Request, String) {
    Request::parse(&read(third_party(&format!("rfc9421/{name}"))))
}

#[test]
fn base_and_signature_of_b_2_5_agree() {
    let (request, _) = example("b25_request_signed.txt");
    let input = request.value("signature-input").unwrap();
    let base = request.head(|head| signature_base(head, &input)).unwrap();
    assert_eq!(String::from_utf8(base.clone()).unwrap(), read(third_party("rfc9421/b25_request_sigbase.txt")));
    let secret = BASE64.decode(read(third_party("rfc9421/test-shared-secret")).trim()).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(&base).finalize().into_bytes();
    assert_eq!(request.value("signature").unwrap(), format!("sig-b25=:{}:", BASE64.encode(mac)));
}

#[test]
fn bases_of_the_other_request_examples_agree_where_their_components_are_supported() {
    for example_name in ["b21", "b23", "b26"] {
        let (request, _) = example(&format!("{example_name}_request_signed.txt"));
        let input = request.value("signature-input").unwrap();
        let base = request.head(|head| signature_base(head, &input)).unwrap();
        let expected = read(third_party(&format!("rfc9421/{example_name}_request_sigbase.txt")));
        assert_eq!(String::from_utf8(base).unwrap(), expected, "{example_name}");
    }
    // `@query-param` covers a part of what `@query` has to cover here.
    let (request, _) = example("b22_request_signed.txt");
    let error = request.head(|head| signature_base(head, &request.value("signature-input").unwrap())).unwrap_err();
    assert!(error.detail().contains("@query-param"), "{error}");
}

#[test]
fn the_examples_are_refused_because_they_leave_method_path_and_query_unsigned() {
    let verdict = |name: &str| example(name).0.head(|head| Claim::read(head).unwrap_err());
    let error = verdict("b25_request_signed.txt");
    assert_eq!((error.code(), error), (Code::SignatureIncomplete, ClaimError::NotCovered("@method")));
    // The others are refused before that: their signatures are not as long as an HMAC-SHA256.
    for name in ["b21", "b22", "b23", "b26"] {
        assert_eq!(verdict(&format!("{name}_request_signed.txt")).code(), Code::SignatureMalformed, "{name}");
    }
}

#[test]
fn the_digest_of_the_examples_matches_its_body_and_no_other() {
    let verdict = |name: &str| {
        let (request, body) = example(name);
        let mut verifier = ContentDigest::parse(&request.value("content-digest").unwrap()).unwrap().verifier();
        verifier.update(body.trim_end_matches('\n').as_bytes());
        verifier.finish()
    };
    assert!(verdict("rfc-test-request.txt").is_ok());
    assert!(verdict("request_bad_digest.txt").is_err());
}

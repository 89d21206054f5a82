use super::*;
use crate::head::Field;
use crate::seal::Secret;
use crate::signature::{AmzDate, Rfc9421Params, SigV4Params, sign_rfc9421, sign_sigv4_header};
use crate::timestamp::UnixSeconds;

const SENT: RequestHead<'_> = RequestHead {
    method: "GET",
    scheme: Scheme::Http,
    authority: "lgsp.vinhlong.gov.vn:8080",
    path: "/ho-tich/Nguy%E1%BB%85n",
    query: Some("b=1&a=%20x"),
    fields: &[],
};

fn key() -> KeyState {
    KeyState::new(&Secret::new(b"a secret of the test".to_vec()))
}

/// What is said when `sent` arrives with a signature made over `signed`.
fn diagnosis(sent: &RequestHead<'_>, signed: &RequestHead<'_>, covered: &[&str]) -> (String, String) {
    let params = Rfc9421Params {
        created: UnixSeconds(1_800_000_000),
        expires: None,
        nonce: "n",
        key_id: "KEY12345",
        label: "s",
    };
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    sign_rfc9421(signed, covered, &params, &key(), &mut input, &mut signature).unwrap();
    let fields = [Field { name: "signature-input", value: &input }, Field { name: "signature", value: &signature }];
    let sent = RequestHead { fields: &fields, ..*sent };
    let claim = Claim::read(&sent).unwrap();
    assert!(claim.verify(&sent, &key()).is_err());
    let told = (claim.diagnose(&sent, &key()), claim.expected_text(&sent));
    let stranger = KeyState::new(&Secret::new(b"another secret".to_vec()));
    assert!(claim.diagnose(&sent, &stranger).starts_with("no usual difference"), "only who holds the secret is told");
    told
}

const COVERED: [&str; 4] = ["@method", "@authority", "@path", "@query"];

#[test]
fn each_usual_difference_is_named_with_what_was_signed_and_what_arrived() {
    let plain = RequestHead { authority: "lgsp.vinhlong.gov.vn", ..SENT };
    let cases = [
        (
            SENT,
            RequestHead { authority: "lgsp.vinhlong.gov.vn", ..SENT },
            "`@authority` was signed as `lgsp.vinhlong.gov.vn`",
        ),
        (
            plain,
            RequestHead { authority: "lgsp.vinhlong.gov.vn:443", ..plain },
            "`@authority` was signed as `lgsp.vinhlong.gov.vn:443`",
        ),
        (
            RequestHead { authority: "127.0.0.1:8080", ..SENT },
            RequestHead { authority: "localhost:8080", ..SENT },
            "`@authority` was signed as `localhost:8080`",
        ),
        (SENT, RequestHead { query: None, ..SENT }, "`@query` was signed as ``"),
        (SENT, RequestHead { query: Some("a=%20x&b=1"), ..SENT }, "`@query` was signed as `a=%20x&b=1`"),
        (SENT, RequestHead { query: Some("b=1&a= x"), ..SENT }, "`@query` was signed as `b=1&a= x`"),
        (SENT, RequestHead { path: "/ho-tich/Nguyễn", ..SENT }, "`@path` was signed as `/ho-tich/Nguyễn`"),
        (SENT, RequestHead { path: "/ho-tich/Nguy%E1%BB%85n/", ..SENT }, "`@path` was signed as"),
        (SENT, RequestHead { path: "/ho-tich/Nguy%E1%BB%85n?b=1&a=%20x", ..SENT }, "`@path` was signed as"),
        (SENT, RequestHead { method: "get", ..SENT }, "`@method` was signed as `get`"),
        (SENT, RequestHead { method: "POST", ..SENT }, "`@method` was signed as `POST`, but arrived as `GET`"),
        (SENT, RequestHead { path: "/elsewhere", ..SENT }, "no usual difference"),
    ];
    for (sent, signed, expected) in cases {
        let (told, _) = diagnosis(&sent, &signed, &COVERED);
        assert!(told.starts_with(expected), "{told}");
    }
    let https = RequestHead { scheme: Scheme::Https, ..SENT };
    let (told, _) = diagnosis(&SENT, &https, &["@method", "@target-uri"]);
    assert!(told.starts_with("`@scheme` was signed as `https`, but arrived as `http`"), "{told}");
}

#[test]
fn the_expected_text_is_what_was_sent_and_holds_no_signature_and_no_secret() {
    let (_, text) = diagnosis(&SENT, &RequestHead { path: "/elsewhere", ..SENT }, &COVERED);
    assert!(
        text.starts_with("\"@method\": GET\n\"@authority\": lgsp.vinhlong.gov.vn:8080\n\"@path\": /ho-tich/"),
        "{text}"
    );
    assert!(text.contains("\n\"@signature-params\": (\"@method\"") && !text.contains("secret"), "{text}");
}

#[test]
fn sigv4_is_diagnosed_too() {
    let date = AmzDate::of(UnixSeconds(1_800_000_000)).unwrap();
    let own = [Field { name: "x-amz-date", value: date.as_str().as_bytes() }];
    let signed = RequestHead { authority: "lgsp.vinhlong.gov.vn", fields: &own, ..SENT };
    let payload = crate::signature::sigv4::payload_hash(b"");
    let params = SigV4Params { access_key: "KEY12345", region: "vn", service: "s3", date, payload: &payload };
    let mut authorization = Vec::new();
    sign_sigv4_header(&signed, &["host", "x-amz-date"], &params, &key(), &mut authorization).unwrap();
    let fields = [own[0], Field { name: "authorization", value: &authorization }];
    let sent = RequestHead { fields: &fields, ..SENT };
    let claim = Claim::read(&sent).unwrap();
    let told = claim.diagnose(&sent, &key());
    assert!(told.starts_with("`@authority` was signed as `lgsp.vinhlong.gov.vn`"), "{told}");
    let text = claim.expected_text(&sent);
    assert!(text.starts_with("GET\n/ho-tich/") && text.contains("\n\nAWS4-HMAC-SHA256\n"), "{text}");
}

use lgsp_shared::signature::Claim;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn prepared(signing: Signing, flaw: Flaw, body: u64) -> Prepared {
    let mut credentials = Credentials::default();
    credentials.add(None, Credential::new("LOADKEY001".parse().unwrap(), &Secret::new(SECRET.to_vec())));
    let kind = Kind {
        name: "k".into(),
        share: 10_000,
        method: if body > 0 { "POST".into() } else { "GET".into() },
        target: "/a/b?c=d".into(),
        signing,
        credential: None,
        body,
        content: None,
        session: None,
        flaw,
        expect: Expect { status: 200, code: None, bytes: None },
    };
    let target = Target::parse("http://127.0.0.1:80", Some("lgsp.example"), None).unwrap();
    Prepared::new(&kind, &target, &credentials, &Body::new(Some("marker")), None).unwrap()
}

/// Whether the platform's own verifier accepts what was written, and the nonce.
fn verify(bytes: &[u8]) -> (bool, String) {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut fields);
    assert!(parsed.parse(bytes).unwrap().is_complete());
    let (path, query) = parsed.path.unwrap().split_once('?').unwrap();
    let fields: Vec<Field<'_>> =
        parsed.headers.iter().map(|field| Field { name: field.name, value: field.value }).collect();
    let head = RequestHead {
        method: parsed.method.unwrap(),
        scheme: Scheme::Http,
        authority: "lgsp.example",
        path,
        query: Some(query),
        fields: &fields,
    };
    let claim = Claim::read(&head).unwrap();
    (claim.verify(&head, &KeyState::new(&Secret::new(SECRET.to_vec()))).is_ok(), format!("{:?}", claim.nonce()))
}

#[test]
fn what_is_signed_verifies_and_never_repeats_a_nonce() {
    for signing in [Signing::Rfc9421, Signing::SigV4] {
        for body in [0, 10, 200_000] {
            let (request, mut ink) = (prepared(signing, Flaw::Sound, body), Ink::new().unwrap());
            assert!(request.write(&mut ink).unwrap().is_some());
            let (good, first) = verify(&ink.out);
            request.write(&mut ink).unwrap();
            let (again, second) = verify(&ink.out);
            assert!(good && again && first != second, "{signing:?} {body}: {first} {second}");
            assert_eq!(request.rest(), body.saturating_sub(64 << 10));
        }
    }
}

#[test]
fn a_bad_signature_is_bad() {
    for signing in [Signing::Rfc9421, Signing::SigV4] {
        let (request, mut ink) = (prepared(signing, Flaw::BadSignature, 10), Ink::new().unwrap());
        request.write(&mut ink).unwrap();
        assert!(!verify(&ink.out).0, "{signing:?}");
    }
}

#[test]
fn bodies_carry_the_marker() {
    let (request, mut ink) = (prepared(Signing::Unsigned, Flaw::Sound, 9_000), Ink::new().unwrap());
    assert_eq!(request.write(&mut ink).unwrap(), None);
    assert_eq!(String::from_utf8_lossy(&ink.out).matches("marker").count(), 3);
}

#[test]
fn nothing_secret_is_printed() {
    let text = format!("{:?}", prepared(Signing::Rfc9421, Flaw::Sound, 1));
    assert!(text.contains("LOADKEY001") && !text.contains("0123456789abcdef"), "{text}");
}

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::*;

const EXPECTED: Expected<'_> = Expected { issuer: "https://sso.example.vn", client_id: "lgsp", nonce: "the nonce" };

struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        install();
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn keys(&self, id: &str) -> JwkSet {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        serde_json::from_value(
            json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig"}]}),
        )
        .unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "one"})
}

fn claims() -> Value {
    json!({
        "iss": "https://sso.example.vn", "aud": "lgsp", "sub": "lan", "nonce": "the nonce", "exp": seconds() + 300,
        "iat": seconds(),
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_token_of_the_provider_for_this_login_is_good() {
    let issuer = Issuer::new();
    let found = verify(&issuer.sign(&header(), &claims()), &issuer.keys("one"), &EXPECTED).unwrap();
    assert_eq!(found["sub"], "lan");
    let many = issuer.sign(&header(), &{
        let mut claims = with("aud", json!(["other", "lgsp"]));
        claims["azp"] = json!("lgsp");
        claims
    });
    assert!(verify(&many, &issuer.keys("one"), &EXPECTED).is_ok());
    let without_id = issuer.sign(&json!({"alg": "ES256"}), &claims());
    assert!(verify(&without_id, &issuer.keys("one"), &EXPECTED).is_ok(), "there is only one key");
}

#[test]
fn a_token_for_somebody_else_or_over_or_of_another_login_is_refused() {
    let issuer = Issuer::new();
    let keys = issuer.keys("one");
    for wrong in [
        with("iss", json!("https://evil.example")),
        with("aud", json!("other")),
        with("aud", json!(["other", "lgsp"])),
        with("azp", json!("other")),
        with("exp", json!(seconds() - 120)),
        with("exp", json!("never")),
        with("nbf", json!(seconds() + 600)),
        with("exp", Value::Null),
        with("sub", Value::Null),
    ] {
        let refused = verify(&issuer.sign(&header(), &wrong), &keys, &EXPECTED);
        assert!(matches!(refused, Err(TokenError::Invalid(_))), "{wrong}: {refused:?}");
    }
    for nonce in [json!("another"), json!(""), Value::Null] {
        let refused = verify(&issuer.sign(&header(), &with("nonce", nonce)), &keys, &EXPECTED);
        assert_eq!(refused, Err(TokenError::OtherLogin));
    }
}

#[test]
fn a_token_that_the_provider_did_not_sign_is_refused() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let keys = issuer.keys("one");
    assert!(matches!(verify(&stranger.sign(&header(), &claims()), &keys, &EXPECTED), Err(TokenError::Invalid(_))));
    let other = stranger.sign(&json!({"alg": "ES256", "kid": "two"}), &claims());
    assert_eq!(verify(&other, &keys, &EXPECTED), Err(TokenError::UnknownKey));
    let good = issuer.sign(&header(), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let more = URL_SAFE_NO_PAD.encode(with("sub", json!("admin")).to_string());
    for token in [format!("{head}.{more}.{signature}"), format!("{message}."), String::new(), "a.b.c".to_owned()] {
        assert!(verify(&token, &keys, &EXPECTED).is_err(), "{token}");
    }
    for algorithm in ["none", "HS256"] {
        let token = issuer.sign(&json!({"alg": algorithm, "kid": "one"}), &claims());
        assert!(verify(&token, &keys, &EXPECTED).is_err(), "{algorithm}");
    }
    let rsa = issuer.sign(&json!({"alg": "RS256", "kid": "one"}), &claims());
    assert!(verify(&rsa, &keys, &EXPECTED).is_err(), "the key is of another kind");
}

//! ID tokens: signed by a key of the provider, for this client, not over, and for the login that was begun (OpenID Connect
//! Core 1.0 section 3.1.3.7). The signatures are checked by ring, which TLS uses too.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::signature::{Error as BadSignature, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{self as ring_signature, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// What a provider may sign with: never a secret that this side knows too, and never nothing.
const ALGORITHMS: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the provider's clock may be from ours, in seconds.
const CLOCK_SECS: u64 = 60;

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Signed with a key that is not known.
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// Anything else about it.
    #[error("the ID token is not good: {0}")]
    Invalid(String),
    /// For another login.
    #[error("the ID token belongs to another login")]
    OtherLogin,
}

/// What a token has to say.
#[derive(Debug)]
pub struct Expected<'a> {
    /// By whom.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// For which login.
    pub nonce: &'a str,
}

/// The claims of a token that is good.
pub fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Map<String, Value>, TokenError> {
    let invalid = |error: Error| TokenError::Invalid(error.to_string());
    let header = decode_header(token).map_err(invalid)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::Invalid(format!("it is signed with {:?}", header.alg)));
    }
    let key = find(keys, header.kid.as_deref(), header.alg).ok_or(TokenError::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(invalid)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = CLOCK_SECS;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Map<String, Value>>(token, &key, &validation).map_err(invalid)?.claims;
    let many = claims.get("aud").and_then(Value::as_array).is_some_and(|audience| audience.len() > 1);
    let party = claims.get("azp").and_then(Value::as_str);
    if (many && party.is_none()) || party.is_some_and(|party| party != expected.client_id) {
        return Err(TokenError::Invalid("it was issued to another client".to_owned()));
    }
    let nonce = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) { Ok(claims) } else { Err(TokenError::OtherLogin) }
}

/// The key with this identifier; without one, the only key there is for the algorithm.
fn find<'a>(keys: &'a JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let mut usable = keys.keys.iter().filter(|key| {
        let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let same = key.common.key_algorithm.is_none_or(|of| of.to_string() == format!("{algorithm:?}"));
        signs && same
    });
    match id {
        Some(id) => usable.find(|key| key.common.key_id.as_deref() == Some(id)),
        None => usable.next().filter(|_| usable.next().is_none()),
    }
}

/// Lets ring check signatures, for the whole process.
pub fn install() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(Error::from(ErrorKind::InvalidAlgorithm)),
        verifier_factory: |algorithm, key| {
            Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }) as Box<dyn JwtVerifier>)
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // It fails when it was done before, by this same function.
    let _ = RING.install_default();
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), BadSignature> {
        let rsa = match self.algorithm {
            Algorithm::RS256 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Some(&ring_signature::RSA_PSS_2048_8192_SHA256),
            _ => None,
        };
        let curve: Option<&'static dyn ring_signature::VerificationAlgorithm> = match self.algorithm {
            Algorithm::ES256 => Some(&ring_signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::EdDSA => Some(&ring_signature::ED25519),
            _ => None,
        };
        let checked = match (self.key.kind(), rsa, curve) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(parameters), _) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), None, Some(algorithm)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        checked.map_err(|_| BadSignature::new())
    }
}

#[cfg(test)]
mod tests;

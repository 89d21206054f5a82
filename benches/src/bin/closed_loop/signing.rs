//! How requests are signed: as this data plane and its counterpart in Lua want it (RFC 9421), or as pingap's `hmac_auth`
//! does (draft-cavage-http-signatures; it knows no nonce).

use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{KeyState, Rfc9421Params, sign_rfc9421};
use lgsp_shared::timestamp::UnixSeconds;
use sha2::Sha256;

const COVERED: &[&str] = &["@method", "@authority", "@path", "@query", "content-digest"];

/// The fields that a signature adds to a request.
pub type Signed = ArrayVec<(&'static str, Vec<u8>), 2>;

/// Who signs, and how.
pub struct Credential {
    access_key: String,
    key: Key,
}

enum Key {
    Rfc9421(KeyState),
    Cavage(Hmac<Sha256>),
}

/// What is signed.
pub struct Question<'a> {
    pub method: &'a str,
    pub authority: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Of the body, where there is one.
    pub digest: Option<&'a Vec<u8>>,
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

impl Credential {
    pub fn new(access_key: &str, secret: &str, cavage: bool) -> Self {
        let key = if cavage {
            Key::Cavage(Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length"))
        } else {
            Key::Rfc9421(KeyState::new(&Secret::new(secret.as_bytes().to_vec())))
        };
        Self { access_key: access_key.to_owned(), key }
    }

    pub fn sign(&self, question: &Question<'_>) -> Signed {
        match &self.key {
            Key::Rfc9421(key) => self.rfc9421(key, question),
            Key::Cavage(key) => self.cavage(key.clone(), question),
        }
    }

    fn rfc9421(&self, key: &KeyState, question: &Question<'_>) -> Signed {
        let Question { method, authority, target, digest, nonce, now } = *question;
        let fields: ArrayVec<Field<'_>, 2> =
            [("host", Some(authority.as_bytes())), ("content-digest", digest.map(|digest| &**digest))]
                .into_iter()
                .filter_map(|(name, value)| Some(Field { name, value: value? }))
                .collect();
        let covered = COVERED.get(..COVERED.len() - usize::from(digest.is_none())).unwrap_or_default();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let head = RequestHead { method, scheme: Scheme::Http, authority, path, query, fields: &fields };
        let params =
            Rfc9421Params { created: UnixSeconds(now), expires: None, nonce, key_id: &self.access_key, label: "sig1" };
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        sign_rfc9421(&head, covered, &params, key, &mut input, &mut signature).expect("the request can be signed");
        Signed::from([("signature-input", input), ("signature", signature)])
    }

    fn cavage(&self, mut key: Hmac<Sha256>, question: &Question<'_>) -> Signed {
        let Question { method, authority, target, digest, nonce: _, now } = *question;
        let (mut names, method) = ("(request-target) host x-date".to_owned(), method.to_ascii_lowercase());
        let mut text = format!("(request-target): {method} {target}\nhost: {authority}\nx-date: {now}").into_bytes();
        if let Some(digest) = digest {
            names += " content-digest";
            text.extend_from_slice(b"\ncontent-digest: ");
            text.extend_from_slice(digest);
        }
        key.update(&text);
        let signature = STANDARD.encode(key.finalize().into_bytes());
        let (access_key, algorithm) = (&self.access_key, "hmac-sha256");
        let authorization = format!(
            r#"Signature keyId="{access_key}",algorithm="{algorithm}",headers="{names}",signature="{signature}""#
        );
        Signed::from([("x-date", now.to_string().into_bytes()), ("authorization", authorization.into_bytes())])
    }
}

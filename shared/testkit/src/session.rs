//! Sessions as a source holds them and as a target asks about them, and the check of what the platform answers.

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::session::message::SessionAnswer;
use lgsp_shared::session::{Granted, Scope, SessionKey, TicketKeys};
use lgsp_shared::signature::rfc9421::response::{
    Covered, ResponseError, ResponseHead, ResponseSignature, verify_response,
};
use lgsp_shared::signature::{ContentDigest, KeyState};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};

use crate::client::{Identity, Request, Response};
use crate::resources::seal_key;

/// A session as its source holds it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The ticket.
    pub ticket: String,
    /// The session key.
    pub key: SessionKey,
}

impl Session {
    /// The session in the platform's answer; fails when it is none.
    pub fn of(answer: &Response) -> Self {
        assert_eq!(answer.status, 201, "{answer:?}");
        let SessionAnswer { ticket, session_key, .. } = serde_json::from_slice(&answer.body).expect("a session");
        Self { ticket, key: SessionKey::parse(&session_key).expect("a session key") }
    }

    /// A session no node has given: whatever a test wants to see refused, under the platform's own keys.
    pub fn forge(owner: &str, owner_of: &Identity, service: &str, issued: UnixSeconds, lifetime_secs: u32) -> Self {
        let key = SessionKey::new([7; 32]);
        let granted = Granted {
            source: &owner.parse().expect("a system name"),
            access_key: &owner_of.access_key,
            service: &service.parse().expect("a service name"),
            scopes: &[Scope { methods: vec!["GET", "POST"], paths: vec![""] }],
            issued,
            lifetime_secs,
            revision: lgsp_shared::id::Revision(1),
        };
        let keys = TicketKeys::derive(&seal_key().into(), &["1".parse().expect("a key name")]);
        Self { ticket: keys.seal(&granted, &key, [5; 12]).expect("a ticket"), key }
    }
}

/// `POST /lgsp/v1/sessions` for a service.
pub fn open_session(service: &str) -> Request {
    Request::post("/lgsp/v1/sessions", json!({"service": service}).to_string())
        .header("content-type", "application/json")
}

/// `POST /lgsp/v1/verifications` about a request that a target received as these bytes.
pub fn verification(service: &str, received: &[u8]) -> Request {
    let asked = json!({"service": service, "request": received_request(received)});
    Request::post("/lgsp/v1/verifications", asked.to_string()).header("content-type", "application/json")
}

/// What a target says of a request that it received as these bytes.
pub fn received_request(bytes: &[u8]) -> Value {
    with_head(bytes, |head| {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: Vec<_> = head.fields.iter().map(|field| json!([field.name, text(field.value)])).collect();
        let mut told =
            json!({"method": head.method, "authority": head.authority, "path": head.path, "headers": headers});
        if let Some(query) = head.query {
            told["query"] = json!(query);
        }
        told
    })
}

/// Whether `answer` is the platform's own answer to the request sent as these bytes: signed with the caller's secret, over
/// status, body and the request's signature.
pub fn is_genuine(sent: &[u8], answer: &Response, secret: &Secret) -> Result<ResponseSignature, ResponseError> {
    let required = [
        Covered::Status,
        Covered::Field("content-digest"),
        Covered::Request("@method"),
        Covered::Request("@authority"),
        Covered::Request("@path"),
        Covered::Request("signature"),
    ];
    let fields: Vec<Field<'_>> =
        answer.headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
    let head = ResponseHead { status: answer.status, fields: &fields };
    let signed = with_head(sent, |request| verify_response(&head, request, &required, &KeyState::new(secret)))?;
    let mut digest = ContentDigest::parse(answer.header("content-digest").unwrap_or_default())
        .map_err(|error| ResponseError::Unreadable(error.to_string().into()))?
        .verifier();
    digest.update(&answer.body);
    digest.finish().map_err(|_| ResponseError::Mismatch)?;
    Ok(signed)
}

fn with_head<T>(bytes: &[u8], with: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(bytes).expect("an HTTP/1.1 request").is_complete(), "a whole head");
    let fields: Vec<Field<'_>> =
        parsed.headers.iter().map(|field| Field { name: field.name, value: field.value }).collect();
    let target = parsed.path.expect("a target");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let host = fields.iter().find(|field| field.is("host")).and_then(|field| field.text()).expect("a host");
    let method = parsed.method.expect("a method");
    with(&RequestHead { method, scheme: Scheme::Http, authority: host, path, query, fields: &fields })
}

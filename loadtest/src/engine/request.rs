//! Requests: everything that can be written beforehand, and the signature that cannot.
//!
//! Signs with the platform's own signer, so that what is measured is what agencies do: a fresh nonce and the time of day
//! in every request.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::id::ServiceId;
use lgsp_shared::seal::Secret;
use lgsp_shared::session::message::{SessionAnswer, SessionRequest};
use lgsp_shared::session::{PROOF_HEADER, SessionKey, TICKET_HEADER};
use lgsp_shared::signature::{
    AmzDate, ContentDigest, ExpectedDigest, KeyState, Rfc9421Params, SigV4Params, SignError, sign_rfc9421,
    sign_sigv4_header,
};
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest, Sha256};

use super::target::Target;
use crate::credential::Credential;
use crate::scenario::{Expect, Flaw, Kind, Signing};

#[cfg(test)]
mod tests;

/// Bytes of a body written at a time, and repeated for longer ones.
const PIECE_BYTES: usize = 64 << 10;
/// Distance of the markers in a body.
const MARKER_EVERY: usize = 4 << 10;
/// SigV4 scopes name a region and a service; any will do here.
const REGION: &str = "vn";
const SERVICE: &str = "s3";

/// Credentials by name; the first one given is the one that requests without a name use.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    first: Option<Credential>,
    named: BTreeMap<String, Credential>,
}

/// The bytes that bodies are made of.
#[derive(Clone)]
pub struct Body(Arc<[u8]>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// A kind of request, ready to be signed and sent.
#[derive(Debug)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// What is wrong with it on purpose.
    pub flaw: Flaw,
    /// The answer it should get.
    pub expect: Expect,
    /// Bytes of body.
    pub body_bytes: u64,
    pub(super) body: Body,
    /// Opens the session that this is sent within.
    pub(super) opener: Option<Box<Prepared>>,
    /// Whether the answer has no body, whatever its head says.
    pub(super) is_head: bool,
    method: String,
    target: String,
    authority: String,
    scheme: Scheme,
    signer: Option<(Signing, Credential)>,
    digest: Vec<u8>,
    payload: String,
}

/// Why a kind of request cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No credential to sign with.
    #[error(
        "the request `{kind}` is to be signed: give a credential with `--as FILE`, as `lgspctl credential issue --save` wrote it"
    )]
    NoCredential {
        /// Which.
        kind: String,
    },
    /// The question for a session cannot be written.
    #[error("the request for a session of `{kind}` cannot be written")]
    Session {
        /// Which.
        kind: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No credential of that name.
    #[error("the request `{kind}` is to be signed as `{name}`: give that credential with `--as {name}=FILE`")]
    UnknownCredential {
        /// Which.
        kind: String,
        /// By whom.
        name: String,
    },
    /// The signer refuses.
    #[error("the request `{kind}` cannot be signed")]
    Sign {
        /// Which.
        kind: String,
        /// Why.
        #[source]
        source: SignError,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness for nonces")]
    Randomness,
}

impl Credentials {
    /// Adds a credential; without a name it is called by its access key.
    pub fn add(&mut self, name: Option<&str>, credential: Credential) {
        let name = name.unwrap_or(credential.access_key.as_str()).to_owned();
        self.first.get_or_insert_with(|| credential.clone());
        self.named.insert(name, credential);
    }

    fn of(&self, kind: &Kind) -> Result<Credential, RequestError> {
        match &kind.credential {
            None => self.first.clone().ok_or_else(|| RequestError::NoCredential { kind: kind.name.clone() }),
            Some(name) => self
                .named
                .get(name)
                .cloned()
                .ok_or_else(|| RequestError::UnknownCredential { kind: kind.name.clone(), name: name.clone() }),
        }
    }
}

impl Body {
    /// Bytes that hold `marker`, if there is one, every few KiB.
    pub fn new(marker: Option<&str>) -> Self {
        let mut piece = vec![b'x'; PIECE_BYTES];
        if let Some(marker) = marker {
            for place in piece.chunks_mut(MARKER_EVERY) {
                for (to, from) in place.iter_mut().zip(marker.bytes()) {
                    *to = from;
                }
            }
        }
        Self(piece.into())
    }

    /// Bytes that say something.
    fn text(content: &str) -> Self {
        Self(content.as_bytes().into())
    }

    /// The next bytes of a body of which `left` are still to come.
    pub(super) fn piece(&self, left: u64) -> &[u8] {
        let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(self.0.len());
        self.0.get(..length).unwrap_or_default()
    }

    fn sha256(&self, bytes: u64) -> [u8; 32] {
        let (mut hash, mut left) = (Sha256::new(), bytes);
        while left > 0 {
            let piece = self.piece(left);
            hash.update(piece);
            left -= piece.len() as u64;
        }
        hash.finalize().into()
    }
}

impl Prepared {
    /// Prepares a kind; with `marker`, its query carries it as well as its body.
    pub fn new(
        kind: &Kind,
        target: &Target,
        credentials: &Credentials,
        body: &Body,
        marker: Option<&str>,
    ) -> Result<Self, RequestError> {
        let signer = match (kind.signing, kind.flaw) {
            (Signing::Unsigned, _) => None,
            (signing, Flaw::Sound | Flaw::Replay) => Some((signing, credentials.of(kind)?)),
            (signing, Flaw::BadSignature) => {
                let mut wrong = [0; 32];
                getrandom::fill(&mut wrong).map_err(|_| RequestError::Randomness)?;
                let key = KeyState::new(&Secret::new(wrong.to_vec()));
                Some((signing, Credential { key, ..credentials.of(kind)? }))
            }
        };
        let own = kind.content.as_deref().map(Body::text);
        let body = own.as_ref().unwrap_or(body);
        let opener = kind.session.as_ref().map(|service| opener(kind, service)).transpose()?;
        let opener = opener.map(|kind| Prepared::new(&kind, target, credentials, body, None)).transpose()?;
        let hash = body.sha256(kind.body);
        let mut digest = Vec::new();
        if kind.body > 0 {
            ContentDigest::format(&ExpectedDigest::sha256(hash), &mut digest);
        }
        let joint = if kind.target.contains('?') { '&' } else { '?' };
        let target_text = marker.map_or_else(|| kind.target.clone(), |it| format!("{}{joint}canary={it}", kind.target));
        let prepared = Self {
            name: kind.name.clone(),
            flaw: kind.flaw,
            expect: kind.expect.clone(),
            body_bytes: kind.body,
            body: body.clone(),
            opener: opener.map(Box::new),
            is_head: kind.method == "HEAD",
            method: kind.method.clone(),
            target: target_text,
            authority: target.authority.clone(),
            scheme: target.scheme(),
            signer,
            digest,
            payload: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        // What cannot be signed now cannot be signed later; after this, only the clock and the nonce change.
        let mut ink = Ink::new()?;
        prepared.write(&mut ink).map_err(|source| RequestError::Sign { kind: kind.name.clone(), source })?;
        Ok(prepared)
    }

    /// Writes the head and as much of the body as fits into one piece; how long signing took, in nanoseconds.
    pub(super) fn write(&self, ink: &mut Ink) -> Result<Option<u64>, SignError> {
        ink.out.clear();
        for part in [&self.method, " ", &self.target, " HTTP/1.1\r\nhost: ", &self.authority, "\r\n"] {
            ink.out.extend_from_slice(part.as_bytes());
        }
        if self.body_bytes > 0 {
            ink.number.clear();
            // Writing to memory does not fail.
            let _ = write!(ink.number, "{}", self.body_bytes);
            let parts: [&[u8]; 5] = [b"content-length: ", &ink.number, b"\r\ncontent-digest: ", &self.digest, b"\r\n"];
            parts.iter().for_each(|part| ink.out.extend_from_slice(part));
        }
        let signed = Instant::now();
        let took = match &self.signer {
            None => None,
            Some((Signing::SigV4, credential)) => {
                self.sign_sigv4(credential, ink)?;
                Some(signed.elapsed())
            }
            Some((_, credential)) => {
                self.sign_rfc9421(credential, ink)?;
                Some(signed.elapsed())
            }
        };
        ink.out.extend_from_slice(b"\r\n");
        ink.out.extend_from_slice(self.body.piece(self.body_bytes));
        Ok(took.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Bytes of body that follow what [`Prepared::write`] wrote.
    pub(super) fn rest(&self) -> u64 {
        self.body_bytes - self.body.piece(self.body_bytes).len() as u64
    }

    fn head<'a>(&'a self, fields: &'a [Field<'a>]) -> RequestHead<'a> {
        let (path, query) =
            self.target.split_once('?').map_or((self.target.as_str(), None), |(path, query)| (path, Some(query)));
        let Self { method, scheme, authority, .. } = self;
        RequestHead { method, scheme: *scheme, authority, path, query, fields }
    }

    fn sign_rfc9421(&self, credential: &Credential, ink: &mut Ink) -> Result<(), SignError> {
        const COVERED: [&str; 7] =
            ["@method", "@authority", "@path", "@query", TICKET_HEADER, PROOF_HEADER, "content-digest"];
        ink.next_nonce();
        let session = self.opener.as_ref().and_then(|_| ink.sessions.get(&self.name));
        let proof = session.map(|session| session.key.proof(&ink.nonce));
        let ticket = session.map_or("", |session| session.ticket.as_str());
        let own = [
            (true, Field { name: "host", value: self.authority.as_bytes() }),
            (session.is_some(), Field { name: TICKET_HEADER, value: ticket.as_bytes() }),
            (
                session.is_some(),
                Field { name: PROOF_HEADER, value: proof.as_ref().map_or(&[], |proof| proof.as_slice()) },
            ),
            (self.body_bytes > 0, Field { name: "content-digest", value: &self.digest }),
        ];
        let mut fields = [Field { name: "host", value: self.authority.as_bytes() }; 4];
        let mut count = 0;
        for (field, place) in own.iter().filter(|(sent, _)| *sent).map(|(_, field)| field).zip(&mut fields) {
            *place = *field;
            count += 1;
        }
        let fields = fields.get(..count).unwrap_or_default();
        let mut covered = COVERED;
        let mut components = 0;
        let sent = |name: &str| name.starts_with('@') || fields.iter().any(|field| field.name == name);
        for (name, place) in COVERED.into_iter().filter(|name| sent(name)).zip(&mut covered) {
            *place = name;
            components += 1;
        }
        let covered = covered.get(..components).unwrap_or_default();
        let params = Rfc9421Params {
            created: now(),
            expires: None,
            nonce: &ink.nonce,
            key_id: credential.access_key.as_str(),
            label: "sig1",
        };
        let (input, signature) = (&mut ink.input, &mut ink.signature);
        sign_rfc9421(&self.head(fields), covered, &params, &credential.key, input, signature)?;
        for field in fields.iter().filter(|field| matches!(field.name, TICKET_HEADER | PROOF_HEADER)) {
            for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                ink.out.extend_from_slice(part);
            }
        }
        for part in [b"signature-input: ".as_slice(), input, b"\r\nsignature: ", signature, b"\r\n"] {
            ink.out.extend_from_slice(part);
        }
        Ok(())
    }

    fn sign_sigv4(&self, credential: &Credential, ink: &mut Ink) -> Result<(), SignError> {
        const SIGNED: [&str; 5] = ["content-digest", "host", "lgsp-nonce", "x-amz-content-sha256", "x-amz-date"];
        ink.next_nonce();
        let date = AmzDate::of(now()).ok_or(SignError::Time)?;
        // Two requests of one second would have one signature, and be a replay: hence the nonce.
        let fields = [
            Field { name: "content-digest", value: &self.digest },
            Field { name: "host", value: self.authority.as_bytes() },
            Field { name: "lgsp-nonce", value: ink.nonce.as_bytes() },
            Field { name: "x-amz-content-sha256", value: self.payload.as_bytes() },
            Field { name: "x-amz-date", value: date.as_str().as_bytes() },
        ];
        let skipped = usize::from(self.body_bytes == 0);
        let fields = fields.get(skipped..).unwrap_or_default();
        let signed = SIGNED.get(skipped..).unwrap_or_default();
        let params = SigV4Params {
            access_key: credential.access_key.as_str(),
            region: REGION,
            service: SERVICE,
            date,
            payload: &self.payload,
        };
        sign_sigv4_header(&self.head(fields), signed, &params, &credential.key, &mut ink.signature)?;
        for name in ["lgsp-nonce", "x-amz-content-sha256", "x-amz-date"] {
            let value = fields.iter().find(|field| field.name == name).map_or(&[][..], |field| field.value);
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                ink.out.extend_from_slice(part);
            }
        }
        for part in [b"authorization: ".as_slice(), &ink.signature, b"\r\n"] {
            ink.out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// The request that opens a session for a kind.
fn opener(kind: &Kind, service: &ServiceId) -> Result<Kind, RequestError> {
    let asked = SessionRequest { service: service.clone(), methods: Vec::new(), paths: Vec::new() };
    let content =
        serde_json::to_string(&asked).map_err(|source| RequestError::Session { kind: kind.name.clone(), source })?;
    Ok(Kind {
        name: format!("{} (session)", kind.name),
        method: "POST".to_owned(),
        target: lgsp_shared::session::SESSIONS_PATH.to_owned(),
        body: content.len() as u64,
        content: Some(content),
        session: None,
        expect: Expect { status: 201, code: None, bytes: None },
        ..kind.clone()
    })
}

/// Buffers and nonces of one thread.
#[derive(Debug)]
pub(super) struct Ink {
    /// What was written last.
    pub(super) out: Vec<u8>,
    number: Vec<u8>,
    input: Vec<u8>,
    signature: Vec<u8>,
    nonce: String,
    prefix: String,
    count: u64,
    /// By the name of the kind they are for.
    sessions: BTreeMap<String, Session>,
}

/// A session that was opened.
#[derive(Debug)]
struct Session {
    ticket: String,
    key: SessionKey,
    lifetime: Duration,
    /// When it should be opened again.
    renew: Instant,
}

impl Ink {
    pub(super) fn new() -> Result<Self, RequestError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| RequestError::Randomness)?;
        let prefix = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (out, number, input, signature) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { out, number, input, signature, nonce: String::new(), prefix, count: 0, sessions: BTreeMap::new() })
    }

    /// Whether a kind needs a session and this caller is the one to open it. Until that is done, others go on with the
    /// one they have, which still has half of its life.
    pub(super) fn takes_session_over(&mut self, kind: &Prepared) -> bool {
        if kind.opener.is_none() {
            return false;
        }
        let now = Instant::now();
        match self.sessions.get_mut(&kind.name) {
            Some(session) if session.renew > now => false,
            Some(session) => {
                session.renew = now + session.lifetime / 8;
                true
            }
            None => true,
        }
    }

    /// Takes the answer to the opener of a kind; whether it was a session.
    pub(super) fn take_session(&mut self, kind: &Prepared, created: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<SessionAnswer>(created) else { return false };
        let Some(key) = SessionKey::parse(&answer.session_key) else { return false };
        // Half of its life is left for what is under way.
        let lifetime = Duration::from_secs(answer.expires_in_secs.into());
        let renew = Instant::now() + lifetime / 2;
        self.sessions.insert(kind.name.clone(), Session { ticket: answer.ticket, key, lifetime, renew });
        true
    }

    /// Never used before: random per thread, counted within it.
    fn next_nonce(&mut self) {
        use std::fmt::Write;
        self.count += 1;
        self.nonce.clear();
        self.nonce.push_str(&self.prefix);
        // Writing to memory does not fail.
        let _ = write!(self.nonce, "-{:x}", self.count);
    }
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

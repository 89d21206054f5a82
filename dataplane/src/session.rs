//! What the platform itself answers (A12): it opens sessions for sources, and verifies for targets what reached them
//! directly. Whatever lies below `/lgsp/` comes here and is never forwarded.
//!
//! Synchronous and pure but for the replay window and the quota; random bytes are arguments. A call is made of two halves,
//! because its body arrives after its head: [`receive`] decides who is calling, [`Call::answer`] answers when the body
//! is whole and verified.

use std::sync::Arc;

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::refusal::{Code, Language};
use lgsp_shared::resource::OwnerUnreachable;
use lgsp_shared::session::message::BODY_BYTES_MAX;
use lgsp_shared::session::{RESERVED_PATH, SESSIONS_PATH, VERIFICATIONS_PATH};
use lgsp_shared::signature::{BodyRule, ChunkVerifier, SignatureScheme};
use serde::de::DeserializeOwned;

use crate::admission::{Identified, Question, Refusal, ReplayWindow, identify};
use crate::clock::Now;
use crate::snapshot::{Credential, Snapshot};

mod open;
mod reply;
mod verify;

pub use reply::Reply;

/// The largest body taken here.
pub const CALL_BYTES_MAX: u64 = BODY_BYTES_MAX as u64;

/// Random bytes for one answer: a session key and a sealing's nonce.
pub type Random = [u8; RANDOM_BYTES];
/// How many there are.
pub const RANDOM_BYTES: usize = 32 + 12;

/// Fresh random bytes; `None` when the system has none to give.
pub fn random() -> Option<Random> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether a request is for the platform itself.
pub fn is_for_platform(path: &str) -> bool {
    path.strip_prefix(RESERVED_PATH).is_some_and(|rest| rest.starts_with('/'))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Sessions,
    Verifications,
}

impl Endpoint {
    fn of(method: &str, path: &str) -> Result<Self, Refusal> {
        let endpoint = match path {
            SESSIONS_PATH => Endpoint::Sessions,
            VERIFICATIONS_PATH => Endpoint::Verifications,
            _ => {
                let detail = "the platform answers at `/lgsp/v1/sessions` and `/lgsp/v1/verifications`";
                return Err(Refusal::new(Code::RouteNotFound).with_detail(detail));
            }
        };
        if method == "POST" {
            return Ok(endpoint);
        }
        Err(Refusal { allow: vec!["POST".into()], ..Refusal::new(Code::MethodNotAllowed) })
    }
}

/// A call of a system that is known by now; its body is to come.
pub struct Call {
    endpoint: Endpoint,
    snapshot: Arc<Snapshot>,
    caller: Arc<Credential>,
    scheme: SignatureScheme,
    asked: Asked,
    body: BodyRule,
    chunks: Option<ChunkVerifier>,
    question: Option<Question>,
    language: Language,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("endpoint", &self.endpoint)
            .field("caller", &self.caller.id)
            .finish_non_exhaustive()
    }
}

/// What of the call's head its answer is signed with.
#[derive(Debug)]
struct Asked {
    method: Box<str>,
    scheme: Scheme,
    authority: Box<str>,
    path: Box<str>,
    query: Option<Box<str>>,
    signature: Option<(&'static str, Box<[u8]>)>,
}

impl Asked {
    fn of(head: &RequestHead<'_>) -> Self {
        let named = |name: &'static str| head.all(name).next().map(|field| (name, field.value.into()));
        Self {
            method: head.method.into(),
            scheme: head.scheme,
            authority: head.authority.into(),
            path: head.path.into(),
            query: head.query.map(Box::from),
            signature: named("signature").or_else(|| named("authorization")),
        }
    }

    /// Calls `with` with the head as far as it is kept.
    fn with_head<T>(&self, with: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let field = self.signature.as_ref().map(|(name, value)| Field { name, value });
        with(&RequestHead {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            fields: field.as_slice(),
        })
    }
}

/// Decides who is calling and for what.
///
/// # Errors
/// The first reason to refuse it. Where there is no endpoint nothing is verified.
pub fn receive(
    head: &RequestHead<'_>,
    snapshot: &Arc<Snapshot>,
    replay: &ReplayWindow,
    language: Language,
    now: Now,
) -> Result<Call, Refusal> {
    let endpoint = Endpoint::of(head.method, head.path)?;
    let Identified { credential, scheme, body, chunks, question } = identify(head, snapshot, replay, now)?;
    let body = match body {
        // What is asked for has to be signed; an unsigned body could be anybody's.
        BodyRule::Unsigned => BodyRule::Empty,
        BodyRule::Empty | BodyRule::Digest(_) | BodyRule::Chunked { .. } => body,
    };
    let (snapshot, asked) = (snapshot.clone(), Asked::of(head));
    Ok(Call { endpoint, snapshot, caller: credential, scheme, asked, body, chunks, question, language })
}

impl Call {
    /// Who is calling.
    pub fn caller(&self) -> &Arc<Credential> {
        &self.caller
    }

    /// How the call was signed.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// What the owner of the call's nonce has to be asked before it is answered, and the policy when it cannot be.
    pub fn question(&self) -> Option<(Question, OwnerUnreachable)> {
        Some((self.question?, self.snapshot.defaults.replay_owner_unreachable))
    }

    /// What the body must satisfy before it is given to [`Self::answer`].
    pub fn body_rule(&mut self) -> (BodyRule, Option<ChunkVerifier>) {
        (self.body, self.chunks.take())
    }

    /// Answers, once the body is whole and verified. `first_use` is told what the owner of a verified request's nonce has
    /// to be asked, and with which policy; it tells whether that nonce was used nowhere else.
    ///
    /// # Errors
    /// Why the platform does not do what is asked. That a request is not what it claims is an answer, not an error.
    pub async fn answer<F>(
        self,
        body: &[u8],
        replay: &ReplayWindow,
        now: Now,
        random: &Random,
        first_use: impl FnOnce(Question, OwnerUnreachable) -> F,
    ) -> Result<Reply, Refusal>
    where
        F: Future<Output = Result<(), Code>>,
    {
        let answered = match self.endpoint {
            Endpoint::Sessions => open::answer(&self, body, now, random),
            Endpoint::Verifications => verify::answer(&self, body, replay, now, first_use).await,
        };
        answered.map_err(|refusal| refusal.from(&self.caller))
    }
}

/// Reads a body strictly: what is not understood may have been meant to restrict.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut read = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut read).map_err(|error| {
        // The message names fields and types, and at most a short piece of what the caller sent.
        const SHOWN_CHARS_MAX: usize = 200;
        let told = format!("`{}`: {}", error.path(), error.inner());
        Refusal::new(Code::BodyMalformed).with_detail(told.chars().take(SHOWN_CHARS_MAX).collect::<String>())
    })
}

#[cfg(test)]
mod tests;

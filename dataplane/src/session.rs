//! What the platform itself answers (A12): it opens sessions for sources, and verifies for targets what reached them
//! directly. Whatever lies below `/lgsp/` comes here and is never forwarded.
//!
//! Synchronous and pure but for the replay window and the quota; random bytes are arguments. A call is made of two halves,
//! because its body arrives after its head: [`receive`] decides who is calling, [`Call::answer`] answers when the body
//! is whole and verified.

use std::sync::Arc;

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::id::ServiceId;
use lgsp_shared::refusal::{Code, Language};
use lgsp_shared::resource::OwnerUnreachable;
pub use lgsp_shared::session::is_for_platform;
use lgsp_shared::session::message::BODY_BYTES_MAX;
use lgsp_shared::signature::{BodyRule, ChunkVerifier, SignatureScheme};
use serde::de::DeserializeOwned;

use crate::admission::{Identified, Question, Refusal, ReplayWindow, SignedAt, Stated, StatedSignature, identify};
use crate::clock::Now;
use crate::record::{CallKind, Called, Named};
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

fn kind_of(method: &str, path: &str) -> Result<CallKind, Refusal> {
    let Some(kind) = CallKind::at(path) else {
        let detail = "the platform answers at `/lgsp/v1/sessions` and `/lgsp/v1/verifications`";
        return Err(Refusal::new(Code::RouteNotFound).with_detail(detail));
    };
    if method == "POST" {
        return Ok(kind);
    }
    Err(Refusal { allow: vec!["POST".into()], ..Refusal::new(Code::MethodNotAllowed) })
}

/// A call of a system that is known by now; its body is to come.
pub struct Call {
    kind: CallKind,
    snapshot: Arc<Snapshot>,
    caller: Arc<Credential>,
    scheme: SignatureScheme,
    signed: SignedAt,
    has_nonce: bool,
    asked: Asked,
    body: BodyRule,
    chunks: Option<ChunkVerifier>,
    question: Option<Question>,
    language: Language,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("kind", &self.kind).field("caller", &self.caller.id).finish_non_exhaustive()
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
    let kind = kind_of(head.method, head.path)?;
    let Identified { credential, scheme, signed, has_nonce, body, chunks, question } =
        identify(head, snapshot, replay, now)?;
    let body = match body {
        // What is asked for has to be signed; an unsigned body could be anybody's.
        BodyRule::Unsigned | BodyRule::UnsignedChunks { .. } => BodyRule::Empty,
        BodyRule::Empty | BodyRule::Digest(_) | BodyRule::Chunked { .. } => body,
    };
    let (snapshot, asked) = (snapshot.clone(), Asked::of(head));
    let caller = credential;
    Ok(Call { kind, snapshot, caller, scheme, signed, has_nonce, asked, body, chunks, question, language })
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

    /// A refusal of this call for this reason, with all that is known of it.
    pub fn refused(&self, code: Code) -> Refusal {
        self.telling(code.into())
    }

    fn telling(&self, refusal: Refusal) -> Refusal {
        let signature = StatedSignature {
            access_key: self.caller.access_key.as_str().into(),
            scheme: self.scheme,
            at: self.signed,
            has_nonce: self.has_nonce,
        };
        let stated = Stated { authority: self.asked.authority.clone(), signature: Some(signature) };
        refusal.from(&self.caller).stating(Box::new(stated))
    }

    fn named(&self, service: &ServiceId) -> Named {
        match self.snapshot.service(service.as_str()) {
            Some(known) => Named::Known(known.clone()),
            None => Named::Unknown(service.clone()),
        }
    }

    /// What the body must satisfy before it is given to [`Self::answer`].
    pub fn body_rule(&mut self) -> (BodyRule, Option<ChunkVerifier>) {
        (self.body, self.chunks.take())
    }

    /// Answers, once the body is whole and verified. `first_use` is told what the owner of a verified request's nonce has
    /// to be asked, and with which policy; it tells whether that nonce was used nowhere else.
    ///
    /// The reply is an error where the platform does not do what is asked. That a request is not what it claims is a reply.
    pub async fn answer<F>(
        self,
        body: &[u8],
        replay: &ReplayWindow,
        now: Now,
        random: &Random,
        first_use: impl FnOnce(Question, OwnerUnreachable) -> F,
    ) -> Answered
    where
        F: Future<Output = Result<(), Code>>,
    {
        let mut called = Called::new(self.kind);
        let reply = match self.kind {
            CallKind::Session => open::answer(&self, body, now, random, &mut called),
            CallKind::Verification => verify::answer(&self, body, replay, now, first_use, &mut called).await,
        };
        Answered { called, reply: reply.map_err(|refusal| self.telling(refusal)) }
    }
}

/// A call that came to its end.
#[derive(Debug)]
pub struct Answered {
    /// What is recorded of it.
    pub called: Called,
    /// What its caller is told.
    pub reply: Result<Reply, Refusal>,
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

//! Why a request was refused, and who it was from as far as that was proved.

use std::borrow::Cow;
use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::{Claim, ClaimError, Nonce, SignatureScheme};
use lgsp_shared::timestamp::UnixSeconds;

use crate::snapshot::{Credential, Route};

/// A refusal: everything the answer and the record need.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// Which part of the request it is about; never a secret.
    pub detail: Option<Cow<'static, str>>,
    /// The text the node expected to be signed, where the policy allows to show it. It holds only what was sent.
    pub expected: Option<Box<str>>,
    /// Seconds until it may work, for `Retry-After`.
    pub retry_after_secs: Option<u32>,
    /// Methods for `Allow`.
    pub allow: Vec<Box<str>>,
    /// Who sent it, once the signature was verified.
    pub credential: Option<Arc<Credential>>,
    /// Where it was going, once that was known.
    pub route: Option<Arc<Route>>,
    /// What the request said of itself, for whoever asks later why it was refused.
    pub stated: Option<Box<Stated>>,
}

/// What a refused request said of itself. Nothing of it is proved; all of it is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// The host it named.
    pub authority: Box<str>,
    /// What its signature said, if that could be read.
    pub signature: Option<StatedSignature>,
}

/// What a signature said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedSignature {
    /// The access key.
    pub access_key: Box<str>,
    /// How it was made.
    pub scheme: SignatureScheme,
    /// When.
    pub at: SignedAt,
    /// Whether it came with a nonce of its own.
    pub has_nonce: bool,
}

/// The times of a signature by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedAt {
    /// When it was made.
    pub created: UnixSeconds,
    /// When it ends, if it says so.
    pub expires: Option<UnixSeconds>,
    /// Whether it states its own life time in the query, in place of the clock window.
    pub presigned: bool,
}

impl SignedAt {
    /// The times of a claim.
    pub fn of(claim: &Claim<'_>) -> Self {
        let presigned = claim.scheme() == SignatureScheme::SigV4Presigned;
        Self { created: claim.created(), expires: claim.expires(), presigned }
    }
}

/// Bytes kept of a host and of an access key in [`Stated`].
const STATED_BYTES_MAX: usize = 255;

impl Stated {
    /// Copies what is short out of the request, and out of its claim if that could be read.
    pub(super) fn of(head: &RequestHead<'_>, claim: Option<&Claim<'_>>) -> Box<Self> {
        let cut = |text: &str| text.get(..text.floor_char_boundary(STATED_BYTES_MAX)).unwrap_or_default().into();
        let signature = claim.map(|claim| StatedSignature {
            access_key: cut(claim.access_key()),
            scheme: claim.scheme(),
            at: SignedAt::of(claim),
            has_nonce: matches!(claim.nonce(), Nonce::Given(_)),
        });
        Box::new(Self { authority: cut(head.authority), signature })
    }
}

impl Refusal {
    /// A refusal with nothing known but its reason.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            expected: None,
            retry_after_secs: None,
            allow: Vec::new(),
            credential: None,
            route: None,
            stated: None,
        }
    }

    /// Names the part of the request it is about.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the part, where that is known.
    pub fn because(mut self, detail: Option<&'static str>) -> Self {
        self.detail = detail.map(Cow::Borrowed).or(self.detail);
        self
    }

    /// Says when to try again.
    pub fn with_retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Names who sent it.
    pub fn from(mut self, credential: &Arc<Credential>) -> Self {
        self.credential = Some(credential.clone());
        self
    }

    /// Keeps what the request said of itself.
    pub fn stating(mut self, stated: Box<Stated>) -> Self {
        self.stated = Some(stated);
        self
    }

    /// Names where it was going.
    pub fn towards(mut self, route: &Arc<Route>) -> Self {
        self.route = Some(route.clone());
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<ClaimError> for Refusal {
    fn from(error: ClaimError) -> Self {
        Self::new(error.code()).with_detail(error.to_string())
    }
}

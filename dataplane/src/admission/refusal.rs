//! Why a request was refused, and who it was from as far as that was proved.

use std::borrow::Cow;
use std::sync::Arc;

use lgsp_shared::refusal::Code;
use lgsp_shared::signature::ClaimError;

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
}

impl Refusal {
    /// A refusal with nothing known but its reason.
    pub fn new(code: Code) -> Self {
        let (allow, retry_after_secs) = (Vec::new(), None);
        Self { code, detail: None, expected: None, retry_after_secs, allow, credential: None, route: None }
    }

    /// Names the part of the request it is about.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
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

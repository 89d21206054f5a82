//! What the platform itself was asked (A12) and what it said: the part of a record that no exchange has.

use std::sync::Arc;

use lgsp_shared::id::ServiceId;
use lgsp_shared::refusal::Code;
use lgsp_shared::session::{SESSIONS_PATH, VERIFICATIONS_PATH};

use crate::snapshot::{Credential, Grant, Service};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A source asks for a session.
    Session,
    /// A target asks about a request that reached it directly.
    Verification,
}

impl CallKind {
    /// What a request of this path asks; `None` where the platform answers nothing.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            SESSIONS_PATH => Some(CallKind::Session),
            VERIFICATIONS_PATH => Some(CallKind::Verification),
            _ => None,
        }
    }

    /// Metric label and record field.
    pub fn label(self) -> &'static str {
        match self {
            CallKind::Session => "session",
            CallKind::Verification => "verification",
        }
    }
}

/// The service a call names.
#[derive(Debug, Clone)]
pub enum Named {
    /// One that is configured.
    Known(Arc<Service>),
    /// One that is not.
    Unknown(ServiceId),
}

impl Named {
    /// The name.
    pub fn id(&self) -> &ServiceId {
        match self {
            Named::Known(service) => &service.id,
            Named::Unknown(id) => id,
        }
    }
}

/// What was said. A call that was refused itself has none: its outcome says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The source has a session.
    Granted,
    /// The target may serve the request.
    Accepted,
    /// The target may not, for this reason.
    Refused(Code),
}

impl Verdict {
    /// Metric label and record field.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Granted => "granted",
            Verdict::Accepted => "accepted",
            Verdict::Refused(code) => code.label(),
        }
    }
}

/// A call, as far as it got.
#[derive(Debug, Clone)]
pub struct Called {
    /// What was asked.
    pub kind: CallKind,
    /// The service it was asked about, once the body was read.
    pub service: Option<Named>,
    /// What was said, if anything was.
    pub verdict: Option<Verdict>,
    /// Who sent the request that was to be verified, once that was proved.
    pub verified: Option<Arc<Credential>>,
    /// The grant by which that request may be served.
    pub grant: Option<Arc<Grant>>,
}

impl Called {
    /// A call of which nothing but its kind is known.
    pub fn new(kind: CallKind) -> Self {
        Self { kind, service: None, verdict: None, verified: None, grant: None }
    }
}

//! Which step of the decision a refusal belongs to: the lines of an explanation, in the order in which a node decides.

use super::Code;

/// A step of the decision. The first that fails is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The node takes requests at all.
    Node,
    /// The bytes are one unambiguous request.
    Request,
    /// The access key is known.
    Identity,
    /// The signature covers what it has to, and its secret is the credential's.
    Signature,
    /// The credential may be used now.
    Key,
    /// It was signed now.
    Clock,
    /// It is here for the first time.
    Replay,
    /// A route takes it, and it satisfies what the route demands.
    Route,
    /// It belongs to a session, where the route demands one, and the session covers it.
    Session,
    /// A permission grants it.
    Permission,
    /// The permission's quota has room.
    Quota,
    /// The body is the one that was signed, whole, and not too large.
    Body,
    /// The target answers.
    Target,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 13] = [
        Step::Node,
        Step::Request,
        Step::Identity,
        Step::Signature,
        Step::Key,
        Step::Clock,
        Step::Replay,
        Step::Route,
        Step::Session,
        Step::Permission,
        Step::Quota,
        Step::Body,
        Step::Target,
    ];

    /// The stable name, in explanations.
    pub fn label(self) -> &'static str {
        match self {
            Step::Node => "node",
            Step::Request => "request",
            Step::Identity => "identity",
            Step::Signature => "signature",
            Step::Key => "key",
            Step::Clock => "clock",
            Step::Replay => "replay",
            Step::Route => "route",
            Step::Session => "session",
            Step::Permission => "permission",
            Step::Quota => "quota",
            Step::Body => "body",
            Step::Target => "target",
        }
    }
}

impl Code {
    /// The step at which this refusal is made.
    pub fn step(self) -> Step {
        match self {
            Code::Overloaded | Code::RecordsUnavailable | Code::Internal => Step::Node,
            Code::RequestMalformed
            | Code::VersionUnsupported
            | Code::HeaderTimeout
            | Code::HeaderTooLarge
            | Code::PathTooLong
            | Code::BodyMalformed
            | Code::ExpectationFailed => Step::Request,
            Code::KeyUnknown => Step::Identity,
            Code::SignatureMissing | Code::SignatureMalformed | Code::SignatureIncomplete | Code::SignatureInvalid => {
                Step::Signature
            }
            Code::KeyDisabled | Code::KeyExpired | Code::KeyRetired | Code::KeyNotYetValid => Step::Key,
            Code::ClockSkew | Code::SignatureExpired => Step::Clock,
            Code::NonceMissing
            | Code::Replayed
            | Code::SignatureRepeated
            | Code::ReplayUnknown
            | Code::ReplayWindowFull
            | Code::ReplayOwnerUnreachable => Step::Replay,
            Code::RouteNotFound | Code::MethodNotAllowed | Code::RouteClosed => Step::Route,
            Code::SessionRequired
            | Code::SessionInvalid
            | Code::SessionExpired
            | Code::SessionForeign
            | Code::SessionProofInvalid
            | Code::SessionWrongTarget
            | Code::SessionOutOfScope
            | Code::SessionUnknown
            | Code::SessionScopeTooLarge => Step::Session,
            Code::PermissionMissing => Step::Permission,
            Code::QuotaExceeded => Step::Quota,
            Code::DigestMissing
            | Code::DigestMismatch
            | Code::ChunkSignatureInvalid
            | Code::BodyTooLarge
            | Code::BodyIncomplete
            | Code::BodyTimeout => Step::Body,
            Code::TargetUnreachable
            | Code::TargetTls
            | Code::TargetProtocol
            | Code::TargetClosed
            | Code::TargetTimeout
            | Code::TargetUnhealthy
            | Code::TargetBusy
            | Code::SourceBusy => Step::Target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_some_refusals_and_they_are_in_order() {
        assert!(Step::ALL.is_sorted());
        for step in Step::ALL {
            assert!(Code::ALL.iter().any(|code| code.step() == step), "{}", step.label());
        }
    }
}

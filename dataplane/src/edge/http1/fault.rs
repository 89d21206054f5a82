//! What is wrong with a message: the code the caller gets, and the part that was refused, named.

use lgsp_shared::refusal::Code;

use crate::edge::cause::Cause;

impl From<Fault> for Cause {
    fn from(Fault { code, detail }: Fault) -> Self {
        Self::new(code, detail)
    }
}

/// A message that is refused because of its bytes. `detail` names the offending part and never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Fault {
    /// The code of the refusal.
    pub code: Code,
    /// The part that was refused, for `detail` of the problem document.
    pub detail: &'static str,
}

impl Fault {
    /// An ambiguous or ill-formed request.
    pub const fn malformed(detail: &'static str) -> Self {
        Self { code: Code::RequestMalformed, detail }
    }

    /// A request body that was cut or wrongly framed.
    pub const fn body(detail: &'static str) -> Self {
        Self { code: Code::BodyIncomplete, detail }
    }

    /// An answer of the target that is not unambiguous HTTP/1.1.
    pub const fn target(detail: &'static str) -> Self {
        Self { code: Code::TargetProtocol, detail }
    }
}

//! Why an exchange ends otherwise than whole: the code, and what is known beside it. Both faces carry it from where it is
//! found out to the record, the log, the answer and the explanation, so that nothing known is lost on the way.

use lgsp_shared::refusal::Code;

use crate::admission::Refusal;

/// A code, and the part of the request or of the target's answer that it is about. The detail is a text of this program:
/// it names and never quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The code of the refusal.
    pub code: Code,
    /// What is known beside it.
    pub detail: Option<&'static str>,
}

impl Cause {
    /// With what is known beside the code.
    pub const fn new(code: Code, detail: &'static str) -> Self {
        Self { code, detail: Some(detail) }
    }

    /// The target did not do in time what `detail` says.
    pub const fn late(detail: &'static str) -> Self {
        Self::new(Code::TargetTimeout, detail)
    }

    /// The target's connection ended where `detail` says.
    pub const fn closed(detail: &'static str) -> Self {
        Self::new(Code::TargetClosed, detail)
    }
}

/// The exchange took longer than its service allows.
pub const TOTAL_OVER: Cause = Cause::late("the exchange took longer than the service's `total_ms`");

/// The source's body stopped, or came more slowly than a body may.
pub const BODY_LATE: Cause =
    Cause::new(Code::BodyTimeout, "the body came too slowly, or nothing of it for as long as `body_idle_ms`");
/// Only the reserve of descriptors is left.
pub const OUT_OF_DESCRIPTORS: Cause =
    Cause::new(Code::Overloaded, "the node has no descriptor left for a connection to the target");

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Self { code, detail: None }
    }
}

impl From<Cause> for Refusal {
    fn from(Cause { code, detail }: Cause) -> Self {
        Refusal::new(code).because(detail)
    }
}

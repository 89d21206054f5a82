//! A request is executed once, whatever restarts: what is left to be found out about a nonce after the decision and before
//! anything is forwarded.
//!
//! * A request signed before this process began may have been taken by the process before it: it is refused with a code
//!   that says to sign again ([`Code::ReplayUnknown`]). What is signed after the start is served at once.
//! * A request whose source's clock is ahead of this node's leaves a mark on disk first ([`Marks`]), so that the next
//!   process does not take it once more when its time has come.
//! * With `--upgrade` the successor gets the whole memory, and is asked about everything its predecessor still takes
//!   ([`Successor`]): nothing is refused and nothing is executed twice.
//! * Where there are several nodes, the nonce's owners are asked ([`Cluster`]).
//!
//! What remains: a mark lives in the node's state directory; a node whose directory was lost while a source's clock was
//! ahead can take that source's request once more.

use std::sync::Arc;

use lgsp_shared::refusal::Code;
use lgsp_shared::resource::OwnerUnreachable;
use lgsp_shared::timestamp::UnixSeconds;

use crate::admission::{Question, ReplayWindow, Seen};
use crate::cluster::{CLOCK_SLACK_SECS, Cluster, Doubt};

mod marks;
mod predecessor;
mod successor;
mod wire;

pub use marks::{Marks, MarksError};
pub use predecessor::Predecessor;
pub use successor::{HandOver, Successor};

/// Everyone that is asked before a request goes on.
#[derive(Debug, Default)]
pub struct Once {
    /// The other nodes, where there are any.
    pub cluster: Option<Arc<Cluster>>,
    /// Where marks are written; nowhere in tests of single rooms.
    pub marks: Option<Arc<Marks>>,
    /// The process that takes over, once there is one.
    pub successor: Arc<Successor>,
}

impl Once {
    /// Whether the request in question was taken nowhere else and by nobody before; asked after the decision and before
    /// anything is forwarded.
    ///
    /// # Errors
    /// The code to refuse with.
    pub async fn first_use(&self, question: &Question, unreachable: OwnerUnreachable) -> Result<(), Code> {
        let mut unknown = question.unknown;
        if question.handed_over {
            match self.successor.ask(question).await {
                Some(Seen::First) => {}
                Some(Seen::Again) => return Err(question.again),
                Some(Seen::NoRoom | Seen::OverShare) => return Err(Code::ReplayWindowFull),
                // Before it has the sockets it serves nothing, and this process knows all that was taken.
                None => unknown |= self.successor.has_taken_over(),
            }
        }
        if let (Some((key, _)), Some(marks)) = (question.ahead, &self.marks)
            && !marks.raise(key, question.created).await
        {
            return Err(Code::ReplayUnknown);
        }
        if let (Some(cluster), Some(nonce)) = (&self.cluster, &question.nonce) {
            let everyone = question.ahead.is_some_and(|(_, secs)| secs > CLOCK_SLACK_SECS);
            let asked = cluster.first_use(nonce, Doubt { unknown, everyone }, unreachable).await;
            return asked.map_err(|code| if code == Code::Replayed { question.again } else { code });
        }
        match (unknown, unreachable) {
            (false, _) | (true, OwnerUnreachable::AcceptLocal) => Ok(()),
            (true, OwnerUnreachable::Refuse) => Err(Code::ReplayUnknown),
        }
    }

    /// The listening sockets go to a successor. From here on this process either asks that successor, or takes nothing that
    /// is signed from now on.
    pub fn hands_over(&self, replay: &ReplayWindow, now: UnixSeconds) {
        if !self.successor.takes_over() {
            replay.span().end(now);
        }
    }
}

#[cfg(test)]
mod tests;

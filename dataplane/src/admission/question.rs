//! What is left to be found out about a nonce after the decision, and before anything is forwarded.

use lgsp_shared::refusal::Code;
use lgsp_shared::timestamp::UnixSeconds;

use super::replay::{KeyId, Name, NonceQuestion};

/// What is left to be found out. All of it is asked by `once`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The nonce, as this process and its successor know it.
    pub hash: u64,
    /// When the request was signed.
    pub created: UnixSeconds,
    /// Until when the nonce must be remembered.
    pub until: UnixSeconds,
    /// What the owner of the nonce has to be asked, where there are several nodes.
    pub nonce: Option<NonceQuestion>,
    /// Whose mark has to be on disk first, and by how many seconds the request is ahead of this node's clock.
    pub ahead: Option<(KeyId, i64)>,
    /// Whether the request may have been taken before this process began.
    pub unknown: bool,
    /// Whether a successor has this node's memory by now.
    pub handed_over: bool,
    /// What a request that was seen elsewhere is refused with.
    pub again: Code,
}

/// What the decision knows of a nonce that was not seen here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub name: Name,
    pub created: UnixSeconds,
    pub until: UnixSeconds,
    pub ahead: Option<(KeyId, i64)>,
    pub unknown: bool,
    pub handed_over: bool,
    pub again: Code,
}

impl Question {
    /// `None` when nothing is left to be found out.
    pub(super) fn about(known: Known) -> Option<Self> {
        let Known { name, created, until, ahead, unknown, handed_over, again } = known;
        let nonce = name.id().map(|id| NonceQuestion { id, created, until });
        let asks = nonce.is_some() || ahead.is_some() || unknown || handed_over;
        asks.then(|| Self { hash: name.hash(), created, until, nonce, ahead, unknown, handed_over, again })
    }
}

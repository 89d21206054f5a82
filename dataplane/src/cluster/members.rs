//! Who owns a nonce: rendezvous hashing over the nodes of now, and of the lists that were replaced a short while ago.

use std::sync::Arc;

use lgsp_shared::id::NodeId;
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::peer::Ask;
use crate::admission::{NonceQuestion, REPLAY_HOLD_SECS_MAX};

/// Replaced lists that are remembered; the oldest is forgotten first. A list names at most 128 nodes, 100 bytes each.
pub(super) const FORMER_MAX: usize = 8;
/// How much later than the notice of a node's end a request may be signed and still count as one it may have seen.
pub const CLOCK_SLACK_SECS: i64 = 5;

/// Which node, and which of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Who {
    node: NodeId,
    incarnation: u64,
    seed: u64,
}

/// A node.
#[derive(Debug)]
pub(super) struct Member {
    who: Who,
    /// Where questions for it go; `None` for this node itself.
    asks: Option<mpsc::Sender<Ask>>,
}

impl Member {
    pub fn new(node: NodeId, incarnation: u64, asks: Option<mpsc::Sender<Ask>>) -> Self {
        // The name alone decides what it owns, so that a node that was restarted owns what it owned before.
        let seed = first_word(&Sha256::digest(node.as_str().as_bytes()));
        Self { who: Who { node, incarnation, seed }, asks }
    }

    /// Its name.
    pub fn node(&self) -> &NodeId {
        &self.who.node
    }

    /// Where questions for it go; `None` for this node itself.
    pub fn asks(&self) -> Option<&mpsc::Sender<Ask>> {
        self.asks.as_ref()
    }

    /// Which process it is.
    pub fn incarnation(&self) -> u64 {
        self.who.incarnation
    }
}

/// A list that was replaced: names only, so that the connection to a node that is gone ends with it.
#[derive(Debug, Clone)]
struct Former {
    members: Vec<Who>,
    replaced_at: UnixSeconds,
}

/// The lists of nodes that still matter.
#[derive(Debug)]
pub(super) struct Views {
    /// Whether the list of now was ever heard.
    is_known: bool,
    current: Vec<Arc<Member>>,
    former: Vec<Former>,
    /// When the last of the lists was replaced that were forgotten because there were too many.
    forgotten_at: Option<UnixSeconds>,
}

/// Whom to ask about a nonce.
pub(super) struct Owners {
    /// Owners other than this node.
    pub elsewhere: Vec<Arc<Member>>,
    /// Whether an owner is not known, or is gone with what it remembered.
    pub missing: bool,
}

impl Views {
    pub fn unknown() -> Self {
        Self { is_known: false, current: Vec::new(), former: Vec::new(), forgotten_at: None }
    }

    #[cfg(test)]
    pub fn former_count(&self) -> usize {
        self.former.len()
    }

    /// How many nodes there are now.
    pub fn count(&self) -> usize {
        self.current.len()
    }

    /// The member that runs as this incarnation, if it is in the list of now.
    pub fn known(&self, node: &NodeId, incarnation: u64) -> Option<Arc<Member>> {
        let found = self.current.iter().find(|member| member.node() == node && member.incarnation() == incarnation);
        found.cloned()
    }

    /// These lists with another one of now; `None` when it is the same. The first list ever heard replaces one without
    /// this node: what it owns now was owned by others until it came, or by an earlier process of it, whose memory is
    /// gone. Requests of that time are unknown to this process whoever owns them; the others are asked all the same, for
    /// they may say that it was seen.
    pub fn replaced_by(&self, members: Vec<Arc<Member>>, me: &NodeId, now: UnixSeconds) -> Option<Self> {
        let same = self.is_known
            && self.current.len() == members.len()
            && self.current.iter().all(|member| members.iter().any(|other| other.who == member.who));
        if same {
            return None;
        }
        let names = |members: &[Arc<Member>]| members.iter().map(|member| member.who.clone()).collect::<Vec<_>>();
        let replaced = if self.is_known {
            names(&self.current)
        } else {
            names(&members).into_iter().filter(|who| who.node != *me).collect()
        };
        let matters = |former: &&Former| former.replaced_at.0.saturating_add(REPLAY_HOLD_SECS_MAX) >= now.0;
        let newest = Former { members: replaced, replaced_at: now };
        let earlier = self.former.iter().filter(matters).cloned();
        let mut former: Vec<Former> = std::iter::once(newest).chain(earlier).collect();
        let forgotten = former.split_off(former.len().min(FORMER_MAX));
        let forgotten_at = forgotten.iter().map(|former| former.replaced_at).chain(self.forgotten_at).max();
        Some(Self { is_known: true, current: members, former, forgotten_at })
    }

    /// Whom to ask: the owners, or everyone.
    pub fn owners(&self, question: &NonceQuestion, everyone: bool) -> Owners {
        let word = first_word(question.id.as_bytes());
        let mut owners = Owners { elsewhere: Vec::new(), missing: !self.is_known };
        let mut add = |member: &Arc<Member>| {
            let is_new = !owners.elsewhere.iter().any(|known: &Arc<Member>| known.who == member.who);
            if member.asks.is_some() && is_new {
                owners.elsewhere.push(member.clone());
            }
        };
        match everyone {
            true => self.current.iter().for_each(&mut add),
            false => self.current.iter().max_by_key(|member| score(&member.who, word)).into_iter().for_each(&mut add),
        }
        let signed_by = |noticed: UnixSeconds| question.created.0 <= noticed.0.saturating_add(CLOCK_SLACK_SECS);
        let mut gone = self.forgotten_at.is_some_and(signed_by);
        for former in self.former.iter().filter(|former| question.earliest() <= former.replaced_at) {
            let Some(owner) = former.members.iter().max_by_key(|who| score(who, word)) else { continue };
            match self.current.iter().find(|member| member.who == *owner) {
                Some(member) => add(member),
                None => gone |= signed_by(former.replaced_at),
            }
        }
        owners.missing |= gone;
        owners
    }
}

fn score(who: &Who, word: u64) -> u64 {
    mix(who.seed ^ word)
}

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn first_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_be_bytes(*word))
}

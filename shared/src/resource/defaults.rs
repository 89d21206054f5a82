//! Platform-wide limits and deadlines for everything that does not set its own.

use serde::{Deserialize, Serialize};

use crate::id::TicketKeyId;

/// Limits for sources; a route may set a smaller or larger body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultsSpec {
    /// How far a request's clock may be from the node's, in seconds either way; 1 to 900.
    pub clock_window_secs: u32,
    /// The largest request body, in bytes.
    pub body_bytes_max: u64,
    /// Milliseconds a source may pause within a request body or while taking a response.
    pub body_idle_ms: u64,
    /// The least a source must send of a body, or take of a response, in bytes for each second that it is waited for,
    /// beyond one pause of `body_idle_ms`; 0 for no minimum. It keeps slow sources from holding places at targets.
    pub body_bytes_per_sec_min: u64,
    /// Sessions: under which keys their tickets are sealed, and how long they last.
    pub session: SessionDefaults,
    /// Whether a caller whose signature is wrong is shown the text the node expected to be signed. It holds nothing but
    /// what the caller sent; a route may say otherwise.
    pub debug_signatures: bool,
    /// What happens to a request when the node that remembers its nonce cannot be asked; a route may say otherwise.
    pub replay_owner_unreachable: OwnerUnreachable,
}

/// What happens to a request when the node that remembers its nonce cannot be asked in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerUnreachable {
    /// It is refused with `replay-owner-unreachable`; signing it anew helps once the owner is back or known to be gone.
    #[default]
    Refuse,
    /// It is accepted on what this node itself remembers, and counted: another node may accept it once more.
    AcceptLocal,
}

impl Default for DefaultsSpec {
    fn default() -> Self {
        Self {
            clock_window_secs: 300,
            body_bytes_max: 8 << 30,
            body_idle_ms: 30_000,
            body_bytes_per_sec_min: 500,
            session: SessionDefaults::default(),
            debug_signatures: false,
            replay_owner_unreachable: OwnerUnreachable::default(),
        }
    }
}

/// What holds for sessions whose service does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionDefaults {
    /// The names of the ticket keys, the one that seals new tickets first. Every key is derived from the platform's
    /// key-encryption key and its name. To rotate, put a new name in front; tickets under the names behind it stay good
    /// until the name is taken away, and then end at once.
    pub keys: Vec<TicketKeyId>,
    /// How long a session lasts, in seconds; 1 to 3600. A service may set its own.
    pub lifetime_secs: u32,
}

impl Default for SessionDefaults {
    fn default() -> Self {
        // The rule for names holds for this one, so it is always there.
        Self { keys: "1".parse().into_iter().collect(), lifetime_secs: 600 }
    }
}

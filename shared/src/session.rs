//! Sessions (phiên truy xuất, A12): what a source is granted for one target service, and how it shows it.
//!
//! The platform keeps no list of sessions. What it granted is in a [`ticket`], sealed under a key that every node derives
//! from its configuration, so any node reads it. A request of a session carries the ticket in [`TICKET_HEADER`] and, in
//! [`PROOF_HEADER`], a proof that its sender also holds the session key.
//!
//! **What signs what.** The request is signed with the source's own secret, never with the session key: the secret says
//! who calls, and a signature that leaves out a `lgsp-*` header is refused, so it always covers both headers. The proof
//! is an HMAC under the session key over the request's nonce; it adds that the caller is the one to whom the session was
//! given, so a ticket copied from a log or by a target is worth nothing without the key that was returned beside it.

use crate::path::{MatchedPath, PathRoom};

pub mod message;
pub mod proof;
pub mod scope;
pub mod ticket;

pub use proof::{PROOF_BYTES, SessionKey};
pub use scope::{Scope, Scopes};
pub use ticket::{Granted, TICKET_BYTES_MAX, Ticket, TicketError, TicketKeys, TicketRoom};

/// The header that carries the ticket.
pub const TICKET_HEADER: &str = "lgsp-session";
/// The header that carries the proof of the session key, 64 lower-case hexadecimal digits.
pub const PROOF_HEADER: &str = "lgsp-session-proof";
/// Below this path the platform itself answers; no route may lie there.
pub const RESERVED_PATH: &str = "/lgsp";

/// Whether a request of this path is for the platform itself, however the path is spelt.
pub fn is_for_platform(path: &str) -> bool {
    let reserved = |path: &str| path.strip_prefix(RESERVED_PATH).is_some_and(|rest| rest.starts_with('/'));
    reserved(path) || reserved(MatchedPath::of(path, &mut PathRoom::default()).form())
}

/// Where a source opens a session (steps 1 and 2).
pub const SESSIONS_PATH: &str = "/lgsp/v1/sessions";
/// Where a target has a request verified that reached it directly (steps 4 to 6).
pub const VERIFICATIONS_PATH: &str = "/lgsp/v1/verifications";
/// The most ticket keys in use at a time: one that seals, and those whose tickets have not run out.
pub const TICKET_KEYS_MAX: usize = 8;

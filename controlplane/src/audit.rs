//! The audit: who attempted what, when, from where, and what became of it; successful or refused.
//!
//! Append-only. Every entry holds the hash of the one before it, so that one that was changed, taken out, or put elsewhere
//! is found ([`verify`]). What nobody can see from the entries alone is that the last ones were cut off: whoever keeps the
//! hash of an entry elsewhere can ([`verify::Pin`]). Never holds a secret. Pure: the database is in `store`.

use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub mod limit;
pub mod trail;
pub mod verify;

pub use trail::Trail;

/// What the first entry holds in place of the hash of the one before it.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What is hashed starts with it, so that no other hash of this platform is ever one of the audit.
const FORMAT: &str = "lgsp-audit-1";
/// The longest text in an entry, in bytes; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// The action of the entry that a restore leaves: the entries before it are those of the backup.
pub const RESTORE_ACTION: &str = "lgsp-controlplane restore";
/// The action of the entry that a backup leaves.
pub const BACKUP_ACTION: &str = "lgsp-controlplane backup";
/// The action of the entry that other keys in the key file leave.
pub const KEYS_ACTION: &str = "key file changed";
/// The action of the entry that a repair of what is published leaves.
pub const REPAIR_ACTION: &str = "published configuration repaired";
/// The outcome of what was done.
pub const DONE: &str = "done";

/// Something somebody attempted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: UnixSeconds,
    /// The operator's name; as it was claimed when it was not proven, and empty when there was none.
    pub operator: String,
    /// By which session or token; empty when there was none.
    pub bearer: String,
    /// From which address.
    pub source: String,
    /// What, such as `POST /v1/credentials/mot-cua-1/rotate`.
    pub action: String,
    /// To what, such as `Credential/mot-cua-1`.
    pub target: String,
    /// How it was before, as JSON; empty where that means nothing.
    pub before: String,
    /// How it was after, as JSON.
    pub after: String,
    /// `done`, or the code of the problem.
    pub outcome: String,
    /// The revision it made.
    pub revision: Option<Revision>,
}

/// An attempt with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the first; every later one is one more.
    pub number: u64,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// The hash of the entry before.
    pub previous: String,
    /// SHA-256 of everything above.
    pub hash: String,
}

impl Attempt {
    /// The attempt with its texts cut to [`TEXT_BYTES_MAX`], and without characters that steer a terminal or that a
    /// database does not take.
    pub fn bounded(mut self) -> Self {
        let Self { at: _, operator, bearer, source, action, target, before, after, outcome, revision: _ } = &mut self;
        for text in [operator, bearer, source, action, target, before, after, outcome] {
            if text.contains(char::is_control) {
                *text = text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
            }
            if text.len() > TEXT_BYTES_MAX {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            }
        }
        self
    }
}

impl Entry {
    /// The entry after the one with this number and hash; after none, 0 and [`BEGINNING`].
    pub fn after(number: u64, hash: &str, attempt: Attempt) -> Self {
        let mut entry =
            Self { number: number.saturating_add(1), attempt, previous: hash.to_owned(), hash: String::new() };
        entry.hash = entry.computed();
        entry
    }

    /// Whether the hash is the one of what the entry holds.
    pub fn is_intact(&self) -> bool {
        self.hash == self.computed()
    }

    /// A JSON list has one spelling for these types: numbers, texts, and null.
    fn computed(&self) -> String {
        let Self { number, attempt, previous, hash: _ } = self;
        let Attempt { at, operator, bearer, source, action, target, before, after, outcome, revision } = attempt;
        let revision = revision.map(|revision| revision.0);
        let canonical = serde_json::json!([
            FORMAT, number, previous, at.0, operator, bearer, source, action, target, before, after, outcome, revision
        ]);
        Sha256::digest(canonical.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let attempt = Attempt { target: "ộ".repeat(TEXT_BYTES_MAX), ..verify::tests::attempt("a") }.bounded();
        assert!(attempt.target.len() <= TEXT_BYTES_MAX && attempt.target.chars().all(|char| char == 'ộ'));
    }
}

//! Sessions and tokens as texts: 32 random bytes, of which only the SHA-256 is kept.

use std::collections::BTreeSet;

use lgsp_shared::id::{AgencyId, ResourceName};
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest, Sha256};

use super::role::Role;
use crate::store::BearerRow;

const TOKEN_BYTES: usize = 32;
const ID_BYTES: usize = 5;

/// Which kind of thing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerKind {
    /// The token printed at the first start.
    First,
    /// A token an operator made.
    Token,
    /// What a login gives.
    Session,
}

impl BearerKind {
    /// The kind as it is written.
    pub fn label(self) -> &'static str {
        match self {
            BearerKind::First => "first",
            BearerKind::Token => "token",
            BearerKind::Session => "session",
        }
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        [BearerKind::First, BearerKind::Token, BearerKind::Session].into_iter().find(|kind| kind.label() == text)
    }

    /// What its text starts with, so that people and scanners recognise it.
    fn prefix(self) -> &'static str {
        match self {
            BearerKind::First => "lgsp_op_",
            BearerKind::Token => "lgsp_tk_",
            BearerKind::Session => "lgsp_se_",
        }
    }
}

/// Everything about a session or token but its text.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Which of them it is.
    pub kind: BearerKind,
    /// Whose it is.
    pub operator: ResourceName,
    /// What its maker calls it.
    pub title: String,
    /// Fewer roles than the operator's.
    pub roles: Option<BTreeSet<Role>>,
    /// An agency beyond which it is worth nothing.
    pub agency: Option<AgencyId>,
    /// Until when.
    pub expires_at: Option<UnixSeconds>,
    /// It ends when it was not used for so long.
    pub idle_secs: Option<i64>,
}

impl Terms {
    /// Draws the text, which is all there ever is of it, and what is kept.
    pub fn draw(self, now: UnixSeconds) -> Result<(String, BearerRow), getrandom::Error> {
        let Self { kind, operator, title, roles, agency, expires_at, idle_secs } = self;
        let (mut random, mut id) = ([0; TOKEN_BYTES], [0; ID_BYTES]);
        getrandom::fill(&mut random)?;
        getrandom::fill(&mut id)?;
        let text = format!("{}{}", kind.prefix(), hex(&random));
        let row = BearerRow {
            hash: hash(&text),
            id: hex(&id),
            kind,
            operator,
            title,
            roles,
            agency,
            created_at: now,
            expires_at,
            idle_secs,
            used_at: now,
        };
        Ok((text, row))
    }
}

/// What is kept of a text: SHA-256, in hexadecimal. Enough for 256 random bits; passwords are another matter.
pub fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_drawn_anew_each_time_and_only_its_hash_is_kept() {
        let terms = |kind| Terms {
            kind,
            operator: "quan-tri".parse().unwrap(),
            title: String::new(),
            roles: None,
            agency: None,
            expires_at: Some(UnixSeconds(100)),
            idle_secs: Some(10),
        };
        let (one, row) = terms(BearerKind::Token).draw(UnixSeconds(1)).unwrap();
        let (other, _) = terms(BearerKind::Token).draw(UnixSeconds(1)).unwrap();
        assert!(one != other && one.starts_with("lgsp_tk_") && one.len() == 72, "{one}");
        assert_eq!(row.hash, hash(&one));
        assert!(!format!("{row:?}").contains(&row.hash));
        assert!(row.is_alive(UnixSeconds(11)) && row.is_alive(UnixSeconds(71)), "its use is written once a minute");
        assert!(!row.is_alive(UnixSeconds(72)) && !row.is_alive(UnixSeconds(100)));
        for kind in [BearerKind::First, BearerKind::Token, BearerKind::Session] {
            assert_eq!(BearerKind::parse(kind.label()), Some(kind));
        }
    }
}

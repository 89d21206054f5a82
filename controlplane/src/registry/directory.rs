//! Agencies by identification code, as the directory holds them.

use std::collections::BTreeMap;

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::AgencyId;
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_shared::validate::check_title;

use super::fold::fold;

/// The most agencies one request imports; about 200 bytes each.
pub const IMPORT_BATCH_MAX: usize = 1_000;
/// The most agencies one page of a search holds.
pub const PAGE_MAX: u32 = 200;

/// Who an agency is, whatever its code and its document are called: a number that is given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub i64);

/// Names that documents of agencies had and that no document has now, with whose they were. A name is given to no other
/// agency, and an agency without a document gets its own again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerNames(pub BTreeMap<String, Identity>);

impl FormerNames {
    /// The name that an agency's document had.
    pub fn of(&self, agency: Identity) -> Option<AgencyId> {
        let own = self.0.iter().find(|(_, identity)| **identity == agency);
        own.and_then(|(name, _)| name.parse().ok())
    }

    /// Whether it was the name of some agency's document.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// An agency of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agency {
    /// Who has the code, or had it last.
    pub identity: Identity,
    /// Its identification code; one agency has it at a time, and only a reorganisation gives it to another.
    pub code: AgencyCode,
    /// The full name people know it by.
    pub title: String,
    /// The document of the published configuration; only agencies with systems have one.
    pub document: Option<AgencyId>,
    /// Since when it is known here.
    pub since: UnixSeconds,
    /// When it ceased to be; its successors take its code's place.
    pub ended: Option<UnixSeconds>,
}

/// What search looks in for an agency: the folded title, then the code.
pub fn searchable(code: &AgencyCode, title: &str) -> String {
    format!("{} {}", fold(title), fold(code.as_str()))
}

/// A name that is no name: why, by the rule that documents are held to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an agency's name: {0}")]
pub struct InvalidTitle(String);

/// Checks a title and takes the space around it away.
pub fn title(text: &str) -> Result<String, InvalidTitle> {
    let trimmed = text.trim();
    check_title(trimmed).map(|()| trimmed.to_owned()).map_err(InvalidTitle)
}

/// Where a page of a search goes on: behind this agency, among names that start with the query or among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which of the two.
    pub rank: Rank,
    /// The last agency of the page before.
    pub code: AgencyCode,
}

/// What is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The name starts with the query.
    Prefix,
    /// Every word of the query is somewhere in name or code.
    Within,
}

impl Cursor {
    /// Reads what [`Cursor`]'s `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (rank, code) = text.split_once('-')?;
        let rank = match rank {
            "0" => Rank::Prefix,
            "1" => Rank::Within,
            _ => return None,
        };
        Some(Self { rank, code: code.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rank = match self.rank {
            Rank::Prefix => 0,
            Rank::Within => 1,
        };
        write!(f, "{rank}-{}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for text in ["0-000.00.12.H61", "1-H61.DN.1"] {
            assert_eq!(Cursor::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "0", "2-H61", "0-x", "H61"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_title_is_one_line_with_something_on_it() {
        assert_eq!(title(" Sở Tư pháp ").unwrap(), "Sở Tư pháp");
        for bad in ["", "  ", "a\nb", &"a".repeat(301)] {
            assert!(title(bad).is_err());
        }
    }
}

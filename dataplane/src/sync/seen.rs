//! The highest revision that ever served here, by the database it came from: nothing goes back behind it, neither what is
//! offered nor the copy on disk.
//!
//! A configuration that was replaced keeps its mark for ever, so a mark alone does not stop an old one from being put
//! back. This record does.

use std::collections::BTreeMap;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::seal::origin::{DatabaseId, Lineage};
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};

use super::rejection::Rejection;

/// The most databases a node remembers, about 200 bytes each. One more is refused rather than one forgotten: a node sees
/// another database only when an operator replaces the control plane's.
const DATABASES_MAX: usize = 64;

/// A place in the history of one database. Orders by line first: a later line may repeat numbers of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    since: UnixSeconds,
    revision: Revision,
    hash: ContentHash,
}

impl Place {
    fn order(&self) -> (UnixSeconds, Revision) {
        (self.since, self.revision)
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The database whose configuration serves.
    current: Option<DatabaseId>,
    highest: BTreeMap<DatabaseId, Place>,
}

/// How a configuration stands to what was seen.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// The line it was marked for.
    pub lineage: &'a Lineage,
    /// Its number.
    pub revision: Revision,
    /// Its content.
    pub hash: &'a ContentHash,
    /// Whether it says that it takes the place of another database's.
    pub allow_other_database: bool,
}

impl Seen {
    /// Whether no marked configuration ever served here.
    pub fn is_empty(&self) -> bool {
        self.highest.is_empty()
    }

    /// Whether `offered` may serve after everything that did.
    pub fn may_follow(&self, offered: &Offered<'_>) -> Result<(), Rejection> {
        let Offered { lineage, revision, hash, allow_other_database } = offered;
        let same_database = self.current.as_ref().is_none_or(|current| *current == lineage.database);
        let Some(highest) = self.highest.get(&lineage.database) else {
            return if (same_database || *allow_other_database) && self.highest.len() < DATABASES_MAX {
                Ok(())
            } else {
                Err(self.other_database(lineage, *revision))
            };
        };
        let order = (lineage.since, *revision);
        if order < highest.order() || (order == highest.order() && !same_database) {
            let (since, seen) = highest.order();
            return Err(Rejection::WentBack { offered: *revision, of: (*lineage).clone(), seen, since });
        }
        if order == highest.order() && **hash != highest.hash {
            return Err(Rejection::TwoContents { revision: *revision });
        }
        if same_database || *allow_other_database { Ok(()) } else { Err(self.other_database(lineage, *revision)) }
    }

    fn other_database(&self, lineage: &Lineage, revision: Revision) -> Rejection {
        let current = self.current.as_ref().map_or(String::new(), |current| current.as_str().to_owned());
        Rejection::OtherDatabase { revision, offered: lineage.database.as_str().to_owned(), current }
    }

    /// Remembers that this serves.
    pub fn advance(&mut self, lineage: &Lineage, revision: Revision, hash: &ContentHash) {
        self.current = Some(lineage.database.clone());
        let place = Place { since: lineage.since, revision, hash: hash.clone() };
        self.highest.insert(lineage.database.clone(), place);
    }

    /// Whether what served under this lineage and number is older than what is remembered.
    pub fn is_ahead_of(&self, lineage: Option<&Lineage>, revision: Revision) -> bool {
        let Some(lineage) = lineage else { return !self.is_empty() };
        match self.highest.get(&lineage.database) {
            Some(highest) => {
                (lineage.since, revision) < highest.order() || self.current.as_ref() != Some(&lineage.database)
            }
            None => !self.is_empty(),
        }
    }

    /// The same with everything that `other` has seen further.
    pub fn merged(mut self, other: &Self) -> Self {
        for (database, place) in &other.highest {
            match self.highest.get(database) {
                Some(mine) if mine.order() >= place.order() => {}
                Some(_) | None => drop(self.highest.insert(database.clone(), place.clone())),
            }
        }
        self.current = self.current.or_else(|| other.current.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use lgsp_shared::seal::origin::DATABASE_ID_BYTES;

    use super::*;

    fn line(database: u8, since: i64) -> Lineage {
        Lineage { database: DatabaseId::new([database; DATABASE_ID_BYTES]), since: UnixSeconds(since) }
    }

    fn hash(text: &str) -> ContentHash {
        ContentHash::from(text.to_owned())
    }

    fn judge(seen: &Seen, lineage: &Lineage, revision: u64, allow_other_database: bool) -> Result<(), Rejection> {
        let (revision, hash) = (Revision(revision), &hash("a"));
        seen.may_follow(&Offered { lineage, revision, hash, allow_other_database })
    }

    fn seen(lineage: &Lineage, revision: u64) -> Seen {
        let mut seen = Seen::default();
        seen.advance(lineage, Revision(revision), &hash("a"));
        seen
    }

    #[test]
    fn nothing_goes_back_within_a_database_whatever_it_allows_itself() {
        let seen = seen(&line(1, 10), 7);
        for (since, revision) in [(10, 7), (10, 8), (11, 1)] {
            assert_eq!(judge(&seen, &line(1, since), revision, false), Ok(()), "{since} {revision}");
        }
        for (since, revision) in [(10, 6), (9, 8)] {
            let refused = judge(&seen, &line(1, since), revision, true).unwrap_err();
            assert!(matches!(refused, Rejection::WentBack { .. }), "{refused}");
        }
    }

    #[test]
    fn one_number_has_one_content() {
        let seen = seen(&line(1, 10), 7);
        let (lineage, hash) = (line(1, 10), hash("b"));
        let other = Offered { lineage: &lineage, revision: Revision(7), hash: &hash, allow_other_database: true };
        assert_eq!(seen.may_follow(&other), Err(Rejection::TwoContents { revision: Revision(7) }));
    }

    #[test]
    fn another_database_must_say_so_and_the_one_it_replaced_does_not_come_back_as_it_was() {
        let mut seen = seen(&line(1, 10), 7);
        assert!(matches!(judge(&seen, &line(2, 5), 1, false), Err(Rejection::OtherDatabase { .. })));
        assert_eq!(judge(&seen, &line(2, 5), 1, true), Ok(()));
        seen.advance(&line(2, 5), Revision(1), &hash("a"));
        assert!(matches!(judge(&seen, &line(1, 10), 7, true), Err(Rejection::WentBack { .. })));
        assert!(matches!(judge(&seen, &line(1, 10), 8, false), Err(Rejection::OtherDatabase { .. })));
        assert_eq!(judge(&seen, &line(1, 10), 8, true), Ok(()));
    }

    #[test]
    fn a_copy_that_is_older_than_the_record_is_told_from_the_one_that_belongs_to_it() {
        let seen = seen(&line(1, 10), 7);
        assert!(
            !seen.is_ahead_of(Some(&line(1, 10)), Revision(7)) && !seen.is_ahead_of(Some(&line(1, 10)), Revision(8))
        );
        assert!(seen.is_ahead_of(Some(&line(1, 10)), Revision(6)) && seen.is_ahead_of(Some(&line(1, 9)), Revision(9)));
        assert!(seen.is_ahead_of(None, Revision(9)), "a copy of the time before marks");
        assert!(seen.is_ahead_of(Some(&line(2, 99)), Revision(9)));
        let merged = seen.clone().merged(&Seen::default());
        assert_eq!(merged, seen);
        assert_eq!(Seen::default().merged(&seen), seen);
    }
}

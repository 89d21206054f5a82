//! Why a revision is refused as a whole, and the rules that can be told from its outline alone.

use lgsp_shared::bundle::{BundleError, ContentHash};
use lgsp_shared::id::Revision;
use lgsp_shared::seal::origin::{Lineage, Unproven};
use lgsp_shared::timestamp::UnixSeconds;

use super::origin::Origin;
use super::seen::{Offered, Seen};
use crate::snapshot::Documents;

/// The largest configuration a node takes, in bytes of JSON; it costs about four times as much memory while it is
/// compiled beside the one that serves.
pub const CONFIGURATION_BYTES_MAX: usize = 512 << 20;

/// Up to this many documents may go in one revision whatever their share.
pub const REMOVAL_ALWAYS_ALLOWED: usize = 10;

/// Why a revision is refused as a whole. The last good one keeps serving.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no head, and never was one here.
    #[error("nothing has been published yet: apply a configuration with `lgspctl apply`")]
    NothingPublished,
    /// There was a head, and it is gone.
    #[error("the published configuration is gone from etcd: publish it again from the control plane")]
    HeadGone,
    /// The head cannot be used.
    #[error("the head of the published configuration: {0}")]
    Head(BundleError),
    /// The bundle file cannot be used.
    #[error(transparent)]
    Bundle(BundleError),
    /// The bundle file cannot be read.
    #[error("the bundle file `{path}` cannot be read ({error}): publish it, or correct the path in the settings")]
    File {
        /// Its path.
        path: String,
        /// Why.
        error: String,
    },
    /// The documents found are not the ones the head names.
    #[error(
        "the documents of revision {revision} have the hash {found}, its head says {wanted}{unreadable}: publish it again"
    )]
    Hash {
        /// The revision.
        revision: Revision,
        /// The hash in the head.
        wanted: ContentHash,
        /// The hash of what is there.
        found: ContentHash,
        /// Which values could not be read, as an addition to the sentence; may be empty.
        unreadable: String,
    },
    /// A lower revision than the one that serves.
    #[error(
        "revision {offered} is older than revision {active}, which serves; if going back is meant, \
         publish it as a new revision (`lgspctl rollback`) or with `allow_older`"
    )]
    Older {
        /// The revision offered.
        offered: Revision,
        /// The revision that serves.
        active: Revision,
    },
    /// Not marked by a holder of the key-encryption key.
    #[error("revision {revision} is refused: {why}")]
    Unproven {
        /// The revision offered.
        revision: Revision,
        /// Why it is not known to come from the platform.
        why: Unproven,
    },
    /// Marked, and replaced since: somebody put it back.
    #[error(
        "revision {offered} of line {of} is older than revision {seen} of the line since {since}, which has served here: \
         an older configuration was put back; the control plane replaces it, or `lgspctl publish` does at once"
    )]
    WentBack {
        /// The revision offered.
        offered: Revision,
        /// Its line.
        of: Lineage,
        /// The highest revision that served.
        seen: Revision,
        /// The line of that one.
        since: UnixSeconds,
    },
    /// Two contents under one number.
    #[error(
        "revision {revision} has another content than the one that served under this number: two databases publish"
    )]
    TwoContents {
        /// The number.
        revision: Revision,
    },
    /// Of a database that never published here.
    #[error(
        "revision {revision} comes from database {offered}, and database {current} published here before; if another \
         database takes its place, publish with `lgspctl publish --allow-older`"
    )]
    OtherDatabase {
        /// The revision offered.
        revision: Revision,
        /// The database it comes from.
        offered: String,
        /// The database whose configuration serves.
        current: String,
    },
    /// Nothing would be left.
    #[error("the revision holds no document at all; if that is meant, publish it with `allow_large_removal`")]
    Emptied,
    /// Most of it would go.
    #[error(
        "the revision removes {removed} of {of} documents; if that is meant, publish it with `allow_large_removal`"
    )]
    LargeRemoval {
        /// How many would go.
        removed: usize,
        /// How many serve.
        of: usize,
    },
    /// More than a node takes.
    #[error("the configuration is larger than {CONFIGURATION_BYTES_MAX} bytes: split it over several platforms")]
    TooLarge,
}

impl Rejection {
    /// The revision that was refused because of its origin; the number itself is known to be what the file says.
    pub fn revision(&self) -> Option<Revision> {
        if let Self::Unproven { revision, .. } = self { Some(*revision) } else { None }
    }

    /// What the rejection is about, as named in a status.
    pub fn subject(&self) -> &'static str {
        match self {
            Rejection::Bundle(_) | Rejection::File { .. } => "bundle",
            Rejection::NothingPublished
            | Rejection::HeadGone
            | Rejection::Head(_)
            | Rejection::Hash { .. }
            | Rejection::Older { .. }
            | Rejection::Unproven { .. }
            | Rejection::WentBack { .. }
            | Rejection::TwoContents { .. }
            | Rejection::OtherDatabase { .. }
            | Rejection::Emptied
            | Rejection::LargeRemoval { .. }
            | Rejection::TooLarge => "head",
        }
    }
}

/// A complete revision whose content is known to be the one its head names.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its number.
    pub revision: Revision,
    /// Its content hash.
    pub hash: ContentHash,
    /// As in the head.
    pub allow_large_removal: bool,
    /// As in the head.
    pub allow_older: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// Its documents.
    pub documents: Documents,
    /// Values that could not be read as documents; their last good value, if any, is among `documents`.
    pub unreadable: Vec<lgsp_shared::keyspace::StatusError>,
}

/// Whether `offer` may follow everything that served. What is marked is ordered by its line, and nothing lets it go back;
/// where nothing marked was seen, numbers are all there is.
pub fn judge_order(active: Option<Revision>, seen: &Seen, offer: &Offer) -> Result<(), Rejection> {
    let Offer { revision, hash, allow_older, .. } = offer;
    if let Some(lineage) = offer.origin.lineage() {
        let allow_other_database = *allow_older;
        seen.may_follow(&Offered { lineage, revision: *revision, hash, allow_other_database })?;
        if !seen.is_empty() {
            return Ok(());
        }
    }
    match active {
        Some(active) if *revision < active && !allow_older => Err(Rejection::Older { offered: *revision, active }),
        Some(_) | None => Ok(()),
    }
}

/// Whether `offer` may take the place of the documents that serve.
pub fn judge_removal(serving: &Documents, offer: &Offer) -> Result<(), Rejection> {
    if offer.allow_large_removal || serving.is_empty() {
        return Ok(());
    }
    if offer.documents.is_empty() {
        return Err(Rejection::Emptied);
    }
    let removed = removed(serving, &offer.documents);
    if removed > REMOVAL_ALWAYS_ALLOWED && removed.saturating_mul(2) > serving.len() {
        return Err(Rejection::LargeRemoval { removed, of: serving.len() });
    }
    Ok(())
}

/// How many of `before` are not among `after`; costs what differs.
fn removed(before: &Documents, after: &Documents) -> usize {
    before.diff(after).into_iter().filter(|(_, _, now)| now.is_none()).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lgsp_shared::resource::Document;
    use lgsp_testkit::resources::lineage;
    use serde_json::json;

    use super::*;

    fn numbered(numbers: std::ops::Range<usize>) -> Documents {
        let document = |at| Document { kind: "Agency".into(), name: format!("a-{at:05}"), spec: json!({}) };
        numbers.map(|at| Arc::new(document(at))).collect()
    }

    fn documents(count: usize) -> Documents {
        numbered(0..count)
    }

    fn offer(revision: u64, documents: Documents) -> Offer {
        let (hash, unreadable) = (String::from("ab").into(), Vec::new());
        let (revision, origin) = (Revision(revision), Origin::fake(None));
        Offer { revision, hash, allow_large_removal: false, allow_older: false, origin, documents, unreadable }
    }

    #[test]
    fn a_revision_that_empties_the_configuration_must_say_so() {
        assert_eq!(judge_removal(&documents(1), &offer(2, documents(0))), Err(Rejection::Emptied));
        let meant = Offer { allow_large_removal: true, ..offer(2, documents(0)) };
        assert_eq!(judge_removal(&documents(1), &meant), Ok(()));
        assert_eq!(judge_removal(&documents(0), &offer(1, documents(0))), Ok(()));
    }

    #[test]
    fn a_revision_that_removes_more_than_half_must_say_so() {
        let rejected = Err(Rejection::LargeRemoval { removed: 51, of: 100 });
        assert_eq!(judge_removal(&documents(100), &offer(2, documents(49))), rejected);
        assert_eq!(judge_removal(&documents(100), &offer(2, documents(50))), Ok(()));
        assert_eq!(judge_removal(&documents(11), &offer(2, documents(1))), Ok(()));
        assert!(judge_removal(&documents(12), &offer(2, documents(1))).is_err());
        assert_eq!(removed(&documents(100), &numbered(40..140)), 40, "replaced by others counts as removed");
    }

    #[test]
    fn an_older_revision_must_say_so() {
        let (older, nothing) = (offer(6, documents(1)), Seen::default());
        let judge = |offer: &Offer| judge_order(Some(Revision(7)), &nothing, offer);
        assert_eq!(judge(&older), Err(Rejection::Older { offered: Revision(6), active: Revision(7) }));
        assert_eq!(judge(&Offer { allow_older: true, ..older.clone() }), Ok(()));
        assert_eq!(judge(&offer(7, documents(1))), Ok(()));
        let first_marked = Offer { origin: Origin::fake(Some(lineage())), ..older };
        assert!(judge(&first_marked).is_err(), "the first marked one follows what was published before marks");
    }
}

//! Why a revision is refused as a whole, and the rules that can be told from its outline alone.

use lgsp_shared::bundle::{BundleError, ContentHash};
use lgsp_shared::id::Revision;

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
    /// What the rejection is about, as named in a status.
    pub fn subject(&self) -> &'static str {
        match self {
            Rejection::Bundle(_) | Rejection::File { .. } => "bundle",
            Rejection::NothingPublished
            | Rejection::HeadGone
            | Rejection::Head(_)
            | Rejection::Hash { .. }
            | Rejection::Older { .. }
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
    /// Its documents.
    pub documents: Documents,
    /// Values that could not be read as documents; their last good value, if any, is among `documents`.
    pub unreadable: Vec<lgsp_shared::keyspace::StatusError>,
}

/// Whether `offer` may follow what serves: `active` with its documents.
pub fn judge(active: Revision, serving: &Documents, offer: &Offer) -> Result<(), Rejection> {
    if offer.revision < active && !offer.allow_older {
        return Err(Rejection::Older { offered: offer.revision, active });
    }
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
        let revision = Revision(revision);
        Offer { revision, hash, allow_large_removal: false, allow_older: false, documents, unreadable }
    }

    #[test]
    fn a_revision_that_empties_the_configuration_must_say_so() {
        assert_eq!(judge(Revision(1), &documents(1), &offer(2, documents(0))), Err(Rejection::Emptied));
        let meant = Offer { allow_large_removal: true, ..offer(2, documents(0)) };
        assert_eq!(judge(Revision(1), &documents(1), &meant), Ok(()));
        assert_eq!(judge(Revision(0), &documents(0), &offer(1, documents(0))), Ok(()));
    }

    #[test]
    fn a_revision_that_removes_more_than_half_must_say_so() {
        let rejected = Err(Rejection::LargeRemoval { removed: 51, of: 100 });
        assert_eq!(judge(Revision(1), &documents(100), &offer(2, documents(49))), rejected);
        assert_eq!(judge(Revision(1), &documents(100), &offer(2, documents(50))), Ok(()));
        assert_eq!(judge(Revision(1), &documents(11), &offer(2, documents(1))), Ok(()));
        assert!(judge(Revision(1), &documents(12), &offer(2, documents(1))).is_err());
        assert_eq!(removed(&documents(100), &numbered(40..140)), 40, "replaced by others counts as removed");
    }

    #[test]
    fn an_older_revision_must_say_so() {
        let older = offer(6, documents(1));
        assert_eq!(
            judge(Revision(7), &documents(1), &older),
            Err(Rejection::Older { offered: Revision(6), active: Revision(7) })
        );
        assert_eq!(judge(Revision(7), &documents(1), &Offer { allow_older: true, ..older }), Ok(()));
        assert_eq!(judge(Revision(7), &documents(1), &offer(7, documents(1))), Ok(()));
    }
}

//! Whose the published head is. What this database made may be replaced by what it makes next; what it did not make is
//! somebody's, and is not written over unasked.

use lgsp_shared::keyspace::Head;
use lgsp_shared::seal::SealKeys;
use lgsp_shared::seal::origin::{Lineage, Unproven};

use super::PublishError;
use crate::desired::Whole;
use crate::store::{Published, Store};

/// What stands where nodes look for the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Something that is no head.
    Damaged,
    /// A head.
    Head(Head),
}

/// What marks heads: the keys and the line of this database.
#[derive(Debug, Clone)]
pub struct Marker {
    /// All of them mark.
    pub keys: SealKeys,
    /// Whose heads they are.
    pub lineage: Lineage,
}

/// What the head has to say of itself beside the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Removing a large part is meant.
    pub large_removal: bool,
    /// It takes the place of another database's, or of a later number.
    pub older: bool,
}

impl Marker {
    /// The head of a revision.
    pub fn head(&self, whole: &Whole, flags: Flags) -> Head {
        let documents = u64::try_from(whole.len()).unwrap_or(u64::MAX);
        let mut head = Head::new(whole.revision(), whole.hash().clone(), documents);
        head.allow_older = flags.older;
        head.allow_large_removal = flags.large_removal;
        head.marked(&self.keys, &self.lineage)
    }

    /// Whether the head names this revision, marked for this line under the keys held now.
    pub fn is_current(&self, head: &Head, whole: &Whole) -> bool {
        let marked_under = head.origin.as_ref().map(|origin| origin.key_ids());
        let under_all = marked_under == Some(self.keys.ids());
        head.revision == whole.revision()
            && head.hash == *whole.hash()
            && under_all
            && head.proven(&self.keys) == Ok(&self.lineage)
    }
}

/// What kind of head may be written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is lost by it.
    Replaceable,
    /// No holder of the key has written it, so nothing is lost by it; somebody else writes here.
    Forged(String),
}

/// Whether `found` may be written over. `led` says that this process has led since it wrote the head last, so that no
/// other control plane can have written: then whatever is not proven was written past all of them.
pub async fn judge(
    found: &Found,
    led: bool,
    keys: &SealKeys,
    store: &Store,
    whole: &Whole,
) -> Result<Verdict, PublishError> {
    let Found::Head(head) = found else { return Ok(Verdict::Replaceable) };
    let proven = head.proven(keys);
    let lineage = match proven {
        Err(Unproven::Unmarked) => None,
        Ok(_) | Err(Unproven::KeyUnknown(_) | Unproven::Forged) => head.origin.as_ref().map(|origin| &origin.lineage),
    };
    let published = Published { lineage, revision: head.revision, hash: &head.hash };
    if store.knows(published).await.map_err(PublishError::Database)? {
        return Ok(Verdict::Replaceable);
    }
    match proven {
        Err(why @ Unproven::Forged) => Ok(Verdict::Forged(why.to_string())),
        Err(why) if led => Ok(Verdict::Forged(why.to_string())),
        Err(_) | Ok(_) => Err(not_ours(head, whole)),
    }
}

fn not_ours(head: &Head, whole: &Whole) -> PublishError {
    let (found, current) = (head.revision, whole.revision());
    if found > current {
        return PublishError::Older { found, current };
    }
    let of = head.origin.as_ref().map_or_else(String::new, |origin| format!(" of database {}", origin.lineage));
    PublishError::NotOurs { found, of }
}

#[cfg(test)]
mod tests {
    use lgsp_shared::bundle::ContentHash;
    use lgsp_shared::id::Revision;
    use lgsp_shared::resource::Document;
    use lgsp_shared::timestamp::UnixSeconds;
    use lgsp_testkit::resources::seal_keys;
    use serde_json::json;

    use super::*;
    use crate::desired::{Audit, Authority, Change, Desired, Mode};
    use crate::store::registry::Rule;

    async fn desired(directory: &tempfile::TempDir) -> Desired {
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        let desired = Desired::load(store, seal_keys()).await.unwrap().under(Rule::NotWithdrawn);
        let document = Document { kind: "Agency".into(), name: "a".into(), spec: json!({"code": "H61", "title": "A"}) };
        let audit = Audit {
            author: "operator".into(),
            message: String::new(),
            at: UnixSeconds(1),
            authority: Authority::everything(),
            trail: crate::store::tests::trail("test"),
        };
        desired.apply(Change { puts: vec![document], ..Change::default() }, Mode::Commit, audit).await.unwrap();
        desired
    }

    #[tokio::test]
    async fn only_what_this_database_made_or_nobody_with_the_key_did_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let desired = desired(&directory).await;
        let (whole, store, keys) = (desired.current(), desired.store(), seal_keys());
        let marker = Marker { keys: keys.clone(), lineage: store.own_lineage().await.unwrap() };
        let own = marker.head(&whole, Flags::default());
        let judge = async |head: Head, led| super::judge(&Found::Head(head), led, &keys, store, &whole).await;
        assert!(marker.is_current(&own, &whole));
        assert_eq!(judge(own.clone(), false).await.unwrap(), Verdict::Replaceable);
        let unmarked = Head { origin: None, ..own.clone() };
        assert!(!marker.is_current(&unmarked, &whole), "it is published again with its mark");
        assert_eq!(judge(unmarked, false).await.unwrap(), Verdict::Replaceable, "from before there were marks");

        let other = Head { hash: ContentHash::from("ab".to_owned()), ..own.clone() };
        let forged = judge(other.clone(), false).await.unwrap();
        assert!(matches!(forged, Verdict::Forged(_)), "its mark is another head's");
        let unmarked = Head { origin: None, ..other.clone() };
        let refused = judge(unmarked.clone(), false).await.unwrap_err();
        assert!(matches!(refused, PublishError::NotOurs { found: Revision(1), .. }), "{refused}");
        assert!(matches!(judge(unmarked, true).await.unwrap(), Verdict::Forged(_)), "written past the leader");

        // Another database, or a later time of this one, with the same key: never unasked, whatever its number.
        let elsewhere = tempfile::tempdir().unwrap();
        let lineage = self::desired(&elsewhere).await.store().own_lineage().await.unwrap();
        for (revision, led) in [(1, false), (1, true)] {
            let head = Head { revision: Revision(revision), ..own.clone() }.marked(&keys, &lineage);
            let refused = judge(head, led).await.unwrap_err();
            assert!(matches!(refused, PublishError::NotOurs { .. }), "{refused}");
        }
        let later = Head { revision: Revision(9), ..own }.marked(&keys, &marker.lineage);
        let refused = judge(later, true).await.unwrap_err();
        assert!(matches!(refused, PublishError::Older { found: Revision(9), current: Revision(1) }), "{refused}");
        assert_eq!(super::judge(&Found::Damaged, false, &keys, store, &whole).await.unwrap(), Verdict::Replaceable);
    }
}

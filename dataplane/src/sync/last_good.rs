//! The last good copy on disk: what a node serves after a restart while its source is away.
//!
//! A sealed file ([`SealedFile`]), readable nowhere else. A copy that cannot be used is ignored, never fatal. Beside it lies
//! the record of the highest revision that served ([`Seen`]): a copy older than the record was put back by somebody, and is
//! refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{NodeId, Revision};
use lgsp_shared::keyspace::StatusError;
use lgsp_shared::seal::SealError;
use lgsp_shared::seal::origin::Lineage;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shutdown;
use super::health::{SyncHealth, count};
use super::keyring::Keyring;
use super::rejection::CONFIGURATION_BYTES_MAX;
use super::sealed_file::SealedFile;
use super::seen::Seen;
use crate::snapshot::Documents;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "last-good.sealed";
/// The name of the record of the highest revision that served, beside the copy.
pub const SEEN_FILE_NAME: &str = "highest-seen.sealed";
const FORMAT: u32 = 1;
/// Base64 of the largest configuration, with room for the errors.
const FILE_BYTES_MAX: u64 = (CONFIGURATION_BYTES_MAX as u64) * 3 / 2;
/// The record holds some dozen lines at most.
const SEEN_BYTES_MAX: u64 = 64 << 10;
/// The shortest pause between two writes; a large copy pauses for [`PAUSE_FACTOR`] times as long as it took.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Bounds the share of one core spent on copies to a tenth.
const PAUSE_FACTOR: u32 = 9;

/// What serves, as kept on disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastGood {
    /// The version of this form.
    pub format: u32,
    /// The revision's number.
    pub revision: Revision,
    /// The revision's content hash.
    pub hash: ContentHash,
    /// The documents that serve, last good values included.
    #[serde(with = "shared_documents")]
    pub documents: Documents,
    /// What of the revision could not be used.
    pub errors: Vec<StatusError>,
    /// The line of revisions it was marked for; absent when it is unmarked.
    #[serde(default)]
    pub lineage: Option<Lineage>,
    /// The record that belongs to it; kept in a file of its own.
    #[serde(skip)]
    pub seen: Seen,
}

impl LastGood {
    /// Makes the copy of what serves.
    pub fn new(revision: Revision, hash: ContentHash, documents: Documents, errors: Vec<StatusError>) -> Self {
        Self { format: FORMAT, revision, hash, documents, errors, lineage: None, seen: Seen::default() }
    }

    /// The same with its origin.
    pub fn with_origin(self, lineage: Option<Lineage>, seen: Seen) -> Self {
        Self { lineage, seen, ..self }
    }
}

mod shared_documents {
    use std::sync::Arc;

    use lgsp_shared::resource::Document;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::snapshot::Documents;

    pub fn serialize<S: Serializer>(documents: &Documents, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(documents.iter().map(|document| &**document))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Documents, D::Error> {
        Ok(Vec::<Document>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}

/// Why a copy cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Larger than any configuration.
    #[error("the file has {0} bytes, more than a copy can have")]
    TooLarge(u64),
    /// Cut, changed, of another node, or under another key.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// Sealed, but not what this version writes.
    #[error("the content is not a last good copy this version reads: {0}")]
    Content(String),
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// A later revision has served here.
    #[error(
        "it holds revision {0}, and a later one has served on this node: an older copy was put back, or the record \
         `{SEEN_FILE_NAME}` beside it is missing; find out who can write to the state directory"
    )]
    PutBack(Revision),
}

/// What the files of a node hold.
#[derive(Debug, Default)]
pub struct Restored {
    /// The copy, when there is a usable one.
    pub copy: Option<LastGood>,
    /// The record; empty when there is none.
    pub seen: Seen,
    /// Why a copy or a record was not used.
    pub discarded: Vec<LastGoodError>,
}

/// The files of one node.
#[derive(Debug, Clone)]
pub struct LastGoodFile {
    copy: SealedFile,
    seen: SealedFile,
    accept_unmarked: bool,
}

impl LastGoodFile {
    /// The files of `node` in `state_dir`. Behind a marked copy an unmarked one counts only with `accept_unmarked`.
    pub fn new(state_dir: &Path, node: &NodeId, keys: Arc<Keyring>, accept_unmarked: bool) -> Self {
        let (copy, seen) = (state_dir.join(FILE_NAME), state_dir.join(SEEN_FILE_NAME));
        Self {
            copy: SealedFile::new(copy, keys.clone(), format!("lgsp/last-good/{node}"), FILE_BYTES_MAX),
            seen: SealedFile::new(seen, keys, format!("lgsp/highest-seen/{node}"), SEEN_BYTES_MAX),
            accept_unmarked,
        }
    }

    /// The path of the copy.
    pub fn path(&self) -> &Path {
        self.copy.path()
    }

    /// Reads both.
    pub fn load(&self) -> Restored {
        let mut restored = Restored::default();
        let (recorded, legible) = match self.seen.read::<Seen>() {
            Ok(seen) => (seen, true),
            Err(error) => {
                restored.discarded.push(error);
                (None, false)
            }
        };
        restored.seen = recorded.clone().unwrap_or_default();
        match self.load_copy() {
            Ok(Some(copy)) if legible && self.belongs(&copy, recorded.as_ref()) => restored.copy = Some(copy),
            Ok(Some(copy)) => restored.discarded.push(LastGoodError::PutBack(copy.revision)),
            Ok(None) => {}
            Err(error) => restored.discarded.push(error),
        }
        restored
    }

    fn load_copy(&self) -> Result<Option<LastGood>, LastGoodError> {
        match self.copy.read::<LastGood>()? {
            Some(copy) if copy.format != FORMAT => Err(LastGoodError::Content(format!("format {}", copy.format))),
            copy => Ok(copy),
        }
    }

    /// Whether the copy is not older than the record. A marked copy always has one.
    fn belongs(&self, copy: &LastGood, recorded: Option<&Seen>) -> bool {
        match (&copy.lineage, recorded) {
            (None, None) => true,
            (Some(_), None) => false,
            (None, Some(seen)) => self.accept_unmarked || seen.is_empty(),
            (Some(lineage), Some(seen)) => !seen.is_ahead_of(Some(lineage), copy.revision),
        }
    }

    /// Replaces the copy and then the record; both are on disk when this returns. The record never goes back: during an
    /// upgrade two processes of the node write here, and the older one leaves what the newer one wrote.
    pub fn save(&self, copy: &LastGood) -> Result<(), LastGoodError> {
        // A record that cannot be read was refused at the start; what this process has seen replaces it.
        let on_disk = self.seen.read::<Seen>().ok().flatten().unwrap_or_default();
        let seen = copy.seen.clone().merged(&on_disk);
        if !self.belongs(copy, Some(&seen)) {
            tracing::debug!(revision = copy.revision.0, "a later copy is on disk already");
            return Ok(());
        }
        self.copy.write(copy)?;
        if seen.is_empty() { Ok(()) } else { self.seen.write(&seen) }
    }
}

/// Writes each copy it is given, the latest first when several come at once, and the last one before it ends.
pub(super) async fn write_copies(
    file: LastGoodFile,
    mut copies: watch::Receiver<Option<Arc<LastGood>>>,
    health: Arc<SyncHealth>,
    mut shutdown: Shutdown,
) {
    loop {
        // An error means that the keeper is gone: nothing new will come.
        let ending = tokio::select! {
            changed = copies.changed() => changed.is_err(),
            () = shutdown.requested() => true,
        };
        if ending && !copies.has_changed().unwrap_or(false) {
            return;
        }
        let Some(copy) = copies.borrow_and_update().clone() else { continue };
        let started = Instant::now();
        let writer = file.clone();
        let written = tokio::task::spawn_blocking(move || writer.save(&copy)).await;
        match written {
            Ok(Ok(())) => count(&health.counters().last_good_writes),
            Ok(Err(error)) => {
                count(&health.counters().last_good_failures);
                let path = file.path().display();
                tracing::error!(%path, %error, "the last good configuration could not be written; a restart without its source would serve an older one");
            }
            Err(error) => tracing::error!(%error, "writing the last good configuration ended unexpectedly"),
        }
        let pause = started.elapsed().saturating_mul(PAUSE_FACTOR).max(PAUSE_MIN);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lgsp_shared::resource::Document;
    use lgsp_shared::seal::SealKey;
    use lgsp_testkit::resources::lineage;
    use serde_json::json;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(dir: &Path, node: &str) -> LastGoodFile {
        LastGoodFile::new(dir, &node.parse().unwrap(), Keyring::new(SealKey::parse(KEY).unwrap()), false)
    }

    fn copy() -> LastGood {
        let document = Document { kind: "Agency".into(), name: "a".into(), spec: json!({"title": "Sở Tư pháp"}) };
        LastGood::new(Revision(7), String::from("ab").into(), Documents::from_iter([Arc::new(document)]), vec![])
    }

    fn marked(revision: u64) -> LastGood {
        let (lineage, revision) = (lineage(), Revision(revision));
        let mut seen = Seen::default();
        seen.advance(&lineage, revision, &String::from("ab").into());
        LastGood { revision, ..copy() }.with_origin(Some(lineage), seen)
    }

    fn refusal(file: &LastGoodFile) -> LastGoodError {
        let restored = file.load();
        assert!(restored.copy.is_none(), "{restored:?}");
        restored.discarded.into_iter().next().expect("a reason")
    }

    #[test]
    fn a_copy_comes_back_as_it_was_and_is_not_readable_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "node-1");
        assert!(file.load().copy.is_none() && file.load().discarded.is_empty());
        file.save(&copy()).unwrap();
        let read = file.load().copy.unwrap();
        assert_eq!((read.revision, read.documents), (Revision(7), copy().documents));
        let raw = String::from_utf8(fs::read(file.path()).unwrap()).unwrap();
        assert!(raw.starts_with("v1.") && !raw.contains("Agency"), "{raw}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_copy_in_a_later_form_is_refused_even_where_it_reads_like_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "node-1");
        file.save(&LastGood { format: FORMAT + 1, ..copy() }).unwrap();
        assert!(matches!(refusal(&file), LastGoodError::Content(told) if told == "format 2"));
    }

    #[test]
    fn a_copy_follows_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (SealKey::parse(KEY).unwrap(), SealKey::parse(&KEY.replace("00", "ff")).unwrap());
        let keys = Keyring::new(SealKey::parse(KEY).unwrap());
        let file = LastGoodFile::new(dir.path(), &"node-1".parse().unwrap(), keys.clone(), false);
        file.save(&marked(7)).unwrap();
        let both = format!("{}\n{KEY}", KEY.replace("00", "ff"));
        keys.replace(lgsp_shared::seal::SealKeys::parse(&both).unwrap());
        assert!(file.load().copy.is_some(), "sealed under {}, which is still held", old.id());
        file.save(&marked(7)).unwrap();
        keys.replace(new.into());
        assert!(file.load().copy.is_some(), "sealed anew under the first key");
    }

    #[test]
    fn a_copy_that_was_cut_changed_or_is_another_nodes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mine = file(dir.path(), "node-1");
        mine.save(&copy()).unwrap();
        refusal(&file(dir.path(), "node-2"));
        let whole = fs::read(mine.path()).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"", b"\xff\xfe", b"v1.00000000.AAAA"] {
            fs::write(mine.path(), bytes).unwrap();
            refusal(&mine);
        }
        let mut changed = whole;
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        fs::write(mine.path(), changed).unwrap();
        refusal(&mine);
    }

    #[test]
    fn an_older_sealed_copy_that_is_put_back_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "node-1");
        file.save(&marked(7)).unwrap();
        let yesterday = fs::read(file.path()).unwrap();
        file.save(&marked(8)).unwrap();
        assert_eq!(file.load().copy.unwrap().revision, Revision(8));
        fs::write(file.path(), &yesterday).unwrap();
        assert!(matches!(refusal(&file), LastGoodError::PutBack(Revision(7))));
        assert!(!file.load().seen.is_empty(), "what is offered next is still held against the record");
        // Nor does it help to take the record away, or to damage it.
        let record = dir.path().join(SEEN_FILE_NAME);
        fs::write(&record, "v1.00000000.AAAA").unwrap();
        refusal(&file);
        fs::remove_file(&record).unwrap();
        assert!(matches!(refusal(&file), LastGoodError::PutBack(Revision(7))));
        // A copy of the time before marks is older than any marked one.
        file.save(&marked(8)).unwrap();
        file.copy.write(&copy()).unwrap();
        assert!(matches!(refusal(&file), LastGoodError::PutBack(Revision(7))));
    }

    #[test]
    fn a_process_that_is_succeeded_does_not_replace_the_later_copy() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "node-1");
        file.save(&marked(8)).unwrap();
        file.save(&marked(7)).unwrap();
        assert_eq!(file.load().copy.unwrap().revision, Revision(8));
    }
}

//! The last good copy on disk: what a node serves after a restart while its source is away.
//!
//! One file, sealed under the first of the node's keys and the node's name, so that it is readable nowhere else and a changed
//! byte is noticed; replaced by rename, so that it is whole or absent. A copy that cannot be used is ignored, never fatal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{NodeId, Revision};
use lgsp_shared::keyspace::StatusError;
use lgsp_shared::seal::{NONCE_BYTES, SealError, Sealed, Secret};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shutdown;
use super::health::{SyncHealth, count};
use super::keyring::Keyring;
use super::rejection::CONFIGURATION_BYTES_MAX;
use crate::snapshot::Documents;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "last-good.sealed";
const FORMAT: u32 = 1;
/// Base64 of the largest configuration, with room for the errors.
const FILE_BYTES_MAX: u64 = (CONFIGURATION_BYTES_MAX as u64) * 3 / 2;
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
}

impl LastGood {
    /// Makes the copy of what serves.
    pub fn new(revision: Revision, hash: ContentHash, documents: Documents, errors: Vec<StatusError>) -> Self {
        Self { format: FORMAT, revision, hash, documents, errors }
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
}

/// The file of one node.
#[derive(Debug, Clone)]
pub struct LastGoodFile {
    path: PathBuf,
    keys: Arc<Keyring>,
    identity: String,
}

impl LastGoodFile {
    /// The file of `node` in `state_dir`.
    pub fn new(state_dir: &Path, node: &NodeId, keys: Arc<Keyring>) -> Self {
        Self { path: state_dir.join(FILE_NAME), keys, identity: format!("lgsp/last-good/{node}") }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the copy; `None` when there is none.
    pub fn load(&self) -> Result<Option<LastGood>, LastGoodError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = file.metadata()?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(LastGoodError::TooLarge(bytes));
        }
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| SealError::SealedMalformed)?;
        let opened = self.keys.load().open(&Sealed::from(text), &self.identity)?;
        let content = |error: serde_json::Error| LastGoodError::Content(error.to_string());
        let copy: LastGood = serde_json::from_slice(opened.expose()).map_err(content)?;
        if copy.format != FORMAT {
            return Err(LastGoodError::Content(format!("format {}", copy.format)));
        }
        Ok(Some(copy))
    }

    /// Replaces the copy; it is on disk when this returns.
    pub fn save(&self, copy: &LastGood) -> Result<(), LastGoodError> {
        let content = serde_json::to_vec(copy).map_err(|error| LastGoodError::Content(error.to_string()))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(LastGoodError::Random)?;
        let sealed = self.keys.load().seal(&Secret::new(content), &self.identity, nonce)?;
        // During an upgrade two processes of the node write here: each has its own file until the rename.
        let next = self.path.with_extension(format!("{}.next", std::process::id()));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(sealed.as_str().as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
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
                let path = file.path.display();
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
    use lgsp_shared::resource::Document;
    use lgsp_shared::seal::SealKey;
    use serde_json::json;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(dir: &Path, node: &str) -> LastGoodFile {
        LastGoodFile::new(dir, &node.parse().unwrap(), Keyring::new(SealKey::parse(KEY).unwrap()))
    }

    fn copy() -> LastGood {
        let document = Document { kind: "Agency".into(), name: "a".into(), spec: json!({"title": "Sở Tư pháp"}) };
        LastGood::new(Revision(7), String::from("ab").into(), Documents::from_iter([Arc::new(document)]), vec![])
    }

    #[test]
    fn a_copy_comes_back_as_it_was_and_is_not_readable_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path(), "node-1");
        assert!(file.load().unwrap().is_none());
        file.save(&copy()).unwrap();
        let read = file.load().unwrap().unwrap();
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
        assert!(matches!(file.load(), Err(LastGoodError::Content(told)) if told == "format 2"));
    }

    #[test]
    fn a_copy_follows_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (SealKey::parse(KEY).unwrap(), SealKey::parse(&KEY.replace("00", "ff")).unwrap());
        let file = file(dir.path(), "node-1");
        file.save(&copy()).unwrap();
        let both = format!("{}\n{KEY}", KEY.replace("00", "ff"));
        file.keys.replace(lgsp_shared::seal::SealKeys::parse(&both).unwrap());
        assert!(file.load().unwrap().is_some(), "sealed under {}, which is still held", old.id());
        file.save(&copy()).unwrap();
        file.keys.replace(new.into());
        assert!(file.load().unwrap().is_some(), "sealed anew under the first key");
    }

    #[test]
    fn a_copy_that_was_cut_changed_or_is_another_nodes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mine = file(dir.path(), "node-1");
        mine.save(&copy()).unwrap();
        assert!(file(dir.path(), "node-2").load().is_err());
        let whole = fs::read(mine.path()).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"", b"\xff\xfe", b"v1.00000000.AAAA"] {
            fs::write(mine.path(), bytes).unwrap();
            assert!(mine.load().is_err(), "{bytes:?}");
        }
        let mut changed = whole;
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        fs::write(mine.path(), changed).unwrap();
        assert!(mine.load().is_err());
    }
}

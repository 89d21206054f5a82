//! The bundle file: replaced atomically, so that a reader sees one revision or the other and never a part.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lgsp_shared::bundle::Bundle;
use lgsp_shared::resource::Document;

use super::{Permits, PublishError, is_large_removal};
use crate::desired::Whole;

/// Readable by this user and group: a data plane may run as another user of the group. The secrets in it are sealed.
const MODE: u32 = 0o640;

/// Writes the bundle.
#[derive(Debug)]
pub struct BundleSink {
    path: PathBuf,
}

impl BundleSink {
    /// Writes to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes the revision unless the file holds it already.
    pub async fn publish(&mut self, whole: &Whole, permits: Permits) -> Result<(), PublishError> {
        let mut bundle = Bundle::new(whole.revision(), Vec::new());
        bundle.hash = whole.hash().clone();
        bundle.documents = whole.documents().cloned().collect();
        bundle.allow_older = permits.older;
        let path = self.path.clone();
        let failed = |source| PublishError::File { path: self.path.display().to_string(), source };
        let task = tokio::task::spawn_blocking(move || {
            let found = read(&path);
            match judge(found.as_ref(), &bundle, permits) {
                Ok(true) => {
                    bundle.allow_large_removal =
                        permits.large_removal || found.is_some_and(|found| removes_much(&found, &bundle));
                    replace(&path, bundle.to_json().as_bytes()).map(Ok)
                }
                Ok(false) => Ok(Ok(())),
                Err(error) => Ok(Err(error)),
            }
        });
        task.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?
    }
}

/// Whether `bundle` has to be written over what is there.
fn judge(found: Option<&Bundle>, bundle: &Bundle, permits: Permits) -> Result<bool, PublishError> {
    match found {
        Some(found) if found.revision == bundle.revision && found.hash == bundle.hash => {
            Ok(permits != Permits::default())
        }
        Some(found) if found.revision > bundle.revision && !permits.older => {
            Err(PublishError::Older { found: found.revision, current: bundle.revision })
        }
        Some(_) | None => Ok(true),
    }
}

/// Whether half of what was published is no longer there: it was allowed when the revision was made.
fn removes_much(found: &Bundle, bundle: &Bundle) -> bool {
    let stays: HashSet<(&str, &str)> =
        bundle.documents.iter().map(|document| (document.kind.as_str(), document.name.as_str())).collect();
    let gone = |document: &&Document| !stays.contains(&(document.kind.as_str(), document.name.as_str()));
    let removed = found.documents.iter().filter(gone).count();
    is_large_removal(removed, found.documents.len())
}

/// What the file holds; a file that was cut or edited counts as none.
fn read(path: &Path) -> Option<Bundle> {
    Bundle::parse(&std::fs::read(path).ok()?).ok()
}

/// Temporary file beside it, flushed, renamed over it, and the directory flushed: after a power cut the file is whole,
/// the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
    // A leftover of a process that was killed; it may have been made with another mode.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use serde_json::json;

    use super::*;

    fn whole(revision: u64, title: &str) -> Whole {
        let spec = json!({"code": "H61", "title": title});
        Whole::new(Revision(revision), vec![Document { kind: "Agency".into(), name: "a".into(), spec }]).unwrap()
    }

    #[tokio::test]
    async fn a_bundle_is_replaced_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.json");
        let mut sink = BundleSink::new(path.clone());
        std::fs::write(directory.path().join("bundle.json.new"), "left by a killed process").unwrap();
        for revision in [1, 2] {
            let whole = whole(revision, &format!("title {revision}"));
            sink.publish(&whole, Permits::default()).await.unwrap();
            let bundle = Bundle::parse(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!((bundle.revision, &bundle.hash), (Revision(revision), whole.hash()));
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn the_same_revision_is_not_written_again_but_a_damaged_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.json");
        let mut sink = BundleSink::new(path.clone());
        sink.publish(&whole(1, "A"), Permits::default()).await.unwrap();
        let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
        let before = inode();
        sink.publish(&whole(1, "A"), Permits::default()).await.unwrap();
        assert_eq!(inode(), before);
        std::fs::write(&path, "cut").unwrap();
        sink.publish(&whole(1, "A"), Permits::default()).await.unwrap();
        assert!(read(&path).is_some());
    }

    #[tokio::test]
    async fn an_older_revision_replaces_a_newer_one_only_on_demand() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.json");
        let mut sink = BundleSink::new(path.clone());
        sink.publish(&whole(9, "A"), Permits::default()).await.unwrap();
        let error = sink.publish(&whole(3, "B"), Permits::default()).await.unwrap_err();
        assert!(matches!(error, PublishError::Older { found: Revision(9), current: Revision(3) }), "{error}");
        sink.publish(&whole(3, "B"), Permits { older: true, ..Permits::default() }).await.unwrap();
        assert_eq!(read(&path).unwrap().revision, Revision(3));
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_is_named() {
        let mut sink = BundleSink::new("/nonexistent/bundle.json".into());
        let error = sink.publish(&whole(1, "A"), Permits::default()).await.unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/bundle.json`"), "{error}");
    }
}

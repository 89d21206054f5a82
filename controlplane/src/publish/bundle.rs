//! The bundle file: replaced atomically, so that a reader sees one revision or the other and never a part. What others make
//! of it is noticed by the file's times and identity, and put right.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lgsp_shared::bundle::Bundle;
use lgsp_shared::keyspace::Head;
use lgsp_shared::resource::Document;

use super::origin::{Flags, Found, Marker};
use super::{Look, PublishError, Repair, Wrote, is_large_removal};
use crate::desired::Whole;

/// Readable by this user and group: a data plane may run as another user of the group. The secrets in it are sealed.
const MODE: u32 = 0o640;

/// What changes whenever the file is replaced or written.
type Fingerprint = (u64, u64, i64, i64, i64, i64);

/// What this process knows to be in the file, as long as nobody else writes it.
struct Written {
    whole: Arc<Whole>,
    head: Head,
    fingerprint: Option<Fingerprint>,
}

/// Writes the bundle.
pub struct BundleSink {
    path: PathBuf,
    written: Option<Written>,
    /// The documents found at the last look, where they were read.
    found: Vec<Document>,
    /// Whether what was found is not what this process left.
    differs: bool,
    /// Whether this process has written the file, or found it as it would write it.
    led: bool,
    /// The file at the last look.
    looked: Option<Fingerprint>,
}

impl std::fmt::Debug for BundleSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleSink").field("path", &self.path).finish_non_exhaustive()
    }
}

impl BundleSink {
    /// Writes to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: None, found: Vec::new(), differs: false, led: false, looked: None }
    }

    /// What is published now. Reads the file when it is not the one that was written, or there is a `doubt`.
    pub async fn look(&mut self, doubt: bool) -> Result<Look, PublishError> {
        let led = self.led;
        if let Some(Written { whole, head, fingerprint }) = &self.written
            && !doubt
            && fingerprint.is_some()
            && *fingerprint == self.fingerprint()
        {
            let in_place = Some((whole.clone(), head.clone()));
            return Ok(Look { found: Found::Head(head.clone()), in_place, led, modified: 0 });
        }
        // Before it is read: what is changed from here on is noticed at the next look.
        self.looked = self.fingerprint();
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let (found, documents) = read.map_err(|error| self.failed(io::Error::other(error)))?;
        let left = self.written.take().map(|written| Found::Head(written.head));
        self.differs |= left.is_some_and(|left| left != found) || found == Found::Damaged;
        self.found = documents;
        Ok(Look { found, in_place: None, led, modified: 0 })
    }

    /// Writes the revision unless `look` has shown that the file holds it already.
    pub async fn write(
        &mut self,
        whole: &Arc<Whole>,
        marker: &Marker,
        flags: Flags,
        look: &Look,
    ) -> Result<Wrote, PublishError> {
        let found = std::mem::take(&mut self.found);
        let repair = self.differs.then(|| Repair { keys: vec![self.path.display().to_string()], total: 1 });
        if let Found::Head(head) = &look.found
            && marker.is_current(head, whole)
            && flags == Flags::default()
            && look.in_place.is_none()
        {
            let (head, fingerprint) = (head.clone(), self.looked);
            self.written = Some(Written { whole: whole.clone(), head, fingerprint });
            (self.differs, self.led) = (false, true);
            return Ok(Wrote { written: false, repair });
        }
        let found = if let Some((before, _)) = &look.in_place { before.documents().cloned().collect() } else { found };
        let documents: Vec<Document> = whole.documents().cloned().collect();
        let removes_much = removes_much(&found, &documents);
        let head = marker.head(whole, Flags { large_removal: flags.large_removal || removes_much, ..flags });
        let text = bundle(&head, documents).to_json();
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || replace(&path, text.as_bytes()));
        let written = task.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| self.failed(error))?;
        self.written = Some(Written { whole: whole.clone(), head, fingerprint: self.fingerprint() });
        (self.differs, self.led) = (false, true);
        Ok(Wrote { written: true, repair })
    }

    fn failed(&self, source: io::Error) -> PublishError {
        PublishError::File { path: self.path.display().to_string(), source }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
    }
}

fn bundle(head: &Head, documents: Vec<Document>) -> Bundle {
    let Head { format, revision, hash, documents: _, allow_large_removal, allow_older, origin } = head.clone();
    Bundle { format, revision, hash, allow_large_removal, allow_older, origin, documents }
}

/// Whether half of what was published is no longer there: it was allowed when the revision was made.
fn removes_much(found: &[Document], documents: &[Document]) -> bool {
    let stays: HashSet<(&str, &str)> =
        documents.iter().map(|document| (document.kind.as_str(), document.name.as_str())).collect();
    let gone = |document: &&Document| !stays.contains(&(document.kind.as_str(), document.name.as_str()));
    let removed = found.iter().filter(gone).count();
    is_large_removal(removed, found.len())
}

/// What the file holds; one that cannot be read, was cut or edited is damaged.
fn read(path: &Path) -> (Found, Vec<Document>) {
    match std::fs::read(path) {
        Ok(bytes) => match Bundle::parse(&bytes) {
            Ok(bundle) => (Found::Head(bundle.head()), bundle.documents),
            Err(_) => (Found::Damaged, Vec::new()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Found::Nothing, Vec::new()),
        Err(_) => (Found::Damaged, Vec::new()),
    }
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
    use lgsp_testkit::resources::{lineage, seal_keys};
    use serde_json::json;

    use super::*;

    fn whole(revision: u64, title: &str) -> Arc<Whole> {
        let spec = json!({"code": "H61", "title": title});
        let document = Document { kind: "Agency".into(), name: "a".into(), spec };
        Arc::new(Whole::new(Revision(revision), vec![document]).unwrap())
    }

    async fn publish(sink: &mut BundleSink, whole: &Arc<Whole>) -> Result<Wrote, PublishError> {
        let marker = Marker { keys: seal_keys(), lineage: lineage() };
        let look = sink.look(false).await?;
        sink.write(whole, &marker, Flags::default(), &look).await
    }

    #[tokio::test]
    async fn a_bundle_is_replaced_marked_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.json");
        let mut sink = BundleSink::new(path.clone());
        std::fs::write(directory.path().join("bundle.json.new"), "left by a killed process").unwrap();
        for revision in [1, 2] {
            let whole = whole(revision, &format!("title {revision}"));
            publish(&mut sink, &whole).await.unwrap();
            let bundle = Bundle::parse(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!((bundle.revision, &bundle.hash), (Revision(revision), whole.hash()));
            assert_eq!(bundle.head().proven(&seal_keys()), Ok(&lineage()));
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_file_that_somebody_changed_is_noticed_without_being_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle.json");
        let mut sink = BundleSink::new(path.clone());
        let whole = whole(1, "A");
        assert!(publish(&mut sink, &whole).await.unwrap().written);
        assert!(sink.look(false).await.unwrap().in_place.is_some(), "nothing is read");
        for damage in ["cut", ""] {
            std::fs::write(&path, damage).unwrap();
            let look = sink.look(false).await.unwrap();
            assert!(look.in_place.is_none() && look.found == Found::Damaged);
            let wrote = publish(&mut sink, &whole).await.unwrap();
            assert!(wrote.written && wrote.repair.is_some(), "{wrote:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(publish(&mut sink, &whole).await.unwrap().repair.is_some());
        assert!(Bundle::parse(&std::fs::read(&path).unwrap()).is_ok());
        // Another process of the same database finds it in place.
        let wrote = publish(&mut BundleSink::new(path), &whole).await.unwrap();
        assert!(!wrote.written && wrote.repair.is_none(), "{wrote:?}");
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_is_named() {
        let mut sink = BundleSink::new("/nonexistent/bundle.json".into());
        let error = publish(&mut sink, &whole(1, "A")).await.unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/bundle.json`"), "{error}");
    }
}

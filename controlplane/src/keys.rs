//! The key file while the server runs: read again when it changes and whenever that must be sure, and every change of the
//! keys in use is in the audit.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::seal::SealKeys;
use serde_json::json;
use tokio::sync::watch;

use crate::audit::{KEYS_ACTION, Trail};
use crate::desired::Keys;
use crate::runtime::now;
use crate::settings::key_file::{self, KeyFileError};
use crate::store::Store;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Clone)]
pub struct FileKeys {
    path: PathBuf,
    held: Arc<watch::Sender<SealKeys>>,
}

impl FileKeys {
    /// Reads the file.
    pub fn new(path: PathBuf) -> Result<Self, KeyFileError> {
        let held = Arc::new(watch::Sender::new(key_file::read(&path)?));
        Ok(Self { path, held })
    }

    /// Where to find the keys.
    pub fn keys(&self) -> Keys {
        let this = self.clone();
        Keys::new(self.held.subscribe(), move || this.reread().map_err(|error| error.to_string()))
    }

    fn reread(&self) -> Result<(), KeyFileError> {
        let read = key_file::read(&self.path)?;
        self.held.send_if_modified(|held| {
            let other = held.ids() != read.ids();
            *held = read;
            other
        });
        Ok(())
    }

    /// Follows the file until `stop`: keys that can be used replace those held, what cannot be used changes nothing.
    pub async fn follow(self, store: Store, mut stop: watch::Receiver<bool>) {
        let (mut seen, mut changes) = (fingerprint(&self.path), self.held.subscribe());
        let mut known = ids(&changes.borrow_and_update());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Ok(()) = changes.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let now = fingerprint(&self.path);
            if now != seen {
                seen = now;
                if let Err(error) = self.reread() {
                    tracing::error!(%error, "the changed key file is unusable, the keys read before stay in use");
                }
            }
            let held = ids(&changes.borrow_and_update());
            if held != known {
                note(&store, &known, &held).await;
                known = held;
            }
        }
    }
}

/// The keys in use are others now. Their names are no secret.
async fn note(store: &Store, before: &[String], after: &[String]) {
    tracing::info!(ids = ?after, "other keys in use");
    let trail = Trail::new(now(), Ipv4Addr::LOCALHOST.into(), KEYS_ACTION.to_owned(), "key file".to_owned());
    let attempt = trail.done(&json!({"keys": before}), &json!({"keys": after}), None);
    if let Err(error) = store.record(attempt).await {
        tracing::warn!(%error, "the change of keys is not in the audit: the database does not answer");
    }
}

fn ids(keys: &SealKeys) -> Vec<String> {
    keys.ids().iter().map(ToString::to_string).collect()
}

/// What changes whenever the file is replaced, written, or opened to others.
fn fingerprint(path: &Path) -> Option<(u64, u64, i64, i64, u32)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.mode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_sees_the_file_as_it_is_now() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let old = key_file::make(&path).unwrap().sealing().id();
        let keys = FileKeys::new(path.clone()).unwrap().keys();
        let new = key_file::add(&path).unwrap();
        key_file::put_first(&path, &new.to_string()).unwrap();
        assert_eq!(keys.load().sealing().id(), old, "nobody has looked yet");
        assert_eq!(keys.reload().unwrap().sealing().id(), new);
        assert_eq!(keys.load().sealing().id(), new, "and from then on everybody");
        std::fs::write(&path, "changeme").unwrap();
        assert!(keys.reload().unwrap_err().contains("cannot be used"));
    }
}

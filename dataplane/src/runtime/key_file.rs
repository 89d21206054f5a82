//! The key-encryption keys: read from a file only its owner may read, and read again when it changes. There is no default.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lgsp_process::secret_file::{self, Readers, SecretFileError};
use lgsp_shared::seal::{SealError, SealKeys};

use crate::sync::Keyring;

/// A key file holds a few lines of 64 hexadecimal digits; more than this is another file.
const FILE_BYTES_MAX: u64 = 4096;

/// Why the key-encryption key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(
        "`key_file`: cannot read `{}`: {source}; make one with `openssl rand -hex 32 > {} && chmod 600 {}`",
        path.display(), path.display(), path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("`key_file`: `{}` has mode {mode:o}, so others can read it: `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds no usable key.
    #[error("`key_file`: `{}`: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
}

/// The keys of a file that is looked at every second.
#[derive(Debug)]
pub struct WatchedKeys {
    path: PathBuf,
    keyring: Arc<Keyring>,
    seen: Mutex<Option<Fingerprint>>,
}

/// What changes whenever the file is replaced, written, or opened to others.
type Fingerprint = (u64, u64, i64, i64, u32);

impl WatchedKeys {
    /// Reads the file for the first time.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let seen = Mutex::new(fingerprint(path));
        Ok(Self { path: path.to_owned(), keyring: Keyring::new(read(path)?), seen })
    }

    /// The keys held.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Reads the file again if it changed. What cannot be used changes nothing: the keys held before stay.
    pub fn look(&self) {
        let now = fingerprint(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match read(&self.path) {
            Ok(keys) if keys.ids() == self.keyring.load().ids() => {}
            Ok(keys) => {
                tracing::info!(keys = ?keys.ids().iter().map(ToString::to_string).collect::<Vec<_>>(), "other keys in use");
                self.keyring.replace(keys);
            }
            Err(error) => tracing::error!(%error, "the changed key file is unusable, the keys read before stay in use"),
        }
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.mode()))
}

/// Reads the keys; refuses a file that is missing, open to others, or holds a weak key.
fn read(path: &Path) -> Result<SealKeys, KeyFileError> {
    let text = secret_file::read(path, Readers::Owner, FILE_BYTES_MAX).map_err(|error| match error {
        SecretFileError::Unreadable(source) => KeyFileError::Unreadable { path: path.to_owned(), source },
        SecretFileError::Exposed { mode } => KeyFileError::Exposed { path: path.to_owned(), mode },
        SecretFileError::NotText { .. } => {
            KeyFileError::Unusable { path: path.to_owned(), source: SealError::KeyMalformed }
        }
    })?;
    SealKeys::parse(&text).map_err(|source| KeyFileError::Unusable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key_file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kek");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

    #[test]
    fn a_missing_exposed_or_weak_key_stops_the_start() {
        let missing = read(Path::new("/nowhere/kek")).unwrap_err().to_string();
        assert!(missing.contains("`/nowhere/kek`") && missing.contains("openssl rand -hex 32"), "{missing}");
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let (_directory, path) = key_file(KEY, mode);
            let exposed = read(&path).unwrap_err().to_string();
            assert!(exposed.contains("chmod 600") && exposed.contains(&format!("{mode:o}")), "{exposed}");
        }
        for weak in ["", "changeme", &"00".repeat(32)] {
            let (_directory, path) = key_file(weak, 0o600);
            assert!(matches!(read(&path), Err(KeyFileError::Unusable { .. })), "{weak}");
        }
        let (_directory, path) = key_file(KEY, 0o400);
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unusable_one_changes_nothing() {
        let (_directory, path) = key_file(KEY, 0o600);
        let watched = WatchedKeys::read(&path).unwrap();
        let old = watched.keyring().load().ids();
        watched.look();
        assert_eq!(watched.keyring().load().ids(), old);
        std::fs::write(&path, format!("{KEY}{}", KEY.replace("00", "ff"))).unwrap();
        watched.look();
        let both = watched.keyring().load().ids();
        assert_eq!((both.len(), both[0]), (2, old[0]));
        for broken in ["", "changeme"] {
            std::fs::write(&path, broken).unwrap();
            watched.look();
            assert_eq!(watched.keyring().load().ids(), both);
        }
        std::fs::remove_file(&path).unwrap();
        watched.look();
        assert_eq!(watched.keyring().load().ids(), both);
    }
}

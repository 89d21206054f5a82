//! The file that holds the key-encryption key: made once, readable by its owner only, never replaced.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use lgsp_shared::seal::{KEY_BYTES, SealError, SealKey};

/// A key file holds 64 hexadecimal digits; more than this is another file.
const FILE_BYTES_MAX: u64 = 4 << 10;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the key file `{path}`; make one with `lgsp-controlplane init-key {path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("the key file `{path}` has mode {mode:o}, so others can read it; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// What it holds is not a key.
    #[error("the key file `{path}` cannot be used")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// It cannot be made.
    #[error("cannot make the key file `{path}`; a key that exists is never replaced, because it opens every secret")]
    NotMade {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Reads the key; refuses a file that others can read and a key that is missing, malformed or weak.
pub fn read(path: &Path) -> Result<SealKey, KeyFileError> {
    let name = || path.display().to_string();
    let unreadable = |source| KeyFileError::Unreadable { path: name(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: name(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    SealKey::parse(&text).map_err(|source| KeyFileError::Unusable { path: name(), source })
}

/// Makes a file with a new random key, mode 0600. Fails when the file exists.
pub fn make(path: &Path) -> Result<SealKey, KeyFileError> {
    let not_made = |source| KeyFileError::NotMade { path: path.display().to_string(), source };
    let mut random = [0; KEY_BYTES];
    getrandom::fill(&mut random).map_err(|error| not_made(std::io::Error::other(error)))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(not_made)?;
    file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(not_made)?;
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let made = make(&path).unwrap();
        assert_eq!(read(&path).unwrap().id(), made.id());
        assert!(matches!(make(&path), Err(KeyFileError::NotMade { .. })));
        assert_eq!(read(&path).unwrap().id(), made.id());
    }

    #[test]
    fn a_missing_readable_malformed_or_weak_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("init-key"), "{error}");
        make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("mode 640") && error.to_string().contains("chmod 600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for (text, wanted) in [("changeme", SealError::KeyMalformed), (&*"00".repeat(32), SealError::KeyWeak)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Unusable { source, .. }) if source == wanted));
        }
    }
}

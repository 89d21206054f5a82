//! The key-encryption key: read once, from a file only its owner may read. There is no default.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lgsp_shared::seal::{SealError, SealKey};
use zeroize::Zeroizing;

/// A key file holds 64 hexadecimal digits; more than this is another file.
const FILE_BYTES_MAX: u64 = 4096;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

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

/// Reads the key; refuses a file that is missing, open to others, or holds a weak key.
pub fn read(path: &Path) -> Result<SealKey, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let unusable = |source| KeyFileError::Unusable { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(unusable(SealError::KeyMalformed));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    SealKey::parse(&text).map_err(unusable)
}

#[cfg(test)]
mod tests {
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
}

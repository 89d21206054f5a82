//! The file that holds the key-encryption keys: readable by its owner only.
//!
//! One key follows another in four steps, without a pause: [`add`] it at the end and give the file to every node; put it
//! first with [`put_first`], so that it seals; seal everything anew (`lgspctl reseal`) and give the file to every node;
//! [`remove`] the old one everywhere. Whether something is still sealed under it is for the database to say: the command
//! line asks it before.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use lgsp_process::secret_file::{self, Readers, SecretFileError};
use lgsp_shared::seal::{KEY_BYTES, KeyId, SealError, SealKey, SealKeys};
use zeroize::Zeroizing;

/// A key file holds a few lines of 64 hexadecimal digits; more than this is another file.
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
    /// It cannot be replaced.
    #[error("cannot write the key file `{path}`; nothing in it has changed")]
    NotWritten {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has no such key.
    #[error("the key file `{path}` has no key {id}; `lgsp-controlplane key list {path}` shows those it has")]
    NoSuchKey {
        /// The file.
        path: String,
        /// The key.
        id: String,
    },
    /// What is asked for would leave nothing that seals, or take it away.
    #[error("key {id} seals; put another first with `lgsp-controlplane key use`, and seal everything anew")]
    Sealing {
        /// The key.
        id: KeyId,
    },
}

/// Reads the keys; refuses a file that others can read and a key that is missing, malformed or weak.
pub fn read(path: &Path) -> Result<SealKeys, KeyFileError> {
    SealKeys::parse(&text(path)?).map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: SealError) -> KeyFileError {
    KeyFileError::Unusable { path: path.display().to_string(), source }
}

fn text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let name = || path.display().to_string();
    secret_file::read(path, Readers::Owner, FILE_BYTES_MAX).map_err(|error| match error {
        SecretFileError::Unreadable(source) => KeyFileError::Unreadable { path: name(), source },
        SecretFileError::Exposed { mode } => KeyFileError::Open { path: name(), mode },
        SecretFileError::NotText { .. } => unusable(path, SealError::KeyMalformed),
    })
}

/// Adds a new random key at the end: it opens, and does not seal yet. Returns its name.
pub fn add(path: &Path) -> Result<KeyId, KeyFileError> {
    let made = random_key().map_err(|source| not_written(path, source))?;
    let key = SealKey::parse(&made).map_err(|source| unusable(path, source))?;
    let mut lines = lines(path)?;
    lines.push(made);
    rewrite(path, &lines)?;
    Ok(key.id())
}

/// Puts a key first, so that it seals.
pub fn put_first(path: &Path, id: &str) -> Result<(), KeyFileError> {
    let mut lines = lines(path)?;
    let at = place_of(path, &lines, id)?;
    let first = lines.remove(at);
    lines.insert(0, first);
    rewrite(path, &lines)
}

/// Removes a key that does not seal. What is still sealed under it does not open any more.
pub fn remove(path: &Path, id: &str) -> Result<(), KeyFileError> {
    let mut lines = lines(path)?;
    match place_of(path, &lines, id)? {
        0 => Err(KeyFileError::Sealing { id: read(path)?.sealing().id() }),
        at => {
            lines.remove(at);
            rewrite(path, &lines)
        }
    }
}

/// The lines that hold keys.
fn lines(path: &Path) -> Result<Vec<Zeroizing<String>>, KeyFileError> {
    read(path)?;
    let text = text(path)?;
    let is_key = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().map(str::trim).filter(is_key).map(|line| Zeroizing::new(line.to_owned())).collect())
}

fn place_of(path: &Path, lines: &[Zeroizing<String>], id: &str) -> Result<usize, KeyFileError> {
    let has_id = |line: &Zeroizing<String>| SealKey::parse(line).is_ok_and(|key| key.id().to_string() == id);
    let missing = || KeyFileError::NoSuchKey { path: path.display().to_string(), id: id.to_owned() };
    lines.iter().position(has_id).ok_or_else(missing)
}

fn not_written(path: &Path, source: std::io::Error) -> KeyFileError {
    KeyFileError::NotWritten { path: path.display().to_string(), source }
}

/// Replaces the file whole: whoever reads it sees the old keys or the new ones. The owner and the group stay what they were,
/// so that a service that runs as another user still reads it after root has changed it.
fn rewrite(path: &Path, lines: &[Zeroizing<String>]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(lines.iter().map(|line| format!("{}\n", line.as_str())).collect::<String>());
    SealKeys::parse(&text).map_err(|source| unusable(path, source))?;
    let next = path.with_extension(format!("next.{}", std::process::id()));
    let write = || {
        let before = std::fs::metadata(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().map_err(|source| {
        // Nothing that failed is left to be in the way of the next attempt.
        let _ = std::fs::remove_file(&next);
        not_written(path, source)
    })
}

fn random_key() -> std::io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(random.as_mut()).map_err(std::io::Error::other)?;
    Ok(Zeroizing::new(random.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Makes a file with a new random key, mode 0600. Fails when the file exists.
pub fn make(path: &Path) -> Result<SealKeys, KeyFileError> {
    let not_made = |source| KeyFileError::NotMade { path: path.display().to_string(), source };
    let text = random_key().map_err(not_made)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(not_made)?;
    file.write_all(format!("{}\n", text.as_str()).as_bytes()).and_then(|()| file.sync_all()).map_err(not_made)?;
    read(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let made = make(&path).unwrap();
        assert_eq!(read(&path).unwrap().ids(), made.ids());
        assert!(matches!(make(&path), Err(KeyFileError::NotMade { .. })));
        assert_eq!(read(&path).unwrap().ids(), made.ids());
    }

    #[test]
    fn one_key_follows_another_and_the_one_that_seals_is_never_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let old = make(&path).unwrap().sealing().id();
        let new = add(&path).unwrap();
        assert_eq!(read(&path).unwrap().ids(), [old, new]);
        assert!(matches!(remove(&path, &old.to_string()), Err(KeyFileError::Sealing { id }) if id == old));
        put_first(&path, &new.to_string()).unwrap();
        assert_eq!(read(&path).unwrap().ids(), [new, old]);
        remove(&path, &old.to_string()).unwrap();
        assert_eq!(read(&path).unwrap().ids(), [new]);
        assert!(matches!(put_first(&path, "00000000"), Err(KeyFileError::NoSuchKey { .. })));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_file_keeps_its_owner_and_group_when_root_changes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let old = make(&path).unwrap().sealing().id();
        // As root, the file is another user's, as a service's is; otherwise it is the only user's there is.
        let _ = std::os::unix::fs::chown(&path, Some(101), Some(102));
        let owner = || std::fs::metadata(&path).map(|meta| (meta.uid(), meta.gid(), meta.mode() & 0o777)).unwrap();
        let before = owner();
        let new = add(&path).unwrap();
        assert_eq!(owner(), before);
        put_first(&path, &new.to_string()).unwrap();
        assert_eq!(owner(), before);
        remove(&path, &old.to_string()).unwrap();
        assert_eq!(owner(), before);
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

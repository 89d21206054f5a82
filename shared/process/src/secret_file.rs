//! Files that hold a secret: who may read one is checked on the open file, so that it cannot be exchanged in between, and
//! one is written with its mode from the first byte on.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Who may read a file, beside root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: for keys under which other secrets are sealed.
    Owner,
    /// Its owner, and its group, who may not write: for passwords, which are often root's and given to a group.
    OwnerAndGroup,
}

impl Readers {
    /// The permission bits that nobody else may have.
    fn forbidden(self) -> u32 {
        match self {
            Readers::Owner => 0o077,
            Readers::OwnerAndGroup => 0o037,
        }
    }
}

/// Why a file with a secret is not used. What it holds is in none of the texts.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}; check the path, and that this program's user may read it")]
    Unreadable(io::Error),
    /// Others may read or write it.
    #[error("has mode {mode:o}, so others can use it; take that from them with `chmod 600`")]
    Exposed {
        /// Its mode.
        mode: u32,
    },
    /// It is a folder or a device, is too long, or is not text.
    #[error("is not a text file of at most {bytes_max} bytes; is it the right file?")]
    NotText {
        /// The most it may hold.
        bytes_max: u64,
    },
}

/// Reads a secret of at most `bytes_max` bytes from a file that `readers` alone may read.
///
/// # Errors
/// The file is missing, is open to others, or is not a text of that length.
pub fn read(path: &Path, readers: Readers, bytes_max: u64) -> Result<Zeroizing<String>, SecretFileError> {
    let file = File::open(path).map_err(SecretFileError::Unreadable)?;
    let metadata = file.metadata().map_err(SecretFileError::Unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & readers.forbidden() != 0 {
        return Err(SecretFileError::Exposed { mode });
    }
    if !metadata.is_file() || metadata.len() > bytes_max {
        return Err(SecretFileError::NotText { bytes_max });
    }
    // As large as it may become: growing would leave copies behind.
    let capacity = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(SecretFileError::Unreadable)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() as u64 <= bytes_max => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err(SecretFileError::NotText { bytes_max }),
    }
}

/// A file that will hold a secret, made beside its place with mode 600. Nothing is at its place until it is kept: what is
/// there meanwhile stays, whatever its mode. One that is dropped leaves nothing behind.
#[derive(Debug)]
pub struct NewSecretFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
}

impl NewSecretFile {
    /// Makes the file, so that whoever has a secret to give away knows beforehand that it can be kept.
    ///
    /// # Errors
    /// The folder is missing or may not be written to.
    pub fn make(path: &Path) -> io::Result<Self> {
        let mut beside = OsString::from(path);
        beside.push(format!(".new.{}", std::process::id()));
        let beside = PathBuf::from(beside);
        // What a process of this number left behind.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(Self { path: path.to_owned(), beside, file })
    }

    /// Writes the secret and a line feed, and puts the file in its place.
    ///
    /// # Errors
    /// The disk is full, or a folder is at its place.
    pub fn keep(mut self, secret: &str) -> io::Result<()> {
        self.file.write_all(secret.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.file.sync_all()?;
        std::fs::rename(&self.beside, &self.path)
    }
}

impl Drop for NewSecretFile {
    fn drop(&mut self) {
        // Nothing is there once it was kept.
        let _ = std::fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_and_its_mode_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "geheim\n").unwrap();
        for (mode, owner, group) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, false, true),
            (0o660, false, false),
            (0o644, false, false),
            (0o604, false, false),
            (0o602, false, false),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, Readers::Owner, 10).is_ok(), owner, "{mode:o}");
            let read = read(&path, Readers::OwnerAndGroup, 10);
            assert_eq!(read.is_ok(), group, "{mode:o}");
            if let Err(error) = read {
                let text = error.to_string();
                assert!(text.contains(&format!("{mode:o}")) && text.contains("chmod 600"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_a_short_text_is_refused_without_being_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = || read(&path, Readers::Owner, 10).map(|text| text.to_string());
        assert!(matches!(read(), Err(SecretFileError::Unreadable(_))));
        for (bytes, good) in [(b"0123456789".as_slice(), true), (b"0123456789a", false), (b"\xff\xfe", false)] {
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read().is_ok(), good, "{bytes:?}");
        }
        let shown = read().unwrap_err().to_string();
        assert!(!shown.contains("0123") && shown.contains("10 bytes"), "{shown}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(read(), Err(SecretFileError::NotText { .. })));
    }

    #[test]
    fn a_new_file_is_its_owners_even_where_an_open_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let new = NewSecretFile::make(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        new.keep("token").unwrap();
        assert_eq!((mode_of(&path), std::fs::read_to_string(&path).unwrap().as_str()), (0o600, "token\n"));
        drop(NewSecretFile::make(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
        assert!(NewSecretFile::make(&folder.path().join("none/token")).is_err());
    }
}

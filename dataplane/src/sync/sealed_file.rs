//! A file that only this node reads and writes: sealed under the first of its keys and its own name, so that a changed
//! byte is noticed; replaced by rename, so that it is whole or absent.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lgsp_shared::seal::{NONCE_BYTES, SealError, Sealed, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keyring::Keyring;
use super::last_good::LastGoodError;

/// See the module.
#[derive(Debug, Clone)]
pub struct SealedFile {
    path: PathBuf,
    keys: Arc<Keyring>,
    identity: String,
    bytes_max: u64,
}

impl SealedFile {
    /// The file at `path`, which is called `identity` in what seals it and has at most `bytes_max` bytes.
    pub fn new(path: PathBuf, keys: Arc<Keyring>, identity: String, bytes_max: u64) -> Self {
        Self { path, keys, identity, bytes_max }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; `None` when there is none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, LastGoodError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = file.metadata()?.len();
        if bytes > self.bytes_max {
            return Err(LastGoodError::TooLarge(bytes));
        }
        let mut text = Vec::new();
        file.take(self.bytes_max).read_to_end(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| SealError::SealedMalformed)?;
        let opened = self.keys.load().open(&Sealed::from(text), &self.identity)?;
        let content = |error: serde_json::Error| LastGoodError::Content(error.to_string());
        serde_json::from_slice(opened.expose()).map(Some).map_err(content)
    }

    /// Replaces it; it is on disk when this returns.
    pub fn write(&self, value: &impl Serialize) -> Result<(), LastGoodError> {
        let content = serde_json::to_vec(value).map_err(|error| LastGoodError::Content(error.to_string()))?;
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

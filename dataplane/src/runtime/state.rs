//! The node's own files: its state directory, its process id, and the addresses it bound.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::settings::{RecordSink, Settings};

/// Only the node's own user may look into its state directory.
const DIRECTORY_MODE: u32 = 0o700;

/// Why one of the node's own files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state directory cannot be made or written.
    #[error("`state_dir`: cannot write in `{}`: {source}; make it and give it to the node's user", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory of the record file is missing.
    #[error("`records.to.file`: `{}` is not a directory: make it, or write the records elsewhere", path.display())]
    RecordDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("`{key}`: cannot write `{}`: {source}", path.display())]
    Unwritable {
        /// The settings key or option.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the state directory when it is missing, and checks that it and the record file's directory can be used.
pub(super) fn prepare(settings: &Settings) -> Result<(), StateError> {
    let unusable = |source| StateError::Directory { path: settings.state_dir.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&settings.state_dir).map_err(unusable)?;
    let probe = settings.state_dir.join(format!(".writable.{}", std::process::id()));
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(unusable)?;
    match &settings.records.to {
        RecordSink::File(file) => match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                Err(StateError::RecordDirectory { path: parent.to_owned() })
            }
            Some(_) | None => Ok(()),
        },
        RecordSink::Stdout => Ok(()),
    }
}

/// The addresses a node bound, as written for its successor and for `--address-file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Addresses {
    /// In the order of the settings.
    pub listeners: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
}

impl Addresses {
    /// Where the running node says what it bound; a successor with free ports in its settings takes these over.
    pub fn of_running_node(settings: &Settings) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(addresses_file(settings)).ok()?).ok()
    }

    /// Writes them for a successor, and to `file` when someone asked for them.
    pub fn publish(&self, settings: &Settings, file: Option<&Path>) -> Result<(), StateError> {
        // A struct of addresses always serialises.
        let text = serde_json::to_string(self).unwrap_or_default();
        replace("state_dir", &addresses_file(settings), &text)?;
        file.map_or(Ok(()), |file| replace("--address-file", file, &text))
    }
}

fn addresses_file(settings: &Settings) -> PathBuf {
    settings.state_dir.join("addresses.json")
}

/// The file with the process id, by which an upgrade finds its predecessor.
#[derive(Debug, Clone)]
pub struct PidFile(PathBuf);

impl fmt::Display for PidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl PidFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub fn write(&self) -> Result<(), StateError> {
        replace("pid_file", &self.0, &format!("{}\n", std::process::id()))
    }

    /// The process id in the file, if there is one.
    pub(super) fn read(&self) -> Option<u32> {
        std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }

    /// Removes the file unless a successor has written its own id into it.
    pub(super) fn remove(&self) {
        if self.read() == Some(std::process::id()) {
            // What cannot be removed names a process that is gone, which an upgrade notices.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn replace(key: &'static str, path: &Path, text: &str) -> Result<(), StateError> {
    let next = path.with_extension(format!("next.{}", std::process::id()));
    std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, path)).map_err(|source| StateError::Unwritable {
        key,
        path: path.to_owned(),
        source,
    })
}

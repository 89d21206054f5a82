//! Where `lgspctl login` keeps the session of each server: a file that only its owner can read.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};

/// Names another file than the one below the home directory.
const FILE_VARIABLE: &str = "LGSPCTL_SESSIONS";

/// The session of this server, if there is one.
pub fn find(server: &str) -> Result<Option<String>, Failure> {
    Ok(load(&file()?)?.remove(server))
}

/// Keeps the session of this server; none takes it away.
pub fn keep(server: &str, token: Option<&str>) -> Result<(), Failure> {
    let file = file()?;
    let mut sessions = load(&file)?;
    match token {
        Some(token) => sessions.insert(server.to_owned(), token.to_owned()),
        None => sessions.remove(server),
    };
    store(&file, &sessions).map_err(|error| failure(&file, "write", &error.to_string()))
}

fn file() -> Result<PathBuf, Failure> {
    let under = |variable: &str, rest: &str| {
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(|value| Path::new(&value).join(rest))
    };
    under(FILE_VARIABLE, "")
        .map(|file| file.components().collect())
        .or_else(|| under("XDG_CONFIG_HOME", "lgspctl/sessions.json"))
        .or_else(|| under("HOME", ".config/lgspctl/sessions.json"))
        .ok_or_else(|| Failure::new(Exit::Usage, "there is no home directory", format!("Set `{FILE_VARIABLE}`.")))
}

fn load(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failure(file, "read", &error.to_string())),
    };
    serde_json::from_str(&text).map_err(|error| failure(file, "understand", &error.to_string()))
}

fn store(file: &Path, sessions: &BTreeMap<String, String>) -> std::io::Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    written.write_all(serde_json::json!(sessions).to_string().as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&temporary, file)
}

fn failure(file: &Path, what: &str, error: &str) -> Failure {
    let message = format!("cannot {what} the sessions file `{}`: {error}", file.display());
    Failure::new(Exit::Unreachable, message, "Remove it, and log in again.")
}

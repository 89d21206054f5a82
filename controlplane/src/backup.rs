//! Backup and restore: one file with every table, that either database writes and either reads.
//!
//! ```text
//! {"lgsp_backup":1,"schema":…,"made_at":"…","key":"…","tables":{"revision":12,…}}   the first line
//! {"t":"revision","r":{"number":1,…}}                                            one line per row
//! {"sha256":"…"}                                                                 of everything before, the last line
//! ```
//!
//! The tables are whatever the schema has. The sealing key is not in the file: secrets stay sealed, and without the key
//! they are worth nothing. Restoring is all or nothing, and never over what is there unless told. What is restored is not
//! the present: it begins a new line of revisions, ends the sessions and tokens of its time unless told otherwise, and says
//! in the audit that it happened. A backup only reads: it makes no database and upgrades none.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::audit::{RESTORE_ACTION, Trail};
use crate::store::tables::{ROWS_PER_INSERT, Table, schema_version};
use crate::store::{Store, StoreError};

/// The version of the file's form.
const FORMAT: u32 = 1;
/// The longest line read: a document of 256 KiB, escaped, with room to spare.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error("cannot use the file `{path}`")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a backup, or not all of it.
    #[error("`{path}` is not a whole backup: {reason}; use another copy")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Made by another version.
    #[error(
        "the backup is of schema {found} in form {format}, and this version reads schema {wanted} in form {FORMAT}; \
         restore it with the version that made it, then start this one"
    )]
    Version {
        /// The file's form.
        format: u32,
        /// Its schema.
        found: i64,
        /// Ours.
        wanted: i64,
    },
    /// The sealing key is another one.
    #[error(
        "the backup's secrets are sealed with key {wanted}, and the key file holds {found}; put the key that belongs to \
         this backup into the key file"
    )]
    Key {
        /// The key of the backup.
        wanted: String,
        /// The key that is here.
        found: String,
    },
    /// There is something already.
    #[error("the database is not empty; `--replace` deletes everything in it and puts the backup in its place")]
    NotEmpty,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    lgsp_backup: u32,
    schema: i64,
    /// When it was made.
    pub made_at: String,
    /// The key that seals its secrets; the key itself is not in it.
    pub key: String,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    t: String,
    r: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    sha256: String,
}

/// Writes everything to a new file that only this user can read; an existing file is never replaced.
pub async fn make(store: &Store, path: &Path, key: &str, now: UnixSeconds) -> Result<Header, BackupError> {
    let failed = |source| BackupError::File { path: path.display().to_string(), source };
    let mut view = store.view().await?;
    let tables = view.list().await?;
    let mut counts = BTreeMap::new();
    for table in &tables {
        let mut rows = 0_u64;
        view.read(table, |_| -> Result<(), StoreError> {
            rows += 1;
            Ok(())
        })
        .await?;
        counts.insert(table.name().to_owned(), rows);
    }
    let schema = store.found_schema().await?.unwrap_or_else(schema_version);
    let header = Header { lgsp_backup: FORMAT, schema, made_at: now.to_string(), key: key.to_owned(), tables: counts };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let mut out = Hashed { inner: BufWriter::new(file), hash: Sha256::new() };
    out.line(&header).map_err(failed)?;
    for table in &tables {
        let t = table.name();
        view.read(table, |r| out.line(&Line { t: t.to_owned(), r }).map_err(failed)).await?;
    }
    out.finish().map_err(failed)?;
    Ok(header)
}

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Now.
    pub at: UnixSeconds,
    /// Delete what is there.
    pub replace: bool,
    /// Leave sessions and tokens as they were, those that were ended since the backup included.
    pub keep_sessions: bool,
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub header: Header,
    /// The current revision now.
    pub revision: Revision,
    /// Sessions and tokens that were ended.
    pub bearers_ended: u64,
}

/// Puts a backup into the database, all of it or nothing. What is there is deleted only when the terms say so. Any of the
/// keys `held` may be the backup's: one made before the key-encryption key was replaced is good while the old key is kept.
pub async fn restore(store: &Store, path: &Path, held: &[String], terms: Terms) -> Result<Restored, BackupError> {
    let Terms { at, replace, keep_sessions } = terms;
    let header = verify(path)?;
    if !held.contains(&header.key) {
        return Err(BackupError::Key { wanted: header.key, found: held.join(", ") });
    }
    let damaged = |reason: String| BackupError::Damaged { path: path.display().to_string(), reason };
    let mut all = store.overwrite().await?;
    if !all.is_empty().await? {
        if !replace {
            return Err(BackupError::NotEmpty);
        }
        all.make_anew().await?;
    }
    all.clear().await?;
    let tables: BTreeMap<String, Table> =
        all.list().await?.into_iter().map(|table| (table.name().to_owned(), table)).collect();
    let (mut batch, mut of): (Vec<Map<String, Value>>, Option<&Table>) = (Vec::new(), None);
    let mut lines = Lines::open(path)?;
    lines.line()?;
    while let Some(line) = lines.line()? {
        let Ok(Line { t, r }) = serde_json::from_slice(&line) else { break };
        let table = tables.get(&t).ok_or_else(|| damaged(format!("there is no table `{t}`")))?;
        if let Some(before) = of.filter(|before| before.name() != t || batch.len() >= ROWS_PER_INSERT) {
            all.write(before, &std::mem::take(&mut batch)).await?;
        }
        of = Some(table);
        batch.push(r);
    }
    if let Some(table) = of {
        all.write(table, &batch).await?;
    }
    let why = format!("restored from the backup of {}", header.made_at);
    let (revision, lineage) = all.begin_line(at, &why).await?;
    let bearers_ended = if keep_sessions { 0 } else { all.end_bearers().await? };
    let after = json!({
        "made_at": header.made_at, "revision": revision, "line": lineage.to_string(), "sessions_kept": keep_sessions,
        "sessions_ended": bearers_ended,
    });
    let trail = Trail::new(at, Ipv4Addr::LOCALHOST.into(), RESTORE_ACTION.to_owned(), path.display().to_string());
    all.record(trail.done(&Value::Null, &after, None)).await?;
    all.commit().await?;
    Ok(Restored { header, revision, bearers_ended })
}

/// Reads the whole file and checks that it is a backup this version can restore, and whole.
pub fn verify(path: &Path) -> Result<Header, BackupError> {
    let damaged = |reason: String| BackupError::Damaged { path: path.display().to_string(), reason };
    let mut lines = Lines::open(path)?;
    let first = lines.line()?.ok_or_else(|| damaged("it is empty".into()))?;
    let header: Header = serde_json::from_slice(&first).map_err(|_| damaged("its first line is no header".into()))?;
    let (format, found, wanted) = (header.lgsp_backup, header.schema, schema_version());
    if format != FORMAT || found != wanted {
        return Err(BackupError::Version { format, found, wanted });
    }
    let mut hash = Sha256::new();
    hash.update(&first);
    let mut counts: BTreeMap<String, u64> = header.tables.keys().map(|table| (table.clone(), 0)).collect();
    while let Some(line) = lines.line()? {
        if let Ok(Line { t, .. }) = serde_json::from_slice(&line) {
            *counts.entry(t).or_default() += 1;
            hash.update(&line);
            continue;
        }
        let Trailer { sha256 } = serde_json::from_slice(&line).map_err(|_| damaged("a line is not a row".into()))?;
        if lines.line()?.is_some() {
            return Err(damaged("something follows its end".into()));
        }
        if sha256 != hex(hash) || counts != header.tables {
            return Err(damaged("its checksum does not match".into()));
        }
        return Ok(header);
    }
    Err(damaged("its end is missing".into()))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of lines that is hashed while it is written.
struct Hashed {
    inner: BufWriter<File>,
    hash: Sha256,
}

impl Hashed {
    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.hash.update(&line);
        self.inner.write_all(&line)
    }

    fn finish(mut self) -> io::Result<()> {
        let sha256 = hex(self.hash.clone());
        self.line(&Trailer { sha256 })?;
        self.inner.flush()?;
        self.inner.get_ref().sync_all()
    }
}

/// A file's lines with their ends, each of a bounded length.
struct Lines {
    path: String,
    reader: BufReader<File>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Self { path: name, reader: BufReader::new(file) }),
            Err(source) => Err(BackupError::File { path: name, source }),
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut line);
        read.map_err(|source| BackupError::File { path: self.path.clone(), source })?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) => Err(BackupError::Damaged { path: self.path.clone(), reason: "a line has no end".into() }),
        }
    }
}

#[cfg(test)]
mod tests;

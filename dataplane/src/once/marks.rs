//! Marks on disk: for each access key whose clock is ahead of this node's, the latest instant at which a request was
//! signed that was taken. Written before the request is forwarded, so that the next process does not take it once more
//! when its time has come.
//!
//! A file for each process in the state directory, 16 bytes for each key, rewritten in place. What the process is killed
//! by loses nothing that was written; what ends the machine may, and then takes longer to start than marks are ahead,
//! unless they are ahead by more than [`REBOOT_SECS`]: those wait for the disk.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::wire::{MARKS_MAX, PAIR_BYTES, pair_of, push_pair};
use crate::admission::{Ahead, KeyId, REPLAY_HOLD_SECS_MAX};
use crate::clock::Now;

const FILE_PREFIX: &str = "replay-marks.";
/// A larger file is not one of ours.
const FILE_BYTES_MAX: u64 = (MARKS_MAX * PAIR_BYTES) as u64;
/// Only the node's own user may read or change it.
const FILE_MODE: u32 = 0o600;
/// No machine starts again in less.
const REBOOT_SECS: i64 = 10;
/// How long a mark may take to be written.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// Why marks cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("`state_dir`: cannot keep `{}`: {source}", path.display())]
pub struct MarksError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The marks of this process. At most 4 096 keys at a time, 64 KiB of disk and 200 KiB of memory; requests of further keys
/// whose clocks are ahead are refused until one of them is no longer.
#[derive(Debug)]
pub struct Marks {
    /// What is on disk.
    kept: Mutex<Ahead>,
    wanted: Mutex<Vec<(KeyId, UnixSeconds)>>,
    disk: Arc<tokio::sync::Mutex<Disk>>,
}

#[derive(Debug)]
struct Disk {
    file: File,
    /// The place of each key in the file, and its mark.
    places: HashMap<KeyId, (usize, UnixSeconds)>,
    /// Places that are in use or were.
    count: usize,
}

impl Marks {
    /// Reads what earlier processes left, and begins a file of its own that holds it too. Files of processes that are gone
    /// are removed.
    ///
    /// # Errors
    /// When a file cannot be read or written: without it a request could be executed twice.
    pub fn open(state_dir: &Path, now: UnixSeconds) -> Result<(Self, Ahead), MarksError> {
        let mut ahead = Ahead::new();
        let mut gone = Vec::new();
        for path in files(state_dir).map_err(|source| MarksError { path: state_dir.to_owned(), source })? {
            let bytes = read(&path).map_err(|source| MarksError { path: path.clone(), source })?;
            let (pairs, _) = bytes.as_chunks::<PAIR_BYTES>();
            // No request is ahead by more; a wrong number must not refuse a key for ever.
            let most = now.0.saturating_add(REPLAY_HOLD_SECS_MAX);
            for (key, mark) in pairs.iter().map(pair_of).filter(|(_, mark)| *mark >= now.0) {
                let known = ahead.entry(KeyId(key)).or_insert(now);
                *known = UnixSeconds(mark.min(most).max(known.0));
            }
            gone.extend((!is_running(&path)).then_some(path));
        }
        let path = state_dir.join(format!("{FILE_PREFIX}{}", std::process::id()));
        let unusable = |source| MarksError { path: path.clone(), source };
        // Renamed into place: an earlier process with the same id may have left the only copy.
        let next = path.with_extension("next");
        let file = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(&next);
        let mut disk = Disk { file: file.map_err(unusable)?, places: HashMap::new(), count: 0 };
        let inherited: Vec<_> = ahead.iter().map(|(key, mark)| (*key, *mark)).collect();
        disk.write(&inherited, now).and_then(|()| fs::rename(&next, &path)).map_err(unusable)?;
        // What cannot be removed is read once more, which changes nothing.
        gone.iter().filter(|other| **other != path && **other != next).for_each(|path| drop(fs::remove_file(path)));
        let marks = Self { kept: Mutex::new(ahead.clone()), wanted: Mutex::default(), disk: Arc::new(disk.into()) };
        Ok((marks, ahead))
    }

    /// Makes sure that the mark of `key` is not before `created`; false when it cannot be written.
    pub async fn raise(self: &Arc<Self>, key: KeyId, created: UnixSeconds) -> bool {
        if self.holds(key, created) {
            return true;
        }
        lock(&self.wanted).push((key, created));
        let write = async {
            let disk = self.disk.clone().lock_owned().await;
            // The request that had the disk before may have written this mark with its own.
            if !self.holds(key, created) {
                let this = self.clone();
                // It goes on when the request is gone, so that memory and disk agree.
                let _ = tokio::task::spawn_blocking(move || this.write(disk)).await;
            }
        };
        timeout(WRITE_DEADLINE, write).await.is_ok() && self.holds(key, created)
    }

    fn holds(&self, key: KeyId, created: UnixSeconds) -> bool {
        lock(&self.kept).get(&key).is_some_and(|mark| *mark >= created)
    }

    fn write(&self, mut disk: OwnedMutexGuard<Disk>) {
        let wanted = std::mem::take(&mut *lock(&self.wanted));
        match disk.write(&wanted, Now::read().unix) {
            Ok(()) => *lock(&self.kept) = disk.places.iter().map(|(key, (_, mark))| (*key, *mark)).collect(),
            Err(error) => {
                tracing::error!(%error, "marks of sources whose clocks are ahead cannot be written; their requests are refused");
            }
        }
    }
}

impl Disk {
    /// Writes these marks as far as there is room, and waits for the disk where that matters.
    fn write(&mut self, wanted: &[(KeyId, UnixSeconds)], now: UnixSeconds) -> io::Result<()> {
        let mut must_last = false;
        for (key, mark) in wanted {
            let known = self.places.get(key).copied();
            if known.is_some_and(|(_, known)| known >= *mark) {
                continue;
            }
            let Some(place) = known.map(|(place, _)| place).or_else(|| self.free_place(now)) else { continue };
            let mut bytes = Vec::with_capacity(PAIR_BYTES);
            push_pair((key.0, mark.0), &mut bytes);
            self.file.write_all_at(&bytes, (place * PAIR_BYTES) as u64)?;
            self.places.insert(*key, (place, *mark));
            must_last |= mark.0.saturating_sub(now.0) > REBOOT_SECS;
        }
        if must_last { self.file.sync_data() } else { Ok(()) }
    }

    fn free_place(&mut self, now: UnixSeconds) -> Option<usize> {
        if self.count < MARKS_MAX {
            self.count += 1;
            return Some(self.count - 1);
        }
        let over = self.places.iter().find(|(_, (_, mark))| *mark < now).map(|(key, (place, _))| (*key, *place));
        over.map(|(key, place)| {
            self.places.remove(&key);
            place
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn files(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state_dir)? {
        let entry = entry?;
        found.extend(entry.file_name().to_string_lossy().starts_with(FILE_PREFIX).then(|| entry.path()));
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than marks can be; remove it"));
    }
    fs::read(path)
}

/// Whether the process that a file belongs to may still be there.
fn is_running(path: &Path) -> bool {
    let pid = path.extension().map(|pid| pid.to_string_lossy().into_owned()).unwrap_or_default();
    pid.parse::<u32>().is_ok() && Path::new("/proc").join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path, now: i64) -> (Arc<Marks>, Ahead) {
        let (marks, ahead) = Marks::open(directory, UnixSeconds(now)).unwrap();
        (Arc::new(marks), ahead)
    }

    #[tokio::test]
    async fn the_next_process_knows_which_keys_were_ahead_and_for_how_long() {
        let directory = tempfile::tempdir().unwrap();
        let now = Now::read().unix.0;
        let (first, ahead) = open(directory.path(), now);
        assert!(ahead.is_empty());
        let (near, far) = (KeyId::of("NEAR"), KeyId::of("FAR"));
        for (key, secs) in [(near, 1), (far, 200), (far, 250), (far, 100)] {
            assert!(first.raise(key, UnixSeconds(now + secs)).await);
        }
        drop(first);
        let (_second, ahead) = open(directory.path(), now + 10);
        assert_eq!(ahead, Ahead::from([(far, UnixSeconds(now + 250))]));
        let (_third, ahead) = open(directory.path(), now + 20);
        assert_eq!(ahead.len(), 1, "what was inherited is handed on");
        let (_fourth, ahead) = open(directory.path(), now + 300);
        assert!(ahead.is_empty(), "over");
    }

    #[tokio::test]
    async fn keys_beyond_the_most_are_refused_until_a_place_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let now = Now::read().unix.0;
        let (marks, _) = open(directory.path(), now);
        let keys: Vec<_> = (0..MARKS_MAX as u64).map(|key| (KeyId(key), UnixSeconds(now + 100))).collect();
        *lock(&marks.wanted) = keys;
        assert!(!marks.raise(KeyId(u64::MAX), UnixSeconds(now + 100)).await);
        assert!(marks.raise(KeyId(7), UnixSeconds(now + 101)).await, "those that have a place keep it");
        let mut disk = marks.disk.clone().lock_owned().await;
        disk.write(&[(KeyId(u64::MAX), UnixSeconds(now + 300))], UnixSeconds(now + 200)).unwrap();
        assert!(disk.places.contains_key(&KeyId(u64::MAX)));
    }

    #[test]
    fn a_wrong_number_refuses_nobody_for_ever_and_a_foreign_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        push_pair((1, i64::MAX), &mut bytes);
        let file = directory.path().join("replay-marks.1");
        fs::write(&file, &bytes).unwrap();
        let (_, ahead) = open(directory.path(), 1_000);
        assert_eq!(ahead.get(&KeyId(1)), Some(&UnixSeconds(1_000 + REPLAY_HOLD_SECS_MAX)));
        fs::write(&file, vec![0; 1 << 20]).unwrap();
        let error = Marks::open(directory.path(), UnixSeconds(0)).unwrap_err().to_string();
        assert!(error.contains("replay-marks.1") && error.contains("remove it"), "{error}");
    }
}

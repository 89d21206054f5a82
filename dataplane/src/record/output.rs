//! Where record lines go: standard output, or a file that follows its path and is rotated by size.
//!
//! Whatever moves the file away (logrotate, an operator, this program in another process), what is written next goes to
//! the file its path leads to. A file that cannot be opened there is an error like a full disk: it shows, and the policy
//! for records that cannot be written decides.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// How often the space left on the file system is asked for.
const SPACE_ASKED_EVERY: Duration = Duration::from_secs(1);
/// At most this part of a file system is reserved: a quarter.
const RESERVED_PART: u64 = 4;

/// When a record file makes room for the next, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes after which the next file is begun; a file exceeds it by what waits to be written, 4 MiB at most.
    pub bytes: u64,
    /// Files kept beside the current one, `.1` the newest: `(keep + 1) × bytes` of disk. The oldest is removed.
    pub keep: u32,
}

impl Default for Rotation {
    /// 32 GiB.
    fn default() -> Self {
        Self { bytes: 1 << 30, keep: 31 }
    }
}

/// Whether what is written next goes where the bytes before went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To the same file.
    Same,
    /// To another, which begins with a whole line.
    Another,
}

/// Where lines go.
pub trait Output: Send {
    /// Follows the path, and rotates where that is due; `between_lines` says that no line is half written.
    fn settle(&mut self, between_lines: bool) -> io::Result<Place>;
    /// Writes some of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Hands on what was written.
    fn flush(&mut self) -> io::Result<()>;
    /// Opens the file again at the next [`Output::settle`], wherever its path leads.
    fn reopen(&mut self);
    /// Whether the space left exceeds what is reserved for records of those who proved who they are.
    fn has_room_for_strangers(&mut self, now: Instant) -> bool;
}

/// Standard output.
#[derive(Debug)]
pub struct Stdout;

impl Output for Stdout {
    fn settle(&mut self, _between_lines: bool) -> io::Result<Place> {
        Ok(Place::Same)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }

    fn reopen(&mut self) {}

    fn has_room_for_strangers(&mut self, _now: Instant) -> bool {
        true
    }
}

/// A file that lines are appended to.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    regular: bool,
    rotation: Option<Rotation>,
    rotate_at: u64,
    reserve_bytes: u64,
    reopen: bool,
    space: Option<(Instant, bool)>,
    removed: IntCounter,
}

/// Which file this is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl RecordFile {
    /// Opens the file at `path`, made when it is missing. `removed` counts files that rotation removes.
    pub fn open(path: &Path, rotation: Option<Rotation>, reserve_bytes: u64, removed: IntCounter) -> io::Result<Self> {
        let (file, metadata) = append_to(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            identity: Identity::of(&metadata),
            regular: metadata.is_file(),
            rotation,
            rotate_at: rotation.map_or(u64::MAX, |rotation| rotation.bytes),
            reserve_bytes,
            reopen: false,
            space: None,
            removed,
        })
    }

    fn follow(&mut self) -> io::Result<Place> {
        let (file, metadata) = append_to(&self.path)?;
        let (before, now) = (self.identity, Identity::of(&metadata));
        (self.file, self.identity, self.regular) = (file, now, metadata.is_file());
        self.rotate_at = self.rotation.map_or(u64::MAX, |rotation| rotation.bytes);
        self.space = None;
        Ok(if before == now { Place::Same } else { Place::Another })
    }

    /// Makes room for the next file. One that cannot be made leaves the current one in use.
    fn rotate(&mut self, rotation: Rotation, bytes: u64) -> io::Result<Place> {
        let Rotation { bytes: bytes_each, keep } = rotation;
        let mode = self.file.metadata()?.permissions();
        match shift(&self.path, keep) {
            Ok(removed) => self.removed.inc_by(u64::from(removed)),
            Err(error) => {
                tracing::error!(%error, file = %self.path.display(), bytes, "the record file cannot be rotated, it grows");
                self.rotate_at = bytes.saturating_add(bytes_each);
                return Ok(Place::Same);
            }
        }
        let place = self.follow()?;
        // Whoever may read the file of before may read this one; where that cannot be set the umask decides.
        let _ = self.file.set_permissions(mode);
        tracing::info!(file = %self.path.display(), bytes, keep, "the record file was rotated");
        Ok(place)
    }

    fn space_for_strangers(&self) -> bool {
        let Ok(space) = nix::sys::statvfs::fstatvfs(&self.file) else { return false };
        let bytes = |blocks: u64| blocks.saturating_mul(space.fragment_size());
        let (whole, free) = (bytes(space.blocks()), bytes(space.blocks_available()));
        free > self.reserve_bytes.min(whole / RESERVED_PART)
    }
}

impl Output for RecordFile {
    fn settle(&mut self, between_lines: bool) -> io::Result<Place> {
        let at_path = std::fs::metadata(&self.path).ok().as_ref().map(Identity::of);
        if at_path != Some(self.identity) || std::mem::take(&mut self.reopen) {
            return self.follow();
        }
        if let (true, true, Some(rotation)) = (self.regular, between_lines, self.rotation) {
            // Asked of the file, because a successor or a predecessor may append to it too.
            let bytes = self.file.metadata()?.len();
            if bytes >= self.rotate_at {
                return self.rotate(rotation, bytes);
            }
        }
        Ok(Place::Same)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn reopen(&mut self) {
        self.reopen = true;
    }

    fn has_room_for_strangers(&mut self, now: Instant) -> bool {
        if !self.regular {
            return true;
        }
        match self.space {
            Some((asked, room)) if now.saturating_duration_since(asked) < SPACE_ASKED_EVERY => room,
            Some(_) | None => {
                let room = self.space_for_strangers();
                self.space = Some((now, room));
                room
            }
        }
    }
}

/// Opens for appending. A file that ends in the middle of a line, as a full disk or a kill leaves it, gets its line feed
/// first, so that the next record is a line of its own.
fn append_to(path: &Path) -> io::Result<(File, Metadata)> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && ends_within_a_line(path) {
        file.write_all(b"\n")?;
    }
    Ok((file, metadata))
}

/// False where the file cannot be read: the node may be allowed to append only.
fn ends_within_a_line(path: &Path) -> bool {
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last != [b'\n']
}

/// Renames the file to `.1`, `.1` to `.2`, and so on; tells whether the oldest was removed by that.
fn shift(path: &Path, keep: u32) -> io::Result<bool> {
    let numbered = |number: u32| -> PathBuf {
        let mut name = OsString::from(path);
        name.push(format!(".{number}"));
        name.into()
    };
    let removed = numbered(keep).exists();
    for number in (1..keep).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    std::fs::rename(path, numbered(1))?;
    Ok(removed)
}

#[cfg(test)]
mod tests;

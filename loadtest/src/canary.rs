//! The canary: a marker nobody else writes, sent in every payload, and looked for afterwards where it must not be.
//!
//! It is looked for as it was sent, in hexadecimal and in base64 at every alignment, because what encodes a payload keeps
//! it all the same. The search is tried on a file of its own first: one that finds nothing there has searched nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// Bytes read at a time.
const PIECE_BYTES: usize = 1 << 20;
/// The most files searched.
const FILES_MAX: usize = 200_000;
/// The most bytes searched: at 1 GB/s, about four minutes.
const BYTES_MAX: u64 = 256 << 30;
/// Places named in a result; more are counted.
const NAMED_MAX: usize = 20;

/// A marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary(String);

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Searched {
    /// Where it was looked for.
    pub places: Vec<String>,
    /// Files read whole.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files that hold it, the first ones by name.
    pub found: Vec<String>,
    /// How many hold it.
    pub found_count: u64,
    /// Files that could not be read, the first ones by name.
    pub unread: Vec<String>,
    /// How many could not be read.
    pub unread_count: u64,
    /// Whether the search found the marker in a file made to be found.
    pub control_found: bool,
}

impl Canary {
    /// A new one.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("canary-{}", random.iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
    }

    /// What is sent.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn finders(&self) -> Vec<Finder<'static>> {
        let hex: String = self.0.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![self.0.clone().into_bytes(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
        // Base64 of three bytes depends on nothing else: drop what the neighbours could change.
        forms.extend((0..3).map(|shift| {
            let inner = self.0.as_bytes().get(shift..).unwrap_or_default();
            let whole = inner.get(..inner.len() / 3 * 3).unwrap_or_default();
            BASE64.encode(whole).into_bytes()
        }));
        forms.into_iter().map(|form| Finder::new(&form).into_owned()).collect()
    }

    /// Looks for it in files and below directories.
    pub fn search(&self, places: &[PathBuf]) -> io::Result<Searched> {
        let finders = self.finders();
        let mut searched = Searched { control_found: self.control(&finders)?, ..Searched::default() };
        let mut seen = BTreeSet::new();
        for place in places {
            searched.places.push(place.display().to_string());
            let mut waiting = vec![place.clone()];
            while let Some(path) = waiting.pop() {
                self.visit(&path, &finders, &mut seen, &mut waiting, &mut searched);
            }
        }
        Ok(searched)
    }

    fn visit(
        &self,
        path: &Path,
        finders: &[Finder<'_>],
        seen: &mut BTreeSet<PathBuf>,
        waiting: &mut Vec<PathBuf>,
        searched: &mut Searched,
    ) {
        let Ok(kind) = std::fs::symlink_metadata(path) else {
            // What has gone meanwhile keeps nothing; what was never there was misspelt.
            if searched.places.iter().any(|place| Path::new(place) == path) {
                searched.unread(path);
            }
            return;
        };
        if kind.is_dir() {
            match std::fs::read_dir(path) {
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) => searched.unread(path),
            }
        } else if kind.is_file() && seen.insert(path.to_owned()) {
            if seen.len() > FILES_MAX || searched.bytes > BYTES_MAX {
                searched.unread(path);
                return;
            }
            match File::open(path).and_then(|file| holds(file, finders, &mut searched.bytes)) {
                Ok(true) => searched.found(path),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) => {
                    searched.unread(path);
                    return;
                }
            }
            searched.files += 1;
        }
    }

    /// Whether a file made to be found is found.
    fn control(&self, finders: &[Finder<'_>]) -> io::Result<bool> {
        let name = format!("lgsp-loadtest-control-{}-{}", std::process::id(), self.0.len());
        let path = std::env::temp_dir().join(name);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![b'.'; PIECE_BYTES - 7])?;
            file.write_all(self.0.as_bytes())
        });
        let found = written.and_then(|()| holds(File::open(&path)?, finders, &mut 0));
        std::fs::remove_file(&path)?;
        found
    }
}

impl Searched {
    fn found(&mut self, path: &Path) {
        self.found_count += 1;
        if self.found.len() < NAMED_MAX {
            self.found.push(path.display().to_string());
        }
    }

    fn unread(&mut self, path: &Path) {
        self.unread_count += 1;
        if self.unread.len() < NAMED_MAX {
            self.unread.push(path.display().to_string());
        }
    }

    /// Whether the search proves that nothing is kept where it looked.
    pub fn is_clean(&self) -> bool {
        self.control_found && self.found_count == 0 && self.unread_count == 0 && self.files > 0
    }
}

/// Whether the file holds any of the forms, also across two pieces.
fn holds(mut file: File, finders: &[Finder<'_>], bytes: &mut u64) -> io::Result<bool> {
    let overlap = finders.iter().map(|finder| finder.needle().len()).max().unwrap_or(1) - 1;
    let mut buffer = vec![0; overlap + PIECE_BYTES];
    let mut kept = 0;
    loop {
        let read = file.read(buffer.get_mut(kept..).unwrap_or_default())?;
        if read == 0 {
            return Ok(false);
        }
        *bytes += read as u64;
        let filled = buffer.get(..kept + read).unwrap_or_default();
        if finders.iter().any(|finder| finder.find(filled).is_some()) {
            return Ok(true);
        }
        let length = filled.len();
        let next = overlap.min(length);
        buffer.copy_within(length - next..length, 0);
        kept = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_however_it_was_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let canary = Canary::new().unwrap();
        let clean = canary.search(&[folder.path().to_owned()]).unwrap();
        assert!(!clean.is_clean() && clean.control_found, "where nothing was searched nothing is proved: {clean:?}");
        std::fs::write(folder.path().join("nothing"), "x".repeat(3 << 20)).unwrap();
        assert!(canary.search(&[folder.path().to_owned()]).unwrap().is_clean());
        let hex = canary.text().bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
        let forms = [
            format!("{}{}", " ".repeat((1 << 20) - 9), canary.text()),
            hex,
            BASE64.encode(canary.text()),
            BASE64.encode(format!("1{}", canary.text())),
            BASE64.encode(format!("12{}345", canary.text())),
        ];
        for (at, form) in forms.iter().enumerate() {
            let below = folder.path().join("deep").join(at.to_string());
            std::fs::create_dir_all(&below).unwrap();
            std::fs::write(below.join("kept"), format!("before {form} after")).unwrap();
            let searched = canary.search(&[folder.path().to_owned()]).unwrap();
            assert_eq!(searched.found_count, at as u64 + 1, "{form}");
            assert!(!searched.is_clean());
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_not_searched_quietly() {
        let searched = Canary::new().unwrap().search(&[PathBuf::from("/no/such/place")]).unwrap();
        assert_eq!((searched.unread_count, searched.is_clean()), (1, false));
    }
}

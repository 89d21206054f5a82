use super::*;

fn counter() -> IntCounter {
    IntCounter::new("removed", "removed").unwrap()
}

fn file(path: &Path, rotation: Option<Rotation>) -> RecordFile {
    RecordFile::open(path, rotation, 0, counter()).unwrap()
}

fn append(file: &mut RecordFile, line: &str) -> Place {
    let place = file.settle(true).unwrap();
    assert_eq!(file.write(line.as_bytes()).unwrap(), line.len());
    place
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_file_that_was_renamed_or_removed_is_made_again_at_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("records"), folder.path().join("records.1"));
    let mut file = file(&path, None);
    append(&mut file, "one\n");
    std::fs::rename(&path, &aside).unwrap();
    assert_eq!(append(&mut file, "two\n"), Place::Another);
    assert_eq!((text(&aside).as_str(), text(&path).as_str()), ("one\n", "two\n"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(append(&mut file, "three\n"), Place::Another);
    assert_eq!(append(&mut file, "four\n"), Place::Same);
    assert_eq!(text(&path), "three\nfour\n");
    file.reopen();
    assert_eq!(append(&mut file, "five\n"), Place::Same, "the path leads to the same file");
}

#[test]
fn a_path_that_leads_nowhere_is_an_error_until_it_leads_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (place, aside) = (folder.path().join("in"), folder.path().join("aside"));
    std::fs::create_dir(&place).unwrap();
    let mut file = file(&place.join("records"), None);
    std::fs::rename(&place, &aside).unwrap();
    assert!(file.settle(true).is_err());
    std::fs::create_dir(&place).unwrap();
    append(&mut file, "one\n");
    assert_eq!(text(&place.join("records")), "one\n");
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_is_removed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let mut file = file(&path, Some(Rotation { bytes: 8, keep: 2 }));
    for number in 0..8 {
        append(&mut file, &format!("line{number}\n"));
    }
    let names = ["records", "records.1", "records.2"].map(|name| text(&folder.path().join(name)));
    assert_eq!(names, ["line6\nline7\n", "line4\nline5\n", "line2\nline3\n"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    assert_eq!(file.removed.get(), 1);
    // A line that is half written is finished in its own file.
    assert_eq!(file.settle(false).unwrap(), Place::Same);
}

#[test]
fn a_file_that_cannot_be_rotated_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    std::fs::create_dir_all(folder.path().join("records.1/full")).unwrap();
    let mut file = file(&path, Some(Rotation { bytes: 4, keep: 1 }));
    append(&mut file, "one..\n");
    assert_eq!(append(&mut file, "two\n"), Place::Same);
    assert_eq!(text(&path), "one..\ntwo\n");
}

#[test]
fn a_file_that_ends_within_a_line_gets_its_line_feed_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    std::fs::write(&path, "{\"whole\":1}\n{\"cut").unwrap();
    append(&mut file(&path, None), "{}\n");
    append(&mut file(&path, None), "{}\n");
    assert_eq!(text(&path), "{\"whole\":1}\n{\"cut\n{}\n{}\n");
}

#[test]
fn strangers_have_no_room_while_only_the_reserve_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let mut file = file(&path, None);
    let space = nix::sys::statvfs::fstatvfs(&file.file).unwrap();
    assert!(file.has_room_for_strangers(Instant::now()));
    // More than is free, and less than the part that may be reserved at all is not to be had on every disk.
    file.reserve_bytes = u64::MAX;
    let (free, whole) = (space.blocks_available(), space.blocks());
    let room = file.has_room_for_strangers(Instant::now() + SPACE_ASKED_EVERY);
    assert_eq!(room, free > whole / RESERVED_PART);
}

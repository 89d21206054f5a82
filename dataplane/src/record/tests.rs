use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::output::{Output, Place};
use super::*;
use crate::snapshot::fixture;

fn recorder(path: &Path, on_full: OnFull) -> Recorder {
    let target = RecordTarget::File(path.to_owned());
    Recorder::start(settings(target, on_full), Metrics::new().unwrap()).unwrap()
}

fn settings(target: RecordTarget, on_full: OnFull) -> RecordSettings {
    RecordSettings { node: "node-1".parse().unwrap(), target, on_full, bounds: RecordBounds::default() }
}

fn open(recorder: &Recorder) -> OpenRecord {
    OpenRecord::open(recorder.sink(), RequestId::new(), Face::Http1, None, Now::read())
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_way_to_end_writes_exactly_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let recorder = recorder(&path, OnFull::Refuse);
    let metrics = recorder.sink().metrics().clone();

    let mut completed = open(&recorder);
    completed.asked("GET", "/ho-tich/1");
    completed.ends(Outcome::Completed);
    assert_eq!(metrics.exchanges_in_flight.get(), 1);
    completed.close();
    let mut refused = open(&recorder);
    refused.refused(&Refusal::new(Code::ClockSkew));
    refused.close();
    drop(open(&recorder));
    let mut cut = open(&recorder);
    cut.ends(Outcome::TargetCut(Code::TargetClosed));
    cut.close();
    recorder.close();

    let outcomes: Vec<_> = lines(&path).iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["completed", "clock-skew", "client-gone", "target-cut"]);
    assert_eq!((lines(&path)[0]["path"].as_str(), lines(&path)[1]["status"].as_u64()), (Some("/ho-tich/1"), Some(401)));
    let text = String::from_utf8(metrics.to_text()).unwrap();
    assert!(text.contains(r#"lgsp_exchanges_total{face="http1",outcome="clock-skew",service="none"} 1"#), "{text}");
    assert_eq!(metrics.exchanges_in_flight.get(), 0);
}

#[test]
fn a_hostile_method_or_path_is_kept_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let recorder = recorder(&path, OnFull::Serve);
    open(&recorder).asked(&"M".repeat(1_000), &"/đ".repeat(10_000));
    recorder.close();
    let line = &lines(&path)[0];
    assert_eq!(line["method"].as_str().unwrap().len(), METHOD_BYTES_KEPT);
    assert!(line["path"].as_str().unwrap().len() <= PATH_BYTES_KEPT);
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_start_and_says_what_to_do() {
    let target = RecordTarget::File("/nonexistent/records.jsonl".into());
    let error = Recorder::start(settings(target, OnFull::Serve), Metrics::new().unwrap()).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/records.jsonl") && error.contains("`records`"), "{error}");
}

#[test]
fn while_the_disk_is_full_the_policy_decides_and_nothing_is_torn() {
    // `/dev/full` fails every write as a full disk does.
    for (on_full, admits) in [(OnFull::Refuse, false), (OnFull::Serve, true)] {
        let recorder = recorder(Path::new("/dev/full"), on_full);
        let sink = recorder.sink().clone();
        assert!(sink.admits() && sink.is_writable());
        drop(open(&recorder));
        recorder.close();
        assert_eq!((sink.admits(), sink.is_writable()), (admits, false));
        assert_eq!(sink.metrics().records_failing.get(), 1);
    }
}

/// A record of a request whose sender was proved.
fn open_proved(recorder: &Recorder) -> OpenRecord {
    let mut record = open(recorder);
    let snapshot = fixture::build(&fixture::documents(), None).snapshot;
    record.exchange.credential = snapshot.credential("SOURCEKEY1").cloned();
    record
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

fn lost(recorder: &Recorder, reason: Loss) -> u64 {
    let lost = recorder.sink().metrics().records_lost();
    lost.into_iter().find(|(loss, _)| *loss == reason).unwrap().1
}

/// A disk of `capacity` bytes, of which strangers leave `reserve` free.
#[derive(Debug, Default)]
struct Disk {
    text: Vec<u8>,
    capacity: usize,
    reserve: usize,
}

#[derive(Debug, Clone)]
struct SmallDisk(Arc<Mutex<Disk>>);

impl SmallDisk {
    fn new(capacity: usize, reserve: usize) -> Self {
        Self(Arc::new(Mutex::new(Disk { text: Vec::new(), capacity, reserve })))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().text.clone()).unwrap()
    }

    fn resize(&self, capacity: usize) {
        self.0.lock().unwrap().capacity = capacity;
    }
}

impl Output for SmallDisk {
    fn settle(&mut self, _between_lines: bool) -> io::Result<Place> {
        Ok(Place::Same)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let taken = bytes.len().min(disk.capacity.saturating_sub(disk.text.len()));
        disk.text.extend_from_slice(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reopen(&mut self) {}

    fn has_room_for_strangers(&mut self, _now: Instant) -> bool {
        let disk = self.0.lock().unwrap();
        disk.capacity.saturating_sub(disk.text.len()) > disk.reserve
    }
}

/// Found with one connection that sent unsigned requests until the disk was full: then nobody was served.
#[test]
fn a_flood_nobody_signed_never_stops_who_signs() {
    let disk = SmallDisk::new(8 << 20, 2 << 20);
    let mut settings = settings(RecordTarget::Stdout, OnFull::Refuse);
    // So many that only the reserve can hold them back.
    settings.bounds.strangers = StrangerQuota { per_second: 1_000_000, per_address_per_second: 1_000_000 };
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings, Metrics::new().unwrap()).unwrap();
    for number in 0..50_000 {
        let mut stranger = open(&recorder);
        stranger.exchange.client = Some(([10, 0, 0, 1], 5_000).into());
        stranger.asked("GET", &format!("/{}", "a".repeat(500)));
        stranger.refused(&Refusal::new(Code::SignatureMissing));
        stranger.close();
        assert!(recorder.sink().admits(), "after {number}");
    }
    open_proved(&recorder).close();
    eventually("the signed request is recorded", || disk.text().contains("SOURCEKEY1"));
    assert!(recorder.sink().admits());
    let lost = lost(&recorder, Loss::Unauthenticated);
    assert_eq!(recorder.sink().metrics().records_lost()[0], (Loss::QueueFull, 0));
    recorder.close();
    let text = disk.text();
    assert!(lost > 0 && text.len() < 8 << 20, "{lost} {}", text.len());
    let records = text.lines().filter(|line| line.contains("\"outcome\":\"signature-missing\"")).count();
    assert_eq!(u64::try_from(records).unwrap() + lost, 50_000, "each is written or counted");
}

#[test]
fn records_of_strangers_beyond_their_quota_are_one_line_that_counts_them() {
    let disk = SmallDisk::new(usize::MAX, 0);
    let mut settings = settings(RecordTarget::Stdout, OnFull::Refuse);
    settings.bounds.strangers = StrangerQuota { per_second: 1, per_address_per_second: 1 };
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings, Metrics::new().unwrap()).unwrap();
    for _ in 0..100 {
        let mut stranger = open(&recorder);
        stranger.refused(&Refusal::new(Code::KeyUnknown));
        stranger.close();
        open_proved(&recorder).close();
    }
    recorder.close();
    let text = disk.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |name: &str, value: &str| lines.iter().filter(|line| line[name] == value).count();
    let recorded = count("outcome", "key-unknown");
    assert!((60..70).contains(&recorded), "a minute's quota is saved up: {recorded}");
    assert_eq!(count("access_key", "SOURCEKEY1"), 100);
    let sums: Vec<_> = lines.iter().filter(|line| line["outcome"] == "not-recorded").collect();
    let missed: u64 = sums.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(usize::try_from(missed).unwrap() + recorded, 100);
    assert_eq!(sums[0]["reason"], "unauthenticated");
    assert!(sums[0]["outcomes"]["key-unknown"].is_u64() && sums[0]["request_id"].is_null());
}

#[test]
fn a_disk_that_is_free_again_is_written_again_and_no_line_is_torn() {
    let disk = SmallDisk::new(300, 0);
    let settings = settings(RecordTarget::Stdout, OnFull::Refuse);
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings, Metrics::new().unwrap()).unwrap();
    open_proved(&recorder).close();
    eventually("the disk is full", || !recorder.sink().admits());
    assert_eq!(disk.text().len(), 300, "the first line is cut");
    open(&recorder).close();
    disk.resize(usize::MAX);
    eventually("records can be written", || recorder.sink().admits());
    open_proved(&recorder).close();
    recorder.close();
    let text = disk.text();
    let proved = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!(proved.filter(|line| line["access_key"] == "SOURCEKEY1").count(), 2);
}

/// Found with logrotate: 10 of 15 records went to a file that had been removed, and nothing said so.
#[test]
fn no_record_is_lost_when_the_file_is_moved_away_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let recorder = recorder(&path, OnFull::Refuse);
    for round in 0..3 {
        open_proved(&recorder).close();
        eventually("it is written", || std::fs::read_to_string(&path).is_ok_and(|text| !text.is_empty()));
        std::fs::rename(&path, folder.path().join(format!("records.{round}"))).unwrap();
        eventually("the file is made again", || path.exists());
    }
    open_proved(&recorder).close();
    recorder.close();
    let counts: Vec<usize> = ["records.0", "records.1", "records.2", "records.jsonl"]
        .iter()
        .map(|name| lines(&folder.path().join(name)).len())
        .collect();
    assert_eq!(counts, [1, 1, 1, 1]);
}

#[test]
fn a_reason_of_this_programs_own_is_in_the_record_and_one_made_of_what_was_sent_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    let recorder = recorder(&path, OnFull::Refuse);
    for refusal in [
        Refusal::new(Code::TargetProtocol).with_detail("the answer has more than 100 headers"),
        Refusal::new(Code::SignatureMalformed).with_detail(format!("`{}` is odd", "sent")),
    ] {
        let mut record = open(&recorder);
        record.refused(&refusal);
        record.close();
    }
    recorder.close();
    let lines = lines(&path);
    assert_eq!(lines[0]["detail"], "the answer has more than 100 headers");
    assert!(lines[1]["detail"].is_null());
}

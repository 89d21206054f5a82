use std::path::Path;

use super::*;

fn recorder(path: &Path, on_full: OnFull) -> Recorder {
    let target = RecordTarget::File(path.to_owned());
    let settings = RecordSettings { node: "node-1".parse().unwrap(), target, on_full };
    Recorder::start(settings, Metrics::new().unwrap()).unwrap()
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
    let settings = RecordSettings { node: "node-1".parse().unwrap(), target, on_full: OnFull::Serve };
    let error = Recorder::start(settings, Metrics::new().unwrap()).unwrap_err().to_string();
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

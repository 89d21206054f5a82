//! The verdict on Điều 7: a thousand connections that each do exchanges, and a search that finds what is there.

use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::Value;

use crate::bench::Bench;
use crate::every_request_is_counted_as_what_it_was::credential;

const PEAK: &str = "
name: peak
connections: 1000
warmup: 1s
load: {constant: {rate: 400/s, duration: 9s}}
requests:
  - {name: look-up, percent: 80, path: '/ho-tich/bytes/1024', expect: {bytes: 1 KiB}}
  - {name: hand-over, percent: 20, method: POST, path: /ho-tich/sink, body: 4 KiB}
";

fn point<'r>(record: &'r Value, demand: &str) -> &'r Value {
    let points = record["compliance"]["points"].as_array().unwrap();
    points.iter().find(|point| point["demand"] == demand).unwrap()
}

#[tokio::test]
async fn a_thousand_connections_exchange_in_every_window_and_nothing_is_left_behind() {
    let bench = Bench::new();
    let target = Target::new().keeping(0).start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let key = credential(&bench, "own", &resources.identity("mot-cua"));
    let (pid, directory) = (node.child.id().to_string(), node.directory().to_str().unwrap().to_owned());
    let more = ["--as", &key, "--sut", &pid, "--search", &directory, "--window", "4s", "--lag-limit", "1s"];
    let ended = bench.run("compliance", PEAK, node.address(), "out", &more);
    let record = bench.record("out");
    // How much CPU an unoptimised build takes on this machine is not what is tried here; all else is.
    for demand in ["connections", "response", "exchanges", "nothing"] {
        assert_eq!(point(&record, demand)["met"], true, "{demand}: {}", ended.output);
    }
    assert!(point(&record, "cpu")["value"].as_str().unwrap().ends_with(" %"), "{}", record["compliance"]);
    assert_eq!(record["compliance"]["active_min"], 1_000);
    let searched = &record["compliance"]["searched"];
    assert!(searched["control_found"] == true && searched["files"].as_u64().unwrap() >= 3, "{searched}");
    for (language, words) in [("vi", "Điều 7 khoản 2"), ("en", "nothing of the payload left behind")] {
        let report = std::fs::read_to_string(bench.path("out").join(format!("compliance.{language}.html"))).unwrap();
        assert!(report.contains(words) && report.contains(&format!("lang=\"{language}\"")), "{language}");
    }
}

#[tokio::test]
async fn a_payload_that_was_kept_is_found_and_a_connection_that_rests_is_not_counted() {
    let bench = Bench::new();
    // This target writes down what it was asked, query and all: what a platform must not do.
    let log = bench.path("seen.jsonl");
    let (target, address) = bench.target(&["--log", log.to_str().unwrap()]);
    let peak =
        PEAK.replace("/ho-tich", "").replace("expect", "sign: none, expect").replace("body:", "sign: none, body:");
    let pid = target.id().to_string();
    let more = ["--sut", &pid, "--window", "4s", "--duration", "9s", "--lag-limit", "1s"];
    let ended = bench.run("compliance", &peak, address, "out", &more);
    assert_eq!(ended.code, 2, "{}", ended.output);
    let record = bench.record("out");
    assert_eq!(point(&record, "nothing")["met"], false);
    let found = record["compliance"]["searched"]["found"].to_string();
    assert!(found.contains("seen.jsonl"), "{found}: it was open in the watched process, and nobody had to name it");

    // A plan in which a connection could rest through a window proves nothing, and is refused.
    let rare = bench.run("compliance", &peak, address, "rare", &["--sut", &pid, "--rate", "100/s", "--window", "4s"]);
    assert!(rare.code == 1 && rare.output.contains("not one for each of 1000 connections"), "{rare:?}");
}

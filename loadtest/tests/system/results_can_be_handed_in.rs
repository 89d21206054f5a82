//! A result is complete, stands alone, and gives nothing away.

use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;

use crate::bench::Bench;
use crate::every_request_is_counted_as_what_it_was::{MIX, credential};

#[tokio::test]
async fn a_report_needs_nothing_from_elsewhere_and_holds_no_secret() {
    let bench = Bench::new();
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let (own, stranger) = (resources.identity("mot-cua"), resources.identity("tu-phap"));
    let keys = [credential(&bench, "own", &own), format!("stranger={}", credential(&bench, "stranger", &stranger))];
    let pid = node.child.id().to_string();
    let ended = bench.run("run", MIX, node.address(), "out", &["--as", &keys[0], "--as", &keys[1], "--sut", &pid]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let read = |name: &str| std::fs::read_to_string(bench.path("out").join(name)).unwrap();
    let (record, report) = (read("run.json"), read("report.html"));
    for identity in [&own, &stranger] {
        let secret = std::str::from_utf8(identity.secret.expose()).unwrap();
        for text in [&record, &report, &ended.output] {
            assert!(!text.contains(secret));
        }
    }
    for reference in ["src=", "href=", "@import", "url(", "<script", "<link"] {
        assert!(!report.contains(reference), "`{reference}` asks for something that may not be there");
    }
    for part in ["PASS", "errors&lt;0.1%", "<svg", "RFC 9421", "per exchange", "<title>"] {
        assert!(report.contains(part), "{part}");
    }
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["schema"], "lgsp-loadtest/1");
    assert!(record["samples"].as_array().unwrap().len() >= 2, "CPU and memory are on the time axis");
}

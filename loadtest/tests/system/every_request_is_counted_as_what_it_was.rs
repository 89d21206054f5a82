//! Against a real node: what is permitted passes, what must be refused is refused for its own reason, and the counts are
//! those of the plan.

use lgsp_testkit::certificate::Authority;
use lgsp_testkit::child::Child;
use lgsp_testkit::client::Identity;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::json;

use crate::bench::{Bench, PLAIN, ended, tool};

pub const MIX: &str = "
name: mix
connections: 20
load: {constant: {rate: 200/s, duration: 2s}}
requests:
  - {name: look-up, percent: 60, path: '/ho-tich/bytes/1024', expect: {bytes: 1 KiB}}
  - {name: sigv4, percent: 10, path: '/ho-tich/bytes/10', sign: sigv4}
  - {name: hand-over, percent: 10, method: POST, path: /ho-tich/sink, body: 64 KiB}
  - {name: hand-over-sigv4, percent: 5, method: POST, path: /ho-tich/sink, body: 100 KiB, sign: sigv4}
  - {name: forged, percent: 5, path: /ho-tich/bytes/1, flaw: bad-signature}
  - {name: again, percent: 5, path: /ho-tich/bytes/1, flaw: replay}
  - {name: stranger, percent: 5, path: /ho-tich/bytes/1, as: stranger, expect: {status: 403, code: permission-missing}}
";

pub fn credential(bench: &Bench, name: &str, identity: &Identity) -> String {
    let path = bench.path(name);
    let secret = std::str::from_utf8(identity.secret.expose()).unwrap();
    let access_key = identity.access_key.as_str();
    std::fs::write(&path, format!("LGSP_ACCESS_KEY={access_key}\nLGSP_SECRET_KEY={secret}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_kind_ends_exactly_as_often_and_as_it_should() {
    let bench = Bench::new();
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let (own, stranger) = (resources.identity("mot-cua"), resources.identity("tu-phap"));
    let keys = [credential(&bench, "own", &own), format!("stranger={}", credential(&bench, "stranger", &stranger))];
    let more = ["--as", &keys[0], "--as", &keys[1], "--sut", &node.child.id().to_string()];
    let ended = bench.run("run", MIX, node.address(), "out", &more);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let record = bench.record("out");
    let kinds = record["kinds"].as_array().unwrap();
    let counts: Vec<_> =
        kinds.iter().map(|kind| (kind["name"].as_str().unwrap(), kind["expected"].as_u64().unwrap())).collect();
    let wanted = [
        ("look-up", 240),
        ("sigv4", 40),
        ("hand-over", 40),
        ("hand-over-sigv4", 20),
        ("forged", 20),
        ("again", 20),
        ("stranger", 20),
    ];
    assert_eq!(counts, wanted);
    assert!(kinds.iter().all(|kind| kind["unexpected"] == json!({})), "{kinds:#?}");
    // What was refused never arrived: the permitted ones did, and the one that the replays repeat.
    assert_eq!(target.ledger().complete(), 240 + 40 + 40 + 20 + 1);
    assert_eq!(record["generator"]["signatures"], 240 + 40 + 40 + 20 + 20 + 20);
    assert!(record["generator"]["signing_nanos_mean"].as_f64().unwrap() > 100.0);
    assert!(record["summary"]["cpu_micros_per_exchange"].as_f64().unwrap() > 1.0, "{}", record["summary"]);

    // A refusal for another reason than the wanted one is an error.
    let wrong = MIX.replace("code: permission-missing", "code: route-not-found");
    let ended = bench.run("run", &wrong, node.address(), "wrong", &more);
    assert_eq!(ended.code, 2, "{}", ended.output);
    let record = bench.record("wrong");
    assert_eq!(record["kinds"][6]["unexpected"], json!({"403 permission-missing": 20}));
}

#[tokio::test]
async fn a_target_that_speaks_tls_is_verified_and_measured() {
    let bench = Bench::new();
    let authority = Authority::new("LGSP load test");
    std::fs::write(bench.path("ca.pem"), authority.pem()).unwrap();
    let target = Target::new().tls(authority.issue(&["127.0.0.1"])).start().await;
    let url = format!("https://{}", target.address());
    let mut command = tool();
    command.arg("run").arg(bench.scenario(PLAIN)).args(["--target", &url, "--duration", "1s", "--lag-limit", "200ms"]);
    command.arg("--ca").arg(bench.path("ca.pem")).arg("--out").arg(bench.path("out"));
    let ended = ended(Child::spawn("run", &mut command));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert_eq!(target.ledger().complete(), 200);
}

const SESSIONS: &str = "
name: sessions
connections: 4
load: {constant: {rate: 100/s, duration: 1s}}
requests:
  - {name: open, percent: 20, method: POST, path: /lgsp/v1/sessions, content: '{\"service\": \"ho-tich\"}', expect: {status: 201}}
  - {name: within, percent: 50, path: /ho-tich/bytes/10, session: ho-tich, expect: {bytes: 10}}
  - {name: hand-over, percent: 30, method: POST, path: /ho-tich/sink, body: 2 KiB, session: ho-tich}
";

#[tokio::test]
async fn sessions_are_opened_and_requests_are_sent_within_them() {
    let bench = Bench::new();
    let target = Target::new().start().await;
    // Nothing but requests of a session passes.
    let resources = Resources::usual(&[target.address()])
        .with("Route", "ho-tich", |spec| spec["require"] = json!({"session": true}));
    let node = Node::new(&resources).start().await;
    let key = credential(&bench, "own", &resources.identity("mot-cua"));
    let ended = bench.run("run", SESSIONS, node.address(), "out", &["--as", &key]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert_eq!(target.ledger().complete(), 80);
    let record = bench.record("out").to_string();
    assert!(!record.contains("session_key") && !record.contains("ticket"), "{record}");
    let alone = SESSIONS.replace(", session: ho-tich", "");
    let ended = bench.run("run", &alone, node.address(), "alone", &["--as", &key]);
    assert_eq!((ended.code, target.ledger().complete()), (2, 80), "{}", ended.output);
}

#[tokio::test]
async fn a_run_outlives_its_sessions() {
    let bench = Bench::new();
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()])
        .with("Route", "ho-tich", |spec| spec["require"] = json!({"session": true}))
        .put("Defaults", "default", json!({"session": {"lifetime_secs": 2}}));
    let node = Node::new(&resources).start().await;
    let key = credential(&bench, "own", &resources.identity("mot-cua"));
    let within = "
name: within
connections: 8
load: {constant: {rate: 100/s, duration: 6s}}
requests: [{name: within, path: /ho-tich/bytes/10, session: ho-tich, expect: {bytes: 10}}]
";
    let ended = bench.run("run", within, node.address(), "out", &["--as", &key, "--workers", "1"]);
    assert_eq!((ended.code, target.ledger().complete()), (0, 600), "{}", ended.output);
    // One beforehand, and another each time half of a life was over; not one for each connection.
    node.record("all are recorded", |_| node.records().len() >= 604).await;
    let opened = node.records().iter().filter(|record| record["path"] == "/lgsp/v1/sessions").count();
    assert!((4..=10).contains(&opened), "{opened} sessions were opened");
}

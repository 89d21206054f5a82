//! CPU and memory of a node on another machine come from its metrics page, and say what its process says.

use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::Value;

use crate::bench::Bench;
use crate::every_request_is_counted_as_what_it_was::credential;

const LOOK_UPS: &str = "
name: look-ups
connections: 20
load: {constant: {rate: 300/s, duration: 3s}}
requests: [{name: look-up, path: '/ho-tich/bytes/1024', expect: {bytes: 1 KiB}}]
";

async fn page(node: &Node) -> String {
    String::from_utf8(node.admin("/metrics").await.body).unwrap()
}

fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn the_page_of_a_node_and_its_process_tell_the_same() {
    let bench = Bench::new();
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let key = credential(&bench, "own", &resources.identity("mot-cua"));
    let url = format!("http://{}/metrics", node.admin_address());
    let before = page(&node).await;

    let blind = bench.run("run", LOOK_UPS, node.address(), "blind", &["--as", &key, "--sut-metrics", &url]);
    assert!(blind.code == 1 && blind.output.contains("--sut-cores"), "cores cannot be guessed: {blind:?}");

    let more = ["--as", &key, "--sut-metrics", &url, "--sut-cores", "2", "--slo", "sut_cpu<100%"];
    let ended = bench.run("run", LOOK_UPS, node.address(), "out", &more);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let record = bench.record("out");
    let samples = record["samples"].as_array().unwrap();
    let number = |sample: &Value, key: &str| sample[key].as_f64().unwrap();
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let (after, pid) = (page(&node).await, node.child.id());
    assert!(number(first, "cpu_seconds") >= value(&before, "process_cpu_seconds_total"));
    assert!(number(last, "cpu_seconds") <= value(&after, "process_cpu_seconds_total"));
    assert!(number(last, "cpu_seconds") > number(first, "cpu_seconds"), "900 exchanges take CPU time");
    assert!(record["summary"]["cpu_micros_per_exchange"].as_f64().unwrap() > 1.0, "{}", record["summary"]);
    assert!(ended.output.contains("✓ sut_cpu<100%"), "{}", ended.output);

    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident_kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident_kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0;
    let told = value(&after, "process_resident_memory_bytes");
    assert!((0.8..1.25).contains(&(told / resident)), "{told} is not about {resident}");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(value(&after, "process_open_fds") >= 10.0 && files >= 10, "{after}");
    assert!(value(&after, "process_open_fds") <= value(&after, "process_max_fds"));
    assert_eq!(value(&before, "process_start_time_seconds"), value(&after, "process_start_time_seconds"));
}

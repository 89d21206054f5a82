//! A load in steps has the times and endings of each: which of them was too much is told, and not blurred by the others.

use serde_json::Value;

use crate::bench::{Bench, PLAIN};

#[test]
fn only_the_step_beyond_the_limit_has_refusals() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--limit", "200/s", "--limit-burst", "40"]);
    let steps = "{steps: [{rate: 100/s, duration: 1s}, {rate: 600/s, duration: 1s}]}";
    let scenario = PLAIN.replace("{constant: {rate: 200/s, duration: 2s}}", steps);
    let ended = bench.run("run", &scenario, address, "out", &[]);
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("100/s for 1s: 100 planned, 100 sent, 100 as expected"), "{}", ended.output);
    let record = bench.record("out");
    let [low, high] = record["steps"].as_array().unwrap().as_slice() else { panic!("{}", record["steps"]) };
    assert_eq!((&low["name"], &low["unexpected"]), (&"100/s for 1s".into(), &Value::Object(serde_json::Map::new())));
    assert_eq!((&high["name"], &high["planned"]), (&"600/s for 1s".into(), &600.into()));
    assert!(high["unexpected"]["503"].as_u64().unwrap() > 200, "{}", high["unexpected"]);
    for times in ["response_histogram", "service_histogram", "lag_histogram"] {
        assert!(high[times].as_str().unwrap().len() > 20, "{times}");
    }
    let report = std::fs::read_to_string(bench.path("out").join("report.html")).unwrap();
    assert!(report.contains(">600/s for 1s</td>"), "the report tells them apart too");
}

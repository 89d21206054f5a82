//! Latency counts from the planned instant: callers who had to wait while the server stood still are in it.

use crate::bench::{Bench, PLAIN};

#[test]
fn a_stall_of_two_seconds_is_in_response_and_not_in_service() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--stall-after", "1s", "--stall-for", "2s"]);
    let ended = bench.run("run", PLAIN, address, "out", &["--duration", "6s"]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let summary = &bench.record("out")["summary"];
    let micros = |times: &str, point: &str| summary[times][point].as_f64().unwrap();
    // A third of all callers came while it stood still; ten of them, one for each connection, had been sent.
    assert!(micros("response_micros", "p90") > 800_000.0, "{summary}");
    assert!(micros("service_micros", "p90") < 400_000.0, "{summary}");
    assert!(micros("service_micros", "max") > 1_500_000.0, "{summary}");
}

#[test]
fn a_closed_loop_hides_it_and_says_so() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--stall-after", "500ms", "--stall-for", "1s"]);
    let closed = PLAIN.replace("{constant: {rate: 200/s, duration: 2s}}", "{closed: {duration: 3s}}");
    let ended = bench.run("run", &closed, address, "out", &[]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(
        ended.output.contains("warning: a closed loop") && ended.output.contains("CLOSED LOOP"),
        "{}",
        ended.output
    );
    let record = bench.record("out");
    assert_eq!(record["conditions"]["closed"], true);
    assert!(record["summary"]["response_micros"]["p99"].as_f64().unwrap() < 500_000.0, "{}", record["summary"]);
}

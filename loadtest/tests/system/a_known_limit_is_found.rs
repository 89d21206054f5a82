//! A capacity that is known is found within three per cent, with what stands in the way of more.

use crate::bench::{Bench, PLAIN};

#[test]
fn the_rate_of_a_token_bucket_is_the_answer_within_three_per_cent() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--limit", "500/s", "--limit-burst", "8"]);
    let search = ["--start", "150/s", "--trial", "1s", "--confirm", "2s", "--slo", "errors<0.5%", "--slo", "p99<1s"];
    // The bucket sees every moment in which this machine was busy elsewhere: such a trial says nothing.
    let ended = bench.run("capacity", PLAIN, address, "out", &[&search[..], &["--lag-limit", "8ms"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.output);
    let capacity = &bench.record("out")["capacity"];
    let answer = capacity["answer"].as_f64().unwrap();
    assert!((485.0..=515.0).contains(&answer), "{answer}\n{}", ended.output);
    assert_eq!(capacity["confirmed"], true);
    let limiter = capacity["limiter"].as_str().unwrap();
    assert!(limiter.contains("errors<0.5%") && limiter.contains("`503`"), "{limiter}");
}

//! Runs of the same thing compare as equal, those of a slower thing as a regression; a criterion is one or the other.

use crate::bench::{Bench, PLAIN, ended, json, tool};
use lgsp_testkit::child::Child;

#[test]
fn three_runs_of_the_same_are_equal_and_a_slowed_target_is_a_regression() {
    let bench = Bench::new();
    let (_fast, fast) = bench.target(&[]);
    let (_slow, slow) = bench.target(&["--delay", "20ms"]);
    for side in ["before", "after", "slow"] {
        std::fs::create_dir_all(bench.path(side)).unwrap();
    }
    // Alternately, so that what changes on the machine meanwhile is in both.
    for turn in 1..=3 {
        for (side, target) in [("before", fast), ("after", fast), ("slow", slow)] {
            let ended = bench.run("run", PLAIN, target, "one", &["--duration", "1s"]);
            assert_eq!(ended.code, 0, "{}", ended.output);
            let record = bench.path("one").join("run.json");
            std::fs::rename(record, bench.path(side).join(format!("run-{turn}.json"))).unwrap();
        }
    }
    let compare = |one: &str, other: &str| {
        let (one, other) = (bench.path(one), bench.path(other));
        ended(Child::spawn("compare", tool().arg("compare").arg(one).arg(other)))
    };
    let same = compare("before", "after");
    assert!(same.code == 0 && same.output.starts_with("NO REGRESSION"), "{same:?}");
    let slower = compare("before", "slow");
    assert!(slower.code == 3 && slower.output.contains("✗ response p50"), "{slower:?}");
    assert_eq!(compare("slow", "before").code, 0, "faster is no regression");

    let few = compare("before", "one");
    assert!(few.code == 1 && few.output.contains("a comparison takes 3"), "{few:?}");
    let before = bench.path("before");
    let judged = bench.run(
        "run",
        PLAIN,
        slow,
        "judged",
        &["--duration", "1s", "--repeat", "3", "--baseline", before.to_str().unwrap()],
    );
    assert_eq!(judged.code, 3, "{}", judged.output);
    let record = json(&bench.path("judged").join("run-3.json"));
    assert_eq!(
        (&record["verdict"]["outcome"], &record["comparison"]["baseline_runs"]),
        (&"regression".into(), &3.into())
    );
}

#[test]
fn a_criterion_that_is_not_met_fails_the_run_and_no_more() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--delay", "20ms"]);
    let ended = bench.run("run", PLAIN, address, "out", &["--duration", "1s", "--slo", "p50<5ms", "--slo", "p50<10s"]);
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("CRITERION FAILED") && ended.output.contains("✗ p50<5ms"), "{}", ended.output);
    assert!(ended.output.contains("✓ p50<10s") && ended.output.contains("✓ errors<0.1%"), "{}", ended.output);
    let record = bench.record("out");
    assert_eq!(record["verdict"]["outcome"], "criterion-failed");
    assert!(record["summary"]["response_micros"]["p50"].as_f64().unwrap() >= 20_000.0);
}

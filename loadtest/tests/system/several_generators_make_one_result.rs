//! Shards of a plan, each sent by a process of its own, add up to the plan.

use lgsp_testkit::child::Child;

use crate::bench::{Bench, PLAIN, ended, tool};

#[test]
fn shards_add_up_to_the_plan_and_a_missing_one_is_noticed() {
    let bench = Bench::new();
    let (target, address) = bench.target(&[]);
    let poisson =
        PLAIN.replace("constant: {rate: 200/s, duration: 2s}", "poisson: {rate: 200/s, duration: 2s, seed: 5}");
    let watched = target.id().to_string();
    let shards = ["1/2", "2/2"].map(|shard| {
        let out = shard.replace('/', "-of-");
        // Only one of them is on the server's machine.
        let watch: &[&str] = if shard == "1/2" { &["--sut", &watched] } else { &[] };
        bench.begin("run", &poisson, address, &out, &[&["--shard", shard], watch].concat())
    });
    for shard in shards {
        let ended = ended(shard);
        assert_eq!(ended.code, 0, "{}", ended.output);
    }
    let parts = [bench.path("1-of-2").join("run.json"), bench.path("2-of-2").join("run.json")];
    let merge = |parts: &[std::path::PathBuf]| {
        ended(Child::spawn("merge", tool().arg("merge").args(parts).arg("--out").arg(bench.path("whole"))))
    };
    let alone = merge(&parts[..1]);
    assert!(alone.code == 1 && alone.output.contains("shards 1 to 2, each once"), "{alone:?}");
    let twice = merge(&[parts[0].clone(), parts[0].clone()]);
    assert!(twice.code == 1 && twice.output.contains("each once"), "{twice:?}");
    let merged = merge(&parts);
    assert_eq!(merged.code, 0, "{}", merged.output);

    let whole = bench.record("whole");
    let one = bench.run("run", &poisson, address, "one", &[]);
    assert_eq!(one.code, 0, "{}", one.output);
    let planned = |record: &serde_json::Value| record["kinds"][0]["planned"].as_u64().unwrap();
    assert_eq!(planned(&whole), planned(&bench.record("one")), "the same arrivals, whoever sends them");
    assert_eq!(whole["conditions"]["shards"], serde_json::json!([1, 2]));
    let sent: u64 = parts.iter().map(|part| crate::bench::json(part)["kinds"][0]["expected"].as_u64().unwrap()).sum();
    assert_eq!(whole["kinds"][0]["expected"].as_u64(), Some(sent));
    assert!(whole["summary"]["cpu_percent"].is_number(), "{}", whole["summary"]);
}

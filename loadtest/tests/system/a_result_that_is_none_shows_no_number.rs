//! A generator that did not keep its promise has produced nothing: exit code 4, and no number that looks like a result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lgsp_testkit::child::Signal;
use lgsp_testkit::eventually::eventually;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::bench::{Bench, Ended, PLAIN, ended};

fn assert_no_result(bench: &Bench, ended: &Ended, reason: &str) {
    assert_eq!(ended.code, 4, "{}", ended.output);
    assert!(ended.output.contains("INVALID") && ended.output.contains(reason), "{}", ended.output);
    assert!(!ended.output.contains("p99.99"), "{}", ended.output);
    let record = bench.record("out");
    assert_eq!((&record["verdict"]["outcome"], &record["summary"]), (&"invalid".into(), &serde_json::Value::Null));
    assert!(record["verdict"]["criteria"].as_array().unwrap().iter().all(|judged| judged["observed"] == "no result"));
    let html = std::fs::read_to_string(bench.path("out").join("report.html")).unwrap();
    assert!(html.contains("INVALID") && !html.contains("p99.9"), "no percentile is shown");
}

#[tokio::test]
async fn a_generator_that_was_held_up_has_no_result() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--log", bench.path("seen").to_str().unwrap()]);
    let throttled = bench.begin("run", PLAIN, address, "out", &["--duration", "3s", "--lag-limit", "20ms"]);
    let begun = async || std::fs::metadata(bench.path("seen")).is_ok_and(|seen| seen.len() > 10_000);
    eventually(Duration::from_secs(20), "requests are sent", begun).await;
    throttled.signal(Signal::Stop);
    tokio::time::sleep(Duration::from_millis(600)).await;
    throttled.signal(Signal::Continue);
    assert_no_result(&bench, &ended(throttled), "the generator sent too late");
}

/// Found on a machine that compiled meanwhile: the generator was late by less than the limit, what it then sent at once was
/// more than the target took, and the rate that had been spared that was called its capacity.
#[test]
fn a_search_has_no_result_when_the_generator_may_have_caused_the_refusals_itself() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--limit", "500/s", "--limit-burst", "2"]);
    let search = ["--start", "400/s", "--max", "400/s", "--trial", "500ms", "--confirm", "500ms"];
    let searching = bench.begin("capacity", PLAIN, address, "out", &search);
    let (pid, over) = (Pid::from_raw(i32::try_from(searching.id()).unwrap()), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // What disturbs it: 15 of 60 ms are taken away. It may have ended by itself.
                let _ = kill(pid, nix::sys::signal::Signal::SIGSTOP);
                std::thread::sleep(Duration::from_millis(15));
                let _ = kill(pid, nix::sys::signal::Signal::SIGCONT);
                std::thread::sleep(Duration::from_millis(45));
            }
        });
        let ended = ended(searching);
        over.store(true, Ordering::Relaxed);
        ended
    });
    assert_no_result(&bench, &ended, "several at once");
}

#[test]
fn a_rate_that_all_connections_together_cannot_carry_has_no_result() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--delay", "100ms"]);
    // Ten connections and a tenth of a second each: a hundred a second, whatever is asked.
    let ended = bench.run("run", PLAIN, address, "out", &[]);
    assert_no_result(&bench, &ended, "connections were waiting for answers");
}

#[tokio::test]
async fn a_run_that_is_ended_early_writes_what_it_has_and_says_so() {
    let bench = Bench::new();
    let (_target, address) = bench.target(&["--log", bench.path("seen").to_str().unwrap()]);
    let begun = bench.begin("run", PLAIN, address, "out", &["--duration", "60s"]);
    let sent = async || std::fs::metadata(bench.path("seen")).is_ok_and(|seen| seen.len() > 10_000);
    eventually(Duration::from_secs(20), "requests are sent", sent).await;
    begun.signal(Signal::Interrupt);
    assert_no_result(&bench, &ended(begun), "it was ended after");
    assert!(bench.record("out")["kinds"][0]["sent"].as_u64().unwrap() > 0);
}

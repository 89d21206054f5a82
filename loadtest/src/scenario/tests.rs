use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::plan::{Segment, Spacing};

const MIX: &str = "
name: mix
connections: 8
load: {poisson: {rate: 500/s, duration: 10s, seed: 3}}
requests:
  - {name: good, percent: 90, path: /a?b=c, expect: {bytes: 1 KiB}}
  - {name: forged, percent: 5, path: /a, flaw: bad-signature}
  - {name: again, percent: 2.5, path: /a, flaw: replay}
  - {name: forbidden, percent: 2.5, method: POST, path: /b, sign: sigv4, body: 64 KiB, as: other, expect: {status: 403}}
";

fn problems(yaml: &str) -> Vec<(String, String)> {
    let error = Scenario::parse("s.yaml", yaml).unwrap_err();
    error.problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

#[test]
fn a_scenario_says_what_is_asked_and_what_is_expected() {
    let scenario = Scenario::parse("s.yaml", MIX).unwrap();
    let duration = Duration::from_secs(10);
    let plan =
        Plan { segments: vec![Segment { from: 500.0, to: 500.0, duration }], spacing: Spacing::Poisson { seed: 3 } };
    assert_eq!(scenario.load, Load::Open(plan));
    assert_eq!((scenario.timeout, scenario.warmup), (Duration::from_secs(30), Duration::ZERO));
    let expected: Vec<_> =
        scenario.kinds.iter().map(|kind| (kind.expect.status, kind.expect.code.as_deref())).collect();
    assert_eq!(expected, [(200, None), (401, Some("signature-invalid")), (401, Some("replayed")), (403, None)]);
    assert_eq!(scenario.kinds[0].expect.bytes, Some(1_024));
    assert_eq!((scenario.kinds[3].body, scenario.kinds[3].credential.as_deref()), (65_536, Some("other")));
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let cases = [
        (MIX.replace("connections: 8", "connection: 8"), "connection", "unknown field"),
        (MIX.replace("90, path", "90, paht"), "requests[0].paht", "unknown field `paht`"),
        (MIX.replace("bytes: 1 KiB", "bytes: 1 KB"), "requests[0].expect.bytes", "powers of 1024"),
        (MIX.replace("duration: 10s", "duration: 10"), "load.poisson.duration", "not a length of time"),
        (MIX.replace("flaw: replay", "flaw: reply"), "requests[2].flaw", "unknown variant"),
        (MIX.replace("connections: 8", "connections: 0"), "connections", "0 is not between 1 and"),
        (MIX.replace("percent: 90", "percent: 80"), "requests", "make 90 and not 100"),
        (MIX.replace("percent: 90, ", ""), "requests[0].percent", "is missing"),
        (MIX.replace("path: /b", "path: b"), "requests[3].path", "is not a path"),
        (MIX.replace("status: 403", "status: 100"), "requests[3].expect.status", "not a final status"),
        (MIX.replace("name: again", "name: good"), "requests[2].name", "the name of another request"),
        (MIX.replace("flaw: replay", "flaw: replay, sign: none"), "requests[2].flaw", "needs a signature"),
        (MIX.replace("flaw: replay", "flaw: replay, session: x"), "requests[2].session", "no `flaw`"),
        (MIX.replace("body: 64 KiB", "body: 64 KiB, content: x"), "requests[3].content", "stands beside `body`"),
        (MIX.replace("rate: 500/s", "rate: 0"), "load.poisson", "not between 0 and"),
        (MIX.replace("connections: 8", "connections: 8\nwarmup: 10s"), "warmup", "leaves nothing"),
    ];
    for (yaml, path, message) in cases {
        let found = problems(&yaml);
        assert!(found.iter().any(|(at, what)| at == path && what.contains(message)), "{path}: {found:?}");
    }
    assert!(problems("a: [")[0].1.contains("not readable as YAML"));
}

#[test]
fn several_problems_are_reported_together() {
    let found = problems(&MIX.replace("connections: 8", "connections: 0").replace("path: /b", "path: b"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn quantities_are_written_as_they_are_read() {
    for text in ["500ms", "30s", "5m", "1.5s", "20us"] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
    }
    for text in ["64 KiB", "100 MiB", "5 GiB", "1 B"] {
        assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
    }
    assert!("-1s".parse::<Span>().is_err() && "1 parsec".parse::<Span>().is_err() && "3000/m".parse::<Rate>().is_err());
}

#[test]
fn every_scenario_that_ships_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/scenarios");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        Scenario::load(&file).unwrap();
    }
}

proptest! {
    #[test]
    fn every_beginning_of_a_cycle_keeps_the_shares(weights in prop::collection::vec(1_u32..400, 1..6), length in 1_u64..3_000) {
        let kind = |share| Kind { share, ..Scenario::parse("s", MIX).unwrap().kinds[0].clone() };
        let kinds: Vec<Kind> = weights.iter().map(|share| kind(*share)).collect();
        let total: f64 = weights.iter().map(|share| f64::from(*share)).sum();
        let cycle = Cycle::of(&kinds);
        for (at, share) in weights.iter().enumerate() {
            let count = (0..length).filter(|index| cycle.kind(*index) == at).count() as f64;
            let due = f64::from(*share) / total * length as f64;
            prop_assert!((count - due).abs() <= weights.len() as f64, "{at}: {count} of {due}");
        }
    }
}

//! From the file as written to a scenario that can be run; every problem is reported at once.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::quantity::{Rate, Size, Span};
use super::raw::{Raw, RawClosed, RawConstant, RawExpect, RawFlaw, RawKind, RawLoad, RawPoisson, RawRamp, RawSigning};
use super::*;
use crate::plan::{Segment, Spacing};

/// All shares of a scenario together.
const SHARES: u32 = 10_000;

type Problems = Vec<Problem>;

pub(super) fn resolve(origin: &str, raw: Raw, text: &str) -> Result<Scenario, ScenarioError> {
    let Raw { name, about, load, connections, warmup: Span(warmup), timeout: Span(timeout), requests } = raw;
    let mut problems = Problems::new();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        note(&mut problems, "name", format!("`{name}` is not a name: use letters, digits, `-`, `_` and `.`"));
    }
    let load = resolve_load(load, &mut problems);
    if !(1..=CONNECTIONS_MAX).contains(&connections) {
        note(&mut problems, "connections", format!("{connections} is not between 1 and {CONNECTIONS_MAX}"));
    }
    if warmup >= load.duration() {
        note(&mut problems, "warmup", format!("{} leaves nothing of the run to be counted", Span(warmup)));
    }
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        note(&mut problems, "timeout", format!("{} is not between 1us and {}", Span(timeout), Span(TIMEOUT_MAX)));
    }
    let kinds = resolve_kinds(requests, &mut problems);
    if !problems.is_empty() {
        return Err(ScenarioError { origin: origin.to_owned(), problems });
    }
    let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Scenario { name, about, load, connections, warmup, timeout, kinds, digest })
}

fn note(problems: &mut Problems, path: &str, message: String) {
    problems.push(Problem { path: path.to_owned(), message });
}

fn resolve_load(raw: RawLoad, problems: &mut Problems) -> Load {
    let even = |segments| Plan { segments, spacing: Spacing::Even };
    let constant = |Rate(rate): Rate, Span(duration): Span| Segment { from: rate, to: rate, duration };
    let (path, load) = match raw {
        RawLoad::Constant(RawConstant { rate, duration }) => {
            ("load.constant", Load::Open(even(vec![constant(rate, duration)])))
        }
        RawLoad::Poisson(RawPoisson { rate, duration, seed }) => {
            let plan = Plan { segments: vec![constant(rate, duration)], spacing: Spacing::Poisson { seed } };
            ("load.poisson", Load::Open(plan))
        }
        RawLoad::Ramp(RawRamp { from: Rate(from), to: Rate(to), duration: Span(duration) }) => {
            ("load.ramp", Load::Open(even(vec![Segment { from, to, duration }])))
        }
        RawLoad::Steps(steps) => {
            let steps = steps.into_iter().map(|RawConstant { rate, duration }| constant(rate, duration));
            ("load.steps", Load::Open(even(steps.collect())))
        }
        RawLoad::Closed(RawClosed { duration: Span(duration) }) => ("load.closed", Load::Closed { duration }),
    };
    check_load(path, &load, problems);
    load
}

fn check_load(path: &str, load: &Load, problems: &mut Problems) {
    if load.duration().is_zero() || load.duration() > DURATION_MAX {
        note(
            problems,
            path,
            format!("lasts {}; it must last longer than nothing and at most 7 days", Span(load.duration())),
        );
    }
    let Load::Open(plan) = load else { return };
    if plan.segments.len() > STEPS_MAX {
        note(problems, path, format!("has {} steps; at most {STEPS_MAX} are told apart", plan.segments.len()));
    }
    for segment in &plan.segments {
        let highest = segment.from.max(segment.to);
        if highest > RATE_MAX || highest <= 0.0 {
            note(problems, path, format!("a rate of {highest}/s is not between 0 and {RATE_MAX}/s"));
        }
        if segment.duration.is_zero() {
            note(problems, path, "a step lasts no time at all".to_owned());
        }
    }
}

fn resolve_kinds(raw: Vec<RawKind>, problems: &mut Problems) -> Vec<Kind> {
    if raw.is_empty() || raw.len() > KINDS_MAX {
        note(problems, "requests", format!("has {} entries; it needs 1 to {KINDS_MAX}", raw.len()));
    }
    let only = raw.len() == 1;
    let kinds: Vec<Kind> = raw.into_iter().enumerate().map(|(at, raw)| resolve_kind(at, only, raw, problems)).collect();
    let total: u32 = kinds.iter().map(|kind| kind.share).sum();
    if total != SHARES && !kinds.is_empty() {
        note(
            problems,
            "requests",
            format!("the `percent` of all requests make {} and not 100", f64::from(total) / 100.0),
        );
    }
    let mut names = BTreeSet::new();
    for (at, kind) in kinds.iter().enumerate() {
        if !names.insert(kind.name.as_str()) {
            note(problems, &format!("requests[{at}].name"), format!("`{}` is the name of another request", kind.name));
        }
    }
    kinds
}

fn resolve_kind(at: usize, only: bool, raw: RawKind, problems: &mut Problems) -> Kind {
    let RawKind { name, percent, method, path, sign, credential, body: Size(body), content, session, flaw, expect } =
        raw;
    let here = |key: &str| format!("requests[{at}].{key}");
    let percent = percent.or(only.then_some(100.0));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is between 0 and 10 000")]
    let share = match percent {
        Some(value) if value > 0.0 && value <= 100.0 => (value * 100.0).round() as u32,
        Some(value) => {
            note(problems, &here("percent"), format!("{value} is not above 0 and at most 100"));
            0
        }
        None => {
            note(problems, &here("percent"), "is missing: with several requests each says its share".to_owned());
            0
        }
    };
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        note(problems, &here("method"), format!("`{method}` is not a method such as `GET`"));
    }
    if !path.starts_with('/') || !path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'#') {
        note(problems, &here("path"), format!("`{path}` is not a path such as `/ho-tich/1`; encode what is not ASCII"));
    }
    if body > BODY_BYTES_MAX {
        note(problems, &here("body"), format!("{} is more than {}", Size(body), Size(BODY_BYTES_MAX)));
    }
    if content.is_some() && body > 0 {
        note(problems, &here("content"), "stands beside `body`; give one of them".to_owned());
    }
    let body = content.as_ref().map_or(body, |content| content.len() as u64);
    let signing = match sign {
        RawSigning::Rfc9421 => Signing::Rfc9421,
        RawSigning::Sigv4 => Signing::SigV4,
        RawSigning::None => Signing::Unsigned,
    };
    let flaw = match flaw {
        None => Flaw::Sound,
        Some(RawFlaw::BadSignature) => Flaw::BadSignature,
        Some(RawFlaw::Replay) => Flaw::Replay,
    };
    if flaw != Flaw::Sound && signing == Signing::Unsigned {
        note(problems, &here("flaw"), "needs a signature; remove `sign: none`".to_owned());
    }
    if session.is_some() && (signing != Signing::Rfc9421 || flaw != Flaw::Sound) {
        note(problems, &here("session"), "takes `sign: rfc9421` and no `flaw`".to_owned());
    }
    let session = session.and_then(|name| match name.parse() {
        Ok(service) => Some(service),
        Err(_) => {
            note(problems, &here("session"), format!("`{name}` is not the name of a service"));
            None
        }
    });
    let expect = resolve_expect(expect, flaw, &here("expect.status"), problems);
    Kind { name, share, method, target: path, signing, credential, body, content, session, flaw, expect }
}

fn resolve_expect(raw: RawExpect, flaw: Flaw, path: &str, problems: &mut Problems) -> Expect {
    let RawExpect { status, code, bytes } = raw;
    let (usual_status, usual_code) = match flaw {
        Flaw::Sound => (200, None),
        Flaw::BadSignature => (401, Some("signature-invalid")),
        Flaw::Replay => (401, Some("replayed")),
    };
    let code = code.or_else(|| status.is_none().then(|| usual_code.map(str::to_owned)).flatten());
    let status = status.unwrap_or(usual_status);
    if !(200..=599).contains(&status) {
        note(problems, path, format!("{status} is not a final status between 200 and 599"));
    }
    let bytes = bytes.map(|Size(bytes)| bytes);
    Expect { status, code, bytes }
}

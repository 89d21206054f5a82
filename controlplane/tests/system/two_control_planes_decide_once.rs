//! Two control planes decide the same applications at the same moments, while reorganisations become due at both: each
//! happens once, in one revision, with one key, and both agree with etcd and with the audit.

use std::collections::BTreeSet;

use lgsp_controlplane::runtime::now;
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::eventually::eventually;
use serde_json::Value;

use crate::pair::{Pair, all_is_published, assert_unbroken};
use crate::platform::{DEADLINE, Done, Platform};
use crate::registry::{APPLICATION, DECIDED, decide, document, target};

const APPLICATIONS: u64 = 12;
/// Whose systems are connected while they get another code.
const AGENCIES: u64 = 3;
/// Soon enough to happen between decisions.
const DUE_IN_SECS: i64 = 3;

fn code_before(agency: u64) -> String {
    format!("H61.{}", agency + 10)
}

fn code_after(agency: u64) -> String {
    format!("H61.{}", agency + 20)
}

/// Agencies, an application of each in turn, and an end of their codes in a moment.
fn prepare(platform: &Platform) {
    let agency = |number: u64| {
        format!("---\nkind: Agency\nname: a{number}\nspec: {{code: {}, title: A}}\n", code_before(number))
    };
    platform.apply(&(target().to_owned() + &(0..AGENCIES).map(agency).collect::<String>()));
    for number in 1..=APPLICATIONS {
        let application = APPLICATION
            .replace("000.00.14.H61", &code_before(number % AGENCIES))
            .replace("agency_name: ttpvhcc\n", "")
            .replace("mot-cua", &format!("system-{number}"));
        platform.write("application.yaml", &application);
        platform.ok(&["application", "submit", "-f", "application.yaml"]);
        platform.ok(&["application", "review", &number.to_string()]);
    }
    let due = UnixSeconds(now().0 + DUE_IN_SECS).to_string();
    for agency in 0..AGENCIES {
        let (from, to) = (code_before(agency), code_after(agency));
        decide(platform, &["agency", "rename", &from, "--to", &to, "--title", "A", "--effective", &due]);
    }
}

/// What each control plane answers when both do the same for every number, neither waiting for the other.
fn at_both(pair: &Pair, numbers: &[u64], act: impl Fn(&Platform, u64) -> Done + Sync) -> Vec<[Done; 2]> {
    let all = |platform| numbers.iter().map(|number| act(platform, *number)).collect::<Vec<_>>();
    let (here, there) = std::thread::scope(|scope| {
        let there = scope.spawn(|| all(&pair.follower));
        (all(&pair.leader), there.join().unwrap())
    });
    here.into_iter().zip(there).map(<[Done; 2]>::from).collect()
}

fn assert_one_of_two_decided(answers: &[[Done; 2]]) {
    for both in answers {
        let mut codes = both.each_ref().map(|done| done.code);
        codes.sort_unstable();
        assert_eq!(codes, [0, 4], "{both:?}");
    }
}

/// The revisions in which `steps` of this action were carried out.
fn revisions(application: &Value, action: &str) -> Vec<u64> {
    let steps = application["steps"].as_array().unwrap().iter().filter(|step| step["action"] == action);
    steps.map(|step| step["revision"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn what_two_control_planes_decide_at_once_happens_once() {
    let pair = Pair::start().await;
    prepare(&pair.leader);
    let all: Vec<u64> = (1..=APPLICATIONS).collect();
    let ended: Vec<u64> = all.iter().copied().filter(|number| number % 2 == 0).collect();
    let approved = at_both(&pair, &all, |platform, number| {
        let (number, key) = (number.to_string(), format!("{number}.key"));
        platform.run(&[&["application", "approve", &number, "--issue", "--save", &key], &DECIDED[..]].concat())
    });
    assert_one_of_two_decided(&approved);
    let cancelled = at_both(&pair, &ended, |platform, number| {
        platform.run(&[&["application", "cancel", &number.to_string()], &DECIDED[..]].concat())
    });
    assert_one_of_two_decided(&cancelled);
    eventually(DEADLINE, "every reorganisation happened", async || {
        let told = pair.follower.json(&["agency", "reorganisations"]);
        told["reorganisations"].as_array().unwrap().iter().all(|one| one["state"] == "applied")
    })
    .await;

    // The documents, an approval and a key for each, an end for some, and the reorganisations.
    let revisions_made = 1 + 2 * APPLICATIONS + APPLICATIONS / 2 + AGENCIES;
    let mut seen = BTreeSet::new();
    for platform in [&pair.leader, &pair.follower] {
        all_is_published(platform, &pair.etcd, platform.json(&["get"]).as_array().unwrap().len()).await;
        assert_unbroken(platform, revisions_made);
        for number in &all {
            let application = platform.json(&["application", "show", &number.to_string()]);
            let is_ended = ended.contains(number);
            assert_eq!(application["state"], if is_ended { "cancelled" } else { "approved" });
            let (approvals, ends) = (revisions(&application, "approve"), revisions(&application, "cancel"));
            assert_eq!((approvals.len(), ends.len()), (1, usize::from(is_ended)), "{application}");
            seen.extend(approvals.into_iter().chain(ends));
            let (system, key) = (format!("System/system-{number}"), format!("Credential/system-{number}-1"));
            assert_eq!(document(platform, &system)["agency"], format!("a{}", number % AGENCIES));
            assert_eq!(document(platform, &key)["state"], if is_ended { "disabled" } else { "active" });
        }
        for agency in 0..AGENCIES {
            let history = platform.json(&["agency", "history", &code_before(agency)]);
            assert_eq!(history["links"].as_array().unwrap().len(), 1, "{history}");
            assert_eq!(document(platform, &format!("Agency/a{agency}"))["code"], code_after(agency));
        }
        let keys = platform.json(&["credential", "list"])["credentials"].as_array().unwrap().len();
        assert_eq!(keys as u64, APPLICATIONS, "one for each");
        platform.ok(&["audit", "verify"]);
    }
    assert_eq!(seen.len() as u64, APPLICATIONS + APPLICATIONS / 2, "each in a revision of its own");
    assert_eq!(pair.leader.json(&["get"]), pair.follower.json(&["get"]));
}

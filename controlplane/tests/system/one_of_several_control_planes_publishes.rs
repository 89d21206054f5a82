//! Two control planes on one PostgreSQL and one etcd: both take changes, one publishes, and when it is killed, ends or
//! freezes the other one does; no revision is lost, doubled or mixed.

use std::time::{Duration, Instant};

use lgsp_testkit::child::Signal;

use crate::pair::{Pair, all_is_published, assert_unbroken, becomes, role};
use crate::platform::{Platform, agency};

fn apply(platform: &Platform, name: &str) {
    platform.write(&format!("{name}.yaml"), &agency(name, "A"));
    platform.ok(&["apply", "-f", &format!("{name}.yaml")]);
}

#[tokio::test]
async fn a_killed_leader_is_succeeded_within_seconds_and_no_revision_is_lost_or_doubled() {
    let mut pair = Pair::start().await;
    let names: Vec<String> = (0..12).map(|number| format!("a{number}")).collect();
    for pairs in names.chunks(2) {
        apply(&pair.leader, &pairs[0]);
        apply(&pair.follower, &pairs[1]);
    }
    all_is_published(&pair.follower, &pair.etcd, 12).await;
    assert!(pair.follower.ok(&["nodes"]).contains("this control plane follows; `"));
    pair.leader.kill();
    let killed = Instant::now();
    apply(&pair.follower, "after-the-kill");
    becomes(&pair.follower, "leading").await;
    all_is_published(&pair.follower, &pair.etcd, 13).await;
    let took = killed.elapsed();
    eprintln!("published by the successor {took:?} after the kill");
    assert!(took < Duration::from_secs(15), "{took:?}");
    pair.leader.restart().await;
    becomes(&pair.leader, "following").await;
    apply(&pair.leader, "after-the-restart");
    all_is_published(&pair.leader, &pair.etcd, 14).await;
    assert_unbroken(&pair.leader, 14);
}

#[tokio::test]
async fn a_leader_that_ends_hands_over_at_once() {
    let mut pair = Pair::start().await;
    let asked = Instant::now();
    assert_eq!(pair.leader.terminate(), Some(0));
    becomes(&pair.follower, "leading").await;
    // Sooner than a lease ends by itself.
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    apply(&pair.follower, "a");
    all_is_published(&pair.follower, &pair.etcd, 1).await;
}

#[tokio::test]
async fn a_leader_that_was_frozen_never_writes_into_its_successors_revision() {
    let pair = Pair::start().await;
    apply(&pair.leader, "a");
    all_is_published(&pair.leader, &pair.etcd, 1).await;
    pair.leader.signal(Signal::Stop);
    becomes(&pair.follower, "leading").await;
    apply(&pair.follower, "b");
    all_is_published(&pair.follower, &pair.etcd, 2).await;
    pair.leader.signal(Signal::Continue);
    becomes(&pair.leader, "following").await;
    apply(&pair.leader, "c");
    all_is_published(&pair.leader, &pair.etcd, 3).await;
    assert_eq!(role(&pair.follower), "leading");
}

#[tokio::test]
async fn of_two_changes_to_one_revision_made_at_two_control_planes_one_is_a_conflict() {
    const ROUNDS: u64 = 5;
    let pair = Pair::start().await;
    for round in 0..ROUNDS {
        let children: Vec<_> = [&pair.leader, &pair.follower]
            .into_iter()
            .enumerate()
            .map(|(number, platform)| {
                platform.write("a.yaml", &agency("a", &format!("round {round} at {number}")));
                platform.command(&["apply", "-f", "a.yaml", "--base", &round.to_string()]).spawn().unwrap()
            })
            .collect();
        let mut codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(4)], "round {round}");
    }
    assert_unbroken(&pair.follower, ROUNDS);
}

//! Two control planes on one PostgreSQL and one etcd: both take changes, one publishes, and when it is killed, ends or
//! freezes the other one does; no revision is lost, doubled or mixed.

use std::time::{Duration, Instant};

use lgsp_shared::bundle::content_hash;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head};
use lgsp_shared::resource::Document;
use lgsp_testkit::child::Signal;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::postgres::Postgres;

use crate::platform::{Platform, agency};

const DEADLINE: Duration = Duration::from_secs(60);

struct Pair {
    etcd: Etcd,
    _postgres: Postgres,
    leader: Platform,
    follower: Platform,
}

impl Pair {
    async fn start() -> Self {
        let (etcd, postgres) = (Etcd::start().await.unwrap(), Postgres::start().await.unwrap());
        let publish = format!("publish: {{etcd: {{endpoints: ['http://{}']}}}}\n", etcd.endpoint());
        let leader = Platform::start_on(&Platform::postgres(&postgres), &publish).await;
        becomes(&leader, "leading").await;
        let follower = Platform::start_beside(&leader).await;
        becomes(&follower, "following").await;
        Self { etcd, _postgres: postgres, leader, follower }
    }
}

fn role(platform: &Platform) -> String {
    platform.json(&["nodes"])["publish"]["role"].as_str().unwrap().to_owned()
}

async fn becomes(platform: &Platform, wanted: &str) {
    eventually(DEADLINE, &format!("one is {wanted}"), async || role(platform) == wanted).await;
}

/// Waits until `platform` says that everything is published, and checks it against what etcd holds.
async fn all_is_published(platform: &Platform, etcd: &Etcd, documents: usize) {
    eventually(DEADLINE, "everything is published", async || {
        let publish = &platform.json(&["nodes"])["publish"];
        publish["published"] == publish["current"] && publish["current"] == platform.revision()
    })
    .await;
    let mut client = etcd.client().await.unwrap();
    let head = client.get(HEAD_KEY, None).await.unwrap();
    let head = Head::parse(head.kvs()[0].value()).unwrap();
    let all = client.get(DOCUMENT_PREFIX, Some(etcd_client::GetOptions::new().with_prefix())).await.unwrap();
    let found: Vec<Document> = all.kvs().iter().map(|entry| serde_json::from_slice(entry.value()).unwrap()).collect();
    assert_eq!((found.len(), content_hash(&found)), (documents, head.hash));
    assert_eq!(head.revision.0, platform.revision());
}

/// The history is 1, 2, 3, … each on the one before.
fn assert_unbroken(platform: &Platform, revisions: u64) {
    let history = platform.json(&["history", "--limit", "500"]);
    let numbers = |name: &str| -> Vec<u64> {
        history["revisions"].as_array().unwrap().iter().map(|one| one[name].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers("revision"), (1..=revisions).rev().collect::<Vec<_>>());
    assert_eq!(numbers("base"), (0..revisions).rev().collect::<Vec<_>>());
}

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

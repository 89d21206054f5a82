//! Two control planes on one PostgreSQL and one etcd.

use std::time::Duration;

use lgsp_shared::bundle::content_hash;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head};
use lgsp_shared::resource::Document;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::postgres::Postgres;

use crate::platform::Platform;

const DEADLINE: Duration = Duration::from_secs(60);

/// One publishes; the other one is ready to.
pub struct Pair {
    /// Where revisions are published.
    pub etcd: Etcd,
    _postgres: Postgres,
    /// The one that was started first.
    pub leader: Platform,
    /// The one beside it.
    pub follower: Platform,
}

impl Pair {
    /// Starts both.
    pub async fn start() -> Self {
        let (etcd, postgres) = (Etcd::start().await.unwrap(), Postgres::start().await.unwrap());
        let publish = format!("publish: {{etcd: {{endpoints: ['http://{}']}}}}\n", etcd.endpoint());
        let leader = Platform::start_careful(&Platform::postgres(&postgres), &publish).await;
        becomes(&leader, "leading").await;
        let follower = Platform::start_beside(&leader).await;
        becomes(&follower, "following").await;
        Self { etcd, _postgres: postgres, leader, follower }
    }
}

/// What a control plane does among the two.
pub fn role(platform: &Platform) -> String {
    platform.json(&["nodes"])["publish"]["role"].as_str().unwrap().to_owned()
}

/// Waits until a control plane does what is wanted of it.
pub async fn becomes(platform: &Platform, wanted: &str) {
    eventually(DEADLINE, &format!("one is {wanted}"), async || role(platform) == wanted).await;
}

/// Waits until `platform` says that everything is published, and checks it against what etcd holds.
pub async fn all_is_published(platform: &Platform, etcd: &Etcd, documents: usize) {
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
pub fn assert_unbroken(platform: &Platform, revisions: u64) {
    let history = platform.json(&["history", "--limit", "500"]);
    let numbers = |name: &str| -> Vec<u64> {
        history["revisions"].as_array().unwrap().iter().map(|one| one[name].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers("revision"), (1..=revisions).rev().collect::<Vec<_>>());
    assert_eq!(numbers("base"), (0..revisions).rev().collect::<Vec<_>>());
}

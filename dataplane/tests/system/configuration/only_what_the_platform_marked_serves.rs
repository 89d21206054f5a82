//! Who can write to etcd, to the bundle file or to a node's disk, and does not hold the key-encryption key, grants nothing:
//! a head that is not marked, falsely marked, or marked and replaced since, is refused and said to be.

use std::fs;

use lgsp_dataplane::sync::{LAST_GOOD_FILE_NAME, SEEN_FILE_NAME};
use lgsp_shared::bundle::Bundle;
use lgsp_shared::keyspace::{Head, NodeState};
use lgsp_shared::seal::SealKeys;
use lgsp_shared::seal::origin::Lineage;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;

use super::*;

async fn rejects(node: &Node, why: &str) {
    let rejected = async || node.state().0 == NodeState::Rejected && node.first_error().contains(why);
    eventually(DEADLINE, why, rejected).await;
}

#[tokio::test]
async fn a_head_in_etcd_without_the_platforms_mark_is_refused() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(3, 1)).await;
    node.applies(1).await;
    let mut client = etcd.client().await.unwrap();
    let marked = client.get(HEAD_KEY, None).await.unwrap().kvs()[0].value().to_vec();
    publisher.write_documents(&agencies(3, 2), usize::MAX).await;
    publisher.write_head_as_it_is(&head(2, &agencies(3, 2))).await;
    rejects(&node, "carries no proof of origin").await;
    let stranger = SealKeys::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    publisher.write_head_as_it_is(&head(2, &agencies(3, 2)).marked(&stranger, &lineage())).await;
    rejects(&node, "which is not in the key file of this process").await;
    // The mark of what was published does not cover anything else.
    let stolen = Head::parse(&marked).unwrap().origin;
    publisher.write_head_as_it_is(&Head { origin: stolen, ..head(2, &agencies(3, 2)) }).await;
    rejects(&node, "its proof of origin is false").await;
    assert_eq!((node.shelf.history(), node.shelf.at("Agency/a-00000")), (vec![1], Some(1)));
    publisher.write_head(&head(2, &agencies(3, 2))).await;
    node.applies(2).await;
}

#[tokio::test]
async fn an_edited_bundle_whose_hash_was_computed_again_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let marked = Bundle::new(Revision(1), agencies(3, 1)).marked(&seal_keys(), &lineage());
    fs::write(&path, marked.to_json()).unwrap();
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    node.applies(1).await;
    let edited = Bundle { origin: marked.origin.clone(), ..Bundle::new(Revision(1), agencies(3, 9)) };
    fs::write(&path, edited.to_json()).unwrap();
    rejects(&node, "its proof of origin is false").await;
    fs::write(&path, Bundle::new(Revision(2), agencies(3, 9)).to_json()).unwrap();
    rejects(&node, "carries no proof of origin").await;
    assert_eq!(node.shelf.history(), [1]);
}

#[tokio::test]
async fn what_was_published_and_replaced_does_not_come_back_by_its_own_mark() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let mut publisher = Publisher::new(&etcd).await;
    let older = Head { allow_older: true, ..head(1, &agencies(3, 1)) }.marked(&seal_keys(), &lineage());
    publisher.write_documents(&agencies(3, 1), usize::MAX).await;
    publisher.write_head_as_it_is(&older).await;
    let node = Node::follow(&etcd, dir.path()).await;
    node.applies(1).await;
    publisher.publish(2, &agencies(3, 2)).await;
    node.applies(2).await;
    node.stop().await;
    // Yesterday's documents and head, put back whole; the head even allows itself to be older.
    publisher.write_documents(&agencies(3, 1), usize::MAX).await;
    publisher.write_head_as_it_is(&older).await;
    let node = Node::follow(&etcd, dir.path()).await;
    rejects(&node, "an older configuration was put back").await;
    assert_eq!(node.shelf.at("Agency/a-00000"), Some(2));
    // A restore begins a new line, and is believed.
    let restored = Lineage { since: UnixSeconds(lineage().since.0 + 1), ..lineage() };
    publisher.write_head_as_it_is(&head(1, &agencies(3, 1)).marked(&seal_keys(), &restored)).await;
    node.applies(1).await;
    assert_eq!(node.shelf.at("Agency/a-00000"), Some(1));
}

#[tokio::test]
async fn an_older_last_good_copy_that_is_put_back_does_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let write = |revision: u64, at: u64| {
        let bundle = Bundle::new(Revision(revision), agencies(3, at)).marked(&seal_keys(), &lineage());
        fs::write(&path, bundle.to_json()).unwrap();
    };
    write(1, 1);
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    node.applies(1).await;
    node.stop().await;
    let copy = dir.path().join(LAST_GOOD_FILE_NAME);
    let yesterday = fs::read(&copy).unwrap();
    write(2, 2);
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    node.applies(2).await;
    node.stop().await;
    fs::remove_file(&path).unwrap();
    fs::write(&copy, &yesterday).unwrap();
    for record in ["left as it is", "taken away"] {
        let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
        assert_eq!((node.shelf.len(), node.state().2), (0, None), "{record}");
        assert!(node.health.counters().last_good_discarded.load(Ordering::Relaxed) > 0);
        assert!(node.notices.list()[0].contains("an older copy was put back"), "{record}");
        node.stop().await;
        fs::remove_file(dir.path().join(SEEN_FILE_NAME)).unwrap_or_default();
    }
}

#[tokio::test]
async fn unmarked_configuration_serves_only_while_a_setting_says_so_and_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let unmarked = Bundle::new(Revision(1), agencies(3, 1));
    fs::write(&path, unmarked.to_json()).unwrap();
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    rejects(&node, "`source.accept_unmarked: true` accepts it").await;
    node.stop().await;
    let node = Node::start_that(true, Source::Bundle(path.clone()), dir.path()).await;
    node.applies(1).await;
    assert!(node.notices.list().iter().any(|notice| notice.contains("carries no proof of origin")));
    // The control plane was upgraded, and marks the same revision.
    fs::write(&path, unmarked.clone().marked(&seal_keys(), &lineage()).to_json()).unwrap();
    eventually(DEADLINE, "the notice ends", async || node.notices.list().is_empty()).await;
    assert_eq!(node.shelf.compilations(), 1, "equal content rebuilds nothing");
    node.stop().await;
    // From then on the setting is not needed, and a false mark was never accepted.
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    node.applies(1).await;
}

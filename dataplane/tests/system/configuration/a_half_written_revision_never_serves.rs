//! Documents become a revision only with the head that names them, and only if they are exactly its documents.

use lgsp_shared::keyspace::{Head, NodeState};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;

use super::*;

#[tokio::test]
async fn documents_without_their_head_do_not_serve_and_with_it_serve_whole() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(300, 1)).await;
    node.applies(1).await;
    // The publisher dies after two of three transactions. Another node starts in the middle of it.
    publisher.write_documents(&agencies(300, 2), 2).await;
    let other_dir = tempfile::tempdir().unwrap();
    let other = Node::follow(&etcd, other_dir.path()).await;
    other.applies(1).await;
    assert!((0..300).all(|number| other.shelf.at(&format!("Agency/a-{number:05}")) == Some(1)));
    // Its successor begins anew and completes the revision.
    let mut successor = Publisher::new(&etcd).await;
    successor.publish(2, &agencies(300, 2)).await;
    for node in [&node, &other] {
        node.applies(2).await;
        assert_eq!(node.shelf.history(), [1, 2]);
        assert!((0..300).all(|number| node.shelf.at(&format!("Agency/a-{number:05}")) == Some(2)));
    }
}

#[tokio::test]
async fn a_node_that_starts_in_the_middle_after_a_compaction_waits_for_the_next_head() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(300, 1)).await;
    publisher.write_documents(&agencies(300, 2), 2).await;
    publisher.compact().await;
    let node = Node::follow(&etcd, dir.path()).await;
    let rejected = async || node.state() == (NodeState::Rejected, Some(1), None);
    eventually(DEADLINE, "the documents are no longer those of the head", rejected).await;
    assert_eq!(node.shelf.history(), [0; 0]);
    Publisher::new(&etcd).await.publish(2, &agencies(300, 2)).await;
    node.applies(2).await;
}

#[tokio::test]
async fn of_rapid_revisions_the_last_serves_and_none_in_part() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    for revision in 1..=20 {
        publisher.publish(revision, &agencies(3, revision)).await;
    }
    node.applies(20).await;
    assert!(node.shelf.history().is_sorted());
    assert_eq!(node.health.counters().lists.load(Ordering::Relaxed), 1, "no revision was in doubt");
}

#[tokio::test]
async fn documents_that_are_not_what_the_head_names_are_rejected_once_and_the_next_revision_serves() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(3, 1)).await;
    node.applies(1).await;
    publisher.write_head(&head(2, &agencies(3, 99))).await;
    node.reaches(NodeState::Rejected, 2, 1).await;
    assert!(node.first_error().contains("revision 2"), "{}", node.first_error());
    let newer = Head { format: 99, ..head(3, &agencies(3, 1)) };
    publisher.write_head(&newer).await;
    eventually(DEADLINE, "newer format reported", async || node.first_error().contains("format 99")).await;
    assert_eq!((node.shelf.history(), node.shelf.at("Agency/a-00000")), (vec![1], Some(1)));
    assert_eq!(node.health.counters().lists.load(Ordering::Relaxed), 2, "one list to make sure, no loop");
    publisher.publish(4, &agencies(3, 4)).await;
    node.applies(4).await;
}

#[tokio::test]
async fn a_revision_that_empties_the_configuration_is_refused_unless_it_is_meant() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(30, 1)).await;
    node.applies(1).await;
    publisher.publish(2, &[]).await;
    node.reaches(NodeState::Rejected, 2, 1).await;
    assert_eq!(node.shelf.len(), 30);
    publisher.publish(3, &agencies(10, 3)).await;
    node.reaches(NodeState::Rejected, 3, 1).await;
    publisher.write_head(&Head { allow_large_removal: true, ..head(3, &agencies(10, 3)) }).await;
    node.applies(3).await;
    assert_eq!(node.shelf.len(), 10);
    let mut client = etcd.client().await.unwrap();
    client.delete(HEAD_KEY, None).await.unwrap();
    eventually(DEADLINE, "a head that is gone", async || node.state().0 == NodeState::Rejected).await;
    assert_eq!(node.shelf.len(), 10);
}

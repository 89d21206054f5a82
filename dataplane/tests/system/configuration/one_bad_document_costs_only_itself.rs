//! A document nobody can use keeps its last good value, or is left out, while everything else of the revision serves.

use lgsp_shared::keyspace::NodeState;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;

use super::*;

fn bad(name: &str) -> Document {
    Document { spec: json!({"at": 0, "bad": true}), ..agency(name, 0) }
}

#[tokio::test]
async fn one_among_ten_thousand_across_a_resync_and_a_restart() {
    let (mut etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(10_000, 1)).await;
    node.applies(1).await;
    let mut documents = agencies(10_000, 1);
    documents[7] = agency("a-00007", 2);
    documents[5] = bad("a-00005");
    publisher.publish(2, &documents).await;
    node.reaches(NodeState::Degraded, 2, 2).await;
    let holds = |node: &Node| {
        assert_eq!(node.shelf.len(), 10_000);
        assert_eq!((node.shelf.at("Agency/a-00005"), node.shelf.at("Agency/a-00007")), (Some(1), Some(2)));
    };
    holds(&node);
    assert!(node.first_error().starts_with("Agency/a-00005: this document is bad"), "{}", node.first_error());
    // A resync with equal content rebuilds nothing.
    let compilations = node.shelf.compilations();
    publisher.compact().await;
    etcd.kill();
    etcd.restart().await.unwrap();
    let mut publisher = Publisher::new(&etcd).await;
    publisher.write_head(&head(2, &documents)).await;
    let again = async || node.health.counters().revisions_unchanged.load(Ordering::Relaxed) > 0;
    eventually(DEADLINE, "the revision is offered again", again).await;
    node.reaches(NodeState::Degraded, 2, 2).await;
    assert_eq!(node.shelf.compilations(), compilations);
    node.stop().await;
    let node = Node::follow(&etcd, dir.path()).await;
    holds(&node);
    node.reaches(NodeState::Degraded, 2, 2).await;
    holds(&node);
    publisher.write_documents(&agencies(10_000, 3), usize::MAX).await;
    publisher.write_head(&head(3, &agencies(10_000, 3))).await;
    node.applies(3).await;
}

#[tokio::test]
async fn a_value_that_is_no_document_at_all() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(3, 1)).await;
    node.applies(1).await;
    // Somebody writes past the control plane. Nothing happens until the next revision.
    publisher.put(&document_key(&agency("a-00001", 1)), "\u{1}not json").await;
    let mut documents = agencies(3, 1);
    documents[2] = agency("a-00002", 2);
    publisher.publish(2, &documents).await;
    node.reaches(NodeState::Degraded, 2, 2).await;
    assert_eq!((node.shelf.at("Agency/a-00001"), node.shelf.at("Agency/a-00002")), (Some(1), Some(2)));
    // A node that never saw the document cannot tell that the others are the ones the mark covers: it waits for the
    // control plane, which puts the value right within seconds.
    publisher.compact().await;
    let other_dir = tempfile::tempdir().unwrap();
    let other = Node::follow(&etcd, other_dir.path()).await;
    let rejected = async || other.state() == (NodeState::Rejected, Some(2), None);
    eventually(DEADLINE, "the documents are not those that were marked", rejected).await;
    assert!(other.first_error().contains("unreadable: Agency/a-00001"), "{}", other.first_error());
    publisher.put(&document_key(&agency("a-00001", 1)), &to_json(&agency("a-00001", 1))).await;
    publisher.write_head(&head(2, &documents)).await;
    for node in [&node, &other] {
        node.applies(2).await;
        assert_eq!((node.shelf.at("Agency/a-00001"), node.shelf.at("Agency/a-00002")), (Some(1), Some(2)));
    }
}

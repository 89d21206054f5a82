//! Killed, frozen, compacted, restored, replaced, large: the last good revision serves, and the node converges after.

use lgsp_shared::keyspace::NodeState;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;

use super::*;

async fn started() -> (Etcd, tempfile::TempDir, Node, Publisher) {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(20, 1)).await;
    node.applies(1).await;
    (etcd, dir, node, publisher)
}

async fn notices_the_loss(node: &Node) {
    eventually(DEADLINE, "the node notices that etcd is away", async || !node.health.connected()).await;
    assert_eq!(node.shelf.at("Agency/a-00000"), Some(1), "the last good revision serves");
}

#[tokio::test]
async fn etcd_killed_and_restarted() {
    let (mut etcd, _dir, node, _) = started().await;
    etcd.kill();
    notices_the_loss(&node).await;
    etcd.restart().await.unwrap();
    Publisher::new(&etcd).await.publish(2, &agencies(20, 2)).await;
    node.applies(2).await;
    assert_eq!(node.shelf.history(), [1, 2]);
    assert_eq!(node.health.counters().lists.load(Ordering::Relaxed), 1, "the watch went on where it was");
}

#[tokio::test]
async fn etcd_frozen_with_its_connections_open_and_continued() {
    let (etcd, _dir, node, mut publisher) = started().await;
    etcd.stop().unwrap();
    notices_the_loss(&node).await;
    assert_eq!(node.health.counters().watchdog_expiries.load(Ordering::Relaxed), 1, "no answer was what gave it away");
    etcd.cont().unwrap();
    publisher.publish(2, &agencies(20, 2)).await;
    node.applies(2).await;
}

#[tokio::test]
async fn history_compacted_while_the_node_was_cut_off() {
    let (mut etcd, _dir, node, mut publisher) = started().await;
    publisher.compact().await;
    publisher.publish(2, &agencies(20, 1)).await;
    node.applies(2).await;
    assert_eq!(node.health.counters().lists.load(Ordering::Relaxed), 1, "a watch that keeps up is not disturbed");
    etcd.hide().await.unwrap();
    notices_the_loss(&node).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(3, &agencies(20, 3)).await;
    publisher.publish(4, &agencies(20, 4)).await;
    publisher.compact().await;
    etcd.show().await.unwrap();
    node.applies(4).await;
    assert_eq!(node.health.counters().lists.load(Ordering::Relaxed), 2);
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(5, &agencies(20, 5)).await;
    node.applies(5).await;
}

#[tokio::test]
async fn etcd_restored_from_an_older_snapshot_does_not_bring_old_keys_back() {
    let (mut etcd, _dir, node, mut publisher) = started().await;
    let older = etcd.snapshot("older.db").unwrap();
    publisher.publish(2, &agencies(20, 2)).await;
    node.applies(2).await;
    etcd.restore(&older).await.unwrap();
    node.reaches(NodeState::Rejected, 1, 2).await;
    assert!(node.first_error().contains("older than revision 2"), "{}", node.first_error());
    assert_eq!(node.shelf.at("Agency/a-00000"), Some(2));
    // The control plane publishes what is current again.
    Publisher::new(&etcd).await.publish(2, &agencies(20, 2)).await;
    node.applies(2).await;
    assert_eq!(node.shelf.compilations(), 2, "nothing was rebuilt");
    Publisher::new(&etcd).await.publish(3, &agencies(20, 3)).await;
    node.applies(3).await;
}

#[tokio::test]
async fn etcd_replaced_by_another_cluster_that_is_further_on() {
    let (mut etcd, _dir, node, mut publisher) = started().await;
    let copy = etcd.snapshot("copy.db").unwrap();
    for revision in 2..=4 {
        publisher.publish(revision, &agencies(20, revision)).await;
    }
    node.applies(4).await;
    etcd.restore_as_another_cluster(&copy).await.unwrap();
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(5, &agencies(20, 5)).await;
    node.applies(5).await;
    assert_eq!(node.shelf.len(), 20);
}

#[tokio::test]
async fn a_configuration_of_many_megabytes_loads_and_changes() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let large = |at: u64| -> Vec<Document> {
        let padding = "x".repeat(8_000);
        let padded =
            |number| Document { spec: json!({"at": at, "padding": padding}), ..agency(&format!("a-{number:05}"), at) };
        (0..1_200).map(padded).collect()
    };
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    // Batches of 128 such documents are near etcd's limit for one request.
    publisher.publish(1, &large(1)).await;
    node.applies(1).await;
    publisher.publish(2, &large(2)).await;
    node.applies(2).await;
    let late_dir = tempfile::tempdir().unwrap();
    let late = Node::follow(&etcd, late_dir.path()).await;
    late.applies(2).await;
    assert_eq!(late.shelf.len(), 1_200);
}

#[tokio::test]
async fn a_node_that_waits_for_the_first_publication_gets_it() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    eventually(DEADLINE, "connected", async || node.health.last_progress().is_some()).await;
    assert_eq!(node.state(), (NodeState::Waiting, None, None));
    assert!(node.first_error().contains("nothing has been published yet"), "{}", node.first_error());
    Publisher::new(&etcd).await.publish(1, &agencies(3, 1)).await;
    node.applies(1).await;
}

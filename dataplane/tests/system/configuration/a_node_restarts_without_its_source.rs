//! The sealed copy on disk serves until the source answers; one that was tampered with does not.

use lgsp_dataplane::sync::LAST_GOOD_FILE_NAME;
use lgsp_shared::keyspace::NodeState;
use lgsp_testkit::etcd::Etcd;

use super::*;

#[tokio::test]
async fn from_the_sealed_copy_while_etcd_is_away_and_on_with_etcd_when_it_is_back() {
    let (mut etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    Publisher::new(&etcd).await.publish(1, &agencies(20, 1)).await;
    node.applies(1).await;
    node.stop().await;
    etcd.kill();
    let node = Node::follow(&etcd, dir.path()).await;
    assert_eq!(node.state(), (NodeState::Applied, None, Some(1)), "it serves when start returns");
    assert_eq!(node.shelf.len(), 20);
    etcd.restart().await.unwrap();
    node.applies(1).await;
    assert_eq!(node.shelf.compilations(), 1, "equal content rebuilds nothing");
    Publisher::new(&etcd).await.publish(2, &agencies(20, 2)).await;
    node.applies(2).await;
}

#[tokio::test]
async fn a_copy_that_was_tampered_with_is_discarded_and_replaced() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    Publisher::new(&etcd).await.publish(1, &agencies(20, 1)).await;
    node.applies(1).await;
    node.stop().await;
    let path = dir.path().join(LAST_GOOD_FILE_NAME);
    let mut copy = std::fs::read(&path).unwrap();
    let middle = copy.len() / 2;
    copy[middle] = if copy[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(&path, copy).unwrap();
    let node = Node::follow(&etcd, dir.path()).await;
    assert_eq!(node.health.counters().last_good_discarded.load(Ordering::Relaxed), 1);
    node.applies(1).await;
    assert_eq!(node.shelf.history(), [1], "from etcd, not from the copy");
    node.stop().await;
    let node = Node::follow(&etcd, dir.path()).await;
    assert_eq!(node.shelf.history(), [1], "the copy was replaced");
}

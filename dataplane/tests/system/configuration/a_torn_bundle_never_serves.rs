//! A bundle file that is cut, edited, newer, older or gone leaves what serves.

use std::fs;
use std::path::PathBuf;

use lgsp_shared::bundle::Bundle;
use lgsp_shared::keyspace::{NodeState, NodeStatus, bundle_status_path};
use lgsp_testkit::eventually::{eventually, eventually_some};

use super::*;

fn replace(path: &Path, content: &str) {
    let next = path.with_extension("new");
    fs::write(&next, content).unwrap();
    fs::rename(&next, path).unwrap();
}

fn bundle(revision: u64, documents: Vec<Document>) -> String {
    Bundle::new(Revision(revision), documents).marked(&seal_keys(), &lineage()).to_json()
}

async fn started(documents: Vec<Document>) -> (tempfile::TempDir, PathBuf, Node) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    replace(&path, &bundle(1, documents));
    node.applies(1).await;
    (dir, path, node)
}

async fn rejects(node: &Node, why: &str) {
    let rejected = async || node.state().0 == NodeState::Rejected && node.first_error().contains(why);
    eventually(DEADLINE, why, rejected).await;
}

#[tokio::test]
async fn a_bundle_replaced_by_rename_serves_and_a_torn_one_does_not() {
    let (_dir, path, node) = started(agencies(20, 1)).await;
    let next = bundle(2, agencies(20, 2));
    fs::write(&path, &next[..next.len() / 2]).unwrap();
    rejects(&node, "is not readable").await;
    fs::write(&path, next.replace("\"at\":2", "\"at\":3")).unwrap();
    rejects(&node, "cut or edited").await;
    replace(&path, &next.replacen("\"format\":1", "\"format\":99", 1));
    rejects(&node, "format 99").await;
    replace(&path, &bundle(0, agencies(20, 2)));
    rejects(&node, "is older than revision 1 of the line since").await;
    replace(&path, &bundle(2, Vec::new()));
    rejects(&node, "no document at all").await;
    assert_eq!((node.shelf.history(), node.shelf.at("Agency/a-00000")), (vec![1], Some(1)));
    replace(&path, &next);
    node.applies(2).await;
    fs::remove_file(&path).unwrap();
    rejects(&node, "cannot be read").await;
    assert_eq!(node.shelf.at("Agency/a-00000"), Some(2));
}

#[tokio::test]
async fn a_node_that_starts_before_its_bundle_and_its_directory_waits_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later").join("bundle.json");
    let node = Node::start(Source::Bundle(path.clone()), dir.path()).await;
    rejects(&node, "cannot be read").await;
    assert_eq!(node.state().2, None);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    replace(&path, &bundle(1, agencies(3, 1)));
    node.applies(1).await;
}

#[tokio::test]
async fn the_status_lies_beside_the_bundle() {
    let (_dir, path, node) = started(agencies(3, 1)).await;
    let status_path = bundle_status_path(&path, &"node-1".parse().unwrap());
    let told = async |state: NodeState| {
        eventually_some(DEADLINE, "a status", async || {
            NodeStatus::parse(&fs::read(&status_path).ok()?).filter(|status| status.state == state)
        })
        .await
    };
    let status = told(NodeState::Applied).await;
    assert_eq!((status.desired, status.active), (Some(Revision(1)), Some(Revision(1))));
    assert_eq!((status.version.as_str(), status.reported_at), ("0.0.0-test", UnixSeconds(1_000)));
    fs::write(&path, "{").unwrap();
    assert!(told(NodeState::Rejected).await.errors[0].message.contains("not readable"));
    node.stop().await;
}

#[tokio::test]
async fn a_node_restarts_from_its_copy_while_the_bundle_is_broken() {
    let (dir, path, node) = started(agencies(20, 1)).await;
    node.stop().await;
    fs::write(&path, "{").unwrap();
    let node = Node::start(Source::Bundle(path), dir.path()).await;
    assert_eq!(node.shelf.len(), 20);
    rejects(&node, "not readable").await;
    assert_eq!(node.shelf.len(), 20);
}

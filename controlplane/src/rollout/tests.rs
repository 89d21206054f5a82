use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;

use super::*;

fn status(node: &str, state: NodeState) -> NodeStatus {
    let hash = Some(Whole::empty().hash().clone());
    NodeStatus {
        node: node.parse().unwrap(),
        state,
        desired: Some(Revision(0)),
        active: Some(Revision(0)),
        hash,
        errors: Vec::new(),
        errors_total: 0,
        since: UnixSeconds(0),
        reported_at: UnixSeconds(100),
        version: "0.1.0".into(),
        admin: None,
        key_ids: Vec::new(),
        shadow: Vec::new(),
        notices: Vec::new(),
    }
}

#[test]
fn a_node_is_synced_only_with_the_current_revision_and_its_hash() {
    let whole = Whole::empty();
    let fold = |status: &NodeStatus| standing(status, Life::Reporting, &whole);
    assert_eq!(fold(&status("a", NodeState::Applied)), Standing::Synced);
    assert_eq!(fold(&status("a", NodeState::Degraded)), Standing::Degraded);
    assert_eq!(fold(&status("a", NodeState::Rejected)), Standing::Rejected);
    assert_eq!(fold(&status("a", NodeState::Waiting)), Standing::Pending);
    let behind = NodeStatus { active: Some(Revision(7)), ..status("a", NodeState::Applied) };
    assert_eq!(fold(&behind), Standing::Pending);
    let other = NodeStatus { hash: Some(ContentHash::from("x".to_owned())), ..status("a", NodeState::Applied) };
    assert_eq!(fold(&other), Standing::Pending);
    let earlier = NodeStatus { desired: Some(Revision(7)), ..status("a", NodeState::Rejected) };
    assert_eq!(fold(&earlier), Standing::Pending);
    assert_eq!(standing(&status("a", NodeState::Applied), Life::Gone, &whole), Standing::Stale);
}

#[tokio::test]
async fn reports_in_files_are_read_and_hostile_ones_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle.json");
    let rollout = Rollout::new(&PublishSettings::Bundle(bundle.clone()));
    assert!(rollout.nodes(&Whole::empty(), UnixSeconds(100)).await.unwrap().is_empty());
    let reports = bundle_status_dir(&bundle);
    std::fs::create_dir(&reports).unwrap();
    let write = |name: &str, text: String| std::fs::write(reports.join(name), text).unwrap();
    write("a.json", status("a", NodeState::Applied).to_json());
    write("b.json", status("a", NodeState::Applied).to_json());
    write("c.json", "{".into());
    write("d.json", "x".repeat(STATUS_BYTES_MAX + 1));
    write("Not a node.json", status("a", NodeState::Applied).to_json());
    let old = NodeStatus { reported_at: UnixSeconds(60), ..status("e", NodeState::Applied) };
    write("e.json", old.to_json());
    let nodes = rollout.nodes(&Whole::empty(), UnixSeconds(100)).await.unwrap();
    let found: Vec<(&str, Standing)> = nodes.iter().map(|(s, standing)| (s.node.as_str(), *standing)).collect();
    assert_eq!(found, [("a", Standing::Synced), ("e", Standing::Stale)]);
}

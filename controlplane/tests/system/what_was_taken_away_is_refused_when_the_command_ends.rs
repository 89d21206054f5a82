//! A command that takes something away ends when every node that reports refuses it, and says which node does not.

use lgsp_testkit::child::Signal;

use crate::fleet::Fleet;
use crate::platform::{Platform, RESOURCES};

#[tokio::test]
async fn every_node_refuses_when_the_command_ends_and_a_node_that_does_not_is_named() {
    let fleet = Fleet::start("database: cp.db\n", 2).await;
    let run = |arguments: &[&str]| fleet.platform.run(arguments);
    assert!(fleet.all_answer(200).await);

    // Nothing is waited for between the end of the command and the request.
    let gone = run(&["delete", "Permission/mot-cua-ho-tich", "-m", "it is over"]);
    assert!(gone.code == 0 && gone.err.contains("revision 2 is published and serves on 2 nodes"), "{gone:?}");
    assert!(fleet.all_refuse().await, "the permission is gone");
    let back = run(&["rollback", "1"]);
    assert!(back.code == 0 && back.err.contains("revision 3 is published and serves on 2 nodes"), "{back:?}");
    assert!(fleet.all_answer(200).await, "the permission is back");
    let disabled = run(&["credential", "disable", "mot-cua-1", "-m", "it leaked"]);
    assert!(disabled.code == 0 && disabled.err.contains(" s after it was made"), "{disabled:?}");
    assert!(fleet.all_refuse().await, "the key is disabled");
    assert!(fleet.platform.ok(&["history", "--limit", "1"]).contains("it leaked"));

    fleet.nodes[1].child.signal(Signal::Stop);
    let late = run(&["delete", "Permission/mot-cua-ho-tich", "--timeout", "1"]);
    assert!(late.code == 5 && late.err.contains("revision 5 is made, but is not everywhere after 1 s"), "{late:?}");
    assert!(late.err.contains("node-1 is pending and serves 4"), "{late:?}");
    let hurried = run(&["rollback", "1", "--no-wait"]);
    assert!(hurried.code == 0 && hurried.err.is_empty(), "{hurried:?}");
    fleet.nodes[1].child.signal(Signal::Continue);
    let done = run(&["system", "cancel", "mot-cua", "--letter", "1/A", "-m", "over"]);
    assert!(done.code == 0 && done.err.contains("serves on 2 nodes"), "{done:?}");
}

#[tokio::test]
async fn without_a_node_the_command_says_so_and_a_dry_run_waits_for_nothing() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let shown = platform.run(&["delete", "Permission/tra-cuu", "--dry-run"]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{shown:?}");
    let done = platform.run(&["delete", "Permission/tra-cuu"]);
    assert!(done.code == 0 && done.err.contains("revision 2 is published; no node reports"), "{done:?}");
    // What changes nothing is asked again: whether it has arrived by now.
    platform.ok(&["credential", "issue", "ho-tich"]);
    platform.ok(&["credential", "disable", "ho-tich-1", "--no-wait"]);
    let again = platform.run(&["credential", "disable", "ho-tich-1"]);
    assert!(again.code == 0 && again.err.contains("revision 4 is published"), "{again:?}");
}

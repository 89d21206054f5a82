//! A key that was disabled is refused on every node within a moment, and so is one whose permission is gone.

use std::time::{Duration, Instant};

use lgsp_testkit::eventually::eventually;

use crate::fleet::Fleet;

/// What a machine that runs the whole suite at once may take; the budget on a quiet one is a second.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn three_nodes_refuse_a_disabled_key_and_a_withdrawn_permission() {
    let fleet = Fleet::start("database: cp.db\n", 3).await;
    assert!(fleet.all_answer(200).await, "{:?}", fleet.send().await);
    let asked = Instant::now();
    fleet.platform.ok(&["delete", "Permission/mot-cua-ho-tich"]);
    eventually(SOON, "every node refuses what is no longer permitted", async || fleet.all_refuse().await).await;
    eprintln!("permission withdrawn → refused by 3 nodes: {:?}, command included", asked.elapsed());
    fleet.platform.ok(&["rollback", "1"]);
    eventually(SOON, "every node serves again", async || fleet.all_answer(200).await).await;
    let asked = Instant::now();
    fleet.platform.ok(&["credential", "disable", "mot-cua-1"]);
    eventually(SOON, "every node refuses the key", async || fleet.all_refuse().await).await;
    eprintln!("key disabled → refused by 3 nodes: {:?}, command included", asked.elapsed());
}

//! Cancelling a connection is one revision, and every running node refuses the key within a moment.

use std::time::{Duration, Instant};

use lgsp_testkit::eventually::eventually;

use crate::fleet::Fleet;
use crate::registry::{APPLICATION, connect, decide, document};

/// What a machine that runs the whole suite at once may take; the budget on a quiet one is a second.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn three_nodes_refuse_the_key_of_a_cancelled_system_and_no_other() {
    let fleet = Fleet::start("database: cp.db\n", 3).await;
    let platform = &fleet.platform;
    platform.ok(&["agency", "add", "000.00.14.H61", "Trung tâm"]);
    let application = APPLICATION.replace("mot-cua", "mot-cua-tinh").replace("khai-sinh", "ho-tich");
    platform.write("application.yaml", &application);
    connect(platform);
    platform.ok(&["credential", "issue", "mot-cua-tinh", "--save", "moi.key"]);
    let identity = platform.identity("moi.key");
    eventually(SOON, "every node serves the new system", async || {
        fleet.send_as(&identity).await.iter().all(|answer| answer.status == 200)
    })
    .await;

    let (before, asked) = (platform.revision(), Instant::now());
    decide(platform, &["application", "cancel", "1"]);
    eventually(SOON, "every node refuses the key", async || {
        fleet.send_as(&identity).await.iter().all(|answer| answer.code() == "key-disabled")
    })
    .await;
    eprintln!("connection cancelled → refused by 3 nodes: {:?}, command included", asked.elapsed());
    assert_eq!(platform.revision(), before + 1, "keys and rights end in one revision");
    assert_eq!(document(platform, "Credential/mot-cua-tinh-1")["state"], "disabled");
    assert!(document(platform, "Permission/mot-cua-tinh-ho-tich").is_null());
    assert_eq!(document(platform, "Credential/mot-cua-1")["state"], "active");
    assert!(fleet.all_answer(200).await, "nobody else is touched");

    assert_eq!(platform.json(&["application", "show", "1"])["state"], "cancelled");
    let done = platform.run(&["credential", "issue", "mot-cua-tinh"]);
    assert!(done.code == 3 && done.err.contains("is not approved"), "{done:?}");
    let rotated = platform.run(&["credential", "rotate", "mot-cua-tinh-1"]);
    assert_ne!(rotated.code, 0, "{rotated:?}");
}

#[tokio::test]
async fn a_target_that_is_cancelled_is_no_longer_reachable() {
    let platform = crate::registry::start().await;
    decide(&platform, &["system", "approve", "ho-tich"]);
    connect(&platform);
    decide(&platform, &["system", "cancel", "ho-tich"]);
    assert!(document(&platform, "Permission/mot-cua-khai-sinh").is_null());
}

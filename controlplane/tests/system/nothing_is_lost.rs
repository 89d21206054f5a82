//! Operators at the same time, and a server that is killed at the worst moment.

use std::time::Duration;

use crate::platform::{Platform, agency};

#[tokio::test]
async fn operators_who_apply_at_the_same_time_lose_nothing() {
    const APPLIERS: usize = 12;
    let platform = Platform::start().await;
    let children: Vec<_> = (0..APPLIERS)
        .map(|number| {
            platform.write(&format!("{number}.yaml"), &agency(&format!("a{number}"), "A"));
            let file = format!("{number}.yaml");
            platform.command(&["apply", "-f", &file]).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let revision = u64::try_from(APPLIERS).unwrap();
    let bundle = platform.bundle(revision).await;
    assert_eq!(bundle.documents.len(), APPLIERS);
    let history = platform.json(&["history", "--limit", "100"]);
    let bases: Vec<u64> =
        history["revisions"].as_array().unwrap().iter().map(|one| one["base"].as_u64().unwrap()).collect();
    assert_eq!(bases, (0..revision).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_killed_after_an_apply_publishes_when_it_starts_again() {
    let mut platform = Platform::start().await;
    platform.apply(&agency("a", "A"));
    platform.bundle(1).await;
    // As if the server had been killed between the database and the file.
    let old = std::fs::read(platform.path("bundle.json")).unwrap();
    platform.apply(&agency("b", "B"));
    platform.kill();
    std::fs::write(platform.path("bundle.json"), old).unwrap();
    platform.restart().await;
    assert_eq!(platform.bundle(2).await.documents.len(), 2);
    platform.kill();
    std::fs::remove_file(platform.path("bundle.json")).unwrap();
    platform.restart().await;
    assert_eq!(platform.bundle(2).await.documents.len(), 2);
}

#[tokio::test]
async fn a_database_restored_from_an_older_backup_does_not_take_nodes_back_unasked() {
    let mut platform = Platform::start().await;
    platform.apply(&agency("a", "A"));
    assert_eq!(platform.terminate(), Some(0));
    std::fs::copy(platform.path("cp.db"), platform.path("backup.db")).unwrap();
    platform.restart().await;
    platform.apply(&agency("b", "B"));
    platform.bundle(2).await;
    assert_eq!(platform.terminate(), Some(0));
    std::fs::copy(platform.path("backup.db"), platform.path("cp.db")).unwrap();
    platform.restart().await;
    lgsp_testkit::eventually::eventually(Duration::from_secs(30), "the refusal is shown", async || {
        platform.ok(&["nodes"]).contains("revision 2 is published, and this database is only at 1")
    })
    .await;
    platform.bundle(2).await;
    platform.ok(&["publish", "--allow-older"]);
    let taken_over = platform.bundle(3).await;
    assert!(taken_over.allow_older && taken_over.documents.len() == 1, "nodes have to be told that it is meant");
    assert_eq!(platform.revision(), 3, "its number is above what was published");
}

#[tokio::test]
async fn a_bundle_that_cannot_be_written_delays_publishing_but_not_the_revision() {
    let platform = Platform::start_with("publish: {bundle: later/bundle.json}\n").await;
    platform.apply(&agency("a", "A"));
    assert_eq!(platform.revision(), 1);
    lgsp_testkit::eventually::eventually(Duration::from_secs(30), "the failure is shown", async || {
        platform.ok(&["nodes"]).contains("cannot write the bundle `later/bundle.json`")
    })
    .await;
    std::fs::create_dir(platform.path("later")).unwrap();
    lgsp_testkit::eventually::eventually(Duration::from_secs(30), "it is published", async || {
        platform.path("later/bundle.json").exists()
    })
    .await;
}

#[tokio::test]
async fn a_conflict_shows_what_the_base_had_what_others_made_of_it_and_what_you_want() {
    let platform = Platform::start().await;
    platform.apply(&[agency("a", "A"), agency("b", "B")].join("---\n"));
    platform.apply(&agency("a", "theirs"));
    platform.write("yours.yaml", &agency("a", "yours"));
    let refused = platform.run(&["apply", "-f", "yours.yaml", "--base", "1"]);
    assert_eq!(refused.code, 4);
    for told in
        ["Agency/a", "changed by others since revision 1, and by you", "-title: A", "+title: theirs", "+title: yours"]
    {
        assert!(refused.err.contains(told), "`{told}` is not in {}", refused.err);
    }
    assert!(refused.err.contains("--base 2"), "{}", refused.err);
    platform.write("yours.yaml", &agency("b", "yours"));
    let refused = platform.run(&["apply", "-f", "yours.yaml", "--base", "1"]);
    assert!(refused.code == 4 && refused.err.contains("Others changed nothing of this"), "{refused:?}");
    platform.ok(&["apply", "-f", "yours.yaml", "--base", "2"]);
}

//! Publishing to a real etcd: whole revisions, the head last, and again when etcd comes back.

use std::time::Duration;

use etcd_client::GetOptions;
use lgsp_shared::bundle::content_hash;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head, NODE_PREFIX};
use lgsp_shared::resource::Document;
use lgsp_testkit::certificate::Authority;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::{eventually, eventually_some};

use crate::platform::{Platform, RESOURCES, agency};

const DEADLINE: Duration = Duration::from_secs(60);

async fn start(etcd: &Etcd) -> Platform {
    Platform::start_with(&format!("publish: {{etcd: {}}}\n", etcd.settings())).await
}

/// Waits until the head names `revision`, and returns it with the documents of the same etcd revision.
async fn published(etcd: &Etcd, revision: u64) -> (Head, Vec<Document>) {
    eventually_some(DEADLINE, "the revision is in etcd", async || {
        let mut client = etcd.client().await.ok()?;
        let found = client.get(HEAD_KEY, None).await.ok()?;
        let head = Head::parse(found.kvs().first()?.value()).unwrap();
        if head.revision.0 != revision {
            return None;
        }
        let pinned = GetOptions::new().with_prefix().with_revision(found.kvs()[0].mod_revision());
        let found = client.get(DOCUMENT_PREFIX, Some(pinned)).await.ok()?;
        Some((head, found.kvs().iter().map(|entry| serde_json::from_slice(entry.value()).unwrap()).collect()))
    })
    .await
}

fn assert_whole((head, documents): (Head, Vec<Document>), count: usize) {
    assert_eq!(documents.len(), count);
    assert_eq!(head.documents, u64::try_from(count).unwrap());
    assert_eq!(head.hash, content_hash(&documents));
}

#[tokio::test]
async fn every_published_head_names_exactly_the_documents_beside_it() {
    let etcd = Etcd::start().await.unwrap();
    let platform = start(&etcd).await;
    platform.apply(RESOURCES);
    assert_whole(published(&etcd, 1).await, 5);
    // More than fit into one transaction.
    let many: Vec<String> = (0..700).map(|number| agency(&format!("a{number}"), "A")).collect();
    platform.apply(&many.join("---\n"));
    assert_whole(published(&etcd, 2).await, 705);
    platform.ok(&["delete", "Permission/tra-cuu"]);
    assert_whole(published(&etcd, 3).await, 704);
    platform.ok(&["rollback", "1", "--allow-large-removal"]);
    let back = published(&etcd, 4).await;
    assert!(back.0.allow_large_removal, "nodes have to be told that it is meant");
    assert_whole(back, 5);
}

#[tokio::test]
async fn two_control_planes_with_two_databases_never_publish_a_mixture_and_say_so() {
    const ROUNDS: u64 = 3;
    let etcd = Etcd::start().await.unwrap();
    let mut first = start(&etcd).await;
    eventually(DEADLINE, "the first leads", async || first.json(&["nodes"])["publish"]["role"] == "leading").await;
    let second = start(&etcd).await;
    for round in 1..=ROUNDS {
        let mut children = Vec::new();
        for (number, platform) in [&first, &second].into_iter().enumerate() {
            let title = format!("platform {number} round {round}");
            let many: Vec<String> = (0..400).map(|number| agency(&format!("a{number}"), &title)).collect();
            platform.write("many.yaml", &many.join("---\n"));
            children.push(platform.command(&["apply", "-f", "many.yaml"]).spawn().unwrap());
        }
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert_whole(published(&etcd, round).await, 400);
    }
    eventually(DEADLINE, "the second says what is wrong", async || {
        second.ok(&["nodes"]).contains("that control plane has another database")
    })
    .await;
    let (head, _) = published(&etcd, ROUNDS).await;
    first.kill();
    // It does not write over another database's revision, whatever the numbers: not even with one more of its own.
    let refuses = async |number: u64| {
        eventually(DEADLINE, "the second leads and refuses", async || {
            let publish = second.json(&["nodes"])["publish"].clone();
            let told = publish["error"].as_str().unwrap_or_default();
            publish["role"] == "leading"
                && publish["current"] == number
                && told.contains("was not made by this database")
        })
        .await;
    };
    refuses(ROUNDS).await;
    second.apply(&agency("one-more", "A"));
    refuses(ROUNDS + 1).await;
    assert!(readyz(&second).await.contains("alarm: the published configuration does not belong to this database"));
    assert_eq!(published(&etcd, ROUNDS).await.0, head);
    second.ok(&["publish", "--allow-older"]);
    let after = published(&etcd, ROUNDS + 2).await;
    assert!(after.0.allow_older, "nodes have to be told that it is meant");
    assert_ne!(after.0.origin.as_ref().unwrap().lineage.database, head.origin.unwrap().lineage.database);
    assert_whole(after, 401);
    let audit = second.ok(&["audit", "list", "--limit", "50"]);
    assert!(audit.contains("publish --allow-older"), "{audit}");
}

/// What `/readyz` says.
async fn readyz(platform: &Platform) -> String {
    let address = platform.url().trim_start_matches("http://").parse().unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: cp\r\nconnection: close\r\n\r\n";
    let answer = lgsp_testkit::client::exchange(address, request.as_bytes()).await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_revision_made_while_etcd_is_away_is_published_when_it_is_back() {
    let mut etcd = Etcd::start().await.unwrap();
    let mut platform = start(&etcd).await;
    platform.apply(&agency("a", "A"));
    published(&etcd, 1).await;
    etcd.kill();
    platform.apply(&agency("b", "B"));
    assert_eq!(platform.revision(), 2);
    eventually(DEADLINE, "the failure is shown", async || {
        let nodes = platform.run(&["nodes"]);
        nodes.code == 5 && nodes.out.contains("published 1\nnot published after ")
    })
    .await;
    etcd.restart().await.unwrap();
    assert_whole(published(&etcd, 2).await, 2);
    platform.kill();
    platform.restart().await;
    platform.apply(&agency("c", "C"));
    assert_whole(published(&etcd, 3).await, 3);
}

#[tokio::test]
async fn over_tls_revisions_and_reports_pass_and_a_stranger_publishes_nothing() {
    let etcd = Etcd::start_with_tls().await.unwrap();
    let stranger = Authority::new("stranger");
    let mut settings = etcd.settings();
    let directory = tempfile::tempdir().unwrap();
    let files = stranger.issue(&["client.test"]).write(directory.path(), "stranger");
    settings["tls"]["certificate"] = serde_json::json!(files.cert);
    settings["tls"]["key"] = serde_json::json!(files.key);
    let refused = Platform::start_with(&format!("publish: {{etcd: {settings}}}\n")).await;
    refused.apply(&agency("z", "Z"));
    eventually(DEADLINE, "the refusal is told", async || refused.log().contains("revision not published yet")).await;

    let platform = start(&etcd).await;
    platform.apply(&agency("a", "A"));
    let (head, documents) = published(&etcd, 1).await;
    assert_eq!(documents[0].name, "a");
    let report = serde_json::json!({
        "node": "node-1", "state": "applied", "desired": 1, "active": 1, "hash": head.hash,
        "since": "2026-11-23T08:00:00Z", "reported_at": "2026-11-23T08:00:00Z", "version": "0.1.0",
    });
    let mut client = etcd.client().await.unwrap();
    client.put(format!("{NODE_PREFIX}node-1"), report.to_string(), None).await.unwrap();
    assert_eq!(platform.json(&["nodes"])["nodes"][0]["state"], "synced");
}

#[tokio::test]
async fn a_file_for_tls_that_is_missing_stops_check_and_the_start_with_its_name() {
    let platform = Platform::start().await;
    let tls = "publish: {etcd: {endpoints: ['https://127.0.0.1:1'], tls: {ca: nowhere.pem}}}";
    platform.write("tls.yaml", &format!("listen: 127.0.0.1:0\ndatabase: tls.db\nkey_file: seal.key\n{tls}\n"));
    for arguments in [&["check", "--config", "tls.yaml"][..], &["--config", "tls.yaml"]] {
        let done = platform.server_command(arguments).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && told.contains("`publish.etcd.tls.ca`"), "{arguments:?}: {told}");
        assert!(told.contains("nowhere.pem"), "{told}");
    }
}

#[tokio::test]
async fn what_somebody_changed_in_etcd_by_hand_is_put_right_at_the_next_start() {
    let etcd = Etcd::start().await.unwrap();
    let mut platform = start(&etcd).await;
    platform.apply(&agency("a", "A"));
    published(&etcd, 1).await;
    platform.terminate();
    let mut client = etcd.client().await.unwrap();
    client.put(format!("{DOCUMENT_PREFIX}Agency/a"), "not a document", None).await.unwrap();
    client.put(format!("{DOCUMENT_PREFIX}Agency/b"), r#"{"kind":"Agency","name":"b","spec":{}}"#, None).await.unwrap();
    platform.restart().await;
    eventually(DEADLINE, "etcd holds the revision again", async || {
        let found = client.get(DOCUMENT_PREFIX, Some(GetOptions::new().with_prefix())).await.unwrap();
        found.kvs().len() == 1 && serde_json::from_slice::<Document>(found.kvs()[0].value()).is_ok()
    })
    .await;
}

#[tokio::test]
async fn nodes_that_report_in_etcd_are_shown_and_missed_when_their_lease_ends() {
    let etcd = Etcd::start().await.unwrap();
    let platform = start(&etcd).await;
    platform.apply(&agency("a", "A"));
    let (head, _) = published(&etcd, 1).await;
    let report = serde_json::json!({
        "node": "node-1", "state": "applied", "desired": 1, "active": 1, "hash": head.hash,
        "since": "2026-11-23T08:00:00Z", "reported_at": "2026-11-23T08:00:00Z", "version": "0.1.0",
    });
    let mut client = etcd.client().await.unwrap();
    client.put(format!("{NODE_PREFIX}node-1"), report.to_string(), None).await.unwrap();
    client.put(format!("{NODE_PREFIX}node-2"), report.to_string(), None).await.unwrap();
    let nodes = platform.json(&["nodes"]);
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1, "a report under another node's key is left out: {nodes}");
    assert_eq!(nodes["nodes"][0]["state"], "synced");
    client.delete(format!("{NODE_PREFIX}node-1"), None).await.unwrap();
    assert_eq!(platform.json(&["nodes"])["nodes"][0]["state"], "stale");
}

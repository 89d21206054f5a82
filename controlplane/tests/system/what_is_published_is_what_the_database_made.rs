//! What stands in etcd is compared with what the database made, not with what was once written there: what somebody adds,
//! damages, removes or forges is put right within seconds and said to have been; what a later time of the database or another
//! one published is not written over by counting up to its number.

use etcd_client::{Client, DeleteOptions, GetOptions};
use lgsp_shared::bundle::content_hash;
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head};
use lgsp_shared::resource::Document;
use lgsp_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::platform::{DEADLINE, Done, Platform, agency};

async fn documents(client: &mut Client) -> Vec<Document> {
    let found = client.get(DOCUMENT_PREFIX, Some(GetOptions::new().with_prefix())).await.unwrap();
    found.kvs().iter().filter_map(|entry| serde_json::from_slice(entry.value()).ok()).collect()
}

async fn head(client: &mut Client) -> Option<Head> {
    let found = client.get(HEAD_KEY, None).await.unwrap();
    found.kvs().first().and_then(|entry| Head::parse(entry.value()).ok())
}

/// Waits until etcd holds what its marked head names, every document and no other.
async fn is_whole(client: &mut Client, revision: u64) {
    let found = std::sync::Mutex::new(client.clone());
    eventually(DEADLINE, "etcd holds the revision", async || {
        let mut client = found.lock().unwrap().clone();
        let Some(head) = head(&mut client).await else { return false };
        let raw = client.get(DOCUMENT_PREFIX, Some(GetOptions::new().with_prefix())).await.unwrap();
        let documents = documents(&mut client).await;
        raw.kvs().len() == documents.len()
            && head.revision.0 == revision
            && head.origin.is_some()
            && head.hash == content_hash(&documents)
    })
    .await;
}

fn publish(platform: &Platform) -> Value {
    platform.json(&["nodes"])["publish"].clone()
}

async fn repairs(platform: &Platform, at_least: u64, told: &str) {
    eventually(DEADLINE, "the repair is told", async || {
        let publish = publish(platform);
        let last = publish["last_repair"].as_str().unwrap_or_default();
        publish["repairs"].as_u64().unwrap() >= at_least && last.contains(told)
    })
    .await;
}

#[tokio::test]
async fn what_somebody_writes_damages_or_removes_is_put_right_and_told_while_everything_runs() {
    let fleet = Fleet::start("database: cp.db\n", 1).await;
    let (platform, mut client) = (&fleet.platform, fleet.etcd.client().await.unwrap());
    let key = format!("{DOCUMENT_PREFIX}Agency/so-tu-phap");
    let good = client.get(key.as_str(), None).await.unwrap().kvs()[0].value_str().unwrap().to_owned();
    // One blank more in a title, a document nobody made, one that is gone.
    client.put(key.as_str(), good.replace("Sở Tư pháp", "Sở Tư  pháp"), None).await.unwrap();
    let stray = json!({"kind": "Agency", "name": "stray", "spec": {"code": "H61.9", "title": "A"}});
    client.put(format!("{DOCUMENT_PREFIX}Agency/stray"), stray.to_string(), None).await.unwrap();
    client.delete(format!("{DOCUMENT_PREFIX}System/mot-cua"), None).await.unwrap();
    is_whole(&mut client, 1).await;
    repairs(platform, 1, "were changed, added or removed").await;
    // A head that is no head.
    client.put(HEAD_KEY, "not a head", None).await.unwrap();
    is_whole(&mut client, 1).await;
    repairs(platform, 2, "head").await;
    // All of it.
    client.delete("/lgsp/v1/config/", Some(DeleteOptions::new().with_prefix())).await.unwrap();
    is_whole(&mut client, 1).await;
    // A revocation after all that counts on the node.
    platform.ok(&["credential", "disable", "mot-cua-1"]);
    eventually(DEADLINE, "the key is refused", async || fleet.all_refuse().await).await;
    assert_eq!(fleet.states(), ["synced"]);
    assert!(
        platform.ok(&["nodes"]).contains("WARNING: the published configuration was changed outside the control plane")
    );
    assert!(platform.ok(&["audit", "list"]).contains("published configuration repaired"));
}

#[tokio::test]
async fn a_configuration_forged_in_etcd_grants_nothing_and_is_replaced() {
    let fleet = Fleet::start("database: cp.db\n", 1).await;
    let (platform, mut client) = (&fleet.platform, fleet.etcd.client().await.unwrap());
    let other = fleet.send_as(&fleet.identity("tu-phap")).await;
    assert!(matches!(other[0].status, 401 | 403), "nothing permits it");
    // A permission, and a head of the next revision whose hash is right.
    let spec = json!({"source": "tu-phap", "service": "ho-tich", "methods": ["GET"], "paths": ["/"]});
    let forged = Document { kind: "Permission".into(), name: "forged".into(), spec };
    let mut all = documents(&mut client).await;
    all.push(forged.clone());
    let count = u64::try_from(all.len()).unwrap();
    let unmarked = Head::new(Revision(2), content_hash(&all), count);
    let stolen = Head { origin: head(&mut client).await.unwrap().origin, ..unmarked.clone() };
    for head in [unmarked, stolen] {
        let key = format!("{DOCUMENT_PREFIX}Permission/forged");
        client.put(key, serde_json::to_string(&forged).unwrap(), None).await.unwrap();
        client.put(HEAD_KEY, head.to_json(), None).await.unwrap();
        is_whole(&mut client, 1).await;
        let answers = fleet.send_as(&fleet.identity("tu-phap")).await;
        assert!(matches!(answers[0].status, 401 | 403), "{:?}", answers[0].status);
    }
    repairs(platform, 2, "proof of origin").await;
    eventually(DEADLINE, "the node serves what the database made", async || fleet.states() == ["synced"]).await;
    assert!(fleet.all_answer(200).await);
}

#[tokio::test]
async fn what_an_earlier_version_published_is_marked_at_once_when_the_control_plane_is_upgraded() {
    let mut fleet = Fleet::start("database: cp.db\n", 0).await;
    let mut client = fleet.etcd.client().await.unwrap();
    assert_eq!(fleet.platform.terminate(), Some(0));
    // As an earlier version left it: the same head without a mark, and a database without a lineage.
    let unmarked = Head { origin: None, ..head(&mut client).await.unwrap() };
    client.put(HEAD_KEY, unmarked.to_json(), None).await.unwrap();
    fleet.platform.restart().await;
    is_whole(&mut client, 1).await;
    let marked = head(&mut client).await.unwrap();
    assert_eq!(Head { origin: None, ..marked }, unmarked, "nothing else is different");
    let publish = publish(&fleet.platform);
    assert_eq!((&publish["foreign"], &publish["published"]), (&json!(false), &json!(1)), "{publish}");
}

#[tokio::test]
async fn a_restored_database_does_not_walk_over_what_was_published_since_its_backup() {
    let mut fleet = Fleet::start("database: cp.db\n", 1).await;
    let server = |platform: &Platform, arguments: &[&str]| {
        let done = Done::from(platform.server_command(arguments).output().unwrap());
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        done.out
    };
    server(&fleet.platform, &["backup", "--config", "cp.yaml", "-f", "backup.jsonl"]);
    let before = fleet.platform.json(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    fleet.platform.ok(&["credential", "disable", "mot-cua-1"]);
    eventually(DEADLINE, "the key is refused", async || fleet.all_refuse().await).await;
    let old_token = std::fs::read_to_string(fleet.platform.path("token")).unwrap();
    assert_eq!(fleet.platform.terminate(), Some(0));
    let told = server(&fleet.platform, &["restore", "--config", "cp.yaml", "-f", "backup.jsonl", "--replace"]);
    assert!(told.contains("sessions and tokens were ended"), "{told}");
    fleet.platform.restart().await;
    assert_eq!(fleet.platform.run(&["history"]).code, 3, "the tokens of the backup ended with the restore");
    server(&fleet.platform, &["new-token", "--config", "cp.yaml", "--token-file", "token"]);
    assert_ne!(std::fs::read_to_string(fleet.platform.path("token")).unwrap(), old_token);

    // Two and three are made again, with other content. Nothing of it is published, and the key stays refused.
    for name in ["x", "y", "z"] {
        fleet.platform.apply(&agency(name, "A"));
    }
    eventually(DEADLINE, "the refusal is told", async || {
        let publish = publish(&fleet.platform);
        publish["current"] == 4 && publish["foreign"] == true
    })
    .await;
    assert!(fleet.platform.ok(&["nodes"]).contains("`lgspctl publish --allow-older`"));
    assert!(fleet.all_refuse().await);
    let mut client = fleet.etcd.client().await.unwrap();
    assert_eq!(head(&mut client).await.unwrap().revision, Revision(2));

    // Asked to, it takes the place of what is published, with a number above it, and the node follows.
    fleet.platform.ok(&["publish", "--allow-older"]);
    is_whole(&mut client, 5).await;
    eventually(DEADLINE, "the node follows", async || fleet.states() == ["synced"]).await;
    assert!(fleet.all_answer(200).await, "the backup is from before the key was disabled");

    // The audit says what happened, also to who kept a hash of the time that is gone.
    assert!(fleet.platform.ok(&["audit", "list", "--limit", "50"]).contains("lgsp-controlplane restore"));
    let lost = fleet.platform.run(&["audit", "verify", "--head", &before]);
    assert!(lost.code != 0 && lost.err.contains("the database was restored from a backup at"), "{lost:?}");
    fleet.platform.ok(&["audit", "verify"]);
}

#[tokio::test]
async fn a_backup_of_a_database_that_is_not_there_fails_and_makes_none() {
    let platform = Platform::start().await;
    let text = std::fs::read_to_string(platform.path("cp.yaml")).unwrap().replace("cp.db", "mistyped.db");
    platform.write("mistyped.yaml", &text);
    let done =
        Done::from(platform.server_command(&["backup", "--config", "mistyped.yaml", "-f", "b"]).output().unwrap());
    assert!(done.code != 0 && done.err.contains("there is no database `mistyped.db`"), "{done:?}");
    let token = ["new-token", "--config", "mistyped.yaml", "--token-file", "t"];
    let token = Done::from(platform.server_command(&token).output().unwrap());
    assert!(token.code != 0 && token.err.contains("there is no database `mistyped.db`"), "{token:?}");
    assert!(["mistyped.db", "b", "t"].iter().all(|name| !platform.path(name).exists()));
    platform.ok(&["history"]);
    let done = Done::from(platform.server_command(&["backup", "--config", "cp.yaml", "-f", "b"]).output().unwrap());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.ok(&["audit", "list"]).contains("lgsp-controlplane backup"));
}

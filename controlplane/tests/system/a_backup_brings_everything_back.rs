//! The drill: back up, lose the database and etcd, restore, start; the control plane publishes, nodes converge on what
//! they had, and requests flow with the keys that were issued before.

use std::time::Duration;

use lgsp_testkit::eventually::eventually;
use lgsp_testkit::postgres::Postgres;

use crate::fleet::Fleet;
use crate::platform::{Done, Platform, agency};

const DEADLINE: Duration = Duration::from_secs(60);

fn server(platform: &Platform, arguments: &[&str]) -> Done {
    Done::from(platform.server_command(arguments).output().unwrap())
}

#[tokio::test]
async fn a_province_that_lost_its_database_and_etcd_is_brought_back() {
    let postgres = Postgres::start().await.unwrap();
    let mut fleet = Fleet::start(&Platform::postgres(&postgres), 2).await;
    fleet.platform.apply(&agency("a", "A"));
    let history = fleet.platform.ok(&["history"]);
    let made = server(&fleet.platform, &["backup", "--config", "cp.yaml", "-f", "backup.jsonl"]);
    assert!(
        made.code == 0 && made.err.contains("the sealing key") && made.err.contains("is NOT in the backup"),
        "{made:?}"
    );
    let again = server(&fleet.platform, &["backup", "--config", "cp.yaml", "-f", "backup.jsonl"]);
    assert_eq!(again.code, 1, "an existing file is never replaced: {again:?}");
    let text = std::fs::read_to_string(fleet.platform.path("backup.jsonl")).unwrap();
    let token = std::fs::read_to_string(fleet.platform.path("token")).unwrap();
    let key = std::fs::read_to_string(fleet.platform.path("seal.key")).unwrap();
    assert!(!text.contains(token.trim()) && !text.contains(key.trim()));

    fleet.platform.kill();
    drop(postgres);
    fleet.etcd.lose().await.unwrap();
    assert!(fleet.all_answer(200).await, "nodes serve on with nothing behind them");

    // On a machine without PostgreSQL this time.
    fleet.platform.settings("database: new.db\n", &Fleet::publish(&fleet.etcd));
    let restored =
        server(&fleet.platform, &["restore", "--config", "cp.yaml", "-f", "backup.jsonl", "--keep-sessions"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let twice = server(&fleet.platform, &["restore", "--config", "cp.yaml", "-f", "backup.jsonl"]);
    assert!(twice.code == 1 && twice.err.contains("--replace"), "{twice:?}");
    fleet.platform.restart().await;
    assert_eq!(fleet.platform.ok(&["history"]), history);
    eventually(DEADLINE, "the nodes converge", async || fleet.states() == ["synced", "synced"]).await;
    assert!(fleet.all_answer(200).await);
    fleet.platform.apply(&agency("b", "B"));
    fleet.platform.ok(&["credential", "disable", "mot-cua-1"]);
    eventually(DEADLINE, "what is changed now counts", async || fleet.all_refuse().await).await;
}

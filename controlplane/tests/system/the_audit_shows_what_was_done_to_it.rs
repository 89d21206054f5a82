//! Every attempt is in the audit, and whoever changes the audit behind the control plane's back is found out.

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::platform::{Platform, RESOURCES};

/// Executes statements on the database of a platform that is stopped.
async fn tamper(platform: &Platform, statements: &[&'static str]) {
    let options = SqliteConnectOptions::new().filename(platform.path("cp.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for trigger in ["audit_refuses_UPDATE", "audit_refuses_DELETE"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP TRIGGER IF EXISTS {trigger}"))).execute(&pool).await.unwrap();
    }
    for statement in statements {
        sqlx::query(*statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

fn audit(platform: &Platform) -> Vec<(String, String, String)> {
    let listed = platform.json(&["audit", "list", "--limit", "1000"]);
    let text = |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let entries = listed["entries"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "operator"), text(entry, "action"), text(entry, "outcome"))).collect()
}

#[tokio::test]
async fn every_attempt_is_written_with_who_what_and_its_outcome() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.join("lan", &["--role", "observer"], "gió mùa đông bắc");
    platform.run_as("lan", &["delete", "Agency/so-tu-phap"], "");
    platform.run_as("lan", &["login", "lan"], "guess\n");
    platform.run(&["delete", "Agency/so-tu-phap"]);
    platform.run_as("lan", &["get"], "");
    let issued = platform.ok(&["credential", "issue", "ho-tich"]);
    let secret = issued.lines().find_map(|line| line.trim().strip_prefix("secret key")).unwrap().trim().to_owned();
    let entry = |operator: &str, action: &str, outcome: &str| (operator.into(), action.into(), outcome.into());
    let mut expected = vec![
        entry("", "lgsp-controlplane first start", "done"),
        entry("operator", "POST /v1/changes", "done"),
        entry("operator", "POST /v1/operators", "done"),
        entry("lan", "POST /v1/login", "done"),
        entry("lan", "POST /v1/me/password", "done"),
        entry("lan", "POST /v1/changes", "forbidden"),
        entry("", "POST /v1/login", "unauthorized"),
        entry("operator", "POST /v1/changes", "refused"),
        entry("operator", "POST /v1/credentials", "done"),
    ];
    expected.reverse();
    assert_eq!(audit(&platform), expected);
    assert_eq!(audit(&platform)[0], entry("operator", "GET /v1/audit", "done"), "reading it is written too");
    let whole = platform.ok(&["audit", "list", "--limit", "1000", "-o", "json"]);
    assert!(!whole.contains(&secret) && !whole.contains("guess") && !whole.contains("argon2"), "{whole}");
    let first = platform.json(&["audit", "list", "--limit", "1000"]);
    let change = first["entries"].as_array().unwrap().iter().find(|one| one["revision"] == 1).unwrap().clone();
    let after: serde_json::Value = serde_json::from_str(change["after"].as_str().unwrap()).unwrap();
    assert_eq!(after["changed"], 5);
    assert_eq!(after["documents"][0], "Agency/so-tu-phap");
}

#[tokio::test]
async fn an_entry_that_was_changed_removed_moved_or_cut_off_is_found() {
    let mut platform = Platform::start().await;
    for number in 0..4 {
        platform.apply(&crate::platform::agency("a", &format!("title {number}")));
    }
    let pin = platform.json(&["audit", "verify"])["head"].as_str().unwrap().to_owned();
    platform.ok(&["audit", "verify", "--head", &pin]);
    assert_eq!(platform.terminate(), Some(0));
    std::fs::copy(platform.path("cp.db"), platform.path("clean.db")).unwrap();

    let cases: [(&str, &[&'static str], &str); 6] = [
        ("changed", &["UPDATE audit SET operator = 'somebody' WHERE number = 3"], "entry 3 was changed"),
        (
            "changed with its outcome",
            &["UPDATE audit SET outcome = 'refused', became = '' WHERE number = 2"],
            "entry 2 was changed",
        ),
        ("removed", &["DELETE FROM audit WHERE number = 3"], "entry 3 is missing"),
        (
            "moved",
            &[
                "UPDATE audit SET number = 99 WHERE number = 2",
                "UPDATE audit SET number = 2 WHERE number = 3",
                "UPDATE audit SET number = 3 WHERE number = 99",
            ],
            "entry 2 was changed",
        ),
        ("cut off", &["DELETE FROM audit WHERE number > 3"], "is missing"),
        (
            "cut off at the beginning",
            &["DELETE FROM audit WHERE number < 3", "UPDATE audit SET number = number - 2"],
            "entry 1 was changed",
        ),
    ];
    for (case, statements, told) in cases {
        restore(&platform);
        tamper(&platform, statements).await;
        platform.restart().await;
        let done = platform.run(&["audit", "verify"]);
        assert!(done.code == 3 && done.err.contains(told), "{case}: {done:?}");
        platform.terminate();
    }

    // Cut off so that nothing in the database tells: only the hash that was kept elsewhere does.
    restore(&platform);
    let head = "UPDATE audit_head SET number = 3, hash = (SELECT hash FROM audit WHERE number = 3)";
    tamper(&platform, &["DELETE FROM audit WHERE number > 3", head]).await;
    platform.restart().await;
    platform.ok(&["audit", "verify"]);
    let done = platform.run(&["audit", "verify", "--head", &pin]);
    assert!(done.code == 3 && done.err.contains(&pin), "{done:?}");
    platform.terminate();

    restore(&platform);
    platform.restart().await;
    platform.ok(&["audit", "verify", "--head", &pin]);
}

fn restore(platform: &Platform) {
    for rest in ["cp.db-wal", "cp.db-shm"] {
        let _ = std::fs::remove_file(platform.path(rest));
    }
    std::fs::copy(platform.path("clean.db"), platform.path("cp.db")).unwrap();
}

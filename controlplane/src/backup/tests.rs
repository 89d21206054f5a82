use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_testkit::postgres::Postgres;

use super::*;
use crate::store::tests::{connect, trail};
use crate::store::{ChangeRow, Content, RevisionRow};

const KEY: &str = "0011aabb";

fn held(key: &str) -> [String; 1] {
    [key.to_owned()]
}

async fn sqlite(directory: &tempfile::TempDir, name: &str) -> Store {
    Store::open(&directory.path().join(name)).await.unwrap()
}

/// Two revisions, a removal, texts of all kinds, and what the audit keeps of it.
async fn fill(store: &Store) {
    for (number, content) in [(1, Some("{\"title\":\"Sở Tư pháp \\\"\\n\"}")), (2, None)] {
        let row = RevisionRow {
            number: Revision(number),
            base: Revision(number - 1),
            hash: ContentHash::from(format!("hash {number}")),
            documents: 1,
            author: "operator".into(),
            message: "một\nhai".into(),
            created_at: UnixSeconds(1_000),
        };
        let content = content.map(|spec| Content { hash: "h".into(), spec: spec.into() });
        let change = ChangeRow { kind: "Agency".into(), name: "a".into(), content };
        store.commit(None, &row, &[change], &[], trail("commit").attempt("done")).await.unwrap();
    }
}

/// Everything, by table.
async fn everything(store: &Store) -> Vec<(String, Vec<Map<String, Value>>)> {
    let mut view = store.view().await.unwrap();
    let mut all = Vec::new();
    for table in view.list().await.unwrap() {
        let mut rows = Vec::new();
        view.read(&table, |row| -> Result<(), StoreError> {
            rows.push(row);
            Ok(())
        })
        .await
        .unwrap();
        all.push((table.name().to_owned(), rows));
    }
    all
}

#[tokio::test]
async fn a_backup_goes_from_each_database_into_the_other_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (first, server) = (sqlite(&directory, "first.db").await, Postgres::start().await.unwrap());
    let postgres = connect(&server).await.unwrap();
    fill(&first).await;
    make(&first, &path("one"), KEY, UnixSeconds(5)).await.unwrap();
    restore(&postgres, &path("one"), &held(KEY), false).await.unwrap();
    assert_eq!(everything(&postgres).await, everything(&first).await);
    make(&postgres, &path("two"), KEY, UnixSeconds(5)).await.unwrap();
    let last = sqlite(&directory, "last.db").await;
    restore(&last, &path("two"), &held(KEY), false).await.unwrap();
    assert_eq!(everything(&last).await, everything(&first).await);
    assert_eq!(std::fs::read(path("one")).unwrap(), std::fs::read(path("two")).unwrap());
    for store in [postgres, last] {
        restore(&store, &path("one"), &held(KEY), true).await.unwrap();
        assert_eq!(everything(&store).await, everything(&first).await);
    }
}

#[tokio::test]
async fn every_table_of_the_schema_is_in_the_backup_in_both_databases() {
    let directory = tempfile::tempdir().unwrap();
    let server = Postgres::start().await.unwrap();
    let postgres = connect(&server).await.unwrap();
    let mut found = Vec::new();
    for (name, store) in [("one", sqlite(&directory, "a.db").await), ("two", postgres)] {
        let header = make(&store, &directory.path().join(name), KEY, UnixSeconds(5)).await.unwrap();
        found.push(header.tables.into_keys().collect::<Vec<_>>());
    }
    assert_eq!(found[0], found[1]);
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let (mut declared, mut dropped) = (Vec::new(), Vec::new());
    let mut folders = vec![std::path::PathBuf::from(migrations)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for (found, word) in [(&mut declared, "CREATE TABLE "), (&mut dropped, "DROP TABLE ")] {
                found.extend(text.lines().filter_map(|line| {
                    let rest = line.strip_prefix(word)?;
                    Some(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_owned())
                }));
            }
        }
    }
    declared.retain(|table| !dropped.contains(table));
    declared.sort_unstable();
    declared.dedup();
    assert!(declared.len() >= 4, "{declared:?}");
    assert_eq!(found[0], declared);
}

#[tokio::test]
async fn what_is_there_is_not_overwritten_and_a_failure_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup");
    let store = sqlite(&directory, "a.db").await;
    fill(&store).await;
    make(&store, &path, KEY, UnixSeconds(5)).await.unwrap();
    assert!(matches!(make(&store, &path, KEY, UnixSeconds(5)).await, Err(BackupError::File { .. })));
    let before = everything(&store).await;
    assert!(matches!(restore(&store, &path, &held(KEY), false).await, Err(BackupError::NotEmpty)));
    assert!(matches!(restore(&store, &path, &held("another"), true).await, Err(BackupError::Key { .. })));
    assert_eq!(everything(&store).await, before);
    let keys = ["the next one".to_owned(), KEY.to_owned()];
    restore(&store, &path, &keys, true).await.expect("the key that sealed it is held, though another seals now");
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_or_is_of_another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup");
    let store = sqlite(&directory, "a.db").await;
    fill(&store).await;
    make(&store, &path, KEY, UnixSeconds(5)).await.unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without_a_row = [&lines[..1], &lines[2..]].concat().join("\n") + "\n";
    let cut: String = whole.chars().take(whole.chars().count() / 2).collect();
    let no_end = lines[..lines.len() - 1].join("\n") + "\n";
    let cases =
        [String::new(), cut, no_end, without_a_row, whole.replace("hash 1", "hash 9"), format!("{whole}{{}}\n")];
    for text in cases {
        std::fs::write(&path, &text).unwrap();
        assert!(matches!(verify(&path), Err(BackupError::Damaged { .. })), "{text}");
    }
    std::fs::write(&path, whole.replace("\"lgsp_backup\":1", "\"lgsp_backup\":2")).unwrap();
    assert!(matches!(verify(&path), Err(BackupError::Version { format: 2, .. })));
}

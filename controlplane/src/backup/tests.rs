use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_testkit::postgres::Postgres;

use super::*;
use crate::store::tests::{connect, trail};
use crate::store::{ChangeRow, Content, Published, RevisionRow};

const KEY: &str = "0011aabb";

const ONTO_NOTHING: Terms = Terms { at: UnixSeconds(9), replace: false, keep_sessions: false };
const ANYWAY: Terms = Terms { replace: true, ..ONTO_NOTHING };

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

/// Everything but what a restore itself writes, by table.
async fn content(store: &Store) -> Vec<(String, Vec<Map<String, Value>>)> {
    let mut all = everything(store).await;
    all.retain(|(table, _)| !["audit", "audit_head", "lineage"].contains(&table.as_str()));
    all
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
    restore(&postgres, &path("one"), &held(KEY), ONTO_NOTHING).await.unwrap();
    assert_eq!(content(&postgres).await, content(&first).await);
    make(&postgres, &path("two"), KEY, UnixSeconds(5)).await.unwrap();
    let last = sqlite(&directory, "last.db").await;
    restore(&last, &path("two"), &held(KEY), ONTO_NOTHING).await.unwrap();
    assert_eq!(content(&last).await, content(&first).await);
    assert_eq!(lines(&last).await, lines(&first).await + 2, "every restore begins a line");
    for store in [postgres, last] {
        restore(&store, &path("one"), &held(KEY), ANYWAY).await.unwrap();
        assert_eq!(content(&store).await, content(&first).await);
    }
}

async fn lines(store: &Store) -> usize {
    everything(store).await.into_iter().find(|(table, _)| table == "lineage").unwrap().1.len()
}

#[tokio::test]
async fn a_restored_database_knows_what_it_published_and_not_what_was_published_since() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup");
    let (first, second) = (sqlite(&directory, "a.db").await, sqlite(&directory, "b.db").await);
    fill(&first).await;
    make(&first, &path, KEY, UnixSeconds(5)).await.unwrap();
    restore(&second, &path, &held(KEY), ONTO_NOTHING).await.unwrap();
    let (before, after) = (first.own_lineage().await.unwrap(), second.own_lineage().await.unwrap());
    assert!(before.database == after.database && before.since < after.since, "{before} {after}");
    let hash = |text: &str| ContentHash::from(text.to_owned());
    let knows = async |lineage, revision, content: &str| {
        let published = Published { lineage, revision: Revision(revision), hash: &hash(content) };
        second.knows(published).await.unwrap()
    };
    assert!(knows(Some(&before), 2, "hash 2").await, "what the backup holds");
    assert!(knows(None, 2, "hash 2").await, "published before there were marks");
    assert!(!knows(Some(&before), 2, "hash 9").await, "another content under its number");
    assert!(!knows(Some(&before), 3, "hash 3").await, "made after the backup");
    // It makes the same number again, with the same content even.
    let row = RevisionRow {
        number: Revision(3),
        base: Revision(2),
        hash: hash("hash 3"),
        documents: 1,
        author: "operator".into(),
        message: String::new(),
        created_at: UnixSeconds(1_000),
    };
    second.commit(None, &row, &[], &[], trail("commit").attempt("done")).await.unwrap();
    assert!(knows(Some(&after), 3, "hash 3").await);
    assert!(!knows(Some(&before), 3, "hash 3").await, "a number is not a line");
}

#[tokio::test]
async fn a_restore_is_in_the_audit_and_ends_sessions_and_tokens_unless_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup");
    let store = sqlite(&directory, "a.db").await;
    fill(&store).await;
    let bearers =
        async |store: &Store| everything(store).await.into_iter().find(|(table, _)| table == "bearer").unwrap().1.len();
    let terms = crate::operator::bearer::Terms {
        kind: crate::operator::BearerKind::First,
        operator: crate::operator::FIRST_OPERATOR.parse().unwrap(),
        title: String::new(),
        roles: None,
        agency: None,
        expires_at: None,
        idle_secs: None,
    };
    let (_, row) = terms.draw(UnixSeconds(1)).unwrap();
    store.put_first_bearer(&row, &crate::operator::FIRST_ROLES.into(), false, &trail("start")).await.unwrap();
    make(&store, &path, KEY, UnixSeconds(5)).await.unwrap();
    for (terms, left) in [(ANYWAY, 0), (Terms { keep_sessions: true, ..ANYWAY }, 1)] {
        let restored = restore(&store, &path, &held(KEY), terms).await.unwrap();
        assert_eq!((bearers(&store).await, restored.bearers_ended), (left, 1 - left as u64));
        let all = crate::store::AuditFilter::default();
        let last = store.audit_page(crate::store::AuditPage::Before(None), &all, 1).await.unwrap().remove(0);
        assert_eq!((last.attempt.action.as_str(), last.attempt.outcome.as_str()), (RESTORE_ACTION, "done"));
        assert!(last.attempt.after.contains("made_at"), "{}", last.attempt.after);
    }
}

#[tokio::test]
async fn a_backup_makes_no_database_and_upgrades_none() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("mistyped.db");
    assert!(matches!(Store::open_as_it_is(&missing).await, Err(StoreError::Missing { .. })));
    assert!(!missing.exists());
    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(Store::open_as_it_is(&empty).await, Err(StoreError::NotOurs)));
    let store = sqlite(&directory, "a.db").await;
    let path = directory.path().join("a.db");
    store.forget_the_last_step().await;
    let older = store.found_schema().await.unwrap().unwrap();
    store.close().await;
    let store = Store::open_as_it_is(&path).await.unwrap();
    make(&store, &directory.path().join("backup"), KEY, UnixSeconds(5)).await.unwrap();
    assert_eq!(store.found_schema().await.unwrap(), Some(older), "the schema is what it was");
    let refused = verify(&directory.path().join("backup")).unwrap_err();
    assert!(matches!(refused, BackupError::Version { found, .. } if found == older), "{refused}");
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
    assert!(matches!(restore(&store, &path, &held(KEY), ONTO_NOTHING).await, Err(BackupError::NotEmpty)));
    assert!(matches!(restore(&store, &path, &held("another"), ANYWAY).await, Err(BackupError::Key { .. })));
    assert_eq!(everything(&store).await, before);
    let keys = ["the next one".to_owned(), KEY.to_owned()];
    restore(&store, &path, &keys, ANYWAY).await.expect("the key that sealed it is held, though another seals now");
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

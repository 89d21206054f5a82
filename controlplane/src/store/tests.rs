use std::os::unix::fs::PermissionsExt;

use super::*;

async fn store(directory: &tempfile::TempDir) -> Store {
    Store::open(&directory.path().join("test.db")).await.unwrap()
}

fn revision(number: u64, base: u64) -> RevisionRow {
    RevisionRow {
        number: Revision(number),
        base: Revision(base),
        hash: ContentHash::from(format!("hash {number}")),
        documents: 1,
        author: "operator".into(),
        message: format!("change {number}"),
        created_at: UnixSeconds(1_000),
    }
}

fn put(name: &str, spec: &str) -> ChangeRow {
    let content = Some(Content { hash: format!("hash of {spec}"), spec: spec.into() });
    ChangeRow { kind: "Agency".into(), name: name.into(), content }
}

fn delete(name: &str) -> ChangeRow {
    ChangeRow { kind: "Agency".into(), name: name.into(), content: None }
}

#[tokio::test]
async fn every_revision_can_be_read_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    assert_eq!(store.head().await.unwrap(), None);
    store.commit(&revision(1, 0), &[put("a", "1"), put("b", "1")]).await.unwrap();
    store.commit(&revision(2, 1), &[put("a", "2")]).await.unwrap();
    store.commit(&revision(3, 2), &[delete("a")]).await.unwrap();
    store.commit(&revision(4, 3), &[put("a", "1")]).await.unwrap();
    let mut seen = Vec::new();
    for number in 0..=4 {
        let documents = store.documents(Revision(number)).await.unwrap();
        seen.push(documents.iter().map(|d| format!("{}={}", d.name, d.spec)).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(seen, ["", "a=1 b=1", "a=2 b=1", "b=1", "a=1 b=1"]);
    assert_eq!(store.head().await.unwrap(), Some(revision(4, 3)));
    assert_eq!(store.changes(Revision(3)).await.unwrap(), [delete("a")]);
    let history = store.history(Some(Revision(4)), 2).await.unwrap();
    assert_eq!(history.iter().map(|row| row.number.0).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test]
async fn a_stale_base_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    store.commit(&revision(1, 0), &[put("a", "1")]).await.unwrap();
    let error = store.commit(&revision(1, 0), &[put("a", "2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Stale { current: Revision(1) }), "{error}");
    assert_eq!(store.documents(Revision(1)).await.unwrap()[0].spec, 1);
}

#[tokio::test]
async fn a_revision_never_changes_even_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    store.commit(&revision(1, 0), &[put("a", "1")]).await.unwrap();
    for statement in [
        "UPDATE revision SET message = 'x'",
        "DELETE FROM revision",
        "UPDATE revision_change SET content = NULL",
        "DELETE FROM revision_change",
        "UPDATE content SET spec = '2'",
    ] {
        assert!(sqlx::query(statement).execute(&store.pool).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn the_database_is_private_and_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(&directory).await;
    first.put_token_hash("operator", "aa", UnixSeconds(1)).await.unwrap();
    first.put_token_hash("operator", "bb", UnixSeconds(2)).await.unwrap();
    first.close().await;
    let mode = std::fs::metadata(directory.path().join("test.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = store(&directory).await;
    assert_eq!(second.token_hashes().await.unwrap(), [("operator".to_owned(), "bb".to_owned())]);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named() {
    let error = Store::open(Path::new("/nonexistent/x.db")).await.unwrap_err();
    assert!(error.to_string().contains("`/nonexistent/x.db`"), "{error}");
}

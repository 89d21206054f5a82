use std::os::unix::fs::PermissionsExt;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::resource::{Kind, ResourceKey};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::postgres::{PASSWORD, Postgres};

use super::*;
use crate::audit::Trail;
use crate::settings::database::DatabaseSettings;

/// Runs each test against a new SQLite file and against a database of a real PostgreSQL server.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let directory = tempfile::tempdir().unwrap();
                super::$test($crate::store::Store::open(&directory.path().join("test.db")).await.unwrap()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                let server = lgsp_testkit::postgres::Postgres::start().await.unwrap();
                super::$test($crate::store::tests::connect(&server).await.unwrap()).await;
            })+
        }
    };
}
#[allow(unused_imports, reason = "for the tests of the rooms above")]
pub(crate) use on_both;

/// A store in the server's database.
pub(crate) fn connect(server: &Postgres) -> impl Future<Output = Result<Store, StoreError>> + Send + use<> {
    let address = address_of(&server.address());
    async move { Store::connect(&address, Some(&password())).await }
}

fn address_of(text: &str) -> PostgresAddress {
    match DatabaseSettings::try_from(text.to_owned()) {
        Ok(DatabaseSettings::Postgres(address)) => address,
        other => panic!("{other:?}"),
    }
}

fn password() -> Secret {
    Secret::new(PASSWORD.as_bytes().to_vec())
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

/// Where and when tests do what they do.
pub(crate) fn trail(action: &str) -> Trail {
    Trail::new(UnixSeconds(1_000), std::net::Ipv4Addr::LOCALHOST.into(), action.into(), "target".into())
}

async fn commit(store: &Store, revision: &RevisionRow, changes: &[ChangeRow]) -> Result<(), StoreError> {
    store.commit(None, revision, changes, &[], trail("commit").attempt("done")).await
}

fn put(name: &str, spec: &str) -> ChangeRow {
    let content = Some(Content { hash: format!("hash of {spec}"), spec: spec.into() });
    ChangeRow { kind: "Agency".into(), name: name.into(), content }
}

fn delete(name: &str) -> ChangeRow {
    ChangeRow { kind: "Agency".into(), name: name.into(), content: None }
}

async fn every_revision_can_be_read_back_as_it_was(store: Store) {
    assert_eq!(store.head().await.unwrap(), None);
    commit(&store, &revision(1, 0), &[put("a", "1"), put("b", "1")]).await.unwrap();
    commit(&store, &revision(2, 1), &[put("a", "2")]).await.unwrap();
    commit(&store, &revision(3, 2), &[delete("a")]).await.unwrap();
    commit(&store, &revision(4, 3), &[put("a", "1")]).await.unwrap();
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

async fn a_stale_base_changes_nothing(store: Store) {
    commit(&store, &revision(1, 0), &[put("a", "1")]).await.unwrap();
    let error = commit(&store, &revision(1, 0), &[put("a", "2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Stale { current: Revision(1) }), "{error}");
    assert_eq!(store.documents(Revision(1)).await.unwrap()[0].spec, 1);
}

async fn a_revision_never_changes_even_by_hand(store: Store) {
    commit(&store, &revision(1, 0), &[put("a", "1")]).await.unwrap();
    for statement in [
        "UPDATE revision SET message = 'x'",
        "DELETE FROM revision",
        "UPDATE revision_change SET content = NULL",
        "DELETE FROM revision_change",
        "UPDATE content SET spec = '2'",
    ] {
        assert!(sqlx::query(statement).execute(store.pool()).await.is_err(), "{statement}");
    }
}

async fn a_change_of_thousands_of_documents_is_one_revision(store: Store) {
    let names: Vec<String> = (0..1_234).map(|number| format!("a-{number}")).collect();
    let changes: Vec<ChangeRow> = names.iter().map(|name| put(name, "\"the same\"")).collect();
    commit(&store, &revision(1, 0), &changes).await.unwrap();
    let documents = store.documents(Revision(1)).await.unwrap();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(documents.iter().map(|document| &document.name).collect::<Vec<_>>(), sorted.iter().collect::<Vec<_>>());
}

async fn a_database_of_an_earlier_version_keeps_what_it_holds_and_whom_it_had_connected(store: Store) {
    let content = Some(Content { hash: "h".into(), spec: "{}".into() });
    let system = ChangeRow { kind: "System".into(), name: "mot-cua".into(), content };
    commit(&store, &revision(1, 0), &[system]).await.unwrap();
    // As version 5 left it: without applications and all that came after them.
    undo_identities(&store).await;
    for table in ["lineage", "notice", "succession", "reorganisation", "approval", "application_step", "application"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE {table}"))).execute(store.pool()).await.unwrap();
    }
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version > 5").execute(store.pool()).await.unwrap();
    store.database.migrate().await.unwrap();
    let approval = store.approval(&"mot-cua".parse().unwrap()).await.unwrap();
    assert!(registry::Rule::Approved.allows(approval.as_ref()), "{approval:?}");
    assert_eq!(store.head().await.unwrap().unwrap().number, Revision(1));
}

async fn a_page_and_a_document_of_any_revision_are_what_the_whole_of_it_holds(store: Store) {
    commit(&store, &revision(1, 0), &[put("a", "1"), put("b", "1"), put("c", "1"), put("d", "1")]).await.unwrap();
    commit(&store, &revision(2, 1), &[put("b", "2"), delete("c")]).await.unwrap();
    commit(&store, &revision(3, 2), &[put("c", "3"), delete("a"), delete("d")]).await.unwrap();
    for number in (0..=3).map(Revision) {
        let whole = store.documents(number).await.unwrap();
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let page = store.documents_of(number, Kind::Agency, &after, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = last.name.clone();
            paged.extend(page);
        }
        assert_eq!(paged, whole, "{number}");
        for name in ["a", "b", "c", "d", "e"] {
            let key = ResourceKey::parse(&format!("Agency/{name}")).unwrap();
            let expected = whole.iter().find(|document| document.name == name).cloned();
            assert_eq!(store.document_at(number, &key).await.unwrap(), expected, "{name} in {number}");
        }
    }
    assert!(store.documents_of(Revision(3), Kind::Route, "", 2).await.unwrap().is_empty());
}

async fn a_writer_that_is_alone_lets_no_other_write_until_it_is_released(store: Store) {
    let alone = store.alone().await.unwrap();
    let other = tokio::spawn({
        let store = store.clone();
        async move { commit(&store, &revision(1, 0), &[put("a", "other")]).await }
    });
    store.commit(Some(alone), &revision(1, 0), &[put("a", "1")], &[], trail("commit").attempt("done")).await.unwrap();
    assert!(matches!(other.await.unwrap(), Err(StoreError::Stale { current: Revision(1) })));
    store.alone().await.unwrap().release().await.unwrap();
    commit(&store, &revision(2, 1), &[put("a", "2")]).await.unwrap();
}

/// Takes away what versions 20 and 21 of the schema brought.
pub(crate) async fn undo_identities(store: &Store) {
    for statement in [
        "DROP TABLE login_attempt",
        "DROP TABLE revision_concern",
        "DROP TABLE document_name",
        "DROP TABLE identity_last",
        "DROP INDEX application_by_identity",
        "DROP INDEX agency_by_identity",
        "ALTER TABLE application DROP COLUMN identity",
        "ALTER TABLE agency DROP COLUMN identity",
        "DELETE FROM _sqlx_migrations WHERE version IN (20, 21)",
    ] {
        sqlx::query(statement).execute(store.pool()).await.unwrap();
    }
}

impl Store {
    /// The connections, for tests that look at what is kept.
    pub(crate) fn pool_of_tests(&self) -> &AnyPool {
        self.pool()
    }
}

/// Brings the schema up to date again.
pub(crate) async fn migrate(store: &Store) {
    store.database.migrate().await.unwrap();
}

async fn names_sort_by_their_bytes(store: Store) {
    let names = ["B", "a", "a-b", "a.c", "aB", "ab"];
    let changes: Vec<ChangeRow> = names.iter().map(|name| put(name, "1")).collect();
    commit(&store, &revision(1, 0), &changes).await.unwrap();
    let found = store.changes(Revision(1)).await.unwrap();
    assert_eq!(found.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), names);
}

async fn writers_of_one_revision_are_told_apart(store: Store) {
    const WRITERS: u64 = 8;
    let commits: Vec<_> = (0..WRITERS)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { commit(&store, &revision(1, 0), &[put("a", &number.to_string())]).await })
        })
        .collect();
    let mut won = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(()) => won += 1,
            Err(StoreError::Stale { current }) => assert_eq!(current, Revision(1)),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.changes(Revision(1)).await.unwrap().len(), 1);
}

on_both![
    every_revision_can_be_read_back_as_it_was,
    a_stale_base_changes_nothing,
    a_revision_never_changes_even_by_hand,
    a_change_of_thousands_of_documents_is_one_revision,
    a_database_of_an_earlier_version_keeps_what_it_holds_and_whom_it_had_connected,
    a_page_and_a_document_of_any_revision_are_what_the_whole_of_it_holds,
    a_writer_that_is_alone_lets_no_other_write_until_it_is_released,
    names_sort_by_their_bytes,
    writers_of_one_revision_are_told_apart,
];

#[tokio::test]
async fn the_file_is_private_and_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cơ quan?#%.db");
    let first = Store::open(&path).await.unwrap();
    commit(&first, &revision(1, 0), &[put("a", "1")]).await.unwrap();
    first.close().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Store::open(&path).await.unwrap().head().await.unwrap(), Some(revision(1, 0)));
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named() {
    let error = Store::open(Path::new("/nonexistent/x.db")).await.unwrap_err();
    assert!(error.to_string().contains("`/nonexistent/x.db`"), "{error}");
}

#[tokio::test]
async fn processes_that_start_at_one_instant_make_the_schema_once() {
    const STARTS: usize = 6;
    let directory = tempfile::tempdir().unwrap();
    let server = Postgres::start().await.unwrap();
    let starts: Vec<_> = (0..STARTS)
        .flat_map(|_| {
            let (path, server) = (directory.path().join("test.db"), connect(&server));
            [tokio::spawn(async move { Store::open(&path).await }), tokio::spawn(server)]
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_is_used_over_verified_tls_or_not_at_all() {
    let server = Postgres::start_with_tls().await.unwrap();
    let store = |parameters: String| {
        let address = format!("{}?{parameters}", server.address_by_name());
        async move { Store::connect(&address_of(&address), Some(&password())).await }
    };
    let root = server.certificate().unwrap().display().to_string();
    let encrypted = store(format!("sslmode=verify-full&sslrootcert={root}")).await.unwrap();
    let used: String = sqlx::query_scalar("SELECT CAST(ssl AS TEXT) FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(encrypted.pool())
        .await
        .unwrap();
    assert_eq!(used, "true");
    let error = store("sslmode=verify-full".to_owned()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let server = Postgres::start().await.unwrap();
    let wrong = Secret::new(b"geheim".to_vec());
    let error = Store::connect(&address_of(&server.address()), Some(&wrong)).await.unwrap_err();
    let told = format!("{error:?}");
    assert!(error.to_string().contains(&server.address()) && !told.contains("geheim"), "{told}");
}

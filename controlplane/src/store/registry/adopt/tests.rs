use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;

use super::super::application::Applications;
use super::*;
use crate::store::tests::{migrate, on_both, trail, undo_identities};
use crate::store::{Content, RevisionRow};

fn put(kind: &str, name: &str, spec: &str) -> ChangeRow {
    let content = Some(Content { hash: format!("{kind}/{name} {spec}"), spec: spec.into() });
    ChangeRow { kind: kind.into(), name: name.into(), content }
}

fn delete(kind: &str, name: &str) -> ChangeRow {
    ChangeRow { kind: kind.into(), name: name.into(), content: None }
}

async fn revise(store: &Store, number: u64, at: i64, changes: &[ChangeRow]) {
    let row = RevisionRow {
        number: Revision(number),
        base: Revision(number - 1),
        hash: ContentHash::from(format!("hash {number}")),
        documents: 1,
        author: "operator".into(),
        message: String::new(),
        created_at: UnixSeconds(at),
    };
    store.commit(None, &row, changes, &[], trail("commit").attempt("done")).await.unwrap();
}

async fn run(store: &Store, statements: &[&str]) {
    for statement in statements {
        let statement = sqlx::AssertSqlSafe((*statement).to_owned());
        sqlx::query(statement).execute(store.pool()).await.unwrap();
    }
}

/// A history as the version before left it: `H61.1` with the document `a` was renamed to `H61.2` at 100, and `H61.60` with
/// the document `b` took `H61.1` at 200.
async fn old_database(store: &Store) {
    undo_identities(store).await;
    run(
        store,
        &[
            "INSERT INTO agency (code, title, folded, document, since, ended) VALUES ('H61.1', 'B', 'b', 'b', 1, NULL)",
            "INSERT INTO agency (code, title, folded, document, since, ended) VALUES ('H61.2', 'A', 'a', 'a', 1, NULL)",
            "INSERT INTO agency (code, title, folded, document, since, ended) VALUES ('H61.60', 'B', 'b', NULL, 1, 200)",
            "INSERT INTO contact (subject, place, name, role, email, phone) VALUES ('Agency/H61.2', 1, 'x', 'y', 'z', '')",
            "INSERT INTO contact (subject, place, name, role, email, phone) VALUES ('Agency/H61.1', 1, 'x', 'y', 'z', '')",
        ],
    )
    .await;
    for (number, code, at) in [(1, "H61.1", 50), (2, "H61.1", 250), (3, "H61.2", 150), (4, "H61.77", 10)] {
        let request = format!(
            r#"{{"agency":"{code}","agency_name":null,"system":"s","system_title":"S","purpose":"p","services":[],"letter":"1"}}"#
        );
        sqlx::query("INSERT INTO application (number, state, agency, system, request, submitted_at) VALUES ($1, 'approved', $2, 's', $3, $4)")
            .bind(i64::from(number)).bind(code).bind(request).bind(i64::from(at)).execute(store.pool()).await.unwrap();
    }
    for (number, from, to, at, revision) in [(1, "H61.1", "H61.2", 100, 2), (2, "H61.60", "H61.1", 200, 3)] {
        let operation = format!(r#"{{"kind":"rename","code":"{from}","to":{{"code":"{to}","title":"A"}}}}"#);
        sqlx::query("INSERT INTO reorganisation (number, state, operation, effective, alias_until, reason, letter, author, made_at, revision) VALUES ($1, 'applied', $2, $3, 900, 'r', 'l', 'operator', $3, $4)")
            .bind(i64::from(number)).bind(operation).bind(i64::from(at)).bind(i64::from(revision)).execute(store.pool()).await.unwrap();
    }
    let agency = |name: &str, code: &str| put("Agency", name, &format!(r#"{{"code":"{code}","title":"T"}}"#));
    let system = |name: &str, agency: &str| put("System", name, &format!(r#"{{"agency":"{agency}","title":"T"}}"#));
    // The revisions are written by today's program into yesterday's tables.
    revise(store, 1, 40, &[agency("a", "H61.1"), agency("b", "H61.60"), system("s-a", "a"), system("s-b", "b")]).await;
    revise(store, 2, 100, &[agency("a", "H61.2")]).await;
    revise(store, 3, 200, &[agency("b", "H61.1")]).await;
    let right = put("Permission", "p", r#"{"source":"s-a","service":"svc"}"#);
    revise(store, 4, 210, &[put("Service", "svc", r#"{"system":"s-b"}"#), right]).await;
    revise(store, 5, 220, &[delete("Permission", "p"), delete("Service", "svc"), delete("System", "s-b")]).await;
}

async fn an_old_database_learns_whose_its_papers_names_and_revisions_are(store: Store) {
    old_database(&store).await;
    migrate(&store).await;
    store.adopt_identities().await.unwrap();
    store.adopt_identities().await.unwrap();
    let identity = async |name: &str| store.identity_of(&name.parse().unwrap()).await.unwrap().unwrap();
    let (a, b) = (identity("a").await, identity("b").await);
    let code = async |identity| store.agency_with(identity).await.unwrap().unwrap().code.to_string();
    assert_eq!((code(a).await, code(b).await), ("H61.2".to_owned(), "H61.1".to_owned()));
    let papers = async |agency| {
        let which = Applications { agency: Some(agency), limit: 10, ..Applications::default() };
        let found = store.applications(&which).await.unwrap();
        found.iter().map(|one| one.number).collect::<Vec<_>>()
    };
    assert_eq!((papers(a).await, papers(b).await), (vec![3, 1], vec![2]), "each has what was handed in as its own");
    assert_eq!(store.application(4).await.unwrap().unwrap().agency, None);
    let contacts = async |agency| store.contacts(&contacts_of(agency)).await.unwrap().len();
    assert_eq!((contacts(a).await, contacts(b).await), (1, 0), "nobody knows whose those of a code of two are");
    let history = async |agency| {
        let found = store.concerning(agency, None, 10).await.unwrap();
        found.iter().map(|one| (one.revision.number.0, one.alone)).collect::<Vec<_>>()
    };
    assert_eq!(history(a).await, [(5, false), (4, false), (2, true), (1, false)]);
    assert_eq!(history(b).await, [(5, true), (4, true), (3, true), (1, false)]);
    let taken = [super::super::Write::SystemOf { system: "s-b".parse().unwrap(), agency: "a".parse().unwrap() }];
    assert!(matches!(store.write(&taken, &trail("write")).await, Err(StoreError::Taken { .. })));
    let own = [super::super::Write::SystemOf { system: "s-b".parse().unwrap(), agency: "b".parse().unwrap() }];
    store.write(&own, &trail("write")).await.unwrap();
}

async fn an_old_database_that_holds_nothing_is_adopted_too(store: Store) {
    undo_identities(&store).await;
    migrate(&store).await;
    store.adopt_identities().await.unwrap();
    assert!(store.former_names().await.unwrap().0.is_empty());
}

on_both![
    an_old_database_learns_whose_its_papers_names_and_revisions_are,
    an_old_database_that_holds_nothing_is_adopted_too,
];

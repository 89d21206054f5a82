use lgsp_shared::id::CredentialId;
use lgsp_shared::resource::{CredentialSpec, CredentialState, Document, ResourceKey};
use lgsp_shared::seal::credential_identity;
use serde_json::json;

use super::credential::{Draw, Overlap, disable, issue, rotate};
use super::*;

fn key() -> SealKey {
    SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap()
}

fn agency(name: &str, title: &str) -> Document {
    Document {
        kind: "Agency".into(),
        name: name.into(),
        spec: json!({"code": format!("H61.{}", name.to_uppercase()), "title": title}),
    }
}

fn system(name: &str, agency: &str) -> Document {
    Document { kind: "System".into(), name: name.into(), spec: json!({"agency": agency, "title": name}) }
}

fn puts(puts: Vec<Document>) -> Change {
    Change { puts, ..Change::default() }
}

fn deletes(keys: &[&str]) -> Change {
    Change { deletes: keys.iter().map(|key| ResourceKey::parse(key).unwrap()).collect(), ..Change::default() }
}

fn list(whole: &Whole) -> std::vec::IntoIter<(CredentialId, CredentialSpec)> {
    let sight = Authority::everything().sight(whole);
    credential::list(whole, &sight, None).collect::<Vec<_>>().into_iter()
}

fn trail() -> Trail {
    Trail::new(UnixSeconds(1), std::net::Ipv4Addr::LOCALHOST.into(), "test".into(), String::new())
}

fn audit() -> Audit {
    Audit {
        author: "operator".into(),
        message: "test".into(),
        at: UnixSeconds(1),
        authority: Authority::everything(),
        trail: trail(),
    }
}

async fn desired(directory: &tempfile::TempDir) -> Desired {
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    Desired::load(store, key()).await.unwrap().under(Rule::NotWithdrawn)
}

async fn commit(desired: &Desired, change: Change) -> Result<Outcome, ChangeError> {
    desired.apply(change, Mode::Commit, audit()).await
}

#[tokio::test]
async fn a_change_makes_the_next_revision_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = desired(&directory).await;
    let outcome = commit(&first, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    assert_eq!((outcome.whole.revision(), outcome.edits.len()), (Revision(1), 2));
    assert_eq!(desired(&directory).await.current(), outcome.whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_others_are_always_faster_than_is_made_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (slow, fast) = (desired(&directory).await, std::sync::Arc::new(desired(&directory).await));
    commit(&slow, puts(vec![agency("a", "A")])).await.unwrap();
    let (runtime, rivals) = (tokio::runtime::Handle::current(), std::sync::atomic::AtomicU32::new(0));
    // Whenever the change is computed, another process makes a revision, if it can within this time.
    const RIVAL_TRIES: std::time::Duration = std::time::Duration::from_millis(500);
    let make = move |whole: &Whole, _: &_| {
        let title = format!("rival {}", rivals.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let rival = commit(&fast, puts(vec![agency("a", &title)]));
        let _ = runtime.block_on(async { tokio::time::timeout(RIVAL_TRIES, rival).await });
        assert!(whole.get(&ResourceKey::parse("Agency/a").unwrap()).is_some());
        Ok(puts(vec![system("s", "a")]))
    };
    let made = slow.edit(Mode::Commit, audit(), make).await.unwrap();
    assert_eq!(made.edits.len(), 1, "the last rival's revision is part of it");
    assert!(made.whole.get(&ResourceKey::parse("Agency/a").unwrap()).unwrap().spec["title"] != "A");
}

#[tokio::test]
async fn a_credential_whose_secret_was_not_shown_can_be_applied_as_it_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    let draw = Draw::random().unwrap();
    let make = move |whole: &Whole, key: &SealKey| {
        issue(whole, key, &draw, &"s".parse().unwrap(), None).map(|(_, change)| change)
    };
    let whole = desired.edit(Mode::Commit, audit(), make).await.unwrap().whole;
    let full = whole.get(&ResourceKey::parse("Credential/s-1").unwrap()).unwrap();
    let mut shown = full.clone();
    shown.spec.as_object_mut().unwrap().remove("secret");
    assert!(credential::lacks_secret(&shown) && !credential::lacks_secret(full));
    credential::keep_secret(&whole, &mut shown);
    assert_eq!(&shown, full);
    let mut unknown = Document { name: "s-2".into(), ..shown.clone() };
    unknown.spec.as_object_mut().unwrap().remove("secret");
    credential::keep_secret(&whole, &mut unknown);
    assert!(credential::lacks_secret(&unknown), "one that does not exist has no secret to keep");
}

#[tokio::test]
async fn what_still_refers_to_a_removed_document_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    let Err(ChangeError::Refused(problems)) = commit(&desired, deletes(&["Agency/a"])).await else { panic!() };
    assert_eq!(problems[0].document, "System/s");
    assert!(problems[0].message.starts_with("it still refers to `Agency/a`, which the change removes"), "{problems:?}");
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_revision() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A")])).await.unwrap();
    let again = commit(&desired, puts(vec![agency("a", "A")])).await.unwrap();
    assert_eq!((again.whole.revision(), again.edits.len()), (Revision(1), 0));
}

#[tokio::test]
async fn a_refused_change_names_every_problem_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    let mut change = puts(vec![system("s", "nowhere"), agency("b", "B"), agency("B", "B")]);
    change.deletes = deletes(&["Agency/gone", "Agency/b"]).deletes;
    let Err(ChangeError::Refused(problems)) = commit(&desired, change).await else { panic!("accepted") };
    let found: Vec<(&str, &str)> = problems.iter().map(|p| (p.document.as_str(), p.path.as_str())).collect();
    let expected =
        [("Agency/gone", "deletes[0]"), ("Agency/b", "deletes[1]"), ("Agency/B", "name"), ("System/s", "spec.agency")];
    assert_eq!(found, expected);
    assert_eq!(desired.current().revision(), Revision(0));
}

#[tokio::test]
async fn what_others_refer_to_cannot_be_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    assert!(matches!(commit(&desired, deletes(&["Agency/a"])).await, Err(ChangeError::Refused(_))));
    commit(&desired, deletes(&["Agency/a", "System/s"])).await.unwrap();
    assert!(desired.current().is_empty());
}

#[tokio::test]
async fn a_stale_base_is_a_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A")])).await.unwrap();
    let change = Change { base: Some(Revision(0)), ..puts(vec![agency("b", "B")]) };
    let error = commit(&desired, change).await.unwrap_err();
    assert!(matches!(error, ChangeError::Stale { base: Revision(0), current: Revision(1) }), "{error}");
}

#[tokio::test]
async fn another_process_that_was_faster_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (desired(&directory).await, desired(&directory).await);
    commit(&one, puts(vec![agency("a", "A")])).await.unwrap();
    let outcome = commit(&other, puts(vec![agency("b", "B")])).await.unwrap();
    assert_eq!((outcome.whole.revision(), outcome.whole.len()), (Revision(2), 2));
}

#[tokio::test]
async fn a_dry_run_tells_and_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    let outcome = desired.apply(puts(vec![agency("a", "A")]), Mode::DryRun, audit()).await.unwrap();
    assert_eq!((outcome.whole.revision(), outcome.edits.len()), (Revision(1), 1));
    assert_eq!(desired.current().revision(), Revision(0));
}

#[tokio::test]
async fn removing_most_of_a_configuration_has_to_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    let names: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    commit(&desired, puts(names.iter().map(|name| agency(name, "A")).collect())).await.unwrap();
    let keys: Vec<String> = names.iter().take(11).map(|name| format!("Agency/{name}")).collect();
    let mut change = deletes(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let error = commit(&desired, change.clone()).await.unwrap_err();
    assert!(matches!(error, ChangeError::LargeRemoval { removed: 11, of: 20 }), "{error}");
    change.allow_large_removal = true;
    assert_eq!(commit(&desired, change).await.unwrap().whole.len(), 9);
}

#[tokio::test]
async fn a_rollback_brings_old_content_back_but_never_a_disabled_key() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    let draw = Draw::random().unwrap();
    let (name, change) = issue(&desired.current(), &key(), &draw, &"s".parse().unwrap(), None).unwrap();
    let old = commit(&desired, change).await.unwrap().whole;
    commit(&desired, disable(&desired.current(), &name).unwrap()).await.unwrap();
    commit(&desired, puts(vec![agency("a", "renamed"), agency("b", "B")])).await.unwrap();

    let documents: Vec<Document> = old.documents().cloned().collect();
    let kept = rollback::to(&desired.current(), &documents, rollback::Credentials::Keep);
    let outcome = commit(&desired, kept).await.unwrap();
    assert_eq!(outcome.whole.get(&ResourceKey::parse("Agency/a").unwrap()).unwrap().spec["title"], "A");
    assert!(outcome.whole.get(&ResourceKey::parse("Agency/b").unwrap()).is_none());
    assert_eq!(list(&outcome.whole).next().unwrap().1.state, CredentialState::Disabled);
    let restored = rollback::to(&desired.current(), &documents, rollback::Credentials::Restore);
    assert_eq!(commit(&desired, restored).await.unwrap().whole.hash(), old.hash());
}

#[tokio::test]
async fn a_credential_is_issued_rotated_and_disabled() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    let draw = Draw::random().unwrap();
    let (first, change) = issue(&desired.current(), &key(), &draw, &"s".parse().unwrap(), None).unwrap();
    assert_eq!(first.as_str(), "s-1");
    commit(&desired, change).await.unwrap();
    let (_, spec) = list(&desired.current()).next().unwrap();
    let identity = credential_identity("s-1", "s", spec.access_key.as_str());
    assert_eq!(key().open(&spec.secret, &identity).unwrap(), draw.secret());
    assert!(spec.access_key.as_str().starts_with("LGSP") && spec.access_key.as_str().len() == 20);

    let end = Overlap { now: UnixSeconds(1_000), secs: 60 };
    let (second, change) = rotate(&desired.current(), &key(), &Draw::random().unwrap(), &first, end).unwrap();
    assert_eq!(second.as_str(), "s-2");
    commit(&desired, change).await.unwrap();
    let states: Vec<_> = list(&desired.current()).map(|(_, spec)| (spec.state, spec.not_after)).collect();
    assert_eq!(states, [(CredentialState::Retiring, Some(UnixSeconds(1_060))), (CredentialState::Active, None)]);
    let again = rotate(&desired.current(), &key(), &Draw::random().unwrap(), &first, end);
    assert!(matches!(again, Err(ChangeError::NotNow(_))));
    commit(&desired, disable(&desired.current(), &second).unwrap()).await.unwrap();
    assert_eq!(list(&desired.current()).nth(1).unwrap().1.state, CredentialState::Disabled);
}

#[tokio::test]
async fn a_credential_that_was_sealed_elsewhere_or_moved_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    commit(&desired, puts(vec![agency("a", "A"), system("s", "a")])).await.unwrap();
    let foreign = SealKey::parse("ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let system = "s".parse().unwrap();
    for (sealing, name) in [(foreign, "s-1"), (key(), "other")] {
        let draw = Draw::random().unwrap();
        let (_, mut change) = issue(&desired.current(), &sealing, &draw, &system, None).unwrap();
        change.puts[0].name = name.into();
        let Err(ChangeError::Refused(problems)) = commit(&desired, change).await else { panic!("accepted") };
        assert_eq!(problems[0].path, "spec.secret");
    }
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_issued_for_or_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let desired = desired(&directory).await;
    let (whole, draw) = (desired.current(), Draw::random().unwrap());
    let missing = issue(&whole, &key(), &draw, &"s".parse().unwrap(), None);
    assert!(matches!(missing, Err(ChangeError::NotFound { .. })));
    assert!(matches!(disable(&whole, &"s-1".parse().unwrap()), Err(ChangeError::NotFound { .. })));
}

#[tokio::test]
async fn what_another_process_made_is_taken_over_with_what_the_next_change_is_checked_against() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (desired(&directory).await, desired(&directory).await);
    commit(&one, puts(vec![agency("a", "A"), system("s", "a"), system("t", "a")])).await.unwrap();
    other.refresh().await.unwrap();
    commit(&one, deletes(&["System/t"])).await.unwrap();
    other.refresh().await.unwrap();
    let restarted = desired(&directory).await;
    for desired in [&other, &restarted] {
        assert_eq!(desired.current(), one.current());
        assert_eq!(desired.current().index(), one.current().index());
        assert!(desired.current().index().is_some());
        let Err(ChangeError::Refused(problems)) = commit(desired, deletes(&["Agency/a"])).await else { panic!("gone") };
        assert_eq!((problems.len(), problems[0].document.as_str()), (1, "System/s"));
    }
}

#[tokio::test]
async fn an_agency_beyond_its_share_of_what_is_published_is_refused_by_name_and_may_still_take_away() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = Bounds { agency_bytes_max: 600, published_bytes_max: 10_000 };
    let desired = desired(&directory).await.within(bounds);
    commit(&desired, puts(vec![agency("a", "A"), agency("b", "B"), system("s", "a")])).await.unwrap();
    let large = Document { spec: json!({"agency": "a", "title": "x".repeat(250)}), ..system("t", "a") };
    commit(&desired, puts(vec![large.clone()])).await.unwrap();
    let more = Document { name: "u".into(), ..large };
    let refused = commit(&desired, puts(vec![more.clone()])).await.unwrap_err();
    assert!(matches!(&refused, ChangeError::TooLarge { bytes_max: 600, .. }), "{refused}");
    assert!(refused.to_string().contains("`Agency/a`"), "{refused}");
    let elsewhere = Document { spec: json!({"agency": "b", "title": "x".repeat(250)}), ..more };
    commit(&desired, puts(vec![elsewhere])).await.expect("another agency has its own share");
    commit(&desired, deletes(&["System/s"])).await.expect("what is taken away is never too much");
}

use super::*;
use crate::audit::Trail;
use crate::audit::verify::{Broken, Chain};
use crate::store::tests::{on_both, trail};

/// Follows the whole chain, by pages.
async fn verify(store: &Store) -> Result<u64, Broken> {
    let head = store.audit_head().await.unwrap().number;
    let mut chain = Chain::new(None);
    loop {
        let page = store.audit_page(AuditPage::After(chain.end().0), &AuditFilter::default(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        page.iter().try_for_each(|entry| chain.follow(entry))?;
    }
    chain.finish(head)?;
    Ok(head)
}

async fn writers_at_one_instant_keep_one_chain(store: Store) {
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for at in 0..5 {
                    let trail = trail(&format!("writer {writer}"));
                    trail.about(format!("entry {at}"));
                    store.record(trail.attempt("done")).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(verify(&store).await, Ok(40));
    let newest = store.audit_page(AuditPage::Before(None), &AuditFilter::default(), 2).await.unwrap();
    assert_eq!(newest.iter().map(|entry| entry.number).collect::<Vec<_>>(), [40, 39]);
}

async fn an_entry_never_changes_even_by_hand(store: Store) {
    store.record(trail("test").attempt("done")).await.unwrap();
    for statement in ["UPDATE audit SET operator = 'x'", "DELETE FROM audit"] {
        assert!(sqlx::query(statement).execute(store.pool()).await.is_err(), "{statement}");
    }
    assert_eq!(verify(&store).await, Ok(1));
}

async fn whatever_a_stranger_sends_can_be_written_and_is_bounded(store: Store) {
    let trail = trail("test");
    trail.by("nul \0 escape \u{1b}[31m line\n", "");
    trail.about("ộ".repeat(20_000));
    store.record(trail.attempt("refused")).await.unwrap();
    let entry = store.audit_page(AuditPage::After(0), &AuditFilter::default(), 1).await.unwrap().remove(0);
    assert_eq!(entry.attempt.operator, "nul \u{fffd} escape \u{fffd}[31m line\u{fffd}");
    assert!(entry.attempt.target.len() <= crate::audit::TEXT_BYTES_MAX);
    assert_eq!(verify(&store).await, Ok(1));
}

async fn entries_are_found_by_operator_target_and_time(store: Store) {
    for (at, operator, target) in
        [(10, "lan", "Credential/a-1"), (20, "mai", "Credential/a-1"), (30, "lan", "Route/A-1"), (40, "lan", "100 %_")]
    {
        let trail = Trail::new(UnixSeconds(at), std::net::Ipv4Addr::LOCALHOST.into(), "x".into(), target.into());
        trail.by(operator, "");
        store.record(trail.attempt("done")).await.unwrap();
    }
    let found = async |filter: AuditFilter| {
        let page = store.audit_page(AuditPage::Before(None), &filter, 10).await.unwrap();
        page.into_iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    let none = AuditFilter::default;
    assert_eq!(found(none()).await, [4, 3, 2, 1]);
    assert_eq!(found(AuditFilter { operator: Some("lan".into()), ..none() }).await, [4, 3, 1]);
    assert_eq!(found(AuditFilter { target: Some("a-1".into()), ..none() }).await, [2, 1], "capitals are told apart");
    assert_eq!(found(AuditFilter { target: Some("%_".into()), ..none() }).await, [4], "nothing is a wildcard");
    let time = AuditFilter { since: Some(UnixSeconds(20)), until: Some(UnixSeconds(40)), ..none() };
    assert_eq!(found(time).await, [3, 2]);
}

on_both![
    entries_are_found_by_operator_target_and_time,
    writers_at_one_instant_keep_one_chain,
    an_entry_never_changes_even_by_hand,
    whatever_a_stranger_sends_can_be_written_and_is_bounded,
];

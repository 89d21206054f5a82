use lgsp_shared::timestamp::UnixSeconds;

use super::agency::{Ended, Search};
use super::*;
use crate::registry::application::{Action, Decision, Request, Submission};
use crate::registry::directory::Agency;
use crate::registry::fold::Query;
use crate::registry::notice::Notice;
use crate::registry::reorganisation::{Operation, Reorganisation, State as Standing, Successor};
use crate::store::tests::{on_both, trail};

fn code(text: &str) -> AgencyCode {
    text.parse().unwrap()
}

fn step(action: Action) -> Step {
    Step::new(action, "operator", UnixSeconds(5))
}

async fn import(store: &Store, agencies: &[(&str, &str)]) {
    let batch: Vec<_> = agencies.iter().map(|(text, title)| (code(text), (*title).to_owned())).collect();
    store.import_agencies(&batch, &trail("import")).await.unwrap();
}

/// All pages of a search, by code.
async fn found(store: &Store, query: &str, limit: u32) -> Vec<String> {
    let mut codes = Vec::new();
    let mut after = None;
    loop {
        let search = Search { query: Query::parse(query).unwrap(), after, limit, ended: Ended::LeftOut };
        let (page, next) = store.search_agencies(&search).await.unwrap();
        assert!(page.len() <= usize::try_from(limit).unwrap());
        codes.extend(page.into_iter().map(|agency| String::from(agency.code)));
        match next {
            Some(cursor) => after = Some(cursor),
            None => return codes,
        }
    }
}

async fn search_finds_by_prefix_first_then_within_page_by_page(store: Store) {
    import(
        &store,
        &[
            ("H61.3", "Sở Tư pháp"),
            ("H61.1", "Ủy ban nhân dân xã Đường Hoa"),
            ("H61.2", "Phòng Tư pháp thành phố"),
            ("000.00.04.G14", "Tư pháp Trung ương"),
        ],
    )
    .await;
    for limit in [1, 2, 50] {
        assert_eq!(found(&store, "tu phap", limit).await, ["000.00.04.G14", "H61.2", "H61.3"], "{limit}");
        assert_eq!(found(&store, "", limit).await, ["H61.2", "H61.3", "000.00.04.G14", "H61.1"], "{limit}");
    }
    assert_eq!(found(&store, "ĐƯỜNG hoa", 10).await, ["H61.1"]);
    assert_eq!(found(&store, "phap so", 10).await, ["H61.3"], "every word, in any order");
    assert_eq!(found(&store, "00.04.g", 10).await, ["000.00.04.G14"], "a part of a code");
    assert!(found(&store, "%", 10).await.len() == 4 && found(&store, "tu hoa", 10).await.is_empty());
}

async fn an_import_is_told_apart_and_changes_nothing_twice(store: Store) {
    let batch = [(code("H61.1"), "A".to_owned()), (code("H61.2"), "B".to_owned())];
    let first = store.import_agencies(&batch, &trail("import")).await.unwrap();
    let renamed = [(code("H61.1"), "A".to_owned()), (code("H61.2"), "C".to_owned())];
    let second = store.import_agencies(&renamed, &trail("import")).await.unwrap();
    assert_eq!((first.added, second.updated, second.unchanged), (2, 1, 1));
    let kept = store.agency(&code("H61.2")).await.unwrap().unwrap();
    let expected =
        Agency { code: code("H61.2"), title: "C".into(), document: None, since: trail("").at(), ended: None };
    assert_eq!(kept, expected);
}

fn submission() -> Submission {
    let request = Request {
        agency: code("H61.1"),
        agency_name: None,
        system: "mot-cua".parse().unwrap(),
        system_title: "Một cửa".into(),
        purpose: "Tra cứu".into(),
        services: Vec::new(),
        letter: "1/X".into(),
    };
    Submission { request, contacts: Vec::new() }
}

async fn two_deciders_at_once_make_one_decision(store: Store) {
    let number = store.submit_application(&submission(), &step(Action::Submit), &trail("submit")).await.unwrap();
    let second = store.submit_application(&submission(), &step(Action::Submit), &trail("submit")).await;
    assert!(matches!(second, Err(StoreError::Moved { .. })), "one open application per system");
    let take = |from, action| Write::Step { application: number, from, step: step(action) };
    store.write(&[take(State::Submitted, Action::Review)], &trail("write")).await.unwrap();
    store.write(&[take(State::Reviewing, Action::Refuse)], &trail("write")).await.unwrap();
    let late = store.write(&[take(State::Reviewing, Action::Approve)], &trail("write")).await;
    assert!(matches!(late, Err(StoreError::Moved { .. })));
    let impossible = store.write(&[take(State::Refused, Action::Approve)], &trail("write")).await;
    assert!(matches!(impossible, Err(StoreError::Moved { .. })));
    let actions: Vec<_> = store.application_steps(number).await.unwrap().into_iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::Submit, Action::Review, Action::Refuse]);
}

async fn a_withdrawn_approval_allows_nothing_under_any_rule(store: Store) {
    let system: SystemId = "mot-cua".parse().unwrap();
    let insist = |rule| [Write::Insist { system: system.clone(), rule }];
    assert!(matches!(store.write(&insist(Rule::Approved), &trail("write")).await, Err(StoreError::NotApproved { .. })));
    store.write(&insist(Rule::NotWithdrawn), &trail("write")).await.unwrap();
    let approve = Write::Approve { system: system.clone(), application: None, step: step(Action::Approve) };
    store.write(&[approve], &trail("write")).await.unwrap();
    store.write(&insist(Rule::Approved), &trail("write")).await.unwrap();
    for actor in ["operator", "somebody later"] {
        let step = Step::new(Action::Cancel, actor, UnixSeconds(5));
        store.write(&[Write::Withdraw { system: system.clone(), step }], &trail("write")).await.unwrap();
    }
    store.write(&[Write::Forget { system: system.clone() }], &trail("write")).await.unwrap();
    for rule in [Rule::Approved, Rule::NotWithdrawn] {
        assert!(
            matches!(store.write(&insist(rule), &trail("write")).await, Err(StoreError::NotApproved { .. })),
            "{rule:?}"
        );
    }
    let approval = store.approval(&system).await.unwrap().unwrap();
    assert_eq!(approval.withdrawn.unwrap().actor, "operator");
}

fn rename(from: &str, to: &str) -> Reorganisation {
    Reorganisation {
        number: 0,
        state: Standing::Scheduled,
        operation: Operation::Rename { code: code(from), to: Successor { code: code(to), title: to.into() } },
        effective: UnixSeconds(10),
        alias_until: UnixSeconds(20),
        decision: Decision::new("why", "1/QĐ").unwrap(),
        author: "operator".into(),
        created_at: UnixSeconds(9),
        revision: None,
        error: None,
    }
}

async fn rename_now(store: &Store, from: &str, to: &str) {
    let number = store.next_reorganisation().await.unwrap();
    let one = Reorganisation { number, ..rename(from, to) };
    store.schedule_reorganisation(&one, &trail("schedule")).await.unwrap();
    let link = Succession {
        old: code(from),
        new: Some(code(to)),
        operation: "rename".into(),
        reorganisation: number,
        at: UnixSeconds(10),
        alias_until: UnixSeconds(20),
    };
    let writes = [
        Write::Agency { code: code(to), title: to.into(), since: UnixSeconds(10) },
        Write::AgencyEnds { code: code(from), at: UnixSeconds(10) },
        Write::Reorganised { one: Box::new(one), successions: vec![link] },
    ];
    store.write(&writes, &trail("write")).await.unwrap();
    let again = store.write(&writes[2..], &trail("write")).await;
    assert!(matches!(again, Err(StoreError::Moved { .. })), "none happens twice");
}

async fn a_code_is_followed_through_renames_and_back_again(store: Store) {
    import(&store, &[("H61.1", "A")]).await;
    rename_now(&store, "H61.1", "H61.2").await;
    rename_now(&store, "H61.2", "H61.3").await;
    let resolved = store.resolve_agency(&code("H61.1")).await.unwrap().unwrap();
    assert_eq!(resolved.current[0].code, code("H61.3"));
    assert!(resolved.resolves_at(UnixSeconds(19)) && !resolved.resolves_at(UnixSeconds(20)));
    rename_now(&store, "H61.3", "H61.1").await;
    for old in ["H61.1", "H61.2", "H61.3"] {
        let resolved = store.resolve_agency(&code(old)).await.unwrap().unwrap();
        assert_eq!(resolved.current.iter().map(|agency| agency.code.as_str()).collect::<Vec<_>>(), ["H61.1"], "{old}");
    }
    assert_eq!(store.lineage(&code("H61.2")).await.unwrap().len(), 3);
    assert_eq!(found(&store, "H61", 10).await, ["H61.1"], "what ended is not found");
}

async fn a_document_never_takes_the_code_of_an_agency_that_ended(store: Store) {
    import(&store, &[("H61.1", "A"), ("H61.2", "B")]).await;
    store.write(&[Write::AgencyEnds { code: code("H61.1"), at: UnixSeconds(3) }], &trail("write")).await.unwrap();
    let document = |text: &str| Write::Document {
        document: "a".parse().unwrap(),
        code: code(text),
        title: "A".into(),
        since: UnixSeconds(4),
    };
    assert!(matches!(store.write(&[document("H61.1")], &trail("write")).await, Err(StoreError::Ended { .. })));
    store.write(&[document("H61.2")], &trail("write")).await.unwrap();
    store.write(&[document("H61.9")], &trail("write")).await.unwrap();
    let of = |text: &'static str| {
        let store = store.clone();
        async move { store.agency(&code(text)).await.unwrap().unwrap().document }
    };
    assert_eq!((of("H61.2").await, of("H61.9").await.is_some()), (None, true), "a document is of one agency");
}

async fn a_notice_is_called_off_once(store: Store) {
    let notice = Notice {
        number: 0,
        agency: None,
        starts: UnixSeconds(10),
        ends: UnixSeconds(20),
        text: "Nâng cấp".into(),
        text_en: String::new(),
        author: "operator".into(),
        published_at: UnixSeconds(1),
        cancelled_at: None,
    };
    let number = store.add_notice(&notice, &trail("add")).await.unwrap();
    assert_eq!(store.notices(UnixSeconds(19), None, None, 10).await.unwrap().len(), 1);
    assert!(store.notices(UnixSeconds(20), None, None, 10).await.unwrap().is_empty());
    let later = Notice { starts: UnixSeconds(11), ends: UnixSeconds(19), ..notice.clone() };
    let second = store.add_notice(&later, &trail("add")).await.unwrap();
    let after = store.notices(UnixSeconds(0), None, Some((UnixSeconds(10), number)), 10).await.unwrap();
    assert_eq!(
        after.iter().map(|notice| notice.number).collect::<Vec<_>>(),
        [second],
        "a page goes on where one ended"
    );
    assert!(store.cancel_notice(number, "operator", &trail("cancel")).await.unwrap());
    assert!(!store.cancel_notice(number, "operator", &trail("cancel")).await.unwrap());
    assert_eq!(store.notice(number).await.unwrap().unwrap().cancelled_at, Some(trail("").at()));
}

on_both![
    search_finds_by_prefix_first_then_within_page_by_page,
    an_import_is_told_apart_and_changes_nothing_twice,
    two_deciders_at_once_make_one_decision,
    a_withdrawn_approval_allows_nothing_under_any_rule,
    a_code_is_followed_through_renames_and_back_again,
    a_document_never_takes_the_code_of_an_agency_that_ended,
    a_notice_is_called_off_once,
];

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
    let expected = Agency {
        identity: kept.identity,
        code: code("H61.2"),
        title: "C".into(),
        document: None,
        since: trail("").at(),
        ended: None,
    };
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
        Write::Recoded { from: code(from), to: code(to), title: to.into(), at: UnixSeconds(10) },
        Write::Reorganised { one: Box::new(one), successions: vec![link] },
    ];
    store.write(&writes, &trail("write")).await.unwrap();
    let again = store.write(&writes[1..], &trail("write")).await;
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

fn document(name: &str, text: &str) -> Write {
    Write::Document { document: name.parse().unwrap(), code: code(text), title: "A".into(), since: UnixSeconds(4) }
}

fn gone(name: &str) -> [Write; 2] {
    let key = ResourceKey::parse(&format!("Agency/{name}")).unwrap();
    [Write::DocumentGone { document: name.parse().unwrap() }, Write::NameLeft { key, at: UnixSeconds(5) }]
}

async fn write(store: &Store, writes: &[Write]) -> Result<(), StoreError> {
    store.write(writes, &trail("write")).await
}

/// Says what was refused, and with which words.
async fn taken(store: &Store, writes: &[Write], words: &str) {
    match write(store, writes).await {
        Err(StoreError::Taken { what }) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}, but not: {words}"),
    }
}

async fn a_document_never_takes_the_code_of_an_agency_that_ended(store: Store) {
    import(&store, &[("H61.1", "A"), ("H61.2", "B")]).await;
    write(&store, &[Write::AgencyEnds { code: code("H61.1"), at: UnixSeconds(3) }]).await.unwrap();
    assert!(matches!(write(&store, &[document("a", "H61.1")]).await, Err(StoreError::Ended { .. })));
    let put = Write::Agency { code: code("H61.1"), title: "A".into(), since: UnixSeconds(4) };
    assert!(matches!(write(&store, &[put]).await, Err(StoreError::Ended { .. })), "nor does the directory revive it");
    write(&store, &[document("a", "H61.2")]).await.unwrap();
    let kept = store.agency(&code("H61.2")).await.unwrap().unwrap();
    assert_eq!(kept.document, Some("a".parse().unwrap()));
}

/// Found by reading: the last of two documents with one code silently replaced the first in the directory.
async fn two_documents_never_have_one_code(store: Store) {
    write(&store, &[document("a", "H61.1")]).await.unwrap();
    taken(&store, &[document("b", "H61.1")], "`Agency/a` already").await;
    taken(&store, &[document("c", "H61.2"), document("d", "H61.2")], "`Agency/c` already").await;
    write(&store, &[&gone("a")[..], &[document("b", "H61.1")]].concat()).await.unwrap();
}

async fn the_code_in_a_document_changes_by_reorganisation_alone(store: Store) {
    write(&store, &[document("a", "H61.1")]).await.unwrap();
    taken(&store, &[document("a", "H61.9")], "agency rename H61.1 --to H61.9").await;
    let recoded = Write::Recoded { from: code("H61.1"), to: code("H61.9"), title: "A".into(), at: UnixSeconds(9) };
    write(&store, &[recoded, document("a", "H61.9")]).await.unwrap();
}

async fn the_name_of_an_agency_s_document_is_no_other_agency_s_ever_again(store: Store) {
    write(&store, &[document("a", "H61.1")]).await.unwrap();
    let identity = store.identity_of(&"a".parse().unwrap()).await.unwrap().unwrap();
    write(&store, &gone("a")).await.unwrap();
    taken(&store, &[document("a", "H61.50")], "choose another name").await;
    assert_eq!(store.former_names().await.unwrap().of(identity), Some("a".parse().unwrap()));
    write(&store, &[document("a", "H61.1")]).await.unwrap();
    assert_eq!(store.identity_of(&"a".parse().unwrap()).await.unwrap(), Some(identity), "its own it gets again");
    assert!(store.former_names().await.unwrap().0.is_empty());
}

async fn the_name_of_a_removed_system_or_service_is_left_to_its_agency(store: Store) {
    write(&store, &[document("a", "H61.1"), document("b", "H61.2")]).await.unwrap();
    let system =
        |name: &str, agency: &str| Write::SystemOf { system: name.parse().unwrap(), agency: agency.parse().unwrap() };
    let service = |system: &str| Write::ServiceOf { service: "svc".parse().unwrap(), system: system.parse().unwrap() };
    let left = |key: &str| Write::NameLeft { key: ResourceKey::parse(key).unwrap(), at: UnixSeconds(5) };
    write(&store, &[system("s", "b"), system("s-a", "a"), service("s")]).await.unwrap();
    write(&store, &[left("Service/svc"), left("System/s")]).await.unwrap();
    taken(&store, &[system("s", "a")], "`System/s` was another agency's").await;
    taken(&store, &[service("s-a")], "`Service/svc` was another agency's").await;
    write(&store, &[system("s", "b"), service("s")]).await.unwrap();
    write(&store, &[system("s", "a")]).await.unwrap();
    write(&store, &[left("Service/svc"), service("s-a")]).await.unwrap();
}

async fn papers_stay_with_the_agency_when_its_code_is_another_s(store: Store) {
    import(&store, &[("H61.1", "A"), ("H61.60", "B")]).await;
    store.submit_application(&submission(), &step(Action::Submit), &trail("submit")).await.unwrap();
    let of = async |text: &str| {
        let agency = store.agency(&code(text)).await.unwrap().unwrap().identity;
        let which = application::Applications { agency: Some(agency), limit: 10, ..Default::default() };
        store.applications(&which).await.unwrap().len()
    };
    rename_now(&store, "H61.1", "H61.2").await;
    assert_eq!(of("H61.2").await, 1, "a renamed agency keeps its own");
    rename_now(&store, "H61.60", "H61.1").await;
    assert_eq!((of("H61.1").await, of("H61.2").await), (0, 1), "who has the code later gets none");
    let merged = Write::Inherits { from: code("H61.2"), to: code("H61.1") };
    write(&store, &[merged, Write::AgencyEnds { code: code("H61.2"), at: UnixSeconds(12) }]).await.unwrap();
    assert_eq!(of("H61.1").await, 1, "but by the merge that says so");
    let again = Write::Succeeds { code: code("H61.2"), title: "C".into(), since: UnixSeconds(13) };
    let before = store.agency(&code("H61.2")).await.unwrap().unwrap().identity;
    write(&store, &[again]).await.unwrap();
    let after = store.agency(&code("H61.2")).await.unwrap().unwrap();
    assert!(after.ended.is_none() && after.identity != before, "a code that is given again is another agency's");
    let numbers = [store.agency(&code("H61.1")).await.unwrap().unwrap().identity, before, after.identity];
    assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{numbers:?}");
}

async fn what_is_bound_to_an_agency_moves_or_ends_with_it(store: Store) {
    let operators = [("lan", "a"), ("hoa", "b")];
    for (name, agency) in operators {
        let roles = [crate::operator::Role::Observer].into();
        let agency = Some(agency.parse().unwrap());
        let row = crate::store::OperatorRow::new(name.parse().unwrap(), roles, agency, UnixSeconds(1));
        assert!(store.add_operator(&row, &trail("add")).await.unwrap());
    }
    let notice = Notice {
        number: 0,
        agency: Some("a".parse().unwrap()),
        starts: UnixSeconds(2_000),
        ends: UnixSeconds(3_000),
        text: "Nâng cấp".into(),
        text_en: String::new(),
        author: "operator".into(),
        published_at: UnixSeconds(1),
        cancelled_at: None,
    };
    store.add_notice(&notice, &trail("add")).await.unwrap();
    let bound = async |name: &str| store.bound_to(&name.parse().unwrap(), UnixSeconds(10)).await.unwrap();
    let expected = binding::Bound { operators: vec!["lan".into()], tokens: Vec::new(), notices: vec![1] };
    assert_eq!(bound("a").await, expected);
    let moves = |from: &str, to: Option<&str>| Write::Bound {
        from: from.parse().unwrap(),
        to: to.map(|to| to.parse().unwrap()),
        by: "operator".into(),
        at: UnixSeconds(10),
    };
    write(&store, &[moves("a", Some("b"))]).await.unwrap();
    assert_eq!(bound("b").await.operators, ["hoa", "lan"]);
    write(&store, &[moves("b", None)]).await.unwrap();
    assert!(bound("b").await.notices.is_empty(), "called off");
    for (name, _) in operators {
        assert!(store.operator(&name.parse().unwrap()).await.unwrap().unwrap().disabled, "{name}");
    }
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
    two_documents_never_have_one_code,
    the_code_in_a_document_changes_by_reorganisation_alone,
    the_name_of_an_agency_s_document_is_no_other_agency_s_ever_again,
    the_name_of_a_removed_system_or_service_is_left_to_its_agency,
    papers_stay_with_the_agency_when_its_code_is_another_s,
    what_is_bound_to_an_agency_moves_or_ends_with_it,
    a_notice_is_called_off_once,
];

use lgsp_shared::id::Revision;
use lgsp_shared::resource::ResourceKey;
use serde_json::json;

use super::*;

fn document(kind: &str, name: &str, spec: serde_json::Value) -> Document {
    Document { kind: kind.into(), name: name.into(), spec }
}

fn system(name: &str, agency: &str) -> Document {
    document("System", name, json!({"agency": agency, "title": name}))
}

fn service(name: &str, system: &str) -> Document {
    document("Service", name, json!({"system": system, "title": name}))
}

fn permission(name: &str, source: &str, service: &str) -> Document {
    document("Permission", name, json!({"source": source, "service": service}))
}

/// Agencies `a` and `b`, each with a system, a service, a route and a credential; `b` may call the service of `a`.
fn whole() -> Whole {
    let mut documents = vec![permission("b-calls-a", "sys-b", "svc-a"), permission("b-calls-b", "sys-b", "svc-b")];
    for agency in ["a", "b"] {
        let (system_name, service_name) = (format!("sys-{agency}"), format!("svc-{agency}"));
        documents.push(document("Agency", agency, json!({"code": "H61", "title": agency})));
        documents.push(system(&system_name, agency));
        documents.push(service(&service_name, &system_name));
        documents.push(document("Route", &format!("rt-{agency}"), json!({"service": service_name})));
        documents.push(document("Credential", &format!("key-{agency}"), json!({"system": system_name, "secret": "x"})));
    }
    Whole::new(Revision(1), documents).unwrap()
}

fn of_a(kinds: &[Kind]) -> Authority {
    Authority::new(kinds.iter().copied().collect(), Some("a".parse().unwrap()))
}

fn puts(puts: Vec<Document>) -> Change {
    Change { puts, ..Change::default() }
}

fn deletes(key: &str) -> Change {
    Change { deletes: vec![ResourceKey::parse(key).unwrap()], ..Change::default() }
}

fn refused(authority: &Authority, change: &Change) -> String {
    match authority.check(&whole(), change, Door::Hand) {
        Err(ChangeError::Forbidden { what }) => what,
        other => panic!("{change:?}: {other:?}"),
    }
}

#[test]
fn a_change_needs_the_right_for_every_kind_it_touches() {
    let services = Authority::new([Kind::Service, Kind::Route].into(), None);
    let change = puts(vec![service("new", "sys-a"), system("new", "a"), document("Agency", "c", json!({}))]);
    assert_eq!(refused(&services, &change), "Agency, System");
    assert!(services.check(&whole(), &puts(vec![service("new", "sys-a")]), Door::Hand).is_ok());
    assert_eq!(refused(&services, &deletes("Credential/key-a")), "Credential");
}

#[test]
fn a_kind_that_stays_as_it_is_needs_no_right() {
    let services = Authority::new([Kind::Service].into(), None);
    assert!(services.check(&whole(), &puts(vec![system("sys-a", "a"), service("new", "sys-a")]), Door::Hand).is_ok());
}

#[test]
fn nothing_beyond_the_agency_is_changed_taken_over_or_given_away() {
    let all = of_a(&Kind::ALL);
    for beyond in [
        puts(vec![system("sys-b", "b")]),
        puts(vec![system("sys-b", "a")]),
        puts(vec![system("sys-a", "b")]),
        puts(vec![service("svc-b", "sys-b")]),
        puts(vec![service("svc-b", "sys-a")]),
        puts(vec![service("svc-a", "sys-b")]),
        puts(vec![document("Credential", "key-b", json!({"system": "sys-a"}))]),
        puts(vec![permission("a-calls-b", "sys-a", "svc-b")]),
        puts(vec![permission("b-calls-b", "sys-b", "svc-a")]),
        puts(vec![document("Agency", "a", json!({"code": "H62", "title": "a"}))]),
        puts(vec![document("Defaults", "default", json!({}))]),
        deletes("System/sys-b"),
        deletes("System/nobody-knows"),
    ] {
        assert!(refused(&all, &beyond).contains("not known to belong to `Agency/a`"), "{beyond:?}");
    }
    for within in [
        puts(vec![service("new", "new-system"), system("new-system", "a")]),
        puts(vec![permission("b-calls-a-more", "sys-b", "svc-a")]),
        deletes("Permission/b-calls-a"),
        deletes("Service/svc-a"),
    ] {
        assert!(all.check(&whole(), &within, Door::Hand).is_ok(), "{within:?}");
    }
    let administrator = of_a(&[Kind::System, Kind::Service]);
    assert_eq!(refused(&administrator, &deletes("Credential/key-a")), "Credential");
    assert_eq!(refused(&administrator, &deletes("Permission/b-calls-a")), "Permission");
}

#[test]
fn an_agency_sees_what_concerns_it_and_no_sealed_secret() {
    let administrator = of_a(&[Kind::System, Kind::Service]);
    let sight = administrator.sight(&whole());
    let seen: Vec<String> = whole().documents().filter(|document| sight.sees(document)).map(Document::label).collect();
    let expected =
        ["Agency/a", "System/sys-a", "Credential/key-a", "Service/svc-a", "Route/rt-a", "Permission/b-calls-a"];
    assert_eq!(seen, expected);
    let restricted: Vec<String> = sight.restrict(&whole()).documents().map(Document::label).collect();
    assert_eq!(restricted, expected);
    let key = whole().documents().find(|document| document.name == "key-a").cloned().unwrap();
    assert_eq!(sight.show(&key).unwrap().spec, json!({"system": "sys-a"}));
    assert_eq!(Authority::everything().sight(&whole()).show(&key), Some(key));
    assert!(Authority::everything().sight(&whole()).is_whole());
}

#[test]
fn what_validation_says_about_others_is_not_passed_on() {
    let problem = |document: &str| Problem { document: document.into(), path: "spec".into(), message: "m".into() };
    let change = puts(vec![system("new", "a")]);
    let problems = vec![problem("System/new"), problem("Route/rt-b"), problem("Service/svc-a")];
    let error = of_a(&[Kind::System]).narrow(&whole(), &change, ChangeError::Refused(problems));
    let ChangeError::Refused(kept) = error else { panic!("{error:?}") };
    let kept: Vec<&str> = kept.iter().map(|problem| problem.document.as_str()).collect();
    assert_eq!(kept, ["System/new", "Service/svc-a", "Agency/a"]);
}

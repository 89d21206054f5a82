use lgsp_shared::id::Revision;
use lgsp_shared::resource::{CredentialSpec, DefaultsSpec, PermissionSpec, RouteSpec, ServiceSpec, SystemSpec};
use serde_json::json;

use super::*;

/// The names of all fields of a type. A field that is missing in the list, or is not one of the type, does not compile.
macro_rules! names {
    ($type:ident { $($field:ident)* }) => {{
        let _ = |one: $type| { let $type { $($field: _),* } = one; };
        vec![$(stringify!($field)),*]
    }};
}

fn fields(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Defaults => names!(DefaultsSpec {
            clock_window_secs body_bytes_max body_idle_ms body_bytes_per_sec_min session
            debug_signatures replay_owner_unreachable
        }),
        Kind::Agency => names!(AgencySpec { code title networks hosts paths }),
        Kind::System => names!(SystemSpec { agency title former_agency }),
        Kind::Credential => names!(CredentialSpec { system access_key secret state not_before not_after }),
        Kind::Service => names!(ServiceSpec {
            system title protocol endpoints balance host tls health outlier deadlines retry connections_max
            session_lifetime_secs
        }),
        Kind::Route => names!(RouteSpec {
            service hosts path methods rewrite body_bytes_max unsigned_payload require debug_signatures
            replay_owner_unreachable pass_headers encoded_slash
        }),
        Kind::Permission => names!(PermissionSpec { source service methods paths not_before not_after rate mode }),
    }
}

#[test]
fn every_field_of_every_kind_is_in_the_table_once() {
    for kind in Kind::ALL {
        let (mut all, mut written) = (fields(kind), rows(kind).map(|field| field.name).collect::<Vec<_>>());
        all.sort_unstable();
        written.sort_unstable();
        assert_eq!(written, all, "{kind}");
    }
}

#[test]
fn sealed_secrets_are_the_only_thing_hidden() {
    let hidden: Vec<(Kind, &str)> =
        Kind::ALL.into_iter().flat_map(|kind| sealed(kind).map(move |field| (kind, field))).collect();
    assert_eq!(hidden, [(Kind::Credential, "secret")]);
}

fn document(kind: &str, name: &str, spec: Value) -> Document {
    Document { kind: kind.into(), name: name.into(), spec }
}

fn agency(code: &str) -> Document {
    let assigned = json!({"networks": ["10.1.0.0/16"], "hosts": ["a.gov.vn"], "paths": ["/a"]});
    let mut spec = json!({"code": code, "title": "A"});
    spec.as_object_mut().unwrap().extend(assigned.as_object().unwrap().clone());
    document("Agency", "a", spec)
}

fn system(former: Option<&str>) -> Document {
    let mut spec = json!({"agency": "a", "title": "S"});
    if let Some(code) = former {
        spec["former_agency"] = json!({"code": code, "until": "2099-01-01T00:00:00Z"});
    }
    document("System", "s", spec)
}

fn service(addresses: &[&str]) -> Document {
    let endpoints: Vec<Value> = addresses.iter().map(|address| json!({"address": address})).collect();
    document("Service", "v", json!({"system": "s", "title": "V", "endpoints": endpoints}))
}

fn route(hosts: &[&str], path: &str) -> Document {
    document("Route", "r", json!({"service": "v", "hosts": hosts, "path": {"prefix": path}}))
}

fn whole(documents: Vec<Document>) -> Whole {
    Whole::new(Revision(1), documents).unwrap()
}

fn refused(current: &Whole, put: Document, door: Door, agency: Option<&str>) -> Vec<String> {
    let agency: Option<AgencyId> = agency.map(|agency| agency.parse().unwrap());
    let change = Change { puts: vec![put], ..Change::default() };
    let refusals = refusals(current, &change, door, agency.as_ref());
    refusals.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn a_former_code_is_written_by_a_reorganisation_and_by_nobody_else() {
    let current = whole(vec![agency("H61"), system(None)]);
    for bound in [None, Some("a")] {
        let refused = refused(&current, system(Some("H62")), Door::Hand, bound);
        assert!(refused[0].starts_with("spec.former_agency: it is written by reorganisations only"), "{refused:?}");
    }
    assert!(refused(&current, system(Some("H62")), Door::Reorganisation, None).is_empty());
    let told = whole(vec![agency("H61"), system(Some("H62"))]);
    assert!(!refused(&told, system(Some("H63")), Door::Hand, None).is_empty(), "nor is it changed");
    assert!(refused(&told, system(Some("H62")), Door::Hand, Some("a")).is_empty(), "it may stay");
    let left_out = carried(&told, Change { puts: vec![system(None)], ..Change::default() });
    assert_eq!(left_out.puts, [system(Some("H62"))], "it stays where it is left out");
}

#[test]
fn a_code_changes_by_a_reorganisation_and_by_nobody_else() {
    let current = whole(vec![agency("H61")]);
    let refusal = refused(&current, agency("H62"), Door::Hand, None);
    assert!(refusal[0].contains("by a reorganisation only"), "{refusal:?}");
    assert!(refused(&current, agency("H62"), Door::Reorganisation, None).is_empty());
    assert!(refused(&whole(Vec::new()), agency("H62"), Door::Hand, None).is_empty(), "a new agency has one");
}

#[test]
fn an_agency_s_operators_do_not_assign_anything_to_it() {
    let current = whole(vec![agency("H61")]);
    let mut more = agency("H61");
    more.spec["networks"] = json!(["0.0.0.0/0"]);
    assert!(refused(&current, more.clone(), Door::Hand, Some("a"))[0].starts_with("spec.networks"));
    assert!(refused(&current, more, Door::Hand, None).is_empty());
}

#[test]
fn an_agency_s_endpoints_are_in_its_networks_and_without_any_nowhere() {
    let assigned = whole(vec![agency("H61"), system(None), service(&["127.0.0.1:2379"])]);
    assert!(refused(&assigned, service(&["10.1.2.3:80"]), Door::Hand, Some("a")).is_empty());
    assert!(
        refused(&assigned, service(&["127.0.0.1:2379", "10.1.2.3:80"]), Door::Hand, Some("a")).is_empty(),
        "it was"
    );
    for beyond in ["127.0.0.1:9901", "10.2.0.1:80", "169.254.169.254:80", "[::ffff:127.0.0.1]:2379"] {
        let refusal = refused(&assigned, service(&["10.1.2.3:80", beyond]), Door::Hand, Some("a"));
        assert_eq!(refusal.len(), 1, "{beyond}");
        assert!(refusal[0].contains("`spec.networks` of the agency"), "{refusal:?}");
        assert!(refused(&assigned, service(&[beyond]), Door::Hand, None).is_empty(), "the platform's operators may");
    }
    let nothing = whole(vec![document("Agency", "a", json!({"code": "H61", "title": "A"})), system(None)]);
    assert_eq!(refused(&nothing, service(&["10.1.2.3:80"]), Door::Hand, Some("a")).len(), 1);
    assert_eq!(refused(&whole(Vec::new()), service(&["10.1.2.3:80"]), Door::Hand, Some("a")).len(), 1);
}

#[test]
fn an_agency_s_routes_are_at_its_hosts_or_below_its_paths() {
    let current = whole(vec![agency("H61"), system(None), service(&["10.1.2.3:80"])]);
    for within in [route(&["a.gov.vn"], "/"), route(&[], "/a"), route(&[], "/a/b")] {
        assert!(refused(&current, within.clone(), Door::Hand, Some("a")).is_empty(), "{within:?}");
    }
    for (beyond, part) in [
        (route(&[], "/"), "`/` at any host"),
        (route(&[], "/b/secret"), "`/b/secret` at any host"),
        (route(&[], "/ab"), "`/ab` at any host"),
        (route(&["b.gov.vn"], "/a"), "`b.gov.vn` is not assigned"),
        (route(&["a.gov.vn", "b.gov.vn"], "/a"), "`b.gov.vn` is not assigned"),
    ] {
        let refusal = refused(&current, beyond.clone(), Door::Hand, Some("a"));
        assert!(refusal.iter().any(|message| message.contains(part)), "{refusal:?}");
        assert!(refused(&current, beyond, Door::Hand, None).is_empty());
    }
}

#[test]
fn a_rollback_leaves_what_reorganisations_wrote_as_it_is() {
    let old = [agency("H61"), system(None)];
    assert_eq!(brought_back(Some(&agency("H62")), &old[0]), agency("H62"));
    assert_eq!(brought_back(Some(&system(Some("H61"))), &old[1]), system(Some("H61")));
    assert_eq!(brought_back(None, &system(Some("H60"))), system(None), "nobody says that it was so");
    assert_eq!(brought_back(None, &old[0]), old[0]);
}

#[test]
fn what_is_assigned_outlives_a_reorganisation() {
    let mut merged = document("Agency", "c", json!({"code": "H63", "title": "C"}));
    let other = document("Agency", "b", json!({"code": "H62", "title": "B", "paths": ["/b", "/a"]}));
    inherit(&mut merged, &[&agency("H61"), &other]);
    assert_eq!(merged.spec["paths"], json!(["/a", "/b"]));
    assert_eq!((&merged.spec["networks"], &merged.spec["hosts"]), (&json!(["10.1.0.0/16"]), &json!(["a.gov.vn"])));
}

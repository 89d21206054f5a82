//! Whatever the changes, in whatever order: the snapshot they lead to is the one the whole makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::snapshot::fixture::credential;

/// Names of each kind that is changed, and how many there are: few, so that changes meet.
const NAMES: [(&str, &str, u8); 7] = [
    ("Agency", "a", 2),
    ("System", "s", 3),
    ("Credential", "c", 4),
    ("Service", "v", 3),
    ("Route", "r", 4),
    ("Permission", "p", 5),
    ("Mood", "m", 1),
];

/// What a change is made of: which document, whether it goes, and what to fill it with.
type Step = (usize, u8, bool, [u8; 3]);

fn step() -> impl Strategy<Value = Step> {
    (0_usize..NAMES.len(), 0_u8..5, proptest::bool::weighted(0.25), [0_u8..6, 0_u8..6, 0_u8..6])
}

fn spec(kind: &str, name: &str, [one, two, three]: [u8; 3]) -> Value {
    let of = |letter: &str, number: u8, of: u8| format!("{letter}{}", number % of);
    match kind {
        // A code that cannot be read, a title that nothing stands on.
        "Agency" => {
            let code = ["H61", "H62", "?"][usize::from(one % 3)];
            json!({"code": code, "title": format!("{two}")})
        }
        "System" => json!({"agency": of("a", one, 2), "title": format!("{two}")}),
        "Credential" => {
            let access_key = format!("SHAREDKEY{}", two % 3);
            let mut spec = credential(name, &of("s", one, 3), &access_key);
            match three {
                0 => spec["state"] = json!("disabled"),
                1 => spec["secret"] = credential("other", "s0", &access_key)["secret"].clone(),
                2 => spec["mood"] = json!(1),
                3 => spec["not_before"] = json!("2020-01-01T00:00:00Z"),
                _ => {}
            }
            spec
        }
        "Service" => {
            let endpoints = if three == 0 { json!([]) } else { json!([{"address": "127.0.0.1:1"}]) };
            let protocol = if two < 2 { "http2" } else { "http1" };
            json!({"system": of("s", one, 3), "title": "V", "endpoints": endpoints, "protocol": protocol})
        }
        "Route" => {
            let hosts: &[&str] = [&[][..], &["a.vn"], &["A.vn", "b.vn"], &["a.vn", "a.vn"]][usize::from(two % 4)];
            let path = if three < 4 { json!({"prefix": "/v"}) } else { json!({"exact": "/v"}) };
            json!({"service": of("v", one, 3), "path": path, "hosts": hosts})
        }
        "Permission" => {
            let mut spec =
                json!({"source": of("s", one, 3), "service": of("v", two, 3), "methods": ["GET"], "paths": ["/v"]});
            match three {
                0 => spec["mode"] = json!("shadow"),
                1 => spec["mode"] = json!("retiring"),
                2 => spec["mode"] = json!("weekdays"),
                3 => spec["rate"] = json!({"requests_per_second": 1.0, "burst": 1}),
                _ => {}
            }
            spec
        }
        _ => json!({}),
    }
}

type All = BTreeMap<(String, String), Arc<Document>>;

fn take(all: &mut All, (kind, name, goes, filling): Step) {
    let (kind, letter, of) = NAMES[kind];
    let key = (kind.to_owned(), format!("{letter}{}", name % of));
    if goes {
        all.remove(&key);
    } else {
        let document = document(kind, &key.1, spec(kind, &key.1, filling));
        all.insert(key, document);
    }
}

/// Everything there is to refer to, so that most changes take effect.
fn start() -> All {
    let mut all = All::new();
    for (kind, (_, _, of)) in NAMES.iter().enumerate().take(4) {
        (0..*of).for_each(|name| take(&mut all, (kind, name, false, [name, name, 5])));
    }
    all
}

/// Everything that can be asked of a snapshot, as text. Panics where one part of it does not stand on the others.
fn told(snapshot: &Snapshot, problems: &[DocumentProblem]) -> Vec<String> {
    let mut told = vec![format!("http2 {}", snapshot.leads_to_http2())];
    for credential in snapshot.credentials() {
        let found = snapshot.credential(credential.access_key.as_str()).unwrap();
        assert!(Arc::ptr_eq(found, credential));
        let (id, state, validity) = (&credential.id, credential.state, credential.validity);
        told.push(format!("{} {id} {state:?} {validity:?} {:?}", credential.access_key, credential.system));
    }
    for service in snapshot.services() {
        for signer in &service.signers {
            assert!(Arc::ptr_eq(signer, snapshot.credential(signer.access_key.as_str()).unwrap()), "a stale signer");
        }
        let signers: Vec<&str> = service.signers.iter().map(|signer| signer.id.as_str()).collect();
        let endpoints = service.upstream.endpoints().len();
        told.push(format!(
            "{} {:?} {signers:?} {endpoints} {:?}",
            service.id, service.owner, service.upstream.protocol
        ));
        let routes: Vec<&str> = snapshot.routes_to(&service.id).iter().map(|route| route.id.as_str()).collect();
        told.push(format!("routes to {}: {routes:?}", service.id));
        for source in ["s0", "s1", "s2"].map(|name| name.parse().unwrap()) {
            for grants in
                [snapshot.grants().of(&source, &service.id), snapshot.grants().shadow_of(&source, &service.id)]
            {
                let grants: Vec<String> = grants
                    .iter()
                    .map(|grant| format!("{} {:?} {}", grant.id, grant.watched, grant.quota.is_some()))
                    .collect();
                told.push(format!("{source} at {}: {grants:?}", service.id));
            }
        }
    }
    let mut order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in snapshot.router().places() {
        let Some(service) = snapshot.service(place.route.service.id.as_str()) else { panic!("leads nowhere") };
        assert!(Arc::ptr_eq(service, &place.route.service), "leads to a service that is no more");
        let at = format!("{:?} {} {}", place.host, place.exact, place.path);
        order.entry(at).or_default().push(place.route.id.to_string());
    }
    told.extend(order.into_iter().map(|(at, routes)| format!("{at}: {routes:?}")));
    told.extend(snapshot.watched().iter().map(|watched| format!("watched {} {:?}", watched.permission, watched.mode)));
    told.extend(problems.iter().map(|problem| format!("{problem:?}")));
    told.sort();
    told
}

fn compiled(all: &All, previous: Option<&Snapshot>) -> Compiled {
    build(&all.values().cloned().collect::<Vec<_>>(), previous)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changes_one_after_another_lead_to_the_snapshot_that_the_whole_makes(
        changes in proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..12),
    ) {
        let mut all = start();
        let mut now = compiled(&all, None);
        for change in changes {
            change.iter().for_each(|step| take(&mut all, *step));
            now = compiled(&all, Some(&now.snapshot));
            let whole = compiled(&all, None);
            prop_assert_eq!(told(&now.snapshot, &now.problems), told(&whole.snapshot, &whole.problems), "{:?}", change);
        }
    }
}

#[test]
fn one_change_makes_only_what_it_touches_anew() {
    let mut all = start();
    take(&mut all, (4, 0, false, [0, 0, 0]));
    take(&mut all, (5, 0, false, [0, 0, 5]));
    let before = compiled(&all, None).snapshot;
    take(&mut all, (5, 1, false, [1, 1, 5]));
    let after = compiled(&all, Some(&before)).snapshot;
    assert!(Arc::ptr_eq(&before.tables.credentials, &after.tables.credentials));
    assert!(Arc::ptr_eq(&before.tables.services, &after.tables.services));
    assert!(Arc::ptr_eq(&before.tables.routes, &after.tables.routes));
    let grant = |snapshot: &Snapshot| snapshot.grants().of(&"s0".parse().unwrap(), &"v0".parse().unwrap())[0].clone();
    assert!(Arc::ptr_eq(&grant(&before), &grant(&after)));
}

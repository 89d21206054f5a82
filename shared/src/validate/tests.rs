use serde_json::{Value, json};

use super::*;

fn document(kind: &str, name: &str, spec: Value) -> Document {
    Document { kind: kind.into(), name: name.into(), spec }
}

/// A configuration without problems and warnings.
fn sound() -> Vec<Document> {
    let sealed = format!("v1.00000000.{}", "A".repeat(80));
    let credential = |key: &str| json!({"system": "mot-cua", "access_key": key, "secret": sealed, "state": "active"});
    vec![
        document("Defaults", "default", json!({})),
        document("Agency", "so-tu-phap", json!({"code": "000.00.12.H61", "title": "Sở Tư pháp"})),
        document("System", "mot-cua", json!({"agency": "so-tu-phap", "title": "Một cửa"})),
        document("Credential", "mot-cua-1", credential("LGSPAAAAAAAAAAAAAAAA")),
        document(
            "Service",
            "ho-tich",
            json!({"system": "mot-cua", "title": "Hộ tịch", "endpoints": [{"address": "10.0.0.1:9001"}]}),
        ),
        document("Route", "ho-tich", json!({"service": "ho-tich", "path": {"prefix": "/ho-tich"}})),
        document(
            "Permission",
            "mot-cua-ho-tich",
            json!({"source": "mot-cua", "service": "ho-tich", "methods": ["GET"], "paths": ["/ho-tich"]}),
        ),
    ]
}

/// The sound configuration with `fields` put over the spec of the first document of `kind`.
fn with(kind: &str, fields: Value) -> Report {
    let mut documents = sound();
    let target = documents.iter_mut().find(|document| document.kind == kind).unwrap();
    for (name, value) in fields.as_object().unwrap() {
        target.spec[name] = value.clone();
    }
    validate(&documents)
}

fn paths(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn a_sound_configuration_has_no_problems_and_no_warnings() {
    assert_eq!(validate(&sound()), Report::default());
    assert!(validate(&[]).accepts());
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_path() {
    let mut documents = sound();
    documents.push(document("Mood", "x", json!({})));
    documents.push(document("Agency", "so-tu-phap", json!({})));
    documents.push(document("System", "b", json!({"agency": "nowhere", "title": "B"})));
    documents.push(document("Route", "b", json!({"service": "none", "path": {"prefix": "/b/../c"}})));
    let report = validate(&documents);
    let found: Vec<(&str, &str)> = report.problems.iter().map(|p| (p.document.as_str(), p.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("Mood/x", "kind"),
            ("Agency/so-tu-phap", "name"),
            ("Route/b", "spec.path.prefix"),
            ("System/b", "spec.agency"),
            ("Route/b", "spec.service"),
        ]
    );
}

#[test]
fn values_out_of_range_are_refused() {
    let endpoint = |weight: u16| json!([{"address": "127.0.0.1:1", "weight": weight}]);
    let cases = [
        ("Defaults", json!({"clock_window_secs": 0}), "spec.clock_window_secs"),
        ("Defaults", json!({"clock_window_secs": 901}), "spec.clock_window_secs"),
        ("Defaults", json!({"body_bytes_max": 0}), "spec.body_bytes_max"),
        ("Defaults", json!({"body_idle_ms": 0}), "spec.body_idle_ms"),
        ("Service", json!({"endpoints": []}), "spec.endpoints"),
        ("Service", json!({"endpoints": endpoint(0)}), "spec.endpoints[0].weight"),
        ("Service", json!({"endpoints": endpoint(1001)}), "spec.endpoints[0].weight"),
        ("Service", json!({"endpoints": [{"address": "127.0.0.1:0"}]}), "spec.endpoints[0].address"),
        ("Service", json!({"endpoints": [{"address": "0.0.0.0:80"}]}), "spec.endpoints[0].address"),
        (
            "Service",
            json!({"endpoints": [{"address": "127.0.0.1:1"}, {"address": "127.0.0.1:1"}]}),
            "spec.endpoints[1].address",
        ),
        ("Service", json!({"deadlines": {"first_byte_ms": 0}}), "spec.deadlines.first_byte_ms"),
        ("Service", json!({"deadlines": {"first_byte_ms": 29_901}}), "spec.deadlines.first_byte_ms"),
        ("Service", json!({"deadlines": {"connect_ms": 0}}), "spec.deadlines.connect_ms"),
        ("Service", json!({"deadlines": {"idle_ms": 0}}), "spec.deadlines.idle_ms"),
        ("Service", json!({"retry": {"attempts": 6}}), "spec.retry.attempts"),
        ("Service", json!({"retry": {"budget_percent": 101}}), "spec.retry.budget_percent"),
        ("Service", json!({"outlier": {"ejected_percent_max": 101}}), "spec.outlier.ejected_percent_max"),
        ("Service", json!({"outlier": {"eject_ms": 0}}), "spec.outlier.eject_ms"),
        ("Service", json!({"connections_max": 0}), "spec.connections_max"),
        ("Service", json!({"host": "Target"}), "spec.host"),
        ("Service", json!({"tls": {"server_name": "a b"}}), "spec.tls.server_name"),
        ("Service", json!({"tls": {"server_name": "a", "ca_pem": "x"}}), "spec.tls.ca_pem"),
        ("Service", json!({"health": {"path": "up"}}), "spec.health.path"),
        ("Service", json!({"health": {"path": "/", "interval_ms": 99}}), "spec.health.interval_ms"),
        ("Service", json!({"health": {"path": "/", "timeout_ms": 0}}), "spec.health.timeout_ms"),
        ("Service", json!({"health": {"path": "/", "unhealthy_after": 0}}), "spec.health.unhealthy_after"),
        ("Route", json!({"body_bytes_max": 0}), "spec.body_bytes_max"),
        ("Route", json!({"hosts": ["api.vn:80"]}), "spec.hosts[0]"),
        ("Route", json!({"hosts": ["a.vn", "a.vn"]}), "spec.hosts[1]"),
        ("Route", json!({"methods": ["get"]}), "spec.methods[0]"),
        ("Route", json!({"rewrite": {"prefix": "b"}}), "spec.rewrite.prefix"),
        ("Permission", json!({"methods": []}), "spec.methods"),
        ("Permission", json!({"paths": []}), "spec.paths"),
        ("Permission", json!({"paths": ["/a/"]}), "spec.paths[0]"),
        ("Permission", json!({"rate": {"requests_per_second": 0.0, "burst": 1}}), "spec.rate.requests_per_second"),
        ("Permission", json!({"rate": {"requests_per_second": 1.0, "burst": 0}}), "spec.rate.burst"),
        (
            "Permission",
            json!({"not_before": "2026-01-02T00:00:00Z", "not_after": "2026-01-02T00:00:00Z"}),
            "spec.not_after",
        ),
        ("Credential", json!({"state": "retiring"}), "spec.not_after"),
        ("Credential", json!({"secret": "in the clear"}), "spec.secret"),
    ];
    for (kind, fields, path) in cases {
        let report = with(kind, fields.clone());
        assert_eq!(paths(&report), [path], "{kind} {fields}");
        assert!(!report.problems[0].message.is_empty());
    }
}

#[test]
fn a_secret_in_the_clear_is_refused_without_being_repeated() {
    let report = with("Credential", json!({"secret": "sw0rdfish"}));
    assert!(report.problems.iter().all(|problem| !problem.message.contains("sw0rdfish")), "{report:?}");
}

#[test]
fn dangling_references_are_refused() {
    for (kind, field) in [("System", "agency"), ("Credential", "system"), ("Service", "system"), ("Route", "service")] {
        let report = with(kind, json!({field: "nowhere"}));
        assert_eq!(paths(&report), [format!("spec.{field}")], "{kind}");
        assert!(report.problems[0].message.contains("/nowhere`"), "{report:?}");
    }
    assert_eq!(paths(&with("Permission", json!({"source": "x", "service": "y"}))), ["spec.source", "spec.service"]);
}

#[test]
fn a_reference_to_a_broken_document_is_not_called_dangling_too() {
    assert_eq!(paths(&with("Agency", json!({"code": "?"}))), ["spec.code"]);
}

#[test]
fn an_access_key_belongs_to_one_credential() {
    let mut documents = sound();
    let mut twin = documents.iter().find(|document| document.kind == "Credential").unwrap().clone();
    twin.name = "twin".into();
    documents.push(twin);
    let report = validate(&documents);
    assert_eq!(paths(&report), ["spec.access_key"]);
    assert!(report.problems[0].message.contains("`Credential/mot-cua-1`"), "{report:?}");
}

#[test]
fn routes_that_take_the_same_requests_are_refused() {
    let route = |spec: Value| {
        let mut documents = sound();
        documents.push(document("Route", "second", spec));
        validate(&documents)
    };
    let same = |extra: Value| {
        let mut spec = json!({"service": "ho-tich", "path": {"prefix": "/ho-tich"}});
        for (name, value) in extra.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    };
    assert_eq!(paths(&route(same(json!({})))), ["spec.path"]);
    assert_eq!(paths(&route(same(json!({"methods": ["GET"]})))), ["spec.path"]);
    assert!(route(same(json!({"hosts": ["api.vn"]}))).accepts());
    assert!(route(same(json!({"path": {"exact": "/ho-tich"}}))).accepts());
    assert!(route(same(json!({"path": {"prefix": "/ho-tich/a"}}))).accepts());

    let mut documents = sound();
    documents.push(document("Route", "get", same(json!({"methods": ["GET", "HEAD"], "hosts": ["a.vn", "b.vn"]}))));
    documents.push(document("Route", "post", same(json!({"methods": ["POST"], "hosts": ["b.vn"]}))));
    assert!(validate(&documents).accepts());
    documents.push(document("Route", "head", same(json!({"methods": ["HEAD"], "hosts": ["b.vn"]}))));
    let report = validate(&documents);
    assert_eq!(paths(&report), ["spec.path"]);
    assert!(report.problems[0].message.contains("`Route/get`"), "{report:?}");
    documents.pop();
    documents.push(document("Route", "any", same(json!({"hosts": ["b.vn"]}))));
    assert_eq!(validate(&documents).problems.len(), 1);
}

#[test]
fn an_unknown_field_is_a_warning_unless_it_may_restrict() {
    for kind in ["Defaults", "Agency", "System", "Service", "Route"] {
        let report = with(kind, json!({"mood": 1}));
        assert!(report.accepts(), "{report:?}");
        assert_eq!(report.warnings.iter().map(|w| w.path.as_str()).collect::<Vec<_>>(), ["spec.mood"]);
    }
    assert_eq!(paths(&with("Permission", json!({"only_on": "monday"}))), ["spec.only_on"]);
    assert_eq!(paths(&with("Credential", json!({"only_from": "::1"}))), ["spec.only_from"]);
    assert_eq!(paths(&with("Route", json!({"require": {"badge": true}}))), ["spec.require.badge"]);
}

#[test]
fn a_service_whose_system_cannot_sign_is_warned_about() {
    let report = with("Credential", json!({"state": "disabled"}));
    assert!(report.accepts());
    assert!(report.warnings[0].message.contains("`lgspctl credential issue mot-cua`"), "{report:?}");
}

#[test]
fn only_paths_that_everyone_reads_the_same_way_are_accepted() {
    for good in ["/", "/a", "/a/b", "/a.b/c%20d", "/...", "/a/", "/%E1%BA%A1", "/a;b=c@d:e"] {
        assert_eq!(check_path(good), Ok(()), "{good}");
    }
    let bad = [
        "", "a", "//", "/a//b", "/.", "/a/../b", "/a/..", "/%2e", "/.%2E/a", "/a%2Fb", "/a%2fb", "/a%5cb", "/a%00",
        "/a?b", "/a#b", "/a b", "/ạ", "/a\\b", "/%", "/%g1", "/a%2", "/a\"",
    ];
    for bad in bad {
        assert!(check_path(bad).is_err(), "{bad}");
    }
    assert!(check_path(&format!("/{}", "a".repeat(crate::path::PATH_BYTES_MAX))).is_err());
    assert!(check_prefix("/").is_ok() && check_prefix("/a").is_ok() && check_prefix("/a/").is_err());
}

#[test]
fn hosts_are_lower_case_names_or_addresses_without_a_port() {
    for good in ["localhost", "api.vinhlong.gov.vn", "10.0.0.1", "[::1]", "a_b.vn"] {
        assert_eq!(check_host(good), Ok(()), "{good}");
    }
    for bad in ["", "A.vn", "a.vn:80", "*.vn", "a..vn", "a.vn.", "-a", "a-", "[::1]:80", "::1", "a/b", "ạ.vn"] {
        assert!(check_host(bad).is_err(), "{bad}");
    }
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/:.%-]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let field = prop_oneof![
            proptest::sample::select(vec![
                "endpoints",
                "address",
                "path",
                "prefix",
                "methods",
                "rate",
                "require",
                "tls"
            ])
            .prop_map(str::to_owned),
            "[a-z_]{1,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field, inner, 0..5).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_document_whatever_it_holds_makes_validation_panic(
        kind in proptest::sample::select(Kind::ALL.map(Kind::as_str).to_vec()),
        name in "[a-z.-]{0,6}",
        spec in any_json(),
    ) {
        let mut documents = sound();
        documents.push(document(kind, &name, spec));
        validate(&documents);
    }

    #[test]
    fn whatever_is_put_over_a_sound_field_is_accepted_or_named(
        at in 0_usize..7, field in 0_usize..8, value in any_json(),
    ) {
        let mut documents = sound();
        let fields = documents[at].spec.as_object_mut().unwrap();
        if let Some(name) = fields.keys().nth(field).cloned() {
            fields.insert(name, value);
            let report = validate(&documents);
            proptest::prop_assert!(report.problems.iter().all(|problem| !problem.path.is_empty()));
        }
    }
}

#[test]
fn the_platforms_own_path_belongs_to_no_route() {
    for path in ["/lgsp", "/lgsp/v1/sessions", "/lgsp/anything"] {
        for (kind, at) in [("prefix", "spec.path.prefix"), ("exact", "spec.path.exact")] {
            let report = with("Route", json!({"path": {kind: path}}));
            assert_eq!(paths(&report), [at], "{path}");
            assert!(report.problems[0].message.contains("the platform itself answers"));
        }
    }
    for path in ["/", "/lgsp-khac", "/a/lgsp"] {
        assert!(with("Route", json!({"path": {"prefix": path}})).accepts(), "{path}");
    }
}

#[test]
fn session_keys_are_named_once_few_and_by_the_rule() {
    let keys = |keys: Value| with("Defaults", json!({"session": {"keys": keys}}));
    assert!(keys(json!(["2026-11", "2026-10"])).accepts());
    assert_eq!(paths(&keys(json!([]))), ["spec.session.keys"]);
    assert_eq!(paths(&keys(json!(["a", "b", "a"]))), ["spec.session.keys[2]"]);
    assert_eq!(paths(&keys(json!(["1", "2", "3", "4", "5", "6", "7", "8", "9"]))), ["spec.session.keys"]);
    for bad in ["", "A", "a.b", "a b", "abcdefghijklmnopq"] {
        assert_eq!(paths(&keys(json!([bad]))), ["spec.session.keys[0]"], "{bad}");
    }
    assert_eq!(paths(&with("Defaults", json!({"session": {"lifetime_secs": 0}}))), ["spec.session.lifetime_secs"]);
    assert_eq!(paths(&with("Service", json!({"session_lifetime_secs": 3601}))), ["spec.session_lifetime_secs"]);
}

#[test]
fn an_endpoint_that_no_node_or_each_node_alone_would_reach_is_warned_about() {
    for (address, part) in [
        ("127.0.0.1:80", "`targets.allow`"),
        ("[::ffff:127.0.0.1]:80", "`targets.allow`"),
        ("169.254.169.254:80", "a link-local address"),
        ("[64:ff9b::169.254.169.254]:80", "a link-local address"),
        ("224.0.0.1:80", "a multicast address"),
        ("255.255.255.255:80", "a broadcast"),
    ] {
        let report = with("Service", json!({"endpoints": [{"address": "10.0.0.1:80"}, {"address": address}]}));
        assert!(report.accepts(), "{report:?}");
        assert_eq!(report.warnings[0].path, "spec.endpoints[1].address");
        assert!(report.warnings[0].message.contains(part), "{report:?}");
    }
}

#[test]
fn a_service_has_so_many_endpoints_and_no_more_and_its_health_is_not_asked_for_all_the_time() {
    let endpoints =
        |count: usize| -> Value { (0..count).map(|at| json!({"address": format!("10.0.0.1:{}", at + 1)})).collect() };
    assert!(with("Service", json!({"endpoints": endpoints(64)})).accepts());
    assert_eq!(paths(&with("Service", json!({"endpoints": endpoints(65)}))), ["spec.endpoints"]);
    let often = with("Service", json!({"health": {"path": "/", "interval_ms": 100}}));
    assert_eq!((often.accepts(), often.warnings[0].path.as_str()), (true, "spec.health.interval_ms"));
    assert!(with("Service", json!({"health": {"path": "/", "interval_ms": 1000}})).warnings.is_empty());
}

#[test]
fn what_is_assigned_to_an_agency_is_networks_hosts_and_prefixes() {
    let good = json!({"networks": ["10.1.0.0/16"], "hosts": ["a.gov.vn"], "paths": ["/a"]});
    assert_eq!(with("Agency", good), Report::default());
    for (fields, path) in [
        (json!({"networks": ["10.1.2.0/16"]}), "spec.networks[0]"),
        (json!({"networks": ["10.1.0.0/16", "10.1.0.0/16"]}), "spec.networks[1]"),
        (json!({"hosts": ["A.gov.vn"]}), "spec.hosts[0]"),
        (json!({"paths": ["/a/"]}), "spec.paths[0]"),
    ] {
        assert_eq!(paths(&with("Agency", fields.clone())), [path], "{fields}");
    }
}

#[test]
fn a_title_is_one_line_of_visible_text() {
    for title in ["", "  ", "a\nb", "\u{1b}]0;x\u{7}", "a\u{0}", "a\u{202e}b", "a\u{2028}b", &"x".repeat(301)] {
        for kind in ["Agency", "System", "Service"] {
            assert_eq!(paths(&with(kind, json!({"title": title}))), ["spec.title"], "{kind} {title:?}");
        }
    }
    assert!(with("Agency", json!({"title": "Sở Tư pháp và Hành chính công"})).accepts());
}

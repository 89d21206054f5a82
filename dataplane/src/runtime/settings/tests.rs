//! What settings accept, and what they say when they do not.

use std::time::Duration;

use super::*;
use crate::edge::Faces;
use crate::upstream::Rules;

const MINIMAL: &str = "
node: node-1
listeners: [{address: '127.0.0.1:0'}]
source: {bundle: {file: bundle.json}}
key_file: kek
state_dir: state
records: {to: stdout}
";

fn parse(yaml: &str) -> Result<Settings, SettingsError> {
    Settings::parse("dataplane.yaml", yaml, std::iter::empty())
}

fn parse_with(yaml: &str, name: &str, value: &str) -> Result<Settings, SettingsError> {
    Settings::parse("dataplane.yaml", yaml, std::iter::once((name.to_owned(), value.to_owned())))
}

fn complaint(yaml: &str) -> String {
    parse(yaml).unwrap_err().to_string()
}

#[test]
fn the_shortest_file_has_the_documented_defaults() {
    let settings = parse(MINIMAL).unwrap();
    assert_eq!(settings.admin.to_string(), "127.0.0.1:9901");
    assert_eq!(settings.limits.connections_max, 10_000);
    assert_eq!(settings.limits.connections_per_address_max, 1_000);
    assert_eq!(settings.limits.header_deadline, Duration::from_secs(10));
    let bounds = RecordBounds::default();
    assert_eq!(settings.records, Records { to: RecordSink::Stdout, on_full: OnFull::Refuse, bounds });
    assert!(!settings.core_dumps);
    assert_eq!(settings.upgrade_socket, Path::new("state/upgrade.sock"));
    assert_eq!(settings.faces, Faces::Both);
}

#[test]
fn the_example_file_is_valid() {
    let text = include_str!("../../../../config/examples/dataplane.yaml");
    let settings = parse(text).unwrap();
    assert_eq!(settings.listeners.len(), 2);
}

#[test]
fn targets_are_networks_and_loopback_is_one_by_name() {
    let settings = parse(MINIMAL).unwrap();
    assert_eq!((settings.targets, settings.admin_socket.as_path()), (Rules::default(), Path::new("state/admin.sock")));
    assert_eq!(settings.health_checks.interval_min, Duration::from_secs(1));
    let settings =
        parse(&format!("{MINIMAL}targets: {{allow: [10.0.0.0/8, loopback], deny: [10.9.0.0/16]}}\n")).unwrap();
    let allow = settings.targets.allow.unwrap();
    assert_eq!((allow.len(), settings.targets.deny.len()), (3, 1));
    assert_eq!(parse(&format!("{MINIMAL}targets: {{allow: []}}\n")).unwrap().targets.allow, Some(Vec::new()));
    let error = complaint(&format!(
        "{MINIMAL}targets: {{allow: [10.0.0.1/8], deny: [localhost], health_interval_min_ms: 1}}\n"
    ));
    for expected in
        ["`targets.allow[0]`: `10.0.0.1/8`", "`targets.deny[0]`: `localhost`", "`targets.health_interval_min_ms`: 1"]
    {
        assert!(error.contains(expected), "no {expected} in\n{error}");
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let error = complaint(&format!("{MINIMAL}limits: {{connection_max: 5}}\n"));
    assert!(error.contains("connection_max") && error.contains("connections_max"), "{error}");
    let error = complaint(&format!("{MINIMAL}colour: red\n"));
    assert!(error.contains("colour") && error.contains("config/examples/dataplane.yaml"), "{error}");
}

#[test]
fn unmarked_configuration_is_accepted_only_where_it_is_written_and_a_source_is_one_of_two() {
    assert!(!parse(MINIMAL).unwrap().accept_unmarked);
    let accepting = MINIMAL.replace("bundle.json}}", "bundle.json}, accept_unmarked: true}");
    assert!(parse(&accepting).unwrap().accept_unmarked);
    let both = MINIMAL.replace("bundle.json}}", "bundle.json}, etcd: {endpoints: ['http://127.0.0.1:1']}}");
    assert!(complaint(&both).contains("names both of `bundle` and `etcd`"));
    assert!(complaint(&MINIMAL.replace("bundle: {file: bundle.json}", "")).contains("names neither"));
}

#[test]
fn a_missing_key_is_named() {
    let error = complaint(&MINIMAL.replace("key_file: kek", ""));
    assert!(error.contains("key_file"), "{error}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_key_and_a_fix() {
    let error = complaint(
        "
node: Node_1
listeners: [{address: 'localhost:80'}, {address: '127.0.0.1:90'}, {address: '127.0.0.1:90'}]
source: {etcd: {endpoints: ['10.0.0.1:2379'], user: root}}
key_file: kek
state_dir: state
records: {to: {file: records.jsonl}, on_full: serve}
limits: {header_deadline_ms: 0}
threads: {workers: 0}
log_level: '=='
",
    );
    for expected in [
        "`node`: `Node_1` is not a node name",
        "`listeners[0].address`: `localhost:80` is not an address",
        "`listeners[2].address`: `127.0.0.1:90` is taken",
        "`source.etcd.endpoints[0]`: `10.0.0.1:2379` is not an endpoint",
        "`source.etcd.password_file`: is missing",
        "`limits.header_deadline_ms`: 0 is out of range: use 100 to 60000",
        "`threads.workers`: 0 is out of range",
        "`log_level`",
    ] {
        assert!(error.contains(expected), "no {expected} in\n{error}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_is_checked_like_it() {
    let settings = parse_with(MINIMAL, "LGSP_DATAPLANE_LIMITS__CONNECTIONS_MAX", "7").unwrap();
    assert_eq!(settings.limits.connections_max, 7);
    let settings = parse_with(MINIMAL, "LGSP_DATAPLANE_NODE", "node-9").unwrap();
    assert_eq!(settings.node.as_str(), "node-9");
    let error = parse_with(MINIMAL, "LGSP_DATAPLANE_LIMITS__CONECTIONS", "7").unwrap_err().to_string();
    assert!(error.contains("conections"), "{error}");
    assert!(parse_with(MINIMAL, "HOME", "/root").is_ok());
}

#[test]
fn a_socket_path_the_kernel_would_cut_is_refused() {
    let error = complaint(&MINIMAL.replace("state_dir: state", &format!("state_dir: /{}", "d".repeat(120))));
    assert!(error.contains("`upgrade_socket`") && error.contains("107 at most"), "{error}");
}

#[test]
fn words_that_older_yaml_takes_for_booleans_and_numbers_are_texts_in_the_file_and_in_the_environment() {
    for word in ["no", "007"] {
        assert_eq!(parse(&MINIMAL.replace("node-1", word)).unwrap().node.as_str(), word);
        assert_eq!(parse_with(MINIMAL, "LGSP_DATAPLANE_NODE", word).unwrap().node.as_str(), word);
    }
    let error = complaint(&format!("{MINIMAL}threads: {{work_stealing: yes}}\n"));
    assert!(error.contains("threads.work_stealing") && error.contains("boolean"), "{error}");
    let error = parse_with(MINIMAL, "LGSP_DATAPLANE_THREADS__WORK_STEALING", "on").unwrap_err().to_string();
    assert!(error.contains("threads.work_stealing"), "{error}");
    assert!(complaint(&format!("{MINIMAL}log_level: info\nlog_level: debug\n")).contains("log_level"));
}

#[test]
fn text_that_is_not_yaml_is_refused_without_a_panic() {
    for text in ["", "[", "a: b: c", "- 1", "\u{0}"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_records_may_take_of_the_disk_has_bounds_and_0_bytes_leave_rotation_to_others() {
    let parse = |records: &str| parse(&MINIMAL.replace("{to: stdout}", &format!("{{to: stdout, {records}}}")));
    let bounds = |records: &str| parse(records).unwrap().records.bounds;
    assert_eq!(bounds("rotate: {bytes: 2097152, keep: 3}").rotation.map(|rotation| rotation.keep), Some(3));
    assert_eq!(bounds("rotate: {bytes: 0}").rotation, None);
    assert_eq!(bounds("strangers: {per_second: 0}").strangers.per_second, 0);
    assert_eq!(bounds("reserve_bytes: 5").reserve_bytes, 5);
    for (records, key) in [
        ("rotate: {bytes: 5}", "records.rotate.bytes"),
        ("rotate: {keep: 0}", "records.rotate.keep"),
        ("strangers: {per_second: 1000000}", "records.strangers.per_second"),
        ("reserve_bytes: 9223372036854775807", "records.reserve_bytes"),
    ] {
        let error = parse(records).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("out of range"), "{error}");
    }
}

#[test]
fn a_control_character_in_any_setting_is_refused_with_the_name_of_its_key_and_never_printed() {
    for (yaml, key) in [
        (MINIMAL.replace("kek", r#""kek\0.old""#), "key_file"),
        (MINIMAL.replace("bundle.json", r#""b\e[2J.json""#), "source.bundle.file"),
        (MINIMAL.replace("'127.0.0.1:0'", r#""127.0.0.1:0\u009b""#), "listeners[0].address"),
        (format!("{MINIMAL}\"lo\\0g\": info\n"), "lo\\u{0}g"),
    ] {
        let error = complaint(&yaml);
        assert!(error.contains(&format!("`{key}`")) && error.contains("control character"), "{error:?}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
    let error = parse_with(MINIMAL, "LGSP_DATAPLANE_STATE_DIR", "\"a\\tb\"").unwrap_err().to_string();
    assert!(error.contains("state_dir"), "{error}");
}

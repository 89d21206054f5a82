use super::*;

const MINIMAL: &str = "database: cp.db\nkey_file: seal.key\npublish:\n  bundle: bundle.json\n";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse(text, "test.yaml", environment)
}

#[test]
fn the_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/controlplane.yaml");
    let settings = Settings::load(Some(&path), std::iter::empty()).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:8090".parse().unwrap());
}

#[test]
fn variables_come_over_the_file() {
    let settings = parse(
        MINIMAL,
        &[
            ("LGSP_CONTROLPLANE_LISTEN", "127.0.0.1:0"),
            ("LGSP_CONTROLPLANE_PUBLISH_ETCD", "http://a:2379, http://b:2379"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!(settings.listen.port(), 0);
    let PublishSettings::Etcd(etcd) = settings.publish else { panic!("{settings:?}") };
    assert_eq!(etcd.endpoints(), ["http://a:2379", "http://b:2379"]);
    assert!(parse("", &[]).unwrap_err().to_string().contains("database"));
}

#[test]
fn what_is_not_known_or_not_right_is_refused_by_name() {
    let cases = [
        ("mood: 1\n", "mood"),
        ("listen: here\n", "listen"),
        ("listen: 0.0.0.0:8090\n", "listen_beyond_loopback"),
        ("database_password_file: x\n", "database_password_file"),
        ("limits: {agency_bytes_max: 0}\n", "limits.agency_bytes_max"),
        ("limits: {published_bytes_max: 1000}\n", "limits.agency_bytes_max"),
        ("limits: {agency_mib: 1}\n", "agency_mib"),
    ];
    for (line, named) in cases {
        let error = parse(&format!("{MINIMAL}{line}"), &[]).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let error = parse(MINIMAL, &[("LGSP_CONTROLPLANE_MOOD", "1")]).unwrap_err().to_string();
    assert!(error.contains("`LGSP_CONTROLPLANE_MOOD`") && error.contains("_DATABASE"), "{error}");
    for broken in ["a: b: c", "[1]", "publish: {bundle: a, etcd: {endpoints: [b]}}\ndatabase: a\nkey_file: b\n"] {
        assert!(parse(broken, &[]).is_err(), "{broken}");
    }
    let endless = "database: a\nkey_file: b\npublish: {etcd: {endpoints: []}}\n";
    assert!(parse(endless, &[]).unwrap_err().to_string().contains("publish.etcd.endpoints"));
}

#[test]
fn bounds_have_defaults_and_etcd_elsewhere_without_tls_is_noticed() {
    let settings = parse(&format!("{MINIMAL}limits: {{agency_bytes_max: 1000}}\n"), &[]).unwrap();
    assert_eq!((settings.limits.agency_bytes_max, settings.limits.published_bytes_max), (1_000, 256 << 20));
    assert!(settings.publish.notices().is_empty());
    let plain = parse(MINIMAL, &[("LGSP_CONTROLPLANE_PUBLISH_ETCD", "http://127.0.0.1:2379,http://10.0.0.1:2379")]);
    let notices = plain.unwrap().publish.notices();
    assert!(notices.len() == 1 && notices[0].contains("`http://10.0.0.1:2379`"), "{notices:?}");
}

#[test]
fn words_that_older_yaml_takes_for_booleans_and_numbers_are_texts() {
    assert_eq!(parse(&MINIMAL.replace("seal.key", "no"), &[]).unwrap().key_file, Path::new("no"));
    assert_eq!(parse(&MINIMAL.replace("seal.key", "007"), &[]).unwrap().key_file, Path::new("007"));
    let error = parse(&format!("{MINIMAL}listen_beyond_loopback: yes\n"), &[]).unwrap_err().to_string();
    assert!(error.contains("listen_beyond_loopback") && error.contains("boolean"), "{error}");
    assert!(parse(&format!("{MINIMAL}database: other.db\n"), &[]).is_err());
}

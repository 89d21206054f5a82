//! The settings as an operator writes them, and everything that can be wrong with them before a file is opened.

use std::path::PathBuf;

use serde::Deserialize;

use crate::access::{Access, Login, Tls};

/// What the settings say about etcd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Such as `https://10.0.0.1:2379`; several are tried in turn.
    pub endpoints: Vec<String>,
    /// The user, where etcd asks for one.
    pub user: Option<String>,
    /// A file that holds the user's password.
    pub password_file: Option<PathBuf>,
    /// Needed by `https://`, and only by it.
    pub tls: Option<WrittenTls>,
}

/// What the settings say about TLS to etcd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenTls {
    /// The authority that etcd's certificates are verified against, as PEM.
    pub ca: PathBuf,
    /// The client's certificate, where etcd asks for one, as PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key: Option<PathBuf>,
}

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, in full.
    pub setting: String,
    /// What is wrong and what to do next.
    pub message: String,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
}

/// Problems found so far.
struct Problems {
    within: &'static str,
    found: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, setting: &str, message: impl Into<String>) {
        self.found.push(Problem { setting: format!("{}.{setting}", self.within), message: message.into() });
    }
}

impl Written {
    /// Checks what can be checked without opening a file. `within` is where the settings stand, such as `source.etcd`.
    pub fn resolve(self, within: &'static str) -> Result<Access, Vec<Problem>> {
        let Written { endpoints, user, password_file, tls } = self;
        let mut problems = Problems { within, found: Vec::new() };
        check_endpoints(&mut problems, &endpoints, tls.is_some());
        let login = together(&mut problems, ("user", user), ("password_file", password_file));
        let login = login.map(|(user, password_file)| Login { user, password_file });
        let tls = tls.map(|WrittenTls { ca, certificate, key }| {
            let identity = together(&mut problems, ("tls.certificate", certificate), ("tls.key", key));
            Tls { ca, identity }
        });
        if problems.found.is_empty() { Ok(Access { within, endpoints, login, tls }) } else { Err(problems.found) }
    }
}

fn check_endpoints(problems: &mut Problems, endpoints: &[String], has_tls: bool) {
    if endpoints.is_empty() {
        problems.add("endpoints", "there is none: add one such as `http://127.0.0.1:2379`");
    }
    let mut schemes = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        match scheme(endpoint) {
            Some(scheme) => schemes.push(scheme),
            None => {
                let message =
                    format!("`{endpoint}` is not an endpoint: write `https://host:2379` or `http://host:2379`");
                problems.add(&format!("endpoints[{index}]"), message);
            }
        }
    }
    match (schemes.contains(&Scheme::Tls), schemes.contains(&Scheme::Plain), has_tls) {
        (true, true, _) => problems.add("endpoints", "some are `https://` and some `http://`: use one for all"),
        (true, false, false) => {
            problems.add("tls.ca", "is missing: `https://` needs the authority that etcd's certificates come from");
        }
        (false, true, true) => problems.add("tls", "is for `https://` endpoints: write those, or leave `tls` out"),
        (true, false, true) | (false, true, false) | (false, false, _) => {}
    }
}

/// The scheme of `scheme://host[:port]`; `None` when it is not one.
fn scheme(endpoint: &str) -> Option<Scheme> {
    let (scheme, host) = endpoint.split_once("://")?;
    if host.is_empty() || host.contains(['/', ' ', '@']) {
        return None;
    }
    match scheme {
        "http" => Some(Scheme::Plain),
        "https" => Some(Scheme::Tls),
        _ => None,
    }
}

/// Two settings of which each needs the other.
fn together<A, B>(problems: &mut Problems, one: (&str, Option<A>), other: (&str, Option<B>)) -> Option<(A, B)> {
    match (one, other) {
        ((_, Some(one)), (_, Some(other))) => Some((one, other)),
        ((_, None), (_, None)) => None,
        ((there, Some(_)), (missing, None)) | ((missing, None), (there, Some(_))) => {
            problems.add(missing, format!("is missing: `{there}` needs it"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: serde_json::Value) -> Vec<String> {
        let written: Written = serde_json::from_value(settings).unwrap();
        let found = written.resolve("source.etcd").err().unwrap_or_default();
        found.into_iter().map(|Problem { setting, message }| format!("{setting}: {message}")).collect()
    }

    #[test]
    fn whole_settings_are_accepted_with_and_without_tls() {
        use serde_json::json;
        for good in [
            json!({"endpoints": ["http://a:2379", "http://[::1]:2379"]}),
            json!({"endpoints": ["https://a:2379"], "tls": {"ca": "ca.pem"}}),
            json!({
                "endpoints": ["https://a:2379"], "user": "u", "password_file": "p",
                "tls": {"ca": "ca.pem", "certificate": "c.pem", "key": "k.pem"},
            }),
        ] {
            assert_eq!(problems(good.clone()), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_setting_and_a_fix() {
        use serde_json::json;
        let cases = [
            (json!({"endpoints": []}), "source.etcd.endpoints: there is none"),
            (json!({"endpoints": ["a:2379"]}), "source.etcd.endpoints[0]: `a:2379` is not an endpoint"),
            (json!({"endpoints": ["https://"], "tls": {"ca": "c"}}), "source.etcd.endpoints[0]: `https://` is not"),
            (json!({"endpoints": ["unix://a"]}), "source.etcd.endpoints[0]: `unix://a` is not an endpoint"),
            (json!({"endpoints": ["https://a", "http://b"], "tls": {"ca": "c"}}), "source.etcd.endpoints: some are"),
            (json!({"endpoints": ["https://a"]}), "source.etcd.tls.ca: is missing"),
            (json!({"endpoints": ["http://a"], "tls": {"ca": "c"}}), "source.etcd.tls: is for `https://`"),
            (json!({"endpoints": ["http://a"], "user": "u"}), "source.etcd.password_file: is missing: `user` needs"),
            (json!({"endpoints": ["http://a"], "password_file": "p"}), "source.etcd.user: is missing"),
            (json!({"endpoints": ["https://a"], "tls": {"ca": "c", "key": "k"}}), "source.etcd.tls.certificate: is"),
            (json!({"endpoints": ["https://a"], "tls": {"ca": "c", "certificate": "k"}}), "source.etcd.tls.key: is"),
        ];
        for (settings, expected) in cases {
            let found = problems(settings.clone());
            assert!(found.len() == 1 && found[0].starts_with(expected), "{settings}: {found:?}");
        }
        assert!(serde_json::from_value::<Written>(json!({"endpoints": ["http://a"], "tls": {"cafile": "c"}})).is_err());
    }
}

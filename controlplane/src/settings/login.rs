//! How operators log in.

use std::path::PathBuf;

use serde::Deserialize;

use super::SettingsError;

/// The longest session, in minutes: a week.
const SESSION_MINUTES_MAX: u32 = 7 * 24 * 60;

/// How operators log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginSettings {
    /// A session ends after so many minutes, whatever happens.
    pub session_minutes: u32,
    /// A session ends when it was not used for so many minutes.
    pub idle_minutes: u32,
    /// What authenticator applications show beside the operator's name.
    pub title: String,
    /// Takes the source of a request from the last entry of `X-Forwarded-For`: only behind a proxy that sets it.
    pub trust_forwarded_for: bool,
    /// Login through an identity provider; none when absent.
    pub oidc: Option<OidcSettings>,
}

impl Default for LoginSettings {
    fn default() -> Self {
        let (session_minutes, idle_minutes, title) = (720, 60, "LGSP".to_owned());
        Self { session_minutes, idle_minutes, title, trust_forwarded_for: false, oidc: None }
    }
}

/// An OpenID Connect provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// The issuer, exactly as it names itself, such as `https://sso.example.vn/realms/lgsp`.
    pub issuer: String,
    /// What the provider calls this control plane.
    pub client_id: String,
    /// A file with the client's secret; none for a public client.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Certificates (PEM) that the provider's is checked against.
    #[serde(default = "ca_file")]
    pub ca_file: PathBuf,
    /// The claim of the ID token that is an operator's `identity`.
    #[serde(default = "claim")]
    pub claim: String,
    /// What is asked for besides `openid`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// A claim of the ID token that narrows the session to fewer of the operator's roles.
    #[serde(default)]
    pub roles_claim: Option<String>,
    /// Who asks for the second factor of an operator that has one here.
    #[serde(default)]
    pub second_factor: SecondFactor,
}

/// Who asks for a second factor when somebody logs in through the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondFactor {
    /// The control plane, as at every other login, of operators that have enrolled one.
    #[default]
    Here,
    /// The provider, which is trusted to have asked.
    Provider,
}

fn ca_file() -> PathBuf {
    PathBuf::from(crate::tls::DEBIAN_CA_FILE)
}

fn claim() -> String {
    "sub".to_owned()
}

impl LoginSettings {
    /// Refuses values that mean nothing.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |path: &str, message: String| Err(SettingsError::Value { path: path.to_owned(), message });
        let Self { session_minutes, idle_minutes, title, trust_forwarded_for: _, oidc } = self;
        if !(1..=SESSION_MINUTES_MAX).contains(session_minutes) {
            return wrong("login.session_minutes", format!("{session_minutes} is not from 1 to {SESSION_MINUTES_MAX}"));
        }
        if !(1..=*session_minutes).contains(idle_minutes) {
            let message = format!("{idle_minutes} is not from 1 to `session_minutes`, {session_minutes}");
            return wrong("login.idle_minutes", message);
        }
        if title.is_empty() || title.contains(':') {
            return wrong("login.title", "write a short name without a colon".to_owned());
        }
        let Some(OidcSettings { issuer, client_id, claim, .. }) = oidc else { return Ok(()) };
        if !is_https_or_loopback(issuer) {
            let message = format!("`{issuer}` is not an https:// address; plain http:// is taken on loopback only");
            return wrong("login.oidc.issuer", message);
        }
        for (name, value) in [("client_id", client_id), ("claim", claim)] {
            if value.is_empty() {
                return wrong(&format!("login.oidc.{name}"), "it is empty".to_owned());
            }
        }
        Ok(())
    }
}

/// Whether nobody on the way can read or change what is exchanged with this address.
pub fn is_https_or_loopback(address: &str) -> bool {
    let loopback = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // What stands before an `@` is no part of the host (RFC 3986 section 3.2).
        if authority.contains(['@', '\\']) {
            return false;
        }
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()) || host == "[::1]"
    };
    match address.split_once("://") {
        Some(("https", rest)) => !rest.is_empty(),
        Some(("http", rest)) => loopback(rest),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_taken_on_loopback_only() {
        for good in ["https://sso.example.vn", "http://127.0.0.1:3000/oidc", "http://[::1]:3000"] {
            assert!(is_https_or_loopback(good), "{good}");
        }
        for bad in [
            "http://sso.example.vn",
            "http://127.0.0.1.example.vn",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1:80@evil.example/realms/lgsp",
            "http://127.0.0.1:80\\@evil.example",
            "ftp://x",
            "x",
            "https://",
        ] {
            assert!(!is_https_or_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn values_that_mean_nothing_are_refused_by_path() {
        assert!(LoginSettings::default().check().is_ok());
        let cases = [
            (LoginSettings { session_minutes: 0, ..LoginSettings::default() }, "login.session_minutes"),
            (LoginSettings { idle_minutes: 721, ..LoginSettings::default() }, "login.idle_minutes"),
            (LoginSettings { title: "a:b".into(), ..LoginSettings::default() }, "login.title"),
            (
                serde_json::from_str(r#"{"oidc": {"issuer": "http://sso.example.vn", "client_id": "lgsp"}}"#).unwrap(),
                "login.oidc.issuer",
            ),
        ];
        for (login, path) in cases {
            let error = login.check().unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}

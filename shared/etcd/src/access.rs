//! Checked settings, and the options of a client made from them.

use std::error::Error as Cause;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{ConnectOptions, Error};

use crate::files::{Reader, UnusableFile};

/// For a TLS handshake with a member; the next one is tried after it.
pub(crate) const HANDSHAKE_WAIT: Duration = Duration::from_secs(3);
/// Causes of an error that are told; they are nested in the words of four layers.
const CAUSES_MAX: usize = 16;

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub(crate) within: &'static str,
    pub(crate) endpoints: Vec<String>,
    pub(crate) login: Option<Login>,
    pub(crate) tls: Option<Tls>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: String,
    pub password_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub ca: PathBuf,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Access {
    /// Without TLS and without a login.
    pub fn plain(endpoints: Vec<String>) -> Self {
        Self { within: "etcd", endpoints, login: None, tls: None }
    }

    /// The members.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The first member on another machine that is spoken to without TLS: whoever is on the way reads everything, and can
    /// change it.
    pub fn plain_beyond_loopback(&self) -> Option<&str> {
        self.endpoints.iter().map(String::as_str).find(|endpoint| is_plain_beyond_loopback(endpoint))
    }

    /// The same as a notice for those who look at the program; names the setting.
    pub fn notice(&self) -> Option<String> {
        let endpoint = self.plain_beyond_loopback()?;
        Some(format!(
            "`{}.endpoints`: `{endpoint}` is on another machine and is spoken to without TLS: serve etcd over TLS and write \
             `https://` with `tls.ca`",
            self.within
        ))
    }

    /// Reads all files and says what is wrong with them.
    pub fn check(&self) -> Result<(), UnusableFile> {
        self.options().map(drop)
    }

    /// The login and the TLS side of a client's options, from the files as they are now.
    pub fn options(&self) -> Result<ConnectOptions, UnusableFile> {
        let reader = Reader { within: self.within };
        let mut options = ConnectOptions::new();
        if let Some(Login { user, password_file }) = &self.login {
            let password = reader.secret("password_file", password_file)?;
            options = options.with_user(user.as_str(), password.trim_end()).with_auto_token_refresh(true);
        }
        if let Some(tls) = &self.tls {
            options = options.with_tls(reader.tls(tls)?);
        }
        Ok(options)
    }
}

fn is_plain_beyond_loopback(endpoint: &str) -> bool {
    let Some(authority) = endpoint.strip_prefix("http://") else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => !address.to_canonical().is_loopback(),
        Err(_) => host != "localhost",
    }
}

/// What went wrong, once: gRPC repeats a status in the words of three layers, and keeps the cause to itself.
pub fn explain(error: &Error) -> String {
    let Error::GRpcStatus(status) = error else { return error.to_string() };
    let mut text = status.message().to_owned();
    let causes = std::iter::successors(status.source(), |cause: &&'_ (dyn Cause + 'static)| Cause::source(*cause))
        .take(CAUSES_MAX);
    if let Some(cause) = causes.last().map(ToString::to_string)
        && !text.contains(&cause)
    {
        text = format!("{text}: {cause}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use lgsp_testkit::certificate::Authority;

    use crate::{Written, WrittenTls};

    fn written(directory: &Path) -> Written {
        let file = |name: &str| directory.join(name);
        let tls = WrittenTls {
            ca: file("ca.pem"),
            certificate: Some(file("client.cert.pem")),
            key: Some(file("client.key.pem")),
        };
        Written {
            endpoints: vec!["https://127.0.0.1:2379".into()],
            user: Some("lgsp".into()),
            password_file: Some(file("password")),
            tls: Some(tls),
        }
    }

    #[test]
    fn a_member_on_another_machine_without_tls_is_noticed() {
        use crate::Access;
        for (endpoint, noticed) in [
            ("http://127.0.0.1:2379", false),
            ("http://127.9.9.9:2379", false),
            ("http://localhost:2379", false),
            ("http://[::1]:2379", false),
            ("http://[::ffff:127.0.0.1]:2379", false),
            ("https://10.0.0.1:2379", false),
            ("http://10.0.0.1:2379", true),
            ("http://[fd00::1]:2379", true),
            ("http://localhost.example.vn:2379", true),
            ("http://etcd", true),
        ] {
            let access = Access::plain(vec!["http://127.0.0.1:2379".to_owned(), endpoint.to_owned()]);
            assert_eq!(access.plain_beyond_loopback(), noticed.then_some(endpoint));
            assert_eq!(access.notice().is_some_and(|notice| notice.contains(endpoint)), noticed);
        }
    }

    #[test]
    fn a_missing_or_wrong_file_is_named_with_its_setting() {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new("LGSP test"));
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", authority.pem());
        write("password", "secret\n");
        std::fs::set_permissions(directory.path().join("password"), Permissions::from_mode(0o600)).unwrap();
        let client = authority.issue(&["client"]);
        client.write(directory.path(), "client");
        let access = written(directory.path()).resolve("source.etcd").unwrap();
        access.check().unwrap();

        let foreign = authority.issue(&["client"]);
        let cases: [(&str, Option<&str>, &str); 7] = [
            ("ca.pem", None, "`source.etcd.tls.ca`"),
            ("ca.pem", Some("nothing"), "holds no certificate"),
            ("ca.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "no authority's"),
            ("client.cert.pem", Some(&client.key_pem), "`source.etcd.tls.certificate`"),
            ("client.key.pem", Some(&client.cert_pem), "holds no private key"),
            ("client.key.pem", Some(&foreign.key_pem), "use the key it was issued for"),
            ("password", None, "`source.etcd.password_file`"),
        ];
        for (name, text, expected) in cases {
            let path = directory.path().join(name);
            let before = std::fs::read(&path).unwrap();
            match text {
                Some(text) => write(name, text),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = access.check().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
            assert!(!error.contains("BEGIN"), "{error}");
            std::fs::write(&path, before).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        access.check().unwrap();
    }

    #[test]
    fn a_password_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        let written =
            Written { tls: None, endpoints: vec!["http://127.0.0.1:2379".into()], ..written(directory.path()) };
        let access = written.resolve("source.etcd").unwrap();
        for (mode, good) in [(0o644, false), (0o604, false), (0o640, true), (0o600, true)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let checked = access.check().map_err(|error| error.to_string());
            assert_eq!(checked.is_ok(), good, "{mode:o}");
            if let Err(error) = checked {
                assert!(error.contains("`source.etcd.password_file`") && error.contains("chmod 600"), "{error}");
            }
        }
    }
}

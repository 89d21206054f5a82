//! Settings: a YAML file and `LGSP_CONTROLPLANE_*` variables over it. A name that is not known is an error, so that a
//! misspelt setting never silently means its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use lgsp_etcd::{Access, UnusableFile, Written};
use lgsp_shared::yaml;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::desired::Bounds;

pub mod database;
pub mod key_file;
pub mod login;

use database::DatabaseSettings;
use login::LoginSettings;

/// The longest settings file, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// What every environment variable starts with.
pub const ENVIRONMENT_PREFIX: &str = "LGSP_CONTROLPLANE_";
const PORT: u16 = 8090;

/// How the server runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API listens; loopback unless `listen_beyond_loopback`.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Allows another address than loopback: the API speaks plain HTTP, so a TLS proxy must stand before it.
    #[serde(default)]
    pub listen_beyond_loopback: bool,
    /// The path of a SQLite file, which is made when missing, or `postgres://user@host:port/database`.
    pub database: DatabaseSettings,
    /// A file that holds the PostgreSQL user's password. Without it libpq's `PGPASSWORD` and `~/.pgpass` count.
    #[serde(default)]
    pub database_password_file: Option<PathBuf>,
    /// The key-encryption key, made by `lgsp-controlplane init-key`.
    pub key_file: PathBuf,
    /// Where revisions are published.
    pub publish: PublishSettings,
    /// How operators log in.
    #[serde(default)]
    pub login: LoginSettings,
    /// Whether a system gets keys only after an approval; when false, whoever applies its document approves it by that.
    #[serde(default = "systems_need_approval")]
    pub systems_need_approval: bool,
    /// How much may be published, for one agency and in all.
    #[serde(default)]
    pub limits: Bounds,
    /// Whether a crash may write the memory, which holds keys and passwords, to a file.
    #[serde(default)]
    pub core_dumps: bool,
    /// What is logged, such as `info` or `info,lgsp_controlplane=debug`.
    #[serde(default = "log")]
    pub log: String,
}

/// Where revisions are published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishSettings {
    /// Into a file that nodes on this machine watch.
    Bundle(PathBuf),
    /// Into etcd.
    Etcd(#[serde(deserialize_with = "access")] Access),
}

impl PublishSettings {
    /// Security notices.
    pub fn notices(&self) -> Vec<String> {
        match self {
            PublishSettings::Bundle(_) => Vec::new(),
            PublishSettings::Etcd(access) => access.notice().into_iter().collect(),
        }
    }

    /// Reads the files that publishing needs, and says what is wrong with them.
    pub fn check_files(&self) -> Result<(), UnusableFile> {
        match self {
            PublishSettings::Bundle(_) => Ok(()),
            PublishSettings::Etcd(access) => access.check(),
        }
    }
}

fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
    let written = Written::deserialize(deserializer)?;
    written.resolve("publish.etcd").map_err(|problems| {
        let told: Vec<String> =
            problems.into_iter().map(|problem| format!("`{}` {}", problem.setting, problem.message)).collect();
        D::Error::custom(told.join("; "))
    })
}

fn listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

fn systems_need_approval() -> bool {
    true
}

fn log() -> String {
    "info".to_owned()
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is too long.
    #[error("the settings file `{path}` is longer than {FILE_BYTES_MAX} bytes; is it the right file?")]
    TooLong {
        /// The file.
        path: String,
    },
    /// Not YAML.
    #[error("`{path}` is not YAML: {message}")]
    Malformed {
        /// The file.
        path: String,
        /// Where and what.
        message: String,
    },
    /// A variable that means nothing.
    #[error("the environment variable `{name}` is not a setting; use one of {known}, or unset it")]
    Variable {
        /// The variable.
        name: String,
        /// All that are known.
        known: String,
    },
    /// A value is wrong or missing.
    #[error("setting `{path}`: {message}")]
    Value {
        /// The setting.
        path: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// Where a variable's value goes, and whether it is a list written with commas.
const VARIABLES: [(&str, &[&str]); 14] = [
    ("LISTEN", &["listen"]),
    ("LISTEN_BEYOND_LOOPBACK", &["listen_beyond_loopback"]),
    ("DATABASE", &["database"]),
    ("DATABASE_PASSWORD_FILE", &["database_password_file"]),
    ("KEY_FILE", &["key_file"]),
    ("LOGIN_SESSION_MINUTES", &["login", "session_minutes"]),
    ("LOGIN_IDLE_MINUTES", &["login", "idle_minutes"]),
    ("LOGIN_TITLE", &["login", "title"]),
    ("LOGIN_TRUST_FORWARDED_FOR", &["login", "trust_forwarded_for"]),
    ("SYSTEMS_NEED_APPROVAL", &["systems_need_approval"]),
    ("CORE_DUMPS", &["core_dumps"]),
    ("LOG", &["log"]),
    ("PUBLISH_BUNDLE", &["publish", "bundle"]),
    ("PUBLISH_ETCD", &["publish", "etcd", "endpoints"]),
];

impl Settings {
    /// Reads the file, if any, and the variables.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let text = file.map(read_file).transpose()?;
        let name = file.map_or_else(String::new, |file| file.display().to_string());
        Self::parse(text.as_deref().unwrap_or_default(), &name, environment)
    }

    /// Reads settings from the text of the file called `name`.
    pub fn parse(
        text: &str,
        name: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let malformed = |message: String| SettingsError::Malformed { path: name.to_owned(), message };
        let mut root = match yaml::one(text).map_err(|error| malformed(error.to_string()))? {
            Value::Object(root) => root,
            Value::Null => Map::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(malformed("it is not a map of settings".to_owned()));
            }
        };
        for (variable, value) in environment {
            if let Some(short) = variable.strip_prefix(ENVIRONMENT_PREFIX) {
                overlay(&mut root, short, value)?;
            }
        }
        let settings: Settings = serde_path_to_error::deserialize(Value::Object(root)).map_err(|error| {
            let path = error.path().to_string();
            SettingsError::Value { path, message: error.into_inner().to_string() }
        })?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let wrong = |path: &str, message: String| Err(SettingsError::Value { path: path.to_owned(), message });
        if !self.listen.ip().is_loopback() && !self.listen_beyond_loopback {
            let message = format!(
                "`{}` is not loopback, and the API speaks plain HTTP; listen on `127.0.0.1:{PORT}`, or put a TLS proxy \
                 before it and set `listen_beyond_loopback: true`",
                self.listen
            );
            return wrong("listen", message);
        }
        if let (DatabaseSettings::Sqlite(_), Some(_)) = (&self.database, &self.database_password_file) {
            return wrong("database_password_file", "a SQLite file has no password; leave it out".to_owned());
        }
        self.login.check()?;
        let Bounds { agency_bytes_max, published_bytes_max } = self.limits;
        if agency_bytes_max == 0 || agency_bytes_max > published_bytes_max {
            let message = format!(
                "{agency_bytes_max} bytes is not between 1 and `limits.published_bytes_max`, which is {published_bytes_max}"
            );
            return wrong("limits.agency_bytes_max", message);
        }
        match &self.publish {
            PublishSettings::Bundle(path) if path.file_name().is_none() => {
                wrong("publish.bundle", format!("`{}` is not a file name", path.display()))
            }
            PublishSettings::Bundle(_) | PublishSettings::Etcd(_) => Ok(()),
        }
    }
}

fn read_file(path: &Path) -> Result<String, SettingsError> {
    let name = || path.display().to_string();
    let unreadable = |source| SettingsError::Unreadable { path: name(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(SettingsError::TooLong { path: name() });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn overlay(root: &mut Map<String, Value>, short: &str, value: String) -> Result<(), SettingsError> {
    let Some((_, path)) = VARIABLES.into_iter().find(|(name, _)| *name == short) else {
        let known: Vec<String> = VARIABLES.iter().map(|(name, _)| format!("`{ENVIRONMENT_PREFIX}{name}`")).collect();
        return Err(SettingsError::Variable { name: format!("{ENVIRONMENT_PREFIX}{short}"), known: known.join(", ") });
    };
    let value = match path {
        ["publish", "etcd", "endpoints"] => value.split(',').map(|endpoint| Value::from(endpoint.trim())).collect(),
        ["login", "session_minutes" | "idle_minutes"] => value.parse::<u32>().map_or(Value::String(value), Value::from),
        ["listen_beyond_loopback" | "systems_need_approval" | "core_dumps"] | ["login", "trust_forwarded_for"] => {
            value.parse::<bool>().map_or(Value::String(value), Value::Bool)
        }
        _ => Value::String(value),
    };
    // A variable that chooses where to publish replaces the file's choice.
    if let ["publish", chosen, ..] = path
        && let Some(Value::Object(publish)) = root.get_mut("publish")
    {
        publish.retain(|name, _| name == chosen);
    }
    put(root, path, value);
    Ok(())
}

fn put(map: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = map.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Settings as written: the shape of the file, its defaults, and the environment laid over it.

use std::path::PathBuf;

use lgsp_shared::resource::HEALTH_INTERVAL_MS_MIN;
use lgsp_shared::yaml;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ENVIRONMENT_PREFIX, SettingsError};
use crate::record::{RecordBounds, Rotation, StrangerQuota};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub node: String,
    pub listeners: Vec<RawListener>,
    #[serde(default)]
    pub admin: RawAdmin,
    pub source: RawSource,
    pub key_file: PathBuf,
    pub state_dir: PathBuf,
    pub cluster: Option<RawCluster>,
    pub records: RawRecords,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub targets: RawTargets,
    #[serde(default)]
    pub core_dumps: bool,
    #[serde(default)]
    pub threads: RawThreads,
    #[serde(default)]
    pub faces: RawFaces,
    #[serde(default = "log_level")]
    pub log_level: String,
    pub pid_file: Option<PathBuf>,
    pub upgrade_socket: Option<PathBuf>,
}

fn log_level() -> String {
    "info".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    pub address: String,
    pub tls: Option<RawTlsFiles>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    #[serde(default = "admin_address")]
    pub address: String,
    pub advertise: Option<String>,
    pub socket: Option<PathBuf>,
}

fn admin_address() -> String {
    "127.0.0.1:9901".to_owned()
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { address: admin_address(), advertise: None, socket: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub bundle: Option<RawBundle>,
    pub etcd: Option<lgsp_etcd::Written>,
    #[serde(default)]
    pub accept_unmarked: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBundle {
    pub file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub listen: String,
    pub advertise: Option<String>,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
    #[serde(default = "ask_deadline_ms")]
    pub ask_deadline_ms: u64,
}

/// On one network an answer takes less than 1 ms; a source that waits this long for a refusal has lost nothing.
fn ask_deadline_ms() -> u64 {
    10
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecords {
    pub to: RawRecordSink,
    #[serde(default)]
    pub on_full: RawOnFull,
    #[serde(default)]
    pub rotate: RawRotate,
    #[serde(default)]
    pub strangers: RawStrangers,
    #[serde(default = "reserve_bytes")]
    pub reserve_bytes: u64,
}

fn reserve_bytes() -> u64 {
    RecordBounds::default().reserve_bytes
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRotate {
    pub bytes: u64,
    pub keep: u32,
}

impl Default for RawRotate {
    fn default() -> Self {
        let Rotation { bytes, keep } = Rotation::default();
        Self { bytes, keep }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStrangers {
    pub per_second: u64,
    pub per_address_per_second: u64,
}

impl Default for RawStrangers {
    fn default() -> Self {
        let StrangerQuota { per_second, per_address_per_second } = StrangerQuota::default();
        Self { per_second, per_address_per_second }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawRecordSink {
    File(PathBuf),
    Stdout,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawOnFull {
    #[default]
    Refuse,
    Serve,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub unverified_bytes_max: usize,
    pub header_deadline_ms: u64,
    pub keep_alive_idle_ms: u64,
    pub drain_grace_ms: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            // 10 000 idle connections at 18 KiB are 180 MiB.
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            // 128 chunks of 2 MiB, or 4 096 small bodies of 64 KiB, at a time.
            unverified_bytes_max: 256 << 20,
            header_deadline_ms: 10_000,
            keep_alive_idle_ms: 60_000,
            drain_grace_ms: 30_000,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTargets {
    pub allow: Option<Vec<String>>,
    pub deny: Vec<String>,
    pub health_interval_min_ms: u64,
    pub health_checks_per_second_max: usize,
}

impl Default for RawTargets {
    fn default() -> Self {
        Self {
            allow: None,
            deny: Vec::new(),
            health_interval_min_ms: HEALTH_INTERVAL_MS_MIN,
            // 500 endpoints every 5 s.
            health_checks_per_second_max: 100,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawThreads {
    pub workers: Option<usize>,
    pub work_stealing: bool,
}

impl Default for RawThreads {
    fn default() -> Self {
        Self { workers: None, work_stealing: true }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawFaces {
    #[default]
    Both,
    Proxy,
}

/// Reads the file's text, lays the environment over it, and gives it its shape.
pub(super) fn read(
    origin: &str,
    yaml: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Raw, SettingsError> {
    let mut whole =
        yaml::one(yaml).map_err(|error| SettingsError::one(origin, "", format!("is not readable as YAML: {error}")))?;
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let keys: Vec<&str> = path.split("__").collect();
        // `true`, `8` and `[a, b]` mean in the environment what they mean in the file.
        let value = yaml::one(&value).unwrap_or(Value::String(value));
        set(&mut whole, &keys, value);
    }
    if let Some(key) = controlled(&whole) {
        let message = "holds a control character; no setting needs one: remove it, or write the text again".to_owned();
        return Err(SettingsError::one(origin, &key, message));
    }
    serde_path_to_error::deserialize(whole).map_err(|error| {
        let key = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let message = format!("{}; see `config/examples/dataplane.yaml` for every key", error.into_inner());
        SettingsError::one(origin, &key, message)
    })
}

/// Sets the value at a path of keys, making the maps on the way.
fn set(at: &mut Value, keys: &[&str], value: Value) {
    let Some((first, rest)) = keys.split_first() else {
        *at = value;
        return;
    };
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    if let Value::Object(fields) = at {
        set(fields.entry((*first).to_owned()).or_insert(Value::Null), rest, value);
    }
}

/// The key of the first text, or the first key itself, that holds a control character (U+0000 to U+001F, U+007F to
/// U+009F). In a path it would name another file than the one that is shown, and in a log it would steer a terminal.
fn controlled(value: &Value) -> Option<String> {
    let holds = |text: &str| text.chars().any(char::is_control);
    let below = |key: String, value: &Value| {
        controlled(value).map(|rest| match rest.as_str() {
            "" => key.clone(),
            rest if rest.starts_with('[') => format!("{key}{rest}"),
            rest => format!("{key}.{rest}"),
        })
    };
    match value {
        Value::String(text) => holds(text).then(String::new),
        Value::Array(values) => values.iter().enumerate().find_map(|(at, value)| below(format!("[{at}]"), value)),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match holds(key) {
            true => Some(key.escape_default().to_string()),
            false => below(key.clone(), value),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

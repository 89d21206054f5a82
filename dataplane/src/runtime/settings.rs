//! A node's settings: one YAML file, then `LGSP_DATAPLANE_*` from the environment, checked whole before anything starts.
//!
//! What is written is [`raw`]; what the rest of the program sees is [`Settings`], where every value has been checked.
//! A key that is not known is an error, because a misspelt limit is no limit. Environment names follow the keys, with
//! `__` between levels: `LGSP_DATAPLANE_LIMITS__CONNECTIONS_MAX=500`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lgsp_etcd::Access;
use lgsp_shared::id::NodeId;

use crate::edge::health::HealthLimits;
use crate::edge::{Faces, Limits};
use crate::record::RecordBounds;
use crate::upstream::Rules;

mod raw;
mod resolve;
#[cfg(test)]
mod tests;

/// The prefix of environment variables that override the file.
pub const ENVIRONMENT_PREFIX: &str = "LGSP_DATAPLANE_";

/// Everything a node is told from outside, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The node's name, in status, records and metrics.
    pub node: NodeId,
    /// Where requests arrive; at least one.
    pub listeners: Vec<Listener>,
    /// Where `/livez`, `/readyz` and `/metrics` are served, and the rest to whoever holds the platform's key.
    pub admin: SocketAddr,
    /// Where the control plane asks the admin listener, when that is not where it listens.
    pub admin_advertise: Option<SocketAddr>,
    /// Where the admin listener answers this machine's administrator, with what others have to prove themselves for.
    pub admin_socket: PathBuf,
    /// Where the configuration comes from.
    pub source: Source,
    /// Whether configuration without a proof of origin is accepted: while the control plane is of a version that does not
    /// mark what it publishes.
    pub accept_unmarked: bool,
    /// The file with the key-encryption key.
    pub key_file: PathBuf,
    /// The node's own directory: last good snapshot, process id, upgrade socket.
    pub state_dir: PathBuf,
    /// How other nodes are met; a node on its own when absent.
    pub cluster: Option<Cluster>,
    /// Where records go.
    pub records: Records,
    /// Limits and deadlines towards sources.
    pub limits: Limits,
    /// Where this node connects to on behalf of others.
    pub targets: Rules,
    /// How often it checks the health of endpoints.
    pub health_checks: HealthLimits,
    /// Whether a crash may write the memory, which holds secrets, to a file.
    pub core_dumps: bool,
    /// Worker threads.
    pub threads: Threads,
    /// Which code carries HTTP/1.1.
    pub faces: Faces,
    /// A `tracing` filter such as `info` or `info,lgsp_dataplane::sync=debug`.
    pub log_level: String,
    /// Where the process id is written.
    pub pid_file: PathBuf,
    /// The socket over which listening sockets move to a successor.
    pub upgrade_socket: PathBuf,
}

/// One address on which requests arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate; plain HTTP when absent.
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its key, as PEM files that are watched for change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// One file, replaced atomically by the control plane.
    Bundle {
        /// The file.
        file: PathBuf,
    },
    /// An etcd cluster.
    Etcd(Access),
}

/// How this node meets others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Where other nodes connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address they are told; the bound one when absent.
    pub advertise: Option<SocketAddr>,
    /// This node's certificate chain, for its name, as server and client.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authority that signed the certificates of all nodes.
    pub authority: PathBuf,
    /// How long the owner of a nonce may take to answer.
    pub ask_deadline: Duration,
}

/// Where records go, and what happens when they cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Where they go.
    pub to: RecordSink,
    /// What happens to requests when records cannot be written.
    pub on_full: OnFull,
    /// How much disk they may take.
    pub bounds: RecordBounds,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordSink {
    /// Appended to a file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What happens to requests when records cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// They are refused with `records-unavailable`.
    Refuse,
    /// They are served; the records lost are counted.
    Serve,
}

/// Worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// How many carry exchanges.
    pub workers: usize,
    /// Whether an idle worker takes tasks from a busy one.
    pub work_stealing: bool,
}

/// Something wrong with the settings: which key, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `limits.connections_max`; empty for the whole.
    pub key: String,
    /// What is wrong and what to do next.
    pub message: String,
}

/// Why the settings cannot be used; every problem at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct SettingsError {
    /// Where the settings were read from.
    pub origin: String,
    /// What is wrong with them; at least one.
    pub problems: Vec<Problem>,
}

impl SettingsError {
    pub(super) fn one(origin: &str, key: &str, message: String) -> Self {
        Self { origin: origin.to_owned(), problems: vec![Problem { key: key.to_owned(), message }] }
    }

    fn lines(&self) -> String {
        let line = |problem: &Problem| match problem.key.as_str() {
            "" => format!("{}: {}", self.origin, problem.message),
            key => format!("{}: `{key}`: {}", self.origin, problem.message),
        };
        self.problems.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Settings {
    /// Reads the file, then the process's environment.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot be read: {error}; give the settings file with `--config FILE`");
            SettingsError::one(&origin, "", message)
        })?;
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse(&origin, &text, environment)
    }

    /// Reads settings from text and from environment variables; others than `LGSP_DATAPLANE_*` are ignored.
    pub fn parse(
        origin: &str,
        yaml: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        resolve::resolve(origin, raw::read(origin, yaml, environment)?)
    }
}

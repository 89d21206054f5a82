//! From settings as written to settings as used: every value checked, every problem named, nothing left out.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use lgsp_etcd::Access;
use lgsp_shared::id::NodeId;
use lgsp_shared::network::Network;

use super::raw::{
    Raw, RawAdmin, RawBundle, RawCluster, RawFaces, RawLimits, RawListener, RawOnFull, RawRecordSink, RawRecords,
    RawRotate, RawSource, RawStrangers, RawTargets, RawThreads, RawTlsFiles,
};
use super::{
    Cluster, Listener, OnFull, Problem, RecordSink, Records, Settings, SettingsError, Source, Threads, TlsFiles,
};
use crate::edge::health::HealthLimits;
use crate::edge::{Faces, Limits};
use crate::record::{RecordBounds, Rotation, StrangerQuota};
use crate::upstream::Rules;

/// The smallest record file that is worth a rotation: some 2 000 records.
const ROTATE_BYTES_MIN: u64 = 1 << 20;
/// The largest: 1 PiB, which is beyond any disk and well within the arithmetic.
const BYTES_MAX: u64 = 1 << 50;
/// A rotation renames each file that is kept.
const ROTATE_KEEP_MAX: u32 = 1_000;
/// About 1 MiB of records a second.
const STRANGERS_PER_SECOND_MAX: u64 = 1_000;
/// Linux takes paths of Unix sockets up to this many bytes (`sun_path` without its final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Listening sockets and their addresses must fit the hand-over message of an upgrade, the admin listener included.
const LISTENERS_MAX: usize = 16;

/// Problems found so far; a value that has one is replaced by something harmless so that the search goes on.
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    fn address(&mut self, key: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.add(key, format!("`{text}` is not an address: write `IP:port`, such as `0.0.0.0:8080`"));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn milliseconds(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) -> Duration {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            self.add(key, format!("{value} is out of range: use {least} to {most} milliseconds"));
        }
        Duration::from_millis(value)
    }

    fn count(&mut self, key: &str, value: usize, range: RangeInclusive<usize>) -> usize {
        if !range.contains(&value) {
            self.add(key, format!("{value} is out of range: use {} to {}", range.start(), range.end()));
        }
        value
    }

    fn node(&mut self, text: &str) -> Option<NodeId> {
        text.parse().map_err(|error: lgsp_shared::id::InvalidId| self.add("node", error.to_string())).ok()
    }
}

pub(super) fn resolve(origin: &str, raw: Raw) -> Result<Settings, SettingsError> {
    let Raw {
        node,
        listeners,
        admin: RawAdmin { address: admin, advertise, socket: admin_socket },
        source,
        key_file,
        state_dir,
        cluster,
        records,
        limits,
        targets,
        core_dumps,
        threads,
        faces,
        log_level,
        pid_file,
        upgrade_socket,
    } = raw;
    let mut problems = Problems(Vec::new());
    let node = problems.node(&node);
    let listeners = resolve_listeners(&mut problems, listeners);
    let admin = problems.address("admin.address", &admin);
    let admin_advertise = advertise.map(|address| resolve_advertised(&mut problems, &address));
    let (source, accept_unmarked) = resolve_source(&mut problems, source);
    let cluster = cluster.map(|cluster| resolve_cluster(&mut problems, cluster, &source));
    let limits = resolve_limits(&mut problems, limits);
    let (targets, health_checks) = resolve_targets(&mut problems, targets);
    let threads = resolve_threads(&mut problems, threads);
    let log_level = resolve_log_level(&mut problems, log_level);
    let upgrade_socket =
        resolve_socket(&mut problems, "upgrade_socket", upgrade_socket, state_dir.join("upgrade.sock"));
    let admin_socket = resolve_socket(&mut problems, "admin.socket", admin_socket, state_dir.join("admin.sock"));
    let pid_file = pid_file.unwrap_or_else(|| state_dir.join("dataplane.pid"));
    let (records, faces) = (resolve_records(&mut problems, records), resolve_faces(faces));
    match node {
        Some(node) if problems.0.is_empty() => Ok(Settings {
            node,
            listeners,
            admin,
            admin_advertise,
            admin_socket,
            source,
            accept_unmarked,
            key_file,
            state_dir,
            cluster,
            records,
            limits,
            targets,
            health_checks,
            core_dumps,
            threads,
            faces,
            log_level,
            pid_file,
            upgrade_socket,
        }),
        Some(_) | None => Err(SettingsError { origin: origin.to_owned(), problems: problems.0 }),
    }
}

fn resolve_listeners(problems: &mut Problems, listeners: Vec<RawListener>) -> Vec<Listener> {
    if listeners.is_empty() {
        problems.add("listeners", "there is none: add one such as `- address: 0.0.0.0:8080`");
    }
    if listeners.len() > LISTENERS_MAX {
        problems.add("listeners", format!("{} are too many: use {LISTENERS_MAX} at most", listeners.len()));
    }
    let mut resolved: Vec<Listener> = Vec::new();
    for (index, RawListener { address, tls }) in listeners.into_iter().enumerate() {
        let key = format!("listeners[{index}].address");
        let address = problems.address(&key, &address);
        if address.port() != 0 && resolved.iter().any(|other| other.address == address) {
            problems.add(key, format!("`{address}` is taken by another listener: use another port"));
        }
        resolved.push(Listener { address, tls: tls.map(resolve_tls_files) });
    }
    resolved
}

fn resolve_advertised(problems: &mut Problems, text: &str) -> SocketAddr {
    let address = problems.address("admin.advertise", text);
    if address.ip().is_unspecified() {
        problems.add("admin.advertise", format!("`{address}` cannot be connected to: name an address of this machine"));
    }
    address
}

fn resolve_tls_files(RawTlsFiles { certificate, key }: RawTlsFiles) -> TlsFiles {
    TlsFiles { certificate, key }
}

/// The source, and whether configuration without a proof of origin is accepted from it.
fn resolve_source(problems: &mut Problems, source: RawSource) -> (Source, bool) {
    let RawSource { bundle, etcd, accept_unmarked } = source;
    let source = match (bundle, etcd) {
        (Some(RawBundle { file }), None) => Source::Bundle { file },
        (None, Some(etcd)) => Source::Etcd(resolve_etcd(problems, etcd)),
        (bundle, _) => {
            let named = if bundle.is_some() { "both" } else { "neither" };
            problems.add("source", format!("names {named} of `bundle` and `etcd`: name one of them"));
            Source::Bundle { file: PathBuf::new() }
        }
    };
    (source, accept_unmarked)
}

fn resolve_etcd(problems: &mut Problems, etcd: lgsp_etcd::Written) -> Access {
    etcd.resolve("source.etcd").unwrap_or_else(|found| {
        found.into_iter().for_each(|problem| problems.add(problem.setting, problem.message));
        Access::plain(Vec::new())
    })
}

fn resolve_cluster(problems: &mut Problems, cluster: RawCluster, source: &Source) -> Cluster {
    let RawCluster { listen, advertise, certificate, key, authority, ask_deadline_ms } = cluster;
    if matches!(source, Source::Bundle { .. }) {
        problems.add("cluster", "nodes find each other in etcd: set `source.etcd`, or leave `cluster` out");
    }
    let listen = problems.address("cluster.listen", &listen);
    let advertise = advertise.map(|address| problems.address("cluster.advertise", &address));
    if advertise.is_none() && listen.ip().is_unspecified() {
        let message = format!("is missing: others cannot connect to `{listen}`; name an address of this machine");
        problems.add("cluster.advertise", message);
    }
    let ask_deadline = problems.milliseconds("cluster.ask_deadline_ms", ask_deadline_ms, 1..=5_000);
    Cluster { listen, advertise, certificate, key, authority, ask_deadline }
}

fn resolve_records(problems: &mut Problems, records: RawRecords) -> Records {
    let RawRecords { to, on_full, rotate, strangers, reserve_bytes } = records;
    let to = match to {
        RawRecordSink::File(path) => RecordSink::File(path),
        RawRecordSink::Stdout => RecordSink::Stdout,
    };
    let on_full = match on_full {
        RawOnFull::Refuse => OnFull::Refuse,
        RawOnFull::Serve => OnFull::Serve,
    };
    let RawRotate { bytes, keep } = rotate;
    if bytes != 0 && !(ROTATE_BYTES_MIN..=BYTES_MAX).contains(&bytes) {
        let message = format!("{bytes} is out of range: use 0 for never, or {ROTATE_BYTES_MIN} to {BYTES_MAX}");
        problems.add("records.rotate.bytes", message);
    }
    if !(1..=ROTATE_KEEP_MAX).contains(&keep) {
        problems.add("records.rotate.keep", format!("{keep} is out of range: use 1 to {ROTATE_KEEP_MAX}"));
    }
    let RawStrangers { per_second, per_address_per_second } = strangers;
    for (key, value) in [("per_second", per_second), ("per_address_per_second", per_address_per_second)] {
        if value > STRANGERS_PER_SECOND_MAX {
            let message = format!("{value} is out of range: use 0 to {STRANGERS_PER_SECOND_MAX}");
            problems.add(format!("records.strangers.{key}"), message);
        }
    }
    if reserve_bytes > BYTES_MAX {
        problems.add("records.reserve_bytes", format!("{reserve_bytes} is out of range: use 0 to {BYTES_MAX}"));
    }
    let bounds = RecordBounds {
        rotation: (bytes != 0).then_some(Rotation { bytes, keep }),
        strangers: StrangerQuota { per_second, per_address_per_second },
        reserve_bytes,
    };
    Records { to, on_full, bounds }
}

fn resolve_faces(faces: RawFaces) -> Faces {
    match faces {
        RawFaces::Both => Faces::Both,
        RawFaces::Proxy => Faces::Proxy,
    }
}

fn resolve_limits(problems: &mut Problems, limits: RawLimits) -> Limits {
    let RawLimits {
        connections_max,
        connections_per_address_max,
        unverified_bytes_max,
        header_deadline_ms,
        keep_alive_idle_ms,
        drain_grace_ms,
    } = limits;
    let per_address_key = "limits.connections_per_address_max";
    Limits {
        connections_max: problems.count("limits.connections_max", connections_max, 1..=1_000_000),
        connections_per_address_max: problems.count(per_address_key, connections_per_address_max, 1..=1_000_000),
        unverified_bytes_max: problems.count("limits.unverified_bytes_max", unverified_bytes_max, 4 << 20..=1 << 40),
        header_deadline: problems.milliseconds("limits.header_deadline_ms", header_deadline_ms, 100..=60_000),
        keep_alive_idle: problems.milliseconds("limits.keep_alive_idle_ms", keep_alive_idle_ms, 100..=3_600_000),
        drain_grace: problems.milliseconds("limits.drain_grace_ms", drain_grace_ms, 0..=3_600_000),
    }
}

fn resolve_targets(problems: &mut Problems, targets: RawTargets) -> (Rules, HealthLimits) {
    let RawTargets { allow, deny, health_interval_min_ms, health_checks_per_second_max } = targets;
    let interval_key = "targets.health_interval_min_ms";
    let per_second_key = "targets.health_checks_per_second_max";
    let per_second = problems.count(per_second_key, health_checks_per_second_max, 1..=10_000);
    let rules = Rules {
        allow: allow.map(|allow| resolve_networks(problems, "targets.allow", &allow)),
        deny: resolve_networks(problems, "targets.deny", &deny),
    };
    let health = HealthLimits {
        interval_min: problems.milliseconds(interval_key, health_interval_min_ms, 100..=3_600_000),
        checks_per_second_max: u32::try_from(per_second).unwrap_or(u32::MAX),
    };
    (rules, health)
}

/// Networks, and `loopback` for both of that name.
fn resolve_networks(problems: &mut Problems, key: &str, texts: &[String]) -> Vec<Network> {
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) if text == "loopback" => networks.extend(Rules::LOOPBACK),
            Err(error) => {
                problems.add(format!("{key}[{index}]"), format!("{error}; `loopback` stands for 127.0.0.0/8 and ::1"))
            }
        }
    }
    networks
}

fn resolve_threads(problems: &mut Problems, RawThreads { workers, work_stealing }: RawThreads) -> Threads {
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Threads { workers: problems.count("threads.workers", workers.unwrap_or(available), 1..=1_024), work_stealing }
}

fn resolve_log_level(problems: &mut Problems, level: String) -> String {
    if let Err(error) = level.parse::<tracing_subscriber::filter::EnvFilter>() {
        problems.add("log_level", format!("`{level}` is not a filter ({error}): use `info`, `debug` or `warn`"));
    }
    level
}

fn resolve_socket(problems: &mut Problems, key: &str, socket: Option<PathBuf>, usual: PathBuf) -> PathBuf {
    let socket = socket.unwrap_or(usual);
    let bytes = socket.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        let shown = socket.display();
        let most = SOCKET_PATH_BYTES_MAX;
        let message = format!("`{shown}` has {bytes} bytes: use {most} at most, such as `/run/lgsp/node.sock`");
        problems.add(key, message);
    }
    socket
}

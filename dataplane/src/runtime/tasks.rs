//! Background services: following the configuration, housekeeping, waiting while the node drains, and asking a
//! predecessor to hand over.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::{BackgroundService, GenBackgroundService, background_service};

use super::Parts;
use super::key_file::WatchedKeys;
use super::settings::Settings;
use super::state::PidFile;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::health::{HealthChecker, HealthLimits};
use crate::edge::tls::{RotatingCertificate, Rotation};
use crate::once::{HandOver, Predecessor};
use crate::snapshot::SnapshotStore;
use crate::sync::{self, ApplyToSnapshot, Identity, Keyring, SyncHealth, SyncSettings};
use crate::upstream::Targets;

/// How often certificates are looked at and lost handshakes are swept.
const LOOK: Duration = Duration::from_secs(1);
/// How often a draining node looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How a node came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// No connection is left.
    Drained,
    /// The grace period is over.
    GraceOver,
}

/// Watches certificates, sweeps what is old, and reports when the node has drained.
#[derive(Debug)]
pub struct Housekeeping {
    certificates: Vec<Arc<RotatingCertificate>>,
    keys: WatchedKeys,
    parts: Parts,
}

/// The housekeeping service. It writes the process id when it starts: after a hand-over, not before it.
pub(super) fn housekeeping(
    certificates: Vec<Arc<RotatingCertificate>>,
    keys: WatchedKeys,
    parts: Parts,
) -> GenBackgroundService<Housekeeping> {
    background_service("housekeeping", Housekeeping { certificates, keys, parts })
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if let Err(error) = self.parts.pid_file.write() {
            tracing::error!(%error, "an upgrade will not find this node by itself");
        }
        // Without a predecessor's memory: what was signed until now may have been taken by it.
        self.parts.rooms.replay.span().begin_if_waiting(Now::read().unix);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = look.tick() => self.look(),
                _ = shutdown.wait_for(|stopping| *stopping) => break,
            }
        }
        // Whoever told this node to end has said so before; else it is a successor.
        self.parts.drain.begin_replaced();
        while self.parts.connections.open() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
            self.parts.reload.look(&self.parts.rooms.records);
            self.parts.connections.sweep(Instant::now());
        }
        // The receiver is gone only when the process is ending anyway.
        let _ = self.parts.ended.send(Ended::Drained);
    }
}

impl Housekeeping {
    fn look(&self) {
        self.parts.reload.look(&self.parts.rooms.records);
        self.parts.rooms.pool.sweep();
        self.parts.connections.sweep(Instant::now());
        self.keys.look();
        for certificate in &self.certificates {
            let path = certificate.path().display();
            match certificate.refresh() {
                Rotation::Unchanged => {}
                Rotation::Replaced => tracing::info!(certificate = %path, "new certificate in use"),
                Rotation::Kept(error) => {
                    tracing::error!(certificate = %path, %error, "the new certificate is unusable, the old one stays");
                }
            }
        }
    }
}

/// Checks the endpoints of services that ask for it.
#[derive(Debug)]
pub struct HealthChecks {
    snapshots: Arc<SnapshotStore>,
    targets: Arc<Targets>,
    limits: HealthLimits,
}

/// The service that checks endpoints.
pub fn health_checks(settings: &Settings, rooms: &Rooms) -> GenBackgroundService<HealthChecks> {
    let (snapshots, targets, limits) = (rooms.snapshots.clone(), rooms.targets.clone(), settings.health_checks);
    background_service("health checks", HealthChecks { snapshots, targets, limits })
}

#[async_trait]
impl BackgroundService for HealthChecks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let stop = async {
            // An error means that the server is gone, which ends the checks too.
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        HealthChecker::new(self.snapshots.clone(), self.targets.clone(), self.limits).run(stop).await;
    }
}

/// Follows the configuration's source.
pub struct Configuration {
    settings: SyncSettings,
    keys: Arc<Keyring>,
    snapshots: Arc<SnapshotStore>,
    targets: Arc<Targets>,
    health: Arc<OnceLock<Arc<SyncHealth>>>,
}

/// The service that follows the configuration's source.
pub(super) fn configuration(
    settings: &Settings,
    source: sync::Source,
    keys: Arc<Keyring>,
    admin: SocketAddr,
    parts: &Parts,
) -> GenBackgroundService<Configuration> {
    // An address of no interface in particular is not one that others can ask.
    let admin = settings.admin_advertise.or((!admin.ip().is_unspecified()).then_some(admin));
    let identity = Identity { node: settings.node.clone(), version: env!("CARGO_PKG_VERSION").to_owned(), admin };
    let cluster = parts.joined.as_ref().map(|joined| joined.membership.clone());
    let (state_dir, accept_unmarked) = (settings.state_dir.clone(), settings.accept_unmarked);
    let notices = parts.notices.clone();
    let settings = SyncSettings { identity, source, state_dir, accept_unmarked, notices, cluster };
    let (snapshots, targets) = (parts.rooms.snapshots.clone(), parts.rooms.targets.clone());
    let health = parts.sync.clone();
    background_service("configuration", Configuration { settings, keys, snapshots, targets, health })
}

#[async_trait]
impl BackgroundService for Configuration {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let apply = Arc::new(ApplyToSnapshot::new(self.snapshots.clone(), self.keys.clone(), self.targets.clone()));
        let clock = Arc::new(|| Now::read().unix);
        let handle = sync::start(self.settings.clone(), apply, self.keys.clone(), clock).await;
        // It is set once: a service starts once.
        let _ = self.health.set(handle.health());
        // Exchanges that are still under way keep the snapshot they have.
        let _ = shutdown.wait_for(|stopping| *stopping).await;
        handle.stop().await;
    }
}

/// Tells the running node to hand its sockets over, as soon as this one can serve.
#[derive(Debug)]
pub struct AskPredecessor {
    pid_file: PidFile,
    state_dir: PathBuf,
    rooms: Arc<Rooms>,
}

/// The service that asks; the socket hand-over depends on it.
pub(super) fn ask_predecessor(state_dir: PathBuf, parts: &Parts) -> GenBackgroundService<AskPredecessor> {
    let (pid_file, rooms) = (parts.pid_file.clone(), parts.rooms.clone());
    background_service("ask predecessor", AskPredecessor { pid_file, state_dir, rooms })
}

#[async_trait]
impl BackgroundService for AskPredecessor {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        while self.rooms.snapshots.load().is_none() {
            // The running node goes on meanwhile; whoever started this one sees that it waits.
            tracing::info!("waiting for the first configuration before taking over");
            tokio::time::sleep(LOOK).await;
        }
        let running = self.pid_file.read().and_then(running_node);
        let memory = match running {
            Some(predecessor) => self.take_memory(predecessor).await,
            None => None,
        };
        match running {
            Some(predecessor) => match kill(predecessor, Signal::SIGQUIT) {
                Ok(()) => tracing::info!(pid = predecessor.as_raw(), "asked the running node for its sockets"),
                Err(error) => tracing::error!(pid = predecessor.as_raw(), %error, "cannot signal the running node"),
            },
            None => tracing::warn!(
                pid_file = %self.pid_file,
                "no running node found; send SIGQUIT to it within seconds"
            ),
        }
        ready.notify_ready();
        if let Some(memory) = memory {
            tokio::select! {
                ended = memory.answer() => if let Err(error) = ended {
                    tracing::warn!(%error, "the connection to the predecessor broke; it refuses what it would have asked");
                },
                _ = shutdown.wait_for(|stopping| *stopping) => {}
            }
        }
    }
}

impl AskPredecessor {
    async fn take_memory(&self, predecessor: Pid) -> Option<Predecessor> {
        let pid = u32::try_from(predecessor.as_raw()).ok()?;
        let taken = Predecessor::take_over(&HandOver::path(&self.state_dir, pid), &self.rooms.replay).await;
        let warn = |error: &std::io::Error| {
            tracing::warn!(%error, "no memory of nonces to take over; what is signed before now has to be signed again");
        };
        taken.inspect_err(warn).ok()
    }
}

/// The process, if it is another node: an old file may name a process id that now belongs to someone else.
fn running_node(pid: u32) -> Option<Pid> {
    // Not `exe`, which a process whose memory nobody may read hides from its own user. A thread's name is cut to 15 bytes,
    // which this program's is not.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let is_node = name.starts_with("lgsp-dataplane") && pid != std::process::id();
    is_node.then(|| i32::try_from(pid).ok().map(Pid::from_raw)).flatten()
}

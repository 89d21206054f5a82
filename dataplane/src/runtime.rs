//! Builds the rooms, starts the services, and owns shutdown. Nobody imports it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::server::{RunArgs, Server};

use crate::edge::connections::{Connections, Gatekeeper};
use crate::edge::drain::Drain;
use crate::edge::listener::local::LocalSocket;
use crate::edge::listener::{Bound, BoundService, StopsWith};
use crate::edge::tls::{self, CertificateError, RotatingCertificate};
use crate::edge::{Exchange, Rooms};
use crate::once::MarksError;
use crate::record::RecorderError;
use crate::sync::{self, SyncHealth};

pub mod admin;
mod cluster;
mod descriptors;
mod etcd_places;
mod explain;
mod facts;
mod handover;
mod key_file;
mod logging;
mod process;
mod reload;
mod rooms;
pub mod settings;
mod signals;
mod source;
mod state;
mod tasks;

use self::admin::{Admin, Door};
use self::descriptors::Descriptors;
use self::facts::NodeFacts;
use self::key_file::WatchedKeys;
use self::reload::{Hangup, Reload};
use self::rooms::Built;
use self::settings::{Settings, SettingsError};
use self::signals::Signals;
use self::state::{Addresses, PidFile};

/// How a node is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The settings file.
    pub config: PathBuf,
    /// Whether to take the listening sockets over from the running node.
    pub upgrade: bool,
    /// Where to write the addresses that were bound.
    pub address_file: Option<PathBuf>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The key-encryption key cannot be used.
    #[error(transparent)]
    Key(#[from] key_file::KeyFileError),
    /// A listener's certificate cannot be used.
    #[error("`listeners[{index}].tls`: {source}")]
    Certificate {
        /// Which listener.
        index: usize,
        /// Why.
        source: CertificateError,
    },
    /// An address cannot be bound.
    #[error("`{key}`: cannot listen on {address}: {source}; is another program, or another node, using it?")]
    Bind {
        /// The settings key.
        key: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The admin listener's Unix socket cannot be made.
    #[error("`admin.socket`: cannot listen at `{}`: {source}; name a path in a directory the node may write", path.display())]
    AdminSocket {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A node with free ports has nothing a predecessor could hand over.
    #[error("`{key}`: port 0 cannot be taken over with `--upgrade`: name the port the running node uses")]
    FreePortInUpgrade {
        /// The settings key.
        key: String,
    },
    /// A file that the configuration's source needs.
    #[error(transparent)]
    Source(#[from] lgsp_etcd::UnusableFile),
    /// The node's own files.
    #[error(transparent)]
    State(#[from] state::StateError),
    /// What has to survive a restart cannot be kept.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// Pingora refuses a listener.
    #[error("a listener cannot be set up: {0}")]
    Listener(String),
    /// Metrics cannot be registered.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Records cannot be written.
    #[error("`records`: {0}")]
    Records(#[from] RecorderError),
    /// The node cannot take part in a cluster.
    #[error(transparent)]
    Cluster(#[from] cluster::ClusterError),
    /// The operating system allows too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] descriptors::TooFew),
    /// The operating system refuses what protects the process.
    #[error("{what}: {source}")]
    Process {
        /// What was asked for.
        what: &'static str,
        /// Why it is refused.
        source: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}; raise the limits on processes and memory")]
    Thread(std::io::Error),
}

/// Everything that was read and checked before any service starts.
struct Prepared {
    settings: Settings,
    certificates: Vec<Option<Arc<RotatingCertificate>>>,
    keys: WatchedKeys,
    source: sync::Source,
}

fn prepare(config: &Path) -> Result<Prepared, StartError> {
    tls::install_crypto_provider();
    let settings = Settings::load(config)?;
    let keys = WatchedKeys::read(&settings.key_file)?;
    let source = source::resolve(&settings.source)?;
    state::prepare(&settings)?;
    let certificates = settings
        .listeners
        .iter()
        .enumerate()
        .map(|(index, listener)| {
            let load = |files: &settings::TlsFiles| RotatingCertificate::load(&files.certificate, &files.key);
            let certificate = listener.tls.as_ref().map(load).transpose();
            certificate.map_err(|source| StartError::Certificate { index, source })
        })
        .collect::<Result<_, _>>()?;
    Ok(Prepared { settings, certificates, keys, source })
}

/// Validates settings, key, certificates and directories without starting anything; tells what would start.
pub fn check(config: &Path) -> Result<String, StartError> {
    let Prepared { settings, certificates, keys: _, source: _ } = prepare(config)?;
    let tls = certificates.iter().flatten().count();
    let descriptors = descriptors_for(&settings)?;
    Ok(format!(
        "{}: node `{}` can start: {} listeners ({tls} with TLS), admin on {}; of files and connections {descriptors}",
        config.display(),
        settings.node,
        certificates.len(),
        settings.admin
    ))
}

/// Raises the limit on descriptors, and says what it allows.
fn descriptors_for(settings: &Settings) -> Result<Descriptors, StartError> {
    let what = "the limit on open files cannot be raised";
    let limit = lgsp_process::descriptors::raise().map_err(|source| StartError::Process { what, source })?;
    Ok(Descriptors::fit(limit, settings)?)
}

/// Keeps what the memory holds out of files, and the limit on connections within that on descriptors.
fn protect(settings: &mut Settings) -> Result<Descriptors, StartError> {
    if !settings.core_dumps {
        let what = "core dumps cannot be forbidden; allow them with `core_dumps: true` if they must be";
        lgsp_process::dumps::forbid().map_err(|source| StartError::Process { what, source })?;
    }
    let descriptors = descriptors_for(settings)?;
    if descriptors.is_short() {
        let Descriptors { limit, reserved: _, wanted, connections_max } = descriptors;
        let needed = descriptors.needed();
        tracing::error!(
            limit,
            wanted,
            connections_max,
            needed,
            "`limits.connections_max` is lowered: it does not fit the limit on open files; raise that, as with `LimitNOFILE`"
        );
        settings.limits.connections_max = connections_max;
    }
    Ok(descriptors)
}

/// Runs a node until it is told to end and has drained.
pub fn run(start: Start) -> Result<(), StartError> {
    let what = "SIGHUP cannot be taken over";
    let hangup = Hangup::take_over().map_err(|source| StartError::Process { what, source })?;
    let mut prepared = prepare(&start.config)?;
    let log = logging::start(&prepared.settings.log_level);
    let reload = Reload { hangup, config: start.config, settings: prepared.settings.clone(), log };
    let descriptors = protect(&mut prepared.settings)?;
    let settings = prepared.settings.clone();
    let sockets = bind_all(&settings, start.upgrade)?;
    let addresses = sockets.addresses();
    addresses.publish(&settings, start.address_file.as_deref())?;
    let Built { rooms, recorder, joined } = rooms::build(&settings, &addresses, start.upgrade, descriptors.ceiling())?;
    let (ended, end) = mpsc::channel();
    let parts = Parts {
        drain: Drain::default(),
        connections: Connections::new(settings.limits.connections_max, settings.limits.connections_per_address_max),
        rooms,
        sync: Arc::default(),
        notices: Arc::new(source::notices(&settings)),
        pid_file: PidFile::new(&settings.pid_file),
        joined,
        descriptors,
        reload: Arc::new(reload),
        ended,
    };
    let server = assemble(prepared, sockets, &parts, start.upgrade)?;
    let (drain, rooms) = (parts.drain.clone(), parts.rooms.clone());
    let signals = Signals { drain, rooms, upgrade_socket: settings.upgrade_socket.clone() };
    tracing::info!(node = %settings.node, "started");
    serve_until_drained(server, signals, parts.ended, &end)?;
    recorder.close();
    parts.pid_file.remove();
    // It may not be there: then the node had nowhere to put it.
    let _ = std::fs::remove_file(handover::socket(&settings));
    tracing::info!("ended");
    Ok(())
}

/// What the services of a node have in common.
#[derive(Debug, Clone)]
struct Parts {
    drain: Drain,
    connections: Arc<Connections>,
    rooms: Arc<Rooms>,
    /// How the configuration arrives; known once that service has started.
    sync: Arc<OnceLock<Arc<SyncHealth>>>,
    /// Security notices.
    notices: Arc<sync::Notices>,
    pid_file: PidFile,
    /// This node's part in a cluster.
    joined: Option<Arc<cluster::Joined>>,
    /// How many descriptors there are.
    descriptors: Descriptors,
    /// What SIGHUP does.
    reload: Arc<Reload>,
    ended: mpsc::Sender<tasks::Ended>,
}

/// A server with all services. What listens waits for the predecessor's sockets in an upgrade, and those are asked for
/// once there is a configuration to serve.
fn assemble(prepared: Prepared, sockets: Sockets, parts: &Parts, upgrade: bool) -> Result<Server, StartError> {
    let Prepared { settings, certificates, keys, source } = prepared;
    let options = Opt { upgrade, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(Some(options), server_configuration(&settings));
    server.add_service(tasks::configuration(&settings, source, keys.keyring().clone(), sockets.admin.address(), parts));
    server.add_service(tasks::health_checks(&settings, &parts.rooms));
    server.add_service(etcd_places::follow(&settings, parts.rooms.targets.clone()));
    server.add_service(handover::giving(&settings, &parts.rooms));
    // Others are answered from the memory that is taken over, and not before.
    let together = parts.joined.as_ref().map(|joined| {
        let together = cluster::together(joined.clone(), parts.rooms.replay.clone());
        server.add_service(together)
    });
    let watched = certificates.iter().flatten().cloned().collect();
    let state_dir = settings.state_dir.clone();
    let exchange = exchange_service(&server, &settings, sockets.exchange.into_iter().zip(certificates), parts)?;
    let waiting = [
        server.add_service(exchange),
        server.add_service(admin_service(&settings, sockets.admin, keys.keyring().clone(), parts)?),
        server.add_service(admin_socket_service(&settings, sockets.admin_socket, keys.keyring().clone(), parts)),
        server.add_service(tasks::housekeeping(watched, keys, parts.clone())),
    ];
    if upgrade {
        let asked = server.add_service(tasks::ask_predecessor(state_dir, parts));
        let handover = server.bootstrap_as_a_service();
        handover.add_dependency(&asked);
        waiting.iter().chain(&together).for_each(|service| service.add_dependency(&handover));
    }
    Ok(server)
}

fn exchange_service(
    server: &Server,
    settings: &Settings,
    sockets: impl Iterator<Item = (Bound, Option<Arc<RotatingCertificate>>)>,
    parts: &Parts,
) -> Result<BoundService<Exchange>, StartError> {
    let connections = parts.connections.clone();
    let app = Exchange::new(parts.rooms.clone(), connections.clone(), &server.configuration, settings.faces);
    let mut service = BoundService::new("exchange", app, settings.threads.workers, StopsWith::Server)
        .guarded_by(Arc::new(Gatekeeper(connections)));
    for (socket, certificate) in sockets {
        service.add(socket, certificate).map_err(|error| StartError::Listener(error.to_string()))?;
    }
    Ok(service)
}

/// The admin listener goes on while the node drains, so that everyone can see that it does; a successor replaces it.
fn admin_service(
    settings: &Settings,
    socket: Bound,
    keys: Arc<sync::Keyring>,
    parts: &Parts,
) -> Result<BoundService<Admin<NodeFacts>>, StartError> {
    let stops_with = StopsWith::Signal(parts.drain.watch_replaced());
    let admin = Admin { facts: facts(settings, keys, parts), door: Door::Network };
    let mut service = BoundService::new("admin", admin, 1, stops_with);
    service.add(socket, None).map_err(|error| StartError::Listener(error.to_string()))?;
    Ok(service)
}

/// The same on a Unix socket, for whoever may open it.
fn admin_socket_service(
    settings: &Settings,
    socket: LocalSocket,
    keys: Arc<sync::Keyring>,
    parts: &Parts,
) -> BoundService<Admin<NodeFacts>> {
    let stops_with = StopsWith::Signal(parts.drain.watch_replaced());
    let admin = Admin { facts: facts(settings, keys, parts), door: Door::Socket };
    let mut service = BoundService::new("admin socket", admin, 1, stops_with);
    service.add_local(socket);
    service
}

fn facts(settings: &Settings, keys: Arc<sync::Keyring>, parts: &Parts) -> NodeFacts {
    let Parts { drain, connections, rooms, sync, notices, pid_file: _, joined: _, descriptors, reload: _, ended: _ } =
        parts.clone();
    NodeFacts { node: settings.node.clone(), drain, connections, descriptors, rooms, sync, notices, keys }
}

/// Pingora sleeps its whole grace period even when nothing is left to wait for; whoever is first ends the wait here.
fn serve_until_drained(
    server: Server,
    signals: Signals,
    ended: mpsc::Sender<tasks::Ended>,
    end: &mpsc::Receiver<tasks::Ended>,
) -> Result<(), StartError> {
    let serve = move || {
        server.run(RunArgs { shutdown_signal: Box::new(signals) });
        // The receiver is gone only when the process is ending anyway.
        let _ = ended.send(tasks::Ended::GraceOver);
    };
    std::thread::Builder::new().name("server".into()).spawn(serve).map_err(StartError::Thread)?;
    match end.recv() {
        Ok(tasks::Ended::Drained) => tracing::info!("drained"),
        Ok(tasks::Ended::GraceOver) => tracing::warn!("the grace period is over, exchanges in flight are cut"),
        Err(mpsc::RecvError) => tracing::error!("the server ended without saying why"),
    }
    Ok(())
}

struct Sockets {
    exchange: Vec<Bound>,
    admin: Bound,
    admin_socket: LocalSocket,
}

impl Sockets {
    fn addresses(&self) -> Addresses {
        Addresses { listeners: self.exchange.iter().map(Bound::address).collect(), admin: self.admin.address() }
    }
}

fn bind_all(settings: &Settings, upgrade: bool) -> Result<Sockets, StartError> {
    let running = upgrade.then(|| Addresses::of_running_node(settings)).flatten();
    let bind = |key: String, address: SocketAddr, bound: Option<SocketAddr>| match (upgrade, address.port(), bound) {
        (true, 0, Some(bound)) => Ok(Bound::inherited(bound)),
        (true, 0, None) => Err(StartError::FreePortInUpgrade { key }),
        (true, _, _) => Ok(Bound::inherited(address)),
        (false, _, _) => Bound::bind(address).map_err(|source| StartError::Bind { key, address, source }),
    };
    let exchange = settings.listeners.iter().enumerate().map(|(index, listener)| {
        let bound = running.as_ref().and_then(|running| running.listeners.get(index).copied());
        bind(format!("listeners[{index}].address"), listener.address, bound)
    });
    let exchange = exchange.collect::<Result<_, _>>()?;
    let admin = bind("admin.address".into(), settings.admin, running.as_ref().map(|running| running.admin))?;
    let path = settings.admin_socket.as_path();
    let unusable = |source| StartError::AdminSocket { path: path.to_owned(), source };
    let admin_socket = if upgrade { LocalSocket::later(path) } else { LocalSocket::bind(path).map_err(unusable)? };
    Ok(Sockets { exchange, admin, admin_socket })
}

fn server_configuration(settings: &Settings) -> ServerConf {
    /// What Pingora gives its runtimes to end once the grace period is over.
    const RUNTIMES_END_SECS: u64 = 1;
    /// Attempts per exchange: the first and the most retries a service may ask for. The budget of the service decides.
    const ATTEMPTS_MAX: usize = 6;
    /// Idle connections kept to targets, over all services; about 10 KiB each.
    const UPSTREAM_IDLE_MAX: usize = 1024;
    let grace = settings.limits.drain_grace + Duration::from_millis(999);
    ServerConf {
        threads: settings.threads.workers,
        work_stealing: settings.threads.work_stealing,
        listener_tasks_per_fd: settings.threads.workers,
        grace_period_seconds: Some(grace.as_secs()),
        graceful_shutdown_timeout_seconds: Some(RUNTIMES_END_SECS),
        upgrade_sock: settings.upgrade_socket.to_string_lossy().into_owned(),
        pid_file: settings.pid_file.to_string_lossy().into_owned(),
        max_retries: ATTEMPTS_MAX,
        upstream_keepalive_pool_size: UPSTREAM_IDLE_MAX,
        ..ServerConf::default()
    }
}

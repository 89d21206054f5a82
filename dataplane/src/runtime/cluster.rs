//! This node among others: its internal listener, what it tells them, and the service that keeps both going.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lgsp_shared::keyspace::Internal;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReusePort;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::{BackgroundService, GenBackgroundService, background_service};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::settings::{self, Settings};
use crate::admission::ReplayWindow;
use crate::cluster::{Answering, Cluster, ClusterSettings, ClusterTls, TlsError, answer};
use crate::record::Metrics;
use crate::sync::{Membership, Nodes};

/// Connections of peers waiting to be accepted.
const BACKLOG: i32 = 256;

/// Why a node cannot take part in a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener.
    #[error("`cluster.listen`: cannot listen on {address}: {source}; is another program using it?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The system has no random bytes to give.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Everything of a cluster that was set up before any service starts.
#[derive(Debug)]
pub struct Joined {
    /// What requests ask.
    pub cluster: Arc<Cluster>,
    /// What others are told.
    pub membership: Membership,
    /// Where they are answered.
    pub listening: SocketAddr,
    answering: Mutex<Option<(std::net::TcpListener, ClusterTls)>>,
    incarnation: u64,
}

/// Reads the certificates and binds the listener.
pub(super) fn join(settings: &Settings, metrics: &Metrics) -> Result<Option<Joined>, ClusterError> {
    let Some(cluster) = &settings.cluster else { return Ok(None) };
    let settings::Cluster { listen, advertise, certificate, key, authority, ask_deadline } = cluster;
    let tls = ClusterTls::load(certificate, key, authority)?;
    let mut incarnation = [0; 8];
    getrandom::fill(&mut incarnation).map_err(ClusterError::Random)?;
    let incarnation = u64::from_be_bytes(incarnation);
    let bind = |source| ClusterError::Bind { address: *listen, source };
    let listener = listen_on(*listen).map_err(bind)?;
    let listening = listener.local_addr().map_err(bind)?;
    let address = advertise.unwrap_or(listening);
    let tls_of_peers = tls.clone();
    let (node, ask_deadline) = (settings.node.clone(), *ask_deadline);
    let cluster = Cluster::new(ClusterSettings { node, incarnation, ask_deadline, tls: tls_of_peers }, metrics);
    let internal = Internal { address, incarnation };
    let membership = Membership { internal, nodes: watch::Sender::new(Nodes::None) };
    Ok(Some(Joined { cluster, membership, listening, answering: Mutex::new(Some((listener, tls))), incarnation }))
}

/// With a port that may be shared, so that a successor binds it while this process still answers.
fn listen_on(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    setsockopt(&socket, ReusePort, &true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Answers peers, and keeps connections to them.
#[derive(Debug)]
pub struct Together {
    joined: Arc<Joined>,
    replay: Arc<ReplayWindow>,
}

/// The service that answers peers and asks them.
pub(super) fn together(joined: Arc<Joined>, replay: Arc<ReplayWindow>) -> GenBackgroundService<Together> {
    background_service("cluster", Together { joined, replay })
}

#[async_trait]
impl BackgroundService for Together {
    async fn start(&self, shutdown: ShutdownWatch) {
        let taken = self.joined.answering.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((listener, tls)) = taken else { return };
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the internal listener cannot be used; other nodes cannot ask this one");
                return;
            }
        };
        let until = |mut shutdown: ShutdownWatch| async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        let (replay, incarnation) = (self.replay.clone(), self.joined.incarnation);
        let answering = Answering { listener, tls, replay, incarnation };
        let nodes = self.joined.membership.nodes.subscribe();
        tokio::join!(
            answer(answering, until(shutdown.clone())),
            self.joined.cluster.run(nodes, until(shutdown.clone())),
        );
    }
}

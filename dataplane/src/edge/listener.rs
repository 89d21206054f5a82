//! Listening sockets that are bound before Pingora starts, so that a taken port is an error at start-up and port 0
//! tells which port it became. Pingora finds them in the table in which an upgrade would put them.

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::listeners::{ALPN, L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::TcpKeepalive;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service as PingoraService;
use pingora_core::services::listening::Service;
use tokio::sync::watch;

use self::local::LocalSocket;
use crate::edge::connections::Gatekeeper;
use crate::edge::tls::RotatingCertificate;

pub mod local;

/// Bytes of each buffer under TLS: with 4 KiB an idle connection costs 27 KiB in pingora-proxy instead of 87. A plain
/// connection has none: the exchange loop reads into its own buffers and writes an answer at once.
const TLS_BUFFER_BYTES: usize = 4096;

/// Finds peers that vanished without a word, two minutes after their last.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 4,
    user_timeout: Duration::ZERO,
};

/// An address to listen on, with its socket unless a predecessor will hand one over.
#[derive(Debug)]
pub struct Bound {
    address: SocketAddr,
    socket: Option<TcpListener>,
}

impl Bound {
    /// Binds `address`; port 0 becomes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket: Some(socket) })
    }

    /// Leaves the socket to the predecessor that will hand it over.
    pub fn inherited(address: SocketAddr) -> Self {
        Self { address, socket: None }
    }

    /// The address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// When a service stops accepting, relative to the server's own shutdown.
#[derive(Debug)]
pub enum StopsWith {
    /// With the server.
    Server,
    /// When this turns true, however long the server drains.
    Signal(watch::Receiver<bool>),
}

/// A listening service on bound sockets.
pub struct BoundService<A> {
    inner: Service<A>,
    sockets: Vec<Bound>,
    local: Option<LocalSocket>,
    stops_with: StopsWith,
}

impl<A> std::fmt::Debug for BoundService<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundService").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl<A: ServerApp + Send + Sync + 'static> BoundService<A> {
    /// A service called `name` without sockets yet, on `threads` threads of its own.
    pub fn new(name: &str, app: A, threads: usize, stops_with: StopsWith) -> Self {
        let mut inner = Service::new(name.to_owned(), app);
        inner.threads = Some(threads);
        Self { inner, sockets: Vec::new(), local: None, stops_with }
    }

    /// Asks the gatekeeper about every connection, and once more before each TLS handshake.
    pub fn guarded_by(mut self, gatekeeper: Arc<Gatekeeper>) -> Self {
        self.inner.endpoints().set_pre_tls_callback(gatekeeper.clone());
        self.inner.set_connection_filter(gatekeeper);
        self
    }

    /// Answers on this Unix socket too.
    pub fn add_local(&mut self, socket: LocalSocket) {
        let endpoint = ListenerConfig::uds(socket.name()).permissions(Permissions::from_mode(local::MODE));
        self.inner.add_listener(endpoint.l4_buffer(L4BufferSettings::unbuffered()));
        self.local = Some(socket);
    }

    /// Adds a socket; with a certificate it speaks TLS with HTTP/2 and HTTP/1.1.
    pub fn add(&mut self, socket: Bound, certificate: Option<Arc<RotatingCertificate>>) -> pingora_core::Result<()> {
        let mut options = TcpSocketOptions::default();
        options.tcp_keepalive = Some(KEEP_ALIVE);
        let buffers = match &certificate {
            Some(_) => L4BufferSettings::new(TLS_BUFFER_BYTES, TLS_BUFFER_BYTES),
            None => L4BufferSettings::unbuffered(),
        };
        let mut endpoint =
            ListenerConfig::tcp(socket.address.to_string()).tcp_socket_options(options).l4_buffer(buffers);
        if let Some(certificate) = certificate {
            // The paths are not read: a resolver takes their place.
            let mut settings = TlsSettings::intermediate("", "")?;
            settings.set_alpn(ALPN::H2H1);
            settings.set_cert_resolver(certificate);
            endpoint = endpoint.tls(settings);
        }
        self.inner.add_listener(endpoint);
        self.sockets.push(socket);
        Ok(())
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> PingoraService for BoundService<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(table) = &fds {
            let mut table = table.lock();
            for bound in self.sockets.drain(..) {
                let key = bound.address.to_string();
                // Pingora owns the descriptor from here on, and hands it over in an upgrade.
                if let (None, Some(socket)) = (table.get(&key), bound.socket) {
                    table.add(key, socket.into_raw_fd());
                }
            }
            if let Some(mut local) = self.local.take() {
                // Never the predecessor's: its name may be gone, and then nobody would find it.
                match local.take() {
                    Ok(descriptor) => table.add(local.name(), descriptor),
                    Err(error) => {
                        tracing::error!(socket = local.name(), %error, "nobody can ask this node on its own machine");
                        return;
                    }
                }
            }
        }
        let shutdown = match &self.stops_with {
            StopsWith::Server => shutdown,
            StopsWith::Signal(signal) => signal.clone(),
        };
        PingoraService::start_service(&mut self.inner, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        PingoraService::name(&self.inner)
    }

    fn threads(&self) -> Option<usize> {
        PingoraService::threads(&self.inner)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        PingoraService::listen_addresses(&self.inner)
    }
}

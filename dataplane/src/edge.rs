//! The sockets' side: two faces over the same rooms, and the only room that names Pingora types.
//!
//! `http1` is our own exchange loop; `proxy` is pingora-proxy for HTTP/2, gRPC, WebSocket and everything unusual. A
//! connection is given to one of them by [`Exchange`]; what the first hands over goes to the second with the bytes
//! already read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;

use self::connections::{Claim, Connections};
use self::http1::Handover;
use self::proxy::ProxyFace;

pub mod answer;
pub mod cause;
pub mod connections;
mod date;
pub mod drain;
pub mod health;
pub mod http1;
pub mod listener;
pub mod peer;
pub mod proxy;
pub mod rooms;
pub mod tls;

pub use rooms::Rooms;

/// Limits and deadlines towards sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; an idle plain one costs about 7 KiB.
    pub connections_max: usize,
    /// Connections at a time from one address.
    pub connections_per_address_max: usize,
    /// Bytes of bodies held before they are verified, over all requests.
    pub unverified_bytes_max: usize,
    /// For a whole request head to arrive.
    pub header_deadline: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive_idle: Duration,
    /// How long exchanges in flight may take to finish when the node stops.
    pub drain_grace: Duration,
}

/// Which code carries HTTP/1.1; a setting for measurements and tests, not for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faces {
    /// The exchange loop, and pingora-proxy for what it hands over.
    Both,
    /// pingora-proxy for everything.
    Proxy,
}

/// `PRI * HTTP/2.0` and two empty lines around `SM` (RFC 9113 section 3.4); no HTTP/1.1 request with a `Host` is shorter.
const HTTP2_PREFACE_BYTES: usize = 24;

/// The exchange service: takes each connection's permit and gives the connection to a face.
#[derive(Debug)]
pub struct Exchange {
    rooms: Arc<Rooms>,
    connections: Arc<Connections>,
    faces: Faces,
    proxy: Arc<ProxyFace>,
}

impl Exchange {
    /// The service over `rooms`.
    pub fn new(rooms: Arc<Rooms>, connections: Arc<Connections>, server: &Arc<ServerConf>, faces: Faces) -> Self {
        let proxy = Arc::new(ProxyFace::new(rooms.clone(), server, faces));
        Self { rooms, connections, faces, proxy }
    }

    /// Waits until the connection has said as much as every protocol begins with. Pingora looks for the HTTP/2 preface
    /// without a deadline and without an ear for shutdown; after this it finds it at once.
    async fn begun(&self, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut shutdown = shutdown.clone();
        let mut preface = [0; HTTP2_PREFACE_BYTES];
        tokio::select! {
            peeked = tokio::time::timeout(self.rooms.limits.header_deadline, stream.try_peek(&mut preface)) => {
                peeked.ok()?.ok()?;
            }
            _ = shutdown.wait_for(|stopping| *stopping) => return None,
        }
        Some(stream)
    }

    /// Serves a connection to its end.
    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let for_proxy = if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            Some(stream)
        } else if self.faces == Faces::Proxy {
            Box::pin(self.begun(stream, shutdown)).await
        } else {
            match http1::serve(stream, &self.rooms, shutdown).await {
                Handover::Closed => None,
                Handover::HandOver(stream) => Some(stream),
            }
        };
        if let Some(stream) = for_proxy {
            // What comes back would be an HTTP/1.1 connection kept for another exchange; those are not handed over.
            drop(self.proxy.process_new(stream, shutdown).await);
        }
    }

    fn claim(&self, stream: &Stream) -> Option<Claim> {
        self.connections.claim(&peer_address(stream)?)
    }
}

#[async_trait]
impl ServerApp for Exchange {
    /// Goes on in a task of our own: Pingora's keeps the room of a TLS handshake for as long as it lives. Whoever waits
    /// for the connections to end waits for their permits.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // Without a claim the peer was gone before it was counted. The claim is held as long as the connection.
        let mut claim = self.claim(&stream)?;
        if stream.id() >= self.rooms.descriptor_ceiling {
            // Its permit goes back first: what it does not take, another connection may.
            drop(claim);
            claim = self.connections.out_of_descriptors()?;
        }
        let (exchange, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move {
            match &claim {
                Claim::Permit(_) => exchange.serve(stream, &shutdown).await,
                Claim::TurnedAway(_) => http1::turn_away(stream, &exchange.rooms, &shutdown).await,
            }
            drop(claim);
        });
        None
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.proxy).await;
    }
}

fn peer_address(stream: &Stream) -> Option<SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}

//! The source's side of a connection, for as long as the connection lives.

use std::net::SocketAddr;

use lgsp_shared::head::Scheme;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;

use super::deadline::Deadline;
use super::wire::Wire;

/// A connection of a source.
#[derive(Debug)]
pub struct Source {
    /// Its connection and unread input.
    pub wire: Wire,
    /// The one timer of all its phases.
    pub deadline: Deadline,
    /// Who connected.
    pub peer: Option<SocketAddr>,
    /// Plain or TLS.
    pub scheme: Scheme,
    shutdown: ShutdownWatch,
}

impl Source {
    /// A connection that was just accepted.
    pub fn new(stream: Stream, deadline: Deadline, shutdown: ShutdownWatch) -> Self {
        let peer =
            stream.get_socket_digest().and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().copied()));
        let scheme = if stream.get_ssl_digest().is_some() { Scheme::Https } else { Scheme::Http };
        Self { wire: Wire::new(stream), deadline, peer, scheme, shutdown }
    }

    /// Whether the node is stopping, so that this connection takes no further request.
    pub fn is_closing(&self) -> bool {
        *self.shutdown.borrow()
    }
}

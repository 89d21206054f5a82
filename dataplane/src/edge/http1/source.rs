//! The source's side of a connection, for as long as the connection lives.

use std::net::SocketAddr;
use std::time::Duration;

use lgsp_shared::head::Scheme;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::time::Instant;

use super::deadline::Deadline;
use super::wire::Wire;

/// A connection of a source.
#[derive(Debug)]
pub struct Source {
    /// Its connection and unread input.
    pub wire: Wire,
    /// The one timer of all its phases.
    pub deadline: Deadline,
    /// When its clock was last read: at the head, and after every wait since. An exchange has a dozen uses for an
    /// instant, and reading the clock for each of them cost 3 % of it.
    pub at: Instant,
    /// Who connected.
    pub peer: Option<SocketAddr>,
    /// Plain or TLS.
    pub scheme: Scheme,
    shutdown: ShutdownWatch,
}

impl Source {
    /// A connection that was just accepted, with so long for its first head.
    pub fn new(stream: Stream, header_deadline: Duration, shutdown: ShutdownWatch) -> Self {
        let at = Instant::now();
        let peer =
            stream.get_socket_digest().and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().copied()));
        let scheme = if stream.get_ssl_digest().is_some() { Scheme::Https } else { Scheme::Http };
        Self { wire: Wire::new(stream), deadline: Deadline::new(at + header_deadline), at, peer, scheme, shutdown }
    }

    /// Reads the clock.
    pub fn look_at_clock(&mut self) -> Instant {
        self.at = Instant::now();
        self.at
    }

    /// Whether the node is stopping, so that this connection takes no further request.
    pub fn is_closing(&self) -> bool {
        *self.shutdown.borrow()
    }
}

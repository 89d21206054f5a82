//! A target service for demos, tests and benchmarks: echoes, sinks, serves bytes, delays and fails on demand.
//!
//! Speaks HTTP/1.1 and HTTP/2 (prior knowledge, or ALPN over TLS). Its behaviour is in the path, see [`Plan`]. What it
//! was sent is in its [`Ledger`], so that a test can assert on the target's side. Guarantee: a request counts as
//! complete only when its whole body arrived with valid framing. It is a peer in benchmarks, so a plain answer costs one
//! read, one write and no task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

mod answer;
mod head;
mod http1;
mod http2;
mod ledger;
mod plan;
mod pressure;
mod verify;

pub use ledger::{Ledger, Seen};
pub use plan::Plan;
pub use pressure::{Pressure, Stall, TokenBucket};
pub use verify::PlatformVerifier;

/// What HTTP/2 connections start with (RFC 9113 section 3.4); a server can tell by the first bytes.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a target behaves, whatever the path asked for.
#[derive(Debug, Default)]
pub struct Settings {
    /// What it was sent.
    pub ledger: Ledger,
    /// When present, requests the platform has not signed are answered 403.
    pub verifier: Option<PlatformVerifier>,
    /// How it fails to keep up.
    pub pressure: Pressure,
}

/// A target that listens.
#[derive(Debug)]
pub struct Echo {
    listener: TcpListener,
    tls: Option<TlsAcceptorDebug>,
    settings: Arc<Settings>,
}

/// [`TlsAcceptor`] has no `Debug`, and nothing in it is worth printing.
struct TlsAcceptorDebug(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl Echo {
    /// Listens on `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, tls: None, settings: Arc::new(settings) })
    }

    /// Speaks TLS only. Offers `h2` and `http/1.1` when the configuration names them as ALPN protocols.
    pub fn with_tls(mut self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.tls = Some(TlsAcceptorDebug(config.into()));
        self
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The settings, and with them the ledger.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    /// Serves until dropped; all its connections end with it.
    pub async fn serve(self) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let tls = self.tls.as_ref().map(|tls| tls.0.clone());
                        connections.spawn(serve_connection(stream, tls, self.settings.clone()));
                    }
                    // The connection was gone before it was accepted, or descriptors ran out: others go on.
                    Err(error) if is_passing(&error) => tokio::task::yield_now().await,
                    Err(error) => return Err(error),
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

async fn serve_connection(stream: TcpStream, tls: Option<TlsAcceptor>, settings: Arc<Settings>) {
    // Failing connections are the business of whoever tests: the ledger counts what was cut, nothing is reported here.
    let _ = stream.set_nodelay(true);
    match tls {
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2::serve(stream, settings).await,
                _ => http1::serve(stream, settings).await,
            }
        }
        None if starts_with_http2(&stream).await => http2::serve(stream, settings).await,
        None => http1::serve(stream, settings).await,
    }
}

/// Looks at the first bytes without taking them. The first three tell: no method is called `PRI`.
async fn starts_with_http2(stream: &TcpStream) -> bool {
    let mut start = [0; 3];
    loop {
        match stream.peek(&mut start).await {
            Ok(0) | Err(_) => return false,
            Ok(seen) if !HTTP2_PREFACE.starts_with(start.get(..seen).unwrap_or_default()) => return false,
            Ok(seen) if seen == start.len() => return true,
            // A part of the preface; the next bytes are on their way.
            Ok(_) => tokio::task::yield_now().await,
        }
    }
}

#[cfg(test)]
mod tests;

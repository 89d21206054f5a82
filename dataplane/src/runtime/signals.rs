//! Signals: SIGTERM and SIGINT drain, a second one ends at once, SIGQUIT hands the sockets to a successor. SIGHUP is
//! `reload`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::drain::Drain;

/// How long a SIGQUIT waits for the successor's socket to appear.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(5);
const SUCCESSOR_LOOK: Duration = Duration::from_millis(50);
/// The exit code of a process that was told twice to end (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// What the node does on signals.
#[derive(Debug)]
pub struct Signals {
    /// Thrown when the node is told to end.
    pub drain: Drain,
    /// What has to know that another process will serve.
    pub rooms: Arc<Rooms>,
    /// Where a successor waits for the sockets.
    pub upgrade_socket: PathBuf,
}

struct Handlers {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Handlers {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let mut handlers = match Handlers::install() {
            Ok(handlers) => handlers,
            Err(error) => {
                tracing::error!(%error, "signals cannot be received, stopping");
                return ShutdownSignal::FastShutdown;
            }
        };
        let decision = loop {
            tokio::select! {
                _ = handlers.terminate.recv() => break ShutdownSignal::GracefulTerminate,
                _ = handlers.interrupt.recv() => break ShutdownSignal::GracefulTerminate,
                _ = handlers.quit.recv() => {
                    // Pingora would stop whether or not someone takes over.
                    if successor_waits(&self.upgrade_socket).await {
                        break ShutdownSignal::GracefulUpgrade;
                    }
                    tracing::error!(
                        socket = %self.upgrade_socket.display(),
                        "SIGQUIT without a successor, still serving; start one with `--upgrade` first"
                    );
                }
            }
        };
        match decision {
            ShutdownSignal::GracefulTerminate => {
                tracing::info!("draining: no new connections, exchanges in flight finish");
                // The process that serves at these addresses next takes what is signed from now on.
                self.rooms.replay.span().end(Now::read().unix);
                self.drain.begin();
            }
            ShutdownSignal::GracefulUpgrade => {
                tracing::info!("handing the sockets to the successor");
                self.rooms.once.hands_over(&self.rooms.replay, Now::read().unix);
            }
            ShutdownSignal::FastShutdown => {}
        }
        tokio::spawn(end_when_told_again(handlers));
        decision
    }
}

async fn successor_waits(socket: &Path) -> bool {
    let appeared = async {
        while !is_listening(socket) {
            tokio::time::sleep(SUCCESSOR_LOOK).await;
        }
    };
    tokio::time::timeout(SUCCESSOR_WAIT, appeared).await.is_ok()
}

/// Whether a process listens on this Unix socket. Connecting would tell too, but would take the successor's only
/// accept; and a file alone may be what a crashed successor left behind.
fn is_listening(socket: &Path) -> bool {
    /// `__SO_ACCEPTCON` in the flags column of `/proc/net/unix`.
    const ACCEPTING: &str = "00010000";
    let Ok(table) = std::fs::read_to_string("/proc/net/unix") else { return false };
    let path = socket.to_string_lossy();
    table.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace();
        columns.nth(3) == Some(ACCEPTING) && columns.next_back() == Some(path.as_ref())
    })
}

async fn end_when_told_again(mut handlers: Handlers) {
    tokio::select! {
        _ = handlers.terminate.recv() => {}
        _ = handlers.interrupt.recv() => {}
    }
    tracing::warn!("told to end a second time, cutting exchanges in flight");
    std::process::exit(INTERRUPTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_somebody_listens_on_counts_as_a_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade.sock");
        assert!(!is_listening(&path));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(is_listening(&path));
        drop(listener);
        assert!(path.exists() && !is_listening(&path));
    }
}

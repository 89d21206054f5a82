//! What SIGHUP does: the log level is read again. The key file and the files of TLS are followed without it. It ends no
//! process and no request, whenever it comes.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::logging::LogLevel;
use crate::settings::Settings;

/// How the settings are read again.
pub type Load = Box<dyn Fn() -> anyhow::Result<Settings> + Send + Sync>;

/// What is reloaded.
pub struct Reload {
    /// Reads the settings again, from where they were read at the start.
    pub load: Load,
    /// The log's level.
    pub log: LogLevel,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Takes SIGHUP over; untaken it ends the process.
pub fn take_over() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reloads at each SIGHUP until `stop`.
pub async fn follow(mut hangups: Signal, reload: Reload, in_use: Settings, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            Some(()) = hangups.recv() => reload.all(&in_use),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

impl Reload {
    fn all(&self, in_use: &Settings) {
        let read = match (self.load)() {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "SIGHUP: the settings are unusable, those in use stay");
                return;
            }
        };
        match self.log.set(&read.log) {
            Ok(()) => tracing::info!(log = %read.log, "SIGHUP: the log level is read again"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "SIGHUP: the log level is unusable, it stays"),
        }
        if (Settings { log: in_use.log.clone(), ..read }) != *in_use {
            tracing::warn!("SIGHUP: other settings have changed; they take effect at a restart");
        }
    }
}

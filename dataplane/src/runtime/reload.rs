//! What SIGHUP does: the record file is opened again, the log level is read again, and changed certificates and keys are
//! used. It ends no process and no exchange, whenever it comes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::SIGHUP;

use super::logging::LogLevel;
use super::settings::Settings;
use crate::record::RecordSink;

/// Whether SIGHUP came; taken over before anything else is done, because untaken it ends the process.
#[derive(Debug, Clone)]
pub struct Hangup(Arc<AtomicBool>);

impl Hangup {
    /// Takes the signal over.
    pub fn take_over() -> std::io::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, came.clone())?;
        Ok(Self(came))
    }

    fn came(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// What is reloaded, and what it is compared with.
#[derive(Debug)]
pub struct Reload {
    /// Whether it is asked for.
    pub hangup: Hangup,
    /// The settings file.
    pub config: PathBuf,
    /// The settings the node started with.
    pub settings: Settings,
    /// The log's level.
    pub log: LogLevel,
}

impl Reload {
    /// Reloads if SIGHUP came. Certificates and keys are looked at by their owners every second anyway.
    pub fn look(&self, records: &RecordSink) {
        if !self.hangup.came() {
            return;
        }
        records.reopen();
        let read = match Settings::load(&self.config) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "SIGHUP: the settings are unusable, those in use stay; the record file is reopened");
                return;
            }
        };
        self.log.set(&read.log_level);
        tracing::info!(log_level = %read.log_level, "SIGHUP: the record file is reopened, the log level is read again");
        if self.differs(read) {
            tracing::warn!("SIGHUP: other settings have changed; they take effect at a restart or an `--upgrade`");
        }
    }

    fn differs(&self, read: Settings) -> bool {
        Settings { log_level: self.settings.log_level.clone(), ..read } != self.settings
    }
}

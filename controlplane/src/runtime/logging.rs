//! The program's own log: JSON lines on standard error, by a level that SIGHUP reads again.

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Formatter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};
use tracing_subscriber::reload::Handle;

type Stderr = fn() -> std::io::Stderr;

/// The level of the log that was started.
#[derive(Debug, Clone)]
pub struct LogLevel(Handle<EnvFilter, Formatter<JsonFields, Format<Json>, Stderr>>);

impl LogLevel {
    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// The filter is none.
    pub fn set(&self, filter: &str) -> anyhow::Result<()> {
        Ok(self.0.reload(parse(filter)?)?)
    }
}

/// Starts the log.
///
/// # Errors
/// The filter is none.
pub fn start(filter: &str) -> anyhow::Result<LogLevel> {
    let builder = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(parse(filter)?)
        .with_writer(std::io::stderr as Stderr)
        .with_filter_reloading();
    let level = LogLevel(builder.reload_handle());
    builder.init();
    Ok(level)
}

/// Whether this is a filter.
///
/// # Errors
/// It is none.
pub fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).context("setting `log`")
}

//! The program's own log: JSON lines on standard error. What Pingora says through `log` is among them.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Formatter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};
use tracing_subscriber::reload::Handle;

type Stderr = fn() -> std::io::Stderr;

/// Pingora reports every connection that breaks as an error; a person has to act on none of them. What matters is in
/// the records and the metrics, and `log_level` can ask for the rest.
const QUIETER: [&str; 4] =
    ["pingora_core=warn", "pingora_proxy=off", "pingora_core::services::listening=off", "pingora_pool=warn"];

/// The level of the log that was started.
#[derive(Debug, Clone)]
pub struct LogLevel(Handle<EnvFilter, Formatter<JsonFields, Format<Json>, Stderr>>);

impl LogLevel {
    /// Logs by another filter from now on.
    pub fn set(&self, filter: &str) {
        // It fails only when the log is gone, and with it whoever could read of it.
        let _ = self.0.reload(quieted(filter));
    }
}

/// Starts the log. Called once, before anything logs; a second call changes nothing.
pub fn start(filter: &str) -> LogLevel {
    let builder = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(quieted(filter))
        .with_writer(std::io::stderr as Stderr)
        .with_filter_reloading();
    let level = LogLevel(builder.reload_handle());
    // It fails only when a log was started before.
    let _ = builder.try_init();
    level
}

fn quieted(filter: &str) -> EnvFilter {
    let mut filter = EnvFilter::new(filter);
    for directive in QUIETER {
        // What the operator asked for, by module, wins over what is quieter by default.
        let target = directive.split('=').next().unwrap_or_default();
        if filter.to_string().contains(target) {
            continue;
        }
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
}

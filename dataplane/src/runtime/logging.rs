//! The program's own log: JSON lines on standard error. What Pingora says through `log` is among them.

use tracing_subscriber::EnvFilter;

/// Pingora reports every connection that breaks as an error; a person has to act on none of them. What matters is in
/// the records and the metrics, and `log_level` can ask for the rest.
const QUIETER: [&str; 4] =
    ["pingora_core=warn", "pingora_proxy=off", "pingora_core::services::listening=off", "pingora_pool=warn"];

/// Starts the log. Called once, before anything logs; a second call changes nothing.
pub fn start(filter: &str) {
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
    // It fails only when a log was started before.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}

//! Platform-wide limits and deadlines for everything that does not set its own.

use serde::{Deserialize, Serialize};

/// Limits for sources; a route may set a smaller or larger body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultsSpec {
    /// How far a request's clock may be from the node's, in seconds either way; 1 to 900.
    pub clock_window_secs: u32,
    /// The largest request body, in bytes.
    pub body_bytes_max: u64,
    /// Milliseconds a source may pause within a request body or while taking a response.
    pub body_idle_ms: u64,
}

impl Default for DefaultsSpec {
    fn default() -> Self {
        Self { clock_window_secs: 300, body_bytes_max: 8 << 30, body_idle_ms: 30_000 }
    }
}

//! Permissions: what a source system may do to a service. What no permission grants is refused.

use serde::{Deserialize, Serialize};

use crate::id::{ServiceId, SystemId};
use crate::timestamp::{UnixSeconds, Validity};

/// A quota: a bucket of `burst` requests refilled evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Requests per second, averaged; above 0.
    pub requests_per_second: f64,
    /// How many requests may come at once; at least 1.
    pub burst: u32,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermissionSpec {
    /// The system that may call.
    pub source: SystemId,
    /// The service it may call.
    pub service: ServiceId,
    /// Methods granted, in upper case; at least one.
    pub methods: Vec<String>,
    /// Path prefixes granted, matched by whole segments against the path the source sends; at least one, `/` for all.
    pub paths: Vec<String>,
    /// Not granted before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSeconds>,
    /// Not granted from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UnixSeconds>,
    /// The quota of this grant on one node; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl PermissionSpec {
    /// When it is granted.
    pub fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }
}

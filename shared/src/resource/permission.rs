//! Permissions: what a source system may do to a service. What no permission grants is refused.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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

/// Whether a permission counts. A change can be tried on live traffic before it is made: first counted, then enforced.
///
/// A node of an earlier version knows no mode, so it grants nothing by a permission that has one: upgrade every node
/// before a permission is made `retiring`. Likewise a mode this version does not know grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionMode {
    /// It grants.
    #[default]
    Enforce,
    /// It grants nothing; what it would have granted, and nothing else did, is counted.
    Shadow,
    /// It still grants; what it granted and nothing else would have is counted: who would miss it.
    Retiring,
    /// Something this version does not know: it grants nothing.
    Unknown,
}

impl PermissionMode {
    /// The mode as it is written; also its metric label.
    pub fn label(self) -> &'static str {
        match self {
            PermissionMode::Enforce => "enforce",
            PermissionMode::Shadow => "shadow",
            PermissionMode::Retiring => "retiring",
            PermissionMode::Unknown => "unknown",
        }
    }

    fn is_enforce(&self) -> bool {
        *self == PermissionMode::Enforce
    }
}

impl<'de> Deserialize<'de> for PermissionMode {
    /// Whatever is not known is [`PermissionMode::Unknown`] and no error: a document that cannot be read may be replaced
    /// by an earlier value of it, which may grant more.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let known = [PermissionMode::Enforce, PermissionMode::Shadow, PermissionMode::Retiring];
        let written = Value::deserialize(deserializer)?;
        let mode = written.as_str().and_then(|text| known.into_iter().find(|mode| mode.label() == text));
        Ok(mode.unwrap_or(PermissionMode::Unknown))
    }
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
    /// Whether it counts.
    #[serde(default, skip_serializing_if = "PermissionMode::is_enforce")]
    pub mode: PermissionMode,
}

impl PermissionSpec {
    /// When it is granted.
    pub fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }
}

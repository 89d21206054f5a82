//! Services: what a system offers, and how its endpoints are reached and watched.

use serde::{Deserialize, Serialize};

use crate::id::SystemId;

/// How the data plane speaks to the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1; over TLS when `tls` is set.
    #[default]
    Http1,
    /// HTTP/2 without TLS (prior knowledge), or with ALPN `h2` when `tls` is set. gRPC needs it.
    Http2,
}

/// How an endpoint is chosen among the healthy ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest exchanges in flight for its weight.
    LeastConnections,
}

/// The most endpoints of one service. A node keeps about 200 bytes of each, and a bit of those it has tried.
pub const ENDPOINTS_MAX: usize = 64;
/// The shortest time between two health checks of an endpoint, unless a node's settings say otherwise.
pub const HEALTH_INTERVAL_MS_MIN: u64 = 1_000;

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `IP:port`. Host names are not resolved: an address that changes is a new revision.
    pub address: std::net::SocketAddr,
    /// Its share of the requests, 1 to 1000.
    #[serde(default = "one")]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

/// TLS towards the endpoints. Certificates are always verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// The name the certificate must be for, also sent as SNI.
    pub server_name: String,
    /// Certificate authorities to trust, as PEM text; the system's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Active health checks: `GET path` at every endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The path asked for; a 2xx or 3xx answer is healthy.
    pub path: String,
    /// Milliseconds between checks, 100 or more; a node may check less often.
    #[serde(default = "health_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds until a check has failed.
    #[serde(default = "health_timeout_ms")]
    pub timeout_ms: u64,
    /// Failures in a row that take an endpoint out.
    #[serde(default = "health_unhealthy_after")]
    pub unhealthy_after: u32,
    /// Successes in a row that bring it back.
    #[serde(default = "health_healthy_after")]
    pub healthy_after: u32,
}

fn health_interval_ms() -> u64 {
    5_000
}
fn health_timeout_ms() -> u64 {
    2_000
}
fn health_unhealthy_after() -> u32 {
    3
}
fn health_healthy_after() -> u32 {
    2
}

/// Passive outlier ejection: an endpoint that keeps failing real exchanges is left out for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outlier {
    /// Failures in a row (connection errors, deadlines, 502/503/504) that eject an endpoint; 0 never ejects.
    pub failures: u32,
    /// Milliseconds it stays out the first time; doubles with each ejection in a row, up to 10 times.
    pub eject_ms: u64,
    /// The largest share of endpoints that may be out at a time, in per cent. The last endpoint is never ejected.
    pub ejected_percent_max: u8,
}

impl Default for Outlier {
    fn default() -> Self {
        Self { failures: 5, eject_ms: 10_000, ejected_percent_max: 50 }
    }
}

/// Deadlines towards the target, in milliseconds. None can be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deadlines {
    /// To establish a connection, TLS included.
    pub connect_ms: u64,
    /// From the end of the request to the first byte of the response; below 30 000 (A7.3).
    pub first_byte_ms: u64,
    /// Between two pieces of a body, in either direction.
    pub idle_ms: u64,
    /// For the whole exchange, from its head on; 0 leaves it to `idle_ms`, because a 5 GiB stream has no sensible total.
    /// What takes longer is refused as `target-timeout`, or cut when its answer has begun, whichever side is slow.
    pub total_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect_ms: 3_000, first_byte_ms: 29_000, idle_ms: 30_000, total_ms: 0 }
    }
}

/// Retries of idempotent requests whose body has not been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Attempts after the first, 0 to 5.
    pub attempts: u8,
    /// Retries allowed per hundred requests of the service, so that a failing target is not hit twice as hard.
    pub budget_percent: u8,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 2, budget_percent: 20 }
    }
}

/// Something a system offers through LGSP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// The system that offers it; its credential signs what is forwarded.
    pub system: SystemId,
    /// The full name people know it by.
    pub title: String,
    /// How the data plane speaks to it.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where it is; at least one.
    pub endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// The `Host` sent to the target; the one the source sent when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TLS towards it; plain when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Active health checks; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Passive outlier ejection.
    #[serde(default)]
    pub outlier: Outlier,
    /// Deadlines.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// Retries.
    #[serde(default)]
    pub retry: Retry,
    /// The most exchanges in flight at one endpoint; above it the caller gets 503 `target-busy`. One source may hold eight
    /// ninths of them; above that it gets 429 `source-busy`.
    #[serde(default = "connections_max")]
    pub connections_max: u32,
    /// How long a session towards it lasts, in seconds; the default applies when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_lifetime_secs: Option<u32>,
}

fn connections_max() -> u32 {
    1_280
}

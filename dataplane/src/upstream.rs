//! Where a service is: its endpoints, which of them may be used now, and how many exchanges each carries.
//!
//! Choosing takes no lock. Health, ejections, counts in flight and the retry budget are live state under stable names
//! (service, address): a new revision takes them over instead of forgetting them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lgsp_shared::refusal::Code;
use lgsp_shared::resource::{
    Balance, Deadlines, ENDPOINTS_MAX, HealthCheck, Outlier, Protocol, Retry, ServiceSpec, UpstreamTls,
};

use crate::clock::MonotonicMillis;

mod budget;
mod endpoint;
mod schedule;
mod share;
pub mod targets;

pub use budget::RetryBudget;
pub use endpoint::Endpoint;
use schedule::Schedule;
pub use share::SourceShare;
pub use targets::{Barred, EtcdEndpoint, Permitted, Rules, Targets};

// Each is one bit of [`Tried`].
const _: () = assert!(ENDPOINTS_MAX <= u64::BITS as usize);

/// The endpoints of one service and how to use them.
#[derive(Debug)]
pub struct Upstream {
    /// How the data plane speaks to it.
    pub protocol: Protocol,
    /// TLS towards it.
    pub tls: Option<UpstreamTls>,
    /// Tells the TLS settings of services apart, so that their connections are never exchanged; 0 is plain. Made once:
    /// it hashes whole certificates.
    pub tls_fingerprint: u64,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Active health checks.
    pub health: Option<HealthCheck>,
    /// Retries.
    pub retry: Retry,
    /// What retries may cost.
    pub budget: Arc<RetryBudget>,
    balance: Balance,
    outlier: Outlier,
    connections_max: u32,
    endpoints: Box<[Arc<Endpoint>]>,
    schedule: Schedule,
    turn: AtomicU32,
}

/// Endpoints this exchange has already tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tried(u64);

impl Tried {
    fn add(&mut self, index: usize) {
        self.0 |= 1 << (index % ENDPOINTS_MAX);
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << (index % ENDPOINTS_MAX)) != 0
    }
}

/// Why an exchange with an endpoint failed, as far as the endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// Not the certificate it should have.
    Tls,
    /// The connection broke before the response was complete.
    Broken,
    /// A deadline passed.
    Deadline,
    /// Not HTTP.
    Protocol,
    /// It answered 502, 503 or 504.
    Status,
}

impl Upstream {
    /// Compiles a service's endpoints, as far as this node may connect to them, taking live state over from the
    /// `previous` upstream of the same service.
    pub fn new(spec: &ServiceSpec, targets: &Targets, previous: Option<&Upstream>) -> Self {
        let live = |address: SocketAddr| {
            let known = previous.into_iter().flat_map(|upstream| upstream.endpoints.iter());
            known.into_iter().find(|endpoint| endpoint.address == address).map(|endpoint| endpoint.live())
        };
        let endpoints: Box<[Arc<Endpoint>]> = spec
            .endpoints
            .iter()
            .take(ENDPOINTS_MAX)
            .filter(|endpoint| targets.permit(endpoint.address).is_ok())
            .map(|endpoint| Arc::new(Endpoint::new(endpoint.address, endpoint.weight, live(endpoint.address))))
            .collect();
        Self {
            protocol: spec.protocol,
            tls: spec.tls.clone(),
            tls_fingerprint: spec.tls.as_ref().map_or(0, tls_fingerprint),
            deadlines: spec.deadlines.clone(),
            health: spec.health.clone(),
            retry: spec.retry.clone(),
            budget: previous.map_or_else(Default::default, |upstream| upstream.budget.clone()),
            balance: spec.balance,
            outlier: spec.outlier.clone(),
            connections_max: spec.connections_max.max(1),
            schedule: Schedule::new(&endpoints),
            endpoints,
            turn: AtomicU32::new(0),
        }
    }

    /// Its endpoints, for health checks and displays.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Chooses an endpoint and takes a place there for the source of `share`; marks it in `tried`.
    ///
    /// # Errors
    /// [`Code::TargetUnhealthy`] when all are out, [`Code::TargetBusy`] when those that are not are at their cap,
    /// [`Code::SourceBusy`] when the places left are for other sources, [`Code::TargetUnreachable`] when every usable
    /// one was tried.
    pub fn pick(
        self: &Arc<Self>,
        now: MonotonicMillis,
        tried: &mut Tried,
        share: &Arc<SourceShare>,
    ) -> Result<Lease, Code> {
        let mut refusal = Code::TargetUnhealthy;
        let mut best: Option<usize> = None;
        for index in self.candidates() {
            let Some(endpoint) = self.endpoints.get(index).filter(|endpoint| endpoint.is_usable(now)) else { continue };
            if tried.has(index) {
                refusal = Code::TargetUnreachable;
            } else if endpoint.in_flight() >= self.connections_max {
                refusal = Code::TargetBusy;
            } else if self.balance == Balance::RoundRobin {
                best = Some(index);
                break;
            } else if best.is_none_or(|other| self.is_less_loaded(index, other)) {
                best = Some(index);
            }
        }
        let index = best.ok_or(refusal)?;
        // A source that holds no place needs no share. The common case reads one counter.
        if share.held() > 0 && !share.allows(self.free(now)) {
            return Err(Code::SourceBusy);
        }
        tried.add(index);
        // Two requests may pass the check above at once; the place is what counts.
        Lease::take(self.clone(), index, share).ok_or(Code::TargetBusy)
    }

    /// Places free at all usable endpoints.
    fn free(&self, now: MonotonicMillis) -> u32 {
        let usable = self.endpoints.iter().filter(|endpoint| endpoint.is_usable(now));
        usable.map(|endpoint| self.connections_max.saturating_sub(endpoint.in_flight())).fold(0, u32::saturating_add)
    }

    /// Whether [`Upstream::pick`] would find a place for a first try now, without taking one.
    ///
    /// # Errors
    /// As there; [`Code::SourceBusy`] only where the source is known.
    pub fn has_room(&self, now: MonotonicMillis, share: Option<&SourceShare>) -> Result<(), Code> {
        let mut usable = self.endpoints.iter().filter(|endpoint| endpoint.is_usable(now)).peekable();
        if usable.peek().is_none() {
            return Err(Code::TargetUnhealthy);
        }
        if !usable.any(|endpoint| endpoint.in_flight() < self.connections_max) {
            return Err(Code::TargetBusy);
        }
        match share {
            Some(share) if share.held() > 0 && !share.allows(self.free(now)) => Err(Code::SourceBusy),
            Some(_) | None => Ok(()),
        }
    }

    /// The most exchanges in flight at one endpoint.
    pub fn connections_max(&self) -> u32 {
        self.connections_max
    }

    fn candidates(&self) -> impl Iterator<Item = usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        self.schedule.from(turn)
    }

    fn is_less_loaded(&self, index: usize, other: usize) -> bool {
        let load = |at: usize| self.endpoints.get(at).map_or(u64::MAX, |endpoint| endpoint.load());
        load(index) < load(other)
    }

    fn failed(&self, index: usize, now: MonotonicMillis) {
        let Some(endpoint) = self.endpoints.get(index) else { return };
        if !endpoint.count_failure(self.outlier.failures) {
            return;
        }
        let out = self.endpoints.iter().filter(|endpoint| !endpoint.is_usable(now)).count() + 1;
        let share_max = usize::from(self.outlier.ejected_percent_max);
        if out < self.endpoints.len() && out * 100 <= self.endpoints.len() * share_max {
            endpoint.eject(now, self.outlier.eject_ms);
        }
    }
}

fn tls_fingerprint(tls: &UpstreamTls) -> u64 {
    let UpstreamTls { server_name, ca_pem } = tls;
    let mut hasher = DefaultHasher::new();
    (server_name, ca_pem).hash(&mut hasher);
    hasher.finish().max(1)
}

/// A place at an endpoint, given back on drop. Whoever holds it reports how the exchange went.
#[derive(Debug)]
pub struct Lease {
    upstream: Arc<Upstream>,
    index: usize,
    endpoint: Arc<Endpoint>,
    _share: share::Entered,
}

impl Lease {
    fn take(upstream: Arc<Upstream>, index: usize, share: &Arc<SourceShare>) -> Option<Self> {
        let endpoint = upstream.endpoints.get(index)?.clone();
        let entered = endpoint.enter(upstream.connections_max);
        entered.then(|| Self { upstream, index, endpoint, _share: share.enter() })
    }

    /// The endpoint's address.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The upstream it belongs to.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The endpoint answered as it should.
    pub fn succeeded(&self) {
        self.endpoint.count_success();
    }

    /// The endpoint failed; enough failures in a row eject it.
    pub fn failed(&self, _failure: Failure, now: MonotonicMillis) {
        self.upstream.failed(self.index, now);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.leave();
    }
}

#[cfg(test)]
mod tests;

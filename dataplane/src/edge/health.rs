//! Active health checks: `GET` at every endpoint of every service that asks for them, over connections made as for
//! exchanges. An endpoint that fails them gets no exchanges until it passes them again.
//!
//! Whoever writes services decides where this node sends these requests and how often, so both are bounded by the node:
//! an endpoint is checked no more often than [`HealthLimits`] says, all of them together no more often than that either,
//! and no agency has more than its share of the places, so that one agency's slow endpoints do not delay the checks of others.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lgsp_shared::id::{AgencyId, ServiceId};
use lgsp_shared::resource::HealthCheck;
use pingora_core::connectors::http::Connector;
use pingora_http::RequestHeader;
use tokio::task::JoinSet;

use super::peer;
use crate::snapshot::{Service, Snapshot, SnapshotStore};
use crate::upstream::{Endpoint, Targets, Upstream};

/// How often the checker looks what is due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Checks under way at a time; about 40 KiB each.
const CHECKS_MAX: usize = 64;
/// Checks under way at a time for the services of one agency.
const CHECKS_PER_AGENCY_MAX: usize = 16;

/// How often this node checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// The shortest time between two checks of one endpoint, whatever its service says.
    pub interval_min: Duration,
    /// Checks begun per second, over all endpoints; beyond it they come later.
    pub checks_per_second_max: u32,
}

/// One endpoint that wants to be checked.
#[derive(Debug, Clone)]
struct Check {
    service: Arc<Service>,
    endpoint: Arc<Endpoint>,
    settings: HealthCheck,
}

impl Check {
    fn key(&self) -> (ServiceId, SocketAddr) {
        (self.service.id.clone(), self.endpoint.address)
    }

    fn agency(&self) -> &AgencyId {
        &self.service.owner.agency
    }
}

/// Checks endpoints until it is stopped.
pub struct HealthChecker {
    store: Arc<SnapshotStore>,
    targets: Arc<Targets>,
    connector: Arc<Connector>,
    snapshot: Option<Arc<Snapshot>>,
    checks: Vec<Check>,
    due: HashMap<(ServiceId, SocketAddr), Instant>,
    pace: Pace,
    running: JoinSet<AgencyId>,
    under_way: HashMap<AgencyId, usize>,
}

impl std::fmt::Debug for HealthChecker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthChecker").field("checks", &self.checks.len()).finish_non_exhaustive()
    }
}

impl HealthChecker {
    /// A checker for whatever snapshot is current.
    pub fn new(store: Arc<SnapshotStore>, targets: Arc<Targets>, limits: HealthLimits) -> Self {
        Self {
            store,
            targets,
            connector: Arc::new(Connector::new(None)),
            snapshot: None,
            checks: Vec::new(),
            due: HashMap::new(),
            pace: Pace::new(limits),
            running: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Runs until `stop` is ready; checks under way are then dropped.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = look.tick() => self.start_due(Instant::now()),
                Some(done) = self.running.join_next() => self.ended(done.ok()),
            }
        }
    }

    fn start_due(&mut self, now: Instant) {
        self.follow_snapshot();
        self.pace.refill(now);
        let waiting = self.checks.iter().filter(|check| *self.due.entry(check.key()).or_insert(now) <= now).cloned();
        let waiting: Vec<Check> = waiting.collect();
        for check in in_turn(waiting) {
            // What does not go now stays due, and its agency's turn comes again at the next look.
            if self.running.len() >= CHECKS_MAX || !self.pace.has_one() {
                return;
            }
            let places = self.under_way.entry(check.agency().clone()).or_default();
            if *places >= CHECKS_PER_AGENCY_MAX {
                continue;
            }
            *places += 1;
            self.pace.take_one();
            self.due.insert(check.key(), now + self.pace.interval(&check.settings));
            self.running.spawn(run(check, self.connector.clone(), self.targets.clone()));
        }
    }

    fn ended(&mut self, agency: Option<AgencyId>) {
        match agency {
            Some(agency) => {
                if let Some(places) = self.under_way.get_mut(&agency) {
                    *places = places.saturating_sub(1);
                }
            }
            // A check that panicked does not say whose it was.
            None if self.running.is_empty() => self.under_way.clear(),
            None => {}
        }
    }

    fn follow_snapshot(&mut self) {
        let current = self.store.load();
        let is_same = match (&current, &self.snapshot) {
            (Some(current), Some(known)) => Arc::ptr_eq(current, known),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same {
            return;
        }
        self.checks = current.iter().flat_map(|snapshot| snapshot.services()).flat_map(checks_of).collect();
        let wanted: HashSet<_> = self.checks.iter().map(Check::key).collect();
        self.due.retain(|key, _| wanted.contains(key));
        self.under_way.retain(|_, places| *places > 0);
        self.snapshot = current;
    }
}

/// Agencies take turns, so that one with many endpoints delays its own checks and nobody else's.
fn in_turn(waiting: Vec<Check>) -> Vec<Check> {
    let mut by_agency: BTreeMap<AgencyId, VecDeque<Check>> = BTreeMap::new();
    for check in waiting {
        by_agency.entry(check.agency().clone()).or_default().push_back(check);
    }
    let mut turns: VecDeque<VecDeque<Check>> = by_agency.into_values().collect();
    let mut ordered = Vec::new();
    while let Some(mut checks) = turns.pop_front() {
        ordered.extend(checks.pop_front());
        if !checks.is_empty() {
            turns.push_back(checks);
        }
    }
    ordered
}

/// How many checks may begin now.
#[derive(Debug)]
struct Pace {
    limits: HealthLimits,
    tokens: f64,
    refilled: Option<Instant>,
}

impl Pace {
    fn new(limits: HealthLimits) -> Self {
        Self { limits, tokens: f64::from(limits.checks_per_second_max), refilled: None }
    }

    /// What was not used within a second is lost.
    fn refill(&mut self, now: Instant) {
        let most = f64::from(self.limits.checks_per_second_max);
        let passed = self.refilled.map_or(0.0, |before| now.saturating_duration_since(before).as_secs_f64());
        self.tokens = (self.tokens + passed * most).min(most);
        self.refilled = Some(now);
    }

    fn has_one(&self) -> bool {
        self.tokens >= 1.0
    }

    fn take_one(&mut self) {
        self.tokens -= 1.0;
    }

    fn interval(&self, settings: &HealthCheck) -> Duration {
        Duration::from_millis(settings.interval_ms).max(self.limits.interval_min).max(LOOK_EVERY)
    }
}

fn checks_of(service: &Arc<Service>) -> impl Iterator<Item = Check> + use<> {
    let checked = service.upstream.health.clone().map(|settings| (settings, service.clone()));
    checked.into_iter().flat_map(|(settings, service)| {
        let endpoints: Vec<_> = service.upstream.endpoints().to_vec();
        endpoints.into_iter().map(move |endpoint| Check {
            service: service.clone(),
            endpoint,
            settings: settings.clone(),
        })
    })
}

async fn run(check: Check, connector: Arc<Connector>, targets: Arc<Targets>) -> AgencyId {
    let timeout = Duration::from_millis(check.settings.timeout_ms);
    let passed = tokio::time::timeout(timeout, ask(&check, &connector, &targets)).await.unwrap_or(false);
    let HealthCheck { healthy_after, unhealthy_after, .. } = check.settings;
    if check.endpoint.count_check(passed, healthy_after, unhealthy_after) {
        let (service, address) = (&check.service.id, check.endpoint.address);
        if passed {
            tracing::info!(%service, %address, "endpoint is healthy again");
        } else {
            tracing::warn!(%service, %address, path = check.settings.path, "endpoint fails its health checks");
        }
    }
    check.agency().clone()
}

/// One check: 2xx and 3xx are healthy, everything else is not.
async fn ask(check: &Check, connector: &Connector, targets: &Targets) -> bool {
    let upstream: &Upstream = &check.service.upstream;
    let Ok(permitted) = targets.permit(check.endpoint.address) else { return false };
    let Ok(peer) = peer::proxied(upstream, permitted) else { return false };
    let Ok(mut request) = RequestHeader::build("GET", check.settings.path.as_bytes(), None) else { return false };
    let host = check.service.host.as_deref().map_or_else(|| check.endpoint.address.to_string(), str::to_owned);
    if request.insert_header("host", host).is_err() {
        return false;
    }
    let Ok((mut session, _)) = connector.get_http_session(&peer).await else { return false };
    let asked = async {
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await
    };
    let answered = asked.await.is_ok();
    let healthy = answered
        && session
            .response_header()
            .is_some_and(|response| response.status.is_success() || response.status.is_redirection());
    session.shutdown().await;
    healthy
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::fixture::{build, document};

    const LIMITS: HealthLimits = HealthLimits { interval_min: Duration::from_secs(1), checks_per_second_max: 10 };

    /// A checker for agencies `a` and `b` with this many endpoints each, checked every 100 ms as far as they say.
    fn checker(a: usize, b: usize) -> HealthChecker {
        let mut documents = Vec::new();
        for (agency, code, endpoints) in [("a", "H61", a), ("b", "H62", b)] {
            let addresses: Vec<_> =
                (0..endpoints).map(|at| json!({"address": format!("127.0.0.1:{}", at + 1)})).collect();
            let health = json!({"path": "/", "interval_ms": 100});
            documents.push(document("Agency", agency, json!({"code": code, "title": "A"})));
            documents.push(document("System", agency, json!({"agency": agency, "title": "S"})));
            let spec = json!({"system": agency, "title": "V", "endpoints": addresses, "health": health});
            documents.push(document("Service", agency, spec));
        }
        let store = Arc::new(SnapshotStore::default());
        store.publish(Arc::new(build(&documents, None).snapshot));
        HealthChecker::new(store, Arc::default(), LIMITS)
    }

    #[tokio::test]
    async fn checks_begin_no_faster_than_the_node_allows_whatever_services_ask_for() {
        let mut checker = checker(60, 4);
        let start = Instant::now();
        checker.start_due(start);
        assert_eq!(checker.running.len(), 10, "a second's worth");
        checker.start_due(start + Duration::from_millis(100));
        assert_eq!(checker.running.len(), 11, "a tenth of a second's worth");
    }

    #[tokio::test]
    async fn an_endpoint_is_checked_no_more_often_than_the_node_allows() {
        let mut checker = checker(1, 0);
        let start = Instant::now();
        for (at_ms, begun) in [(0, 1), (200, 1), (999, 1), (1_000, 2)] {
            checker.start_due(start + Duration::from_millis(at_ms));
            assert_eq!(checker.running.len(), begun, "after {at_ms} ms");
        }
    }

    #[tokio::test]
    async fn an_agency_with_many_endpoints_leaves_the_others_their_turn_and_their_places() {
        let mut checker = checker(60, 4);
        checker.start_due(Instant::now());
        let of = |checker: &HealthChecker, agency: &str| checker.under_way[&agency.parse::<AgencyId>().unwrap()];
        assert_eq!((of(&checker, "a"), of(&checker, "b")), (6, 4), "b is asked for all of its own");
        for seconds in 1..=5 {
            checker.start_due(Instant::now() + Duration::from_secs(seconds * 10));
        }
        assert_eq!(of(&checker, "a"), CHECKS_PER_AGENCY_MAX, "none of them has ended yet");
    }
}

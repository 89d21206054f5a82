//! Active health checks: `GET` at every endpoint of every service that asks for them, over connections made as for
//! exchanges. An endpoint that fails them gets no exchanges until it passes them again.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lgsp_shared::id::ServiceId;
use lgsp_shared::resource::HealthCheck;
use pingora_core::connectors::http::Connector;
use pingora_http::RequestHeader;
use tokio::task::JoinSet;

use super::peer;
use crate::snapshot::{Service, Snapshot, SnapshotStore};
use crate::upstream::{Endpoint, Upstream};

/// How often the checker looks what is due; the shortest interval between checks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Checks under way at a time; about 40 KiB each.
const CHECKS_MAX: usize = 64;

/// One endpoint that wants to be checked.
#[derive(Debug, Clone)]
struct Check {
    service: Arc<Service>,
    endpoint: Arc<Endpoint>,
    settings: HealthCheck,
}

/// Checks endpoints until told to stop.
pub struct HealthChecker {
    store: Arc<SnapshotStore>,
    connector: Arc<Connector>,
    snapshot: Option<Arc<Snapshot>>,
    checks: Vec<Check>,
    due: HashMap<(ServiceId, SocketAddr), Instant>,
    running: JoinSet<()>,
}

impl std::fmt::Debug for HealthChecker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthChecker").field("checks", &self.checks.len()).finish_non_exhaustive()
    }
}

impl HealthChecker {
    /// A checker for whatever snapshot is current.
    pub fn new(store: Arc<SnapshotStore>) -> Self {
        Self {
            store,
            connector: Arc::new(Connector::new(None)),
            snapshot: None,
            checks: Vec::new(),
            due: HashMap::new(),
            running: JoinSet::new(),
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
                Some(_) = self.running.join_next() => {}
            }
        }
    }

    fn start_due(&mut self, now: Instant) {
        self.follow_snapshot();
        for check in &self.checks {
            if self.running.len() >= CHECKS_MAX {
                return; // What is left stays due and goes first next time.
            }
            let key = (check.service.id.clone(), check.endpoint.address);
            let due = self.due.entry(key).or_insert(now);
            if *due <= now {
                *due = now + Duration::from_millis(check.settings.interval_ms).max(LOOK_EVERY);
                self.running.spawn(run(check.clone(), self.connector.clone()));
            }
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
        let wanted: HashSet<_> =
            self.checks.iter().map(|check| (check.service.id.clone(), check.endpoint.address)).collect();
        self.due.retain(|key, _| wanted.contains(key));
        self.snapshot = current;
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

async fn run(check: Check, connector: Arc<Connector>) {
    let timeout = Duration::from_millis(check.settings.timeout_ms);
    let passed = tokio::time::timeout(timeout, ask(&check, &connector)).await.unwrap_or(false);
    let HealthCheck { healthy_after, unhealthy_after, .. } = check.settings;
    if check.endpoint.count_check(passed, healthy_after, unhealthy_after) {
        let (service, address) = (&check.service.id, check.endpoint.address);
        if passed {
            tracing::info!(%service, %address, "endpoint is healthy again");
        } else {
            tracing::warn!(%service, %address, path = check.settings.path, "endpoint fails its health checks");
        }
    }
}

/// One check: 2xx and 3xx are healthy, everything else is not.
async fn ask(check: &Check, connector: &Connector) -> bool {
    let upstream: &Upstream = &check.service.upstream;
    let Ok(peer) = peer::proxied(upstream, check.endpoint.address) else { return false };
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

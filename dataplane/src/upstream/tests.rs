use std::collections::BTreeMap;

use super::*;

fn loopback() -> Targets {
    Targets::new(Rules::loopback(), Vec::new())
}

const NOW: MonotonicMillis = MonotonicMillis(1_000);

fn spec(weights: &[u16]) -> ServiceSpec {
    let endpoints: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(at, w)| serde_json::json!({"address": format!("127.0.0.1:{}", at + 1), "weight": w}))
        .collect();
    serde_json::from_value(serde_json::json!({"system": "s", "title": "t", "endpoints": endpoints})).unwrap()
}

fn upstream(spec: &ServiceSpec) -> Arc<Upstream> {
    Arc::new(Upstream::new(spec, &loopback(), None))
}

fn pick(upstream: &Arc<Upstream>) -> Result<Lease, Code> {
    upstream.pick(NOW, &mut Tried::default(), &Arc::default())
}

#[test]
fn round_robin_keeps_the_weights_and_spreads_the_turns() {
    let upstream = upstream(&spec(&[30, 10, 10]));
    let ports: Vec<u16> = (0..50).map(|_| pick(&upstream).unwrap().address().port()).collect();
    let mut counts = BTreeMap::new();
    for port in &ports {
        *counts.entry(*port).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(1, 30), (2, 10), (3, 10)]));
    assert!(!ports.windows(4).any(|run| run.iter().all(|port| *port == 1)), "{ports:?}");
}

#[test]
fn least_connections_goes_where_there_is_least_to_do() {
    let mut spec = spec(&[1, 1]);
    spec.balance = Balance::LeastConnections;
    let upstream = upstream(&spec);
    let held: Vec<Lease> = (0..6).map(|_| pick(&upstream).unwrap()).collect();
    assert_eq!(held.iter().filter(|lease| lease.address().port() == 1).count(), 3);
    let (first, _others): (Vec<_>, Vec<_>) = held.into_iter().partition(|lease| lease.address().port() == 1);
    drop(first);
    assert_eq!(pick(&upstream).unwrap().address().port(), 1);
}

#[test]
fn a_full_target_is_busy_and_a_place_comes_back_when_the_lease_ends() {
    let mut spec = spec(&[1]);
    spec.connections_max = 1;
    let upstream = upstream(&spec);
    let lease = pick(&upstream).unwrap();
    assert_eq!(pick(&upstream).unwrap_err(), Code::TargetBusy);
    drop(lease);
    assert!(pick(&upstream).is_ok());
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let upstream = upstream(&spec(&[1, 1]));
    let mut tried = Tried::default();
    let ports = [(); 2].map(|()| upstream.pick(NOW, &mut tried, &Arc::default()).unwrap().address().port());
    assert_ne!(ports[0], ports[1]);
    assert_eq!(upstream.pick(NOW, &mut tried, &Arc::default()).unwrap_err(), Code::TargetUnreachable);
}

#[test]
fn failures_in_a_row_eject_an_endpoint_for_longer_each_time_but_never_the_last() {
    let upstream = upstream(&spec(&[1, 1]));
    let fail = |port: u16, now: MonotonicMillis| {
        for _ in 0..20 {
            let lease = upstream.pick(now, &mut Tried::default(), &Arc::default()).unwrap();
            if lease.address().port() == port {
                lease.failed(Failure::Connect, now);
            }
        }
    };
    let usable = |now: u64| upstream.endpoints().iter().filter(|e| e.is_usable(MonotonicMillis(now))).count();
    fail(1, NOW);
    assert_eq!((usable(1_000), usable(10_999), usable(11_000)), (1, 1, 2));
    fail(2, NOW);
    assert_eq!(usable(1_000), 1, "the last endpoint stays");
    fail(1, MonotonicMillis(11_000));
    assert_eq!((usable(30_999), usable(31_000)), (1, 2));
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let upstream = upstream(&spec(&[1, 1]));
    for _ in 0..50 {
        let lease = pick(&upstream).unwrap();
        lease.failed(Failure::Status, NOW);
        lease.succeeded();
    }
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.is_usable(NOW)));
}

#[test]
fn a_target_whose_checks_fail_is_unhealthy_until_they_pass_again_even_across_revisions() {
    let spec = spec(&[1]);
    let upstream = upstream(&spec);
    let endpoint = &upstream.endpoints()[0];
    assert_eq!([false; 3].map(|passed| endpoint.count_check(passed, 2, 3)), [false, false, true]);
    assert_eq!(pick(&upstream).unwrap_err(), Code::TargetUnhealthy);
    let next = Arc::new(Upstream::new(&spec, &loopback(), Some(&upstream)));
    assert_eq!(pick(&next).unwrap_err(), Code::TargetUnhealthy);
    assert_eq!([true, false, true, true].map(|passed| endpoint.count_check(passed, 2, 3)), [false, false, false, true]);
    assert!(pick(&next).is_ok());
}

#[test]
fn retries_stop_when_their_budget_is_spent_and_requests_earn_it_back() {
    let budget = RetryBudget::default();
    assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    for _ in 0..5 {
        budget.earn(20);
    }
    assert_eq!((0..100).filter(|_| budget.spend()).count(), 1);
}

#[test]
fn a_source_leaves_places_for_the_next_one_and_gives_them_back() {
    let mut spec = spec(&[1, 2]);
    spec.connections_max = 100;
    let upstream = upstream(&spec);
    let pick = |share: &Arc<SourceShare>| upstream.pick(NOW, &mut Tried::default(), share);
    let [first, second, third] = [(); 3].map(|()| Arc::<SourceShare>::default());
    let all_of = |share| std::iter::from_fn(|| pick(share).ok()).collect::<Vec<_>>();
    let held = all_of(&first);
    assert_eq!((held.len(), pick(&first).unwrap_err()), (178, Code::SourceBusy));
    let others = all_of(&second);
    assert!(!others.is_empty() && !all_of(&third).is_empty(), "a later source finds a place");
    drop(held);
    assert_eq!(first.held(), 0);
    assert!(pick(&first).is_ok());
}

#[test]
fn a_service_with_few_places_gives_all_of_them_to_its_only_source() {
    for most in 1..=8 {
        let mut spec = spec(&[1]);
        spec.connections_max = most;
        let (upstream, share) = (upstream(&spec), Arc::default());
        let held: Vec<_> = std::iter::from_fn(|| upstream.pick(NOW, &mut Tried::default(), &share).ok()).collect();
        assert_eq!(held.len(), most as usize);
    }
}

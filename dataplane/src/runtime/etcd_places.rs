//! Where the node's own etcd is, so that no service can name it as its target: addresses from the settings, and names as
//! they resolve, looked up again every minute. A name that does not resolve keeps what it resolved to before.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::{BackgroundService, GenBackgroundService, background_service};

use super::settings::{Settings, Source};
use crate::upstream::{EtcdEndpoint, Targets};

/// How often names are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// How often while one of them never resolved.
const LOOK_UP_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The longest a look-up may take.
const LOOK_UP_WAIT: Duration = Duration::from_secs(5);

/// The endpoints as far as the settings alone tell.
pub(super) fn known(settings: &Settings) -> Vec<EtcdEndpoint> {
    places(&endpoints(settings), &BTreeMap::new())
}

/// Host and port of each endpoint of etcd.
fn endpoints(settings: &Settings) -> Vec<(String, u16)> {
    match &settings.source {
        Source::Bundle { .. } => Vec::new(),
        Source::Etcd(access) => access.endpoints().iter().filter_map(|endpoint| host_and_port(endpoint)).collect(),
    }
}

/// Of `http://HOST:PORT` or `https://HOST:PORT`, as the settings have been checked to be.
fn host_and_port(endpoint: &str) -> Option<(String, u16)> {
    let uri: http::Uri = endpoint.parse().ok()?;
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, uri.port_u16().unwrap_or(usual)))
}

type Resolved = BTreeMap<(String, u16), Vec<SocketAddr>>;

fn places(endpoints: &[(String, u16)], resolved: &Resolved) -> Vec<EtcdEndpoint> {
    let mut places = Vec::new();
    for (host, port) in endpoints {
        match (host.parse::<IpAddr>(), resolved.get(&(host.clone(), *port))) {
            (Ok(address), _) => places.push(EtcdEndpoint::At(SocketAddr::new(address, *port))),
            (Err(_), Some(addresses)) => places.extend(addresses.iter().copied().map(EtcdEndpoint::At)),
            (Err(_), None) => places.push(EtcdEndpoint::Unresolved { port: *port }),
        }
    }
    places
}

/// Looks names up.
#[derive(Debug)]
pub struct Follow {
    endpoints: Vec<(String, u16)>,
    targets: Arc<Targets>,
}

/// The service that keeps `targets` informed.
pub(super) fn follow(settings: &Settings, targets: Arc<Targets>) -> GenBackgroundService<Follow> {
    background_service("etcd places", Follow { endpoints: endpoints(settings), targets })
}

#[async_trait]
impl BackgroundService for Follow {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let named = |(host, _): &&(String, u16)| host.parse::<IpAddr>().is_err();
        let names: Vec<&(String, u16)> = self.endpoints.iter().filter(named).collect();
        if names.is_empty() {
            return;
        }
        let mut resolved = Resolved::new();
        loop {
            for &(host, port) in &names {
                let looked_up = tokio::time::timeout(LOOK_UP_WAIT, tokio::net::lookup_host((host.as_str(), *port)));
                if let Ok(Ok(found)) = looked_up.await {
                    resolved.insert((host.clone(), *port), found.collect());
                }
            }
            self.targets.set_etcd(places(&self.endpoints, &resolved));
            let pause = if resolved.len() == names.len() { LOOK_UP_EVERY } else { LOOK_UP_AGAIN_AFTER };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|stopping| *stopping) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_name_with_what_it_resolves_to() {
        let ends = ["http://10.0.0.5:2379", "https://[2001:db8::5]:2379", "https://etcd.local:2380"];
        let ends: Vec<(String, u16)> = ends.iter().map(|end| host_and_port(end).unwrap()).collect();
        let at = |text: &str| EtcdEndpoint::At(text.parse().unwrap());
        let before = [at("10.0.0.5:2379"), at("[2001:db8::5]:2379"), EtcdEndpoint::Unresolved { port: 2380 }];
        assert_eq!(places(&ends, &Resolved::new()), before);
        let resolved = Resolved::from([(("etcd.local".to_owned(), 2380), vec!["10.0.0.6:2380".parse().unwrap()])]);
        assert_eq!(places(&ends, &resolved).last(), Some(&at("10.0.0.6:2380")));
    }
}

//! The tables that requests look things up in, shared with the snapshot before where nothing in them changed.

use std::collections::HashMap;
use std::sync::Arc;

use lgsp_shared::id::{AccessKey, PermissionId, ServiceId};
use lgsp_shared::resource::Protocol;

use super::understood::{Granted, Made, Placed};
use crate::snapshot::{Credential, Grants, Route, Router, Service, Table, Watched};

/// See the module. A change copies the tables it touches: one pointer and one name per entry, of which there are as many
/// as systems, services or routes; permissions are grouped by service, and only a touched group is copied.
#[derive(Clone, Default)]
pub struct Tables {
    pub credentials: Arc<Table<AccessKey, Arc<Credential>>>,
    pub services: Arc<HashMap<ServiceId, Arc<Service>>>,
    pub router: Router,
    pub routes: Arc<HashMap<ServiceId, Vec<Arc<Route>>>>,
    pub grants: Grants,
    pub watched: Arc<HashMap<PermissionId, Arc<Watched>>>,
    /// Services that are spoken to over HTTP/2.
    pub http2_services: usize,
}

impl Tables {
    pub fn put_in(&mut self, made: &Made) {
        match made {
            // What only other documents stand on.
            Made::Nothing | Made::Agency(_) | Made::System(_) => {}
            Made::Credential(credential) => {
                Arc::make_mut(&mut self.credentials).insert(credential.access_key.clone(), credential.clone());
            }
            Made::Service(service) => {
                self.http2_services += usize::from(service.upstream.protocol == Protocol::Http2);
                Arc::make_mut(&mut self.services).insert(service.id.clone(), service.clone());
            }
            Made::Route(placed) => {
                let Placed { route, hosts } = &**placed;
                let routes = Arc::make_mut(&mut self.routes).entry(route.service.id.clone()).or_default();
                routes.insert(routes.partition_point(|other| other.id < route.id), route.clone());
                self.router.add(hosts, route);
            }
            Made::Grant(granted) => {
                let Granted { grant, source, service, shadow } = &**granted;
                self.grants.add(source, service, grant, *shadow);
                if let Some(watched) = &grant.watched {
                    Arc::make_mut(&mut self.watched).insert(grant.id.clone(), watched.clone());
                }
            }
        }
    }

    pub fn take_out(&mut self, made: &Made) {
        match made {
            Made::Nothing | Made::Agency(_) | Made::System(_) => {}
            Made::Credential(credential) => {
                Arc::make_mut(&mut self.credentials).remove(&credential.access_key);
            }
            Made::Service(service) => {
                self.http2_services -= usize::from(service.upstream.protocol == Protocol::Http2);
                Arc::make_mut(&mut self.services).remove(&service.id);
            }
            Made::Route(placed) => {
                let Placed { route, hosts } = &**placed;
                let all = Arc::make_mut(&mut self.routes);
                if let Some(routes) = all.get_mut(&route.service.id) {
                    routes.retain(|other| other.id != route.id);
                    if routes.is_empty() {
                        all.remove(&route.service.id);
                    }
                }
                self.router.remove(hosts, route);
            }
            Made::Grant(granted) => {
                let Granted { grant, source, service, shadow } = &**granted;
                self.grants.remove(source, service, grant, *shadow);
                if grant.watched.is_some() {
                    Arc::make_mut(&mut self.watched).remove(&grant.id);
                }
            }
        }
    }
}

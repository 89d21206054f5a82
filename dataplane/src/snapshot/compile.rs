//! Documents → snapshot: the only way to make one.
//!
//! It never fails as a whole. A document that cannot take effect is left out and reported, and whatever refers to it
//! with it: the grant that names it grants nothing, the route that leads to it leads nowhere. A field that restricts
//! and is not understood closes what it restricts. What did not change since the previous snapshot is taken over, so
//! that a small change costs little more than copying the tables.

use std::collections::HashMap;
use std::sync::Arc;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{AccessKey, AgencyId, CredentialId, PermissionId, Revision, ServiceId, SystemId};
use lgsp_shared::resource::{
    AgencySpec, CredentialSpec, CredentialState, DefaultsSpec, Document, PermissionMode, PermissionSpec, Protocol,
    Read, Resource, Rewrite,
};
use lgsp_shared::seal::{SealError, SealKeys, credential_identity};
use lgsp_shared::session::{TICKET_KEYS_MAX, TicketKeys};
use lgsp_shared::signature::KeyState;

use super::{Credential, Grant, Grants, LastUsed, Quota, Route, Router, Service, Snapshot, System, Table, Watched};
use crate::upstream::Upstream;

/// A revision before it is compiled.
#[derive(Debug, Clone)]
pub struct SnapshotSource {
    /// Its number.
    pub revision: Revision,
    /// Its content hash.
    pub hash: ContentHash,
    /// Its documents; one that is the same allocation as in the previous snapshot is known not to have changed.
    pub documents: Vec<Arc<Document>>,
}

/// What a problem did to its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The document took effect; something in it was ignored.
    Noted,
    /// The document was understood well enough to know that it must not grant anything. A former value must not come
    /// back in its place: it may be the very thing the document takes away.
    Closed,
    /// The document could not be used; a former value may take its place.
    LeftOut,
}

/// A document that did not take effect, or not entirely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentProblem {
    /// `Kind/name`.
    pub document: String,
    /// The path of the field.
    pub path: String,
    /// What is wrong and what it leads to.
    pub message: String,
    /// What became of the document.
    pub effect: Effect,
}

/// A snapshot and what was left out of it.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Documents that did not take effect.
    pub problems: Vec<DocumentProblem>,
}

/// What was understood of each document, kept for the next compilation under the document's address.
pub(super) type Understood = HashMap<usize, Source>;

/// One document and what it became.
pub(super) struct Source {
    // Holding the document keeps its address from being given to another one.
    document: Arc<Document>,
    read: Arc<Read>,
    credential: Option<Arc<Credential>>,
}

/// Compiles a revision.
pub fn compile<'a>(source: &SnapshotSource, keys: &'a SealKeys, previous: Option<&'a Snapshot>) -> Compiled {
    // Each pass may refer to what the ones before it made.
    let passes: [fn(&mut Compiler<'a>, usize, &Read); 7] = [
        Compiler::unknown_fields,
        Compiler::defaults_and_agencies,
        Compiler::system,
        Compiler::credential,
        Compiler::service,
        Compiler::route,
        Compiler::permission,
    ];
    let mut compiler = Compiler::new(keys, previous);
    let documents = compiler.read_all(&source.documents);
    for pass in passes {
        for (at, read) in &documents {
            pass(&mut compiler, *at, read);
        }
    }
    compiler.finish(source)
}

struct Compiler<'a> {
    keys: &'a SealKeys,
    previous: Option<&'a Snapshot>,
    problems: Vec<DocumentProblem>,
    understood: Understood,
    defaults: DefaultsSpec,
    agencies: HashMap<AgencyId, AgencySpec>,
    systems: HashMap<SystemId, Arc<System>>,
    credentials: Table<AccessKey, Arc<Credential>>,
    signers: HashMap<SystemId, Vec<Arc<Credential>>>,
    services: HashMap<ServiceId, Arc<Service>>,
    router: Router,
    routes: HashMap<ServiceId, Vec<Arc<Route>>>,
    grants: Grants,
    quotas: HashMap<PermissionId, Arc<Quota>>,
    watched: HashMap<PermissionId, Arc<Watched>>,
}

impl<'a> Compiler<'a> {
    fn new(keys: &'a SealKeys, previous: Option<&'a Snapshot>) -> Self {
        Self {
            keys,
            previous,
            problems: Vec::new(),
            understood: HashMap::new(),
            defaults: DefaultsSpec::default(),
            agencies: HashMap::new(),
            systems: HashMap::new(),
            credentials: Table::default(),
            signers: HashMap::new(),
            services: HashMap::new(),
            router: Router::default(),
            routes: HashMap::new(),
            grants: Grants::default(),
            quotas: HashMap::new(),
            watched: HashMap::new(),
        }
    }

    fn read_all(&mut self, documents: &[Arc<Document>]) -> Vec<(usize, Arc<Read>)> {
        let mut readable = Vec::with_capacity(documents.len());
        for document in documents {
            let at = Arc::as_ptr(document) as usize;
            let known = self.previous.and_then(|snapshot| snapshot.understood.get(&at));
            let read = match known.map(|source| source.read.clone()).map_or_else(|| document.read().map(Arc::new), Ok) {
                Ok(read) => read,
                Err(error) => {
                    let (path, message) = (error.path, error.message);
                    let effect = Effect::LeftOut;
                    self.problems.push(DocumentProblem { document: error.document, path, message, effect });
                    continue;
                }
            };
            self.understood.insert(at, Source { document: document.clone(), read: read.clone(), credential: None });
            readable.push((at, read));
        }
        readable
    }

    /// Reports a document that is left out.
    fn problem(&mut self, at: usize, path: &str, message: impl Into<String>) {
        self.report(at, path, message.into(), Effect::LeftOut);
    }

    fn report(&mut self, at: usize, path: &str, message: String, effect: Effect) {
        let document = self.understood.get(&at).map(|source| source.document.label()).unwrap_or_default();
        self.problems.push(DocumentProblem { document, path: path.to_owned(), message, effect });
    }

    fn unknown_fields(&mut self, at: usize, read: &Read) {
        for path in &read.unknown {
            let effect = match &read.resource {
                Resource::Credential(..) | Resource::Permission(..) => Effect::Closed,
                Resource::Route(..) if path.starts_with("spec.require") => Effect::Closed,
                Resource::Defaults(_)
                | Resource::Agency(..)
                | Resource::System(..)
                | Resource::Service(..)
                | Resource::Route(..) => Effect::Noted,
            };
            let message = "this version does not know the field; upgrade the node or remove the field";
            self.report(at, path, message.to_owned(), effect);
        }
    }

    fn defaults_and_agencies(&mut self, _at: usize, read: &Read) {
        match &read.resource {
            Resource::Defaults(spec) => self.defaults = spec.clone(),
            Resource::Agency(id, spec) => {
                self.agencies.insert(id.clone(), spec.clone());
            }
            Resource::System(..)
            | Resource::Credential(..)
            | Resource::Service(..)
            | Resource::Route(..)
            | Resource::Permission(..) => {}
        }
    }

    fn system(&mut self, at: usize, read: &Read) {
        let Resource::System(id, spec) = &read.resource else { return };
        let Some(agency) = self.agencies.get(&spec.agency) else {
            let message =
                format!("there is no agency `{}`: the system cannot be identified and is left out", spec.agency);
            return self.problem(at, "spec.agency", message);
        };
        let system = System { id: id.clone(), agency: spec.agency.clone(), agency_code: agency.code.clone() };
        self.systems.insert(id.clone(), Arc::new(system));
    }

    fn credential(&mut self, at: usize, read: &Read) {
        let Resource::Credential(id, spec) = &read.resource else { return };
        if !read.unknown.is_empty() {
            return; // It may be a restriction: the key stays unknown. Reported by `unknown_fields`.
        }
        let Some(system) = self.systems.get(&spec.system).cloned() else {
            let message = format!("there is no system `{}`: the key is refused", spec.system);
            return self.problem(at, "spec.system", message);
        };
        if self.credentials.contains_key(&spec.access_key) {
            return self.problem(at, "spec.access_key", "another credential has this access key: this one is left out");
        }
        let credential = match self.known_credential(at, &system).map_or_else(|| self.open(id, spec, system), Ok) {
            Ok(credential) => credential,
            Err(error) => return self.problem(at, "spec.secret", error.to_string()),
        };
        if credential.state != CredentialState::Disabled {
            self.signers.entry(spec.system.clone()).or_default().push(credential.clone());
        }
        if let Some(source) = self.understood.get_mut(&at) {
            source.credential = Some(credential.clone());
        }
        self.credentials.insert(spec.access_key.clone(), credential);
    }

    /// The credential as compiled last time, if neither it nor its system changed: opening a secret is the dearest step.
    fn known_credential(&self, at: usize, system: &System) -> Option<Arc<Credential>> {
        let known = self.previous?.understood.get(&at)?.credential.clone()?;
        (*known.system == *system).then_some(known)
    }

    fn open(
        &self,
        id: &CredentialId,
        spec: &CredentialSpec,
        system: Arc<System>,
    ) -> Result<Arc<Credential>, SealError> {
        let identity = credential_identity(id.as_str(), spec.system.as_str(), spec.access_key.as_str());
        let secret = self.keys.open(&spec.secret, &identity)?;
        Ok(Arc::new(Credential {
            id: id.clone(),
            access_key: spec.access_key.clone(),
            system,
            state: spec.state,
            validity: spec.validity(),
            used: self.last_used(id, spec),
            key: KeyState::new(&secret),
        }))
    }

    /// What is known of the key's use survives every change of its credential, but not another credential's taking over.
    fn last_used(&self, id: &CredentialId, spec: &CredentialSpec) -> Arc<LastUsed> {
        let known = self.previous.and_then(|snapshot| snapshot.credential(spec.access_key.as_str()));
        known.filter(|known| known.id == *id).map(|known| known.used.clone()).unwrap_or_default()
    }

    fn service(&mut self, at: usize, read: &Read) {
        let Resource::Service(id, spec) = &read.resource else { return };
        let Some(owner) = self.systems.get(&spec.system).cloned() else {
            let message = format!("there is no system `{}`: the service is left out", spec.system);
            return self.problem(at, "spec.system", message);
        };
        if spec.endpoints.is_empty() {
            return self.problem(at, "spec.endpoints", "a service needs at least one endpoint: it is left out");
        }
        let before = self.previous.and_then(|snapshot| snapshot.services.get(id));
        let service = Service {
            id: id.clone(),
            owner,
            signers: self.signers_of(&spec.system),
            host: spec.host.as_deref().map(Box::from),
            session_lifetime_secs: spec.session_lifetime_secs.unwrap_or(self.defaults.session.lifetime_secs),
            upstream: Arc::new(Upstream::new(spec, before.map(|service| &*service.upstream))),
        };
        self.services.insert(id.clone(), Arc::new(service));
    }

    fn signers_of(&self, system: &SystemId) -> Box<[Arc<Credential>]> {
        let mut signers = self.signers.get(system).cloned().unwrap_or_default();
        signers.sort_by_key(|credential| {
            let newest_first = credential.validity.not_before.map_or(0, |start| start.0.saturating_neg());
            (credential.state != CredentialState::Active, newest_first)
        });
        signers.into()
    }

    fn route(&mut self, at: usize, read: &Read) {
        let Resource::Route(id, spec) = &read.resource else { return };
        let Some(service) = self.services.get(&spec.service).cloned() else {
            let message = format!("there is no usable service `{}`: the route is left out", spec.service);
            return self.problem(at, "spec.service", message);
        };
        let closed = read.unknown.iter().any(|path| path.starts_with("spec.require"));
        let route = Arc::new(Route {
            id: id.clone(),
            service,
            path: spec.path.clone(),
            methods: boxed(&spec.methods),
            rewrite: spec.rewrite.as_ref().map(|Rewrite::Prefix(prefix)| prefix.as_str().into()),
            body_bytes_max: spec.body_bytes_max.unwrap_or(self.defaults.body_bytes_max),
            unsigned_payload: spec.unsigned_payload,
            require_nonce: spec.require.nonce,
            require_session: spec.require.session,
            debug_signatures: spec.debug_signatures.unwrap_or(self.defaults.debug_signatures),
            owner_unreachable: spec.replay_owner_unreachable.unwrap_or(self.defaults.replay_owner_unreachable),
            closed,
        });
        self.routes.entry(spec.service.clone()).or_default().push(route.clone());
        self.router.add(&spec.hosts, &spec.path, &route);
    }

    fn permission(&mut self, at: usize, read: &Read) {
        let Resource::Permission(id, spec) = &read.resource else { return };
        if !read.unknown.is_empty() {
            return; // It may be a restriction: nothing is granted. Reported by `unknown_fields`.
        }
        if !self.systems.contains_key(&spec.source) {
            return self.problem(
                at,
                "spec.source",
                format!("there is no system `{}`: nothing is granted", spec.source),
            );
        }
        if !self.services.contains_key(&spec.service) {
            let message = format!("there is no usable service `{}`: nothing is granted", spec.service);
            return self.problem(at, "spec.service", message);
        }
        let watched = match spec.mode {
            PermissionMode::Enforce => None,
            PermissionMode::Shadow | PermissionMode::Retiring => Some(self.watched(id, spec.mode)),
            PermissionMode::Unknown => {
                let message = "this version does not know the mode: nothing is granted; upgrade the node or correct it";
                return self.report(at, "spec.mode", message.to_owned(), Effect::Closed);
            }
        };
        let grant = Grant {
            id: id.clone(),
            methods: boxed(&spec.methods),
            paths: spec.paths.iter().map(|path| path.trim_end_matches('/').into()).collect(),
            validity: spec.validity(),
            quota: self.quota(id, spec),
            watched,
        };
        let (source, service, grant) = (spec.source.clone(), spec.service.clone(), Arc::new(grant));
        match spec.mode {
            PermissionMode::Enforce | PermissionMode::Retiring => self.grants.add(source, service, grant),
            PermissionMode::Shadow => self.grants.add_shadow(source, service, grant),
            // Returned above.
            PermissionMode::Unknown => {}
        }
    }

    /// What is counted survives a revision unless the mode changed.
    fn watched(&mut self, id: &PermissionId, mode: PermissionMode) -> Arc<Watched> {
        let known = self.previous.and_then(|snapshot| snapshot.watched.get(id)).filter(|known| known.mode == mode);
        let watched = known.cloned().unwrap_or_else(|| Arc::new(Watched::new(id.clone(), mode)));
        self.watched.insert(id.clone(), watched.clone());
        watched
    }

    /// The quota's bucket survives a revision unless its rate changed.
    fn quota(&mut self, id: &PermissionId, spec: &PermissionSpec) -> Option<Arc<Quota>> {
        let rate = spec.rate?;
        let known = self.previous.and_then(|snapshot| snapshot.quotas.get(id)).filter(|quota| quota.rate() == rate);
        let quota = known.cloned().unwrap_or_else(|| Arc::new(Quota::new(rate)));
        self.quotas.insert(id.clone(), quota.clone());
        Some(quota)
    }

    fn finish(self, source: &SnapshotSource) -> Compiled {
        let names = &self.defaults.session.keys;
        let ticket_keys = TicketKeys::derive(self.keys, names.get(..TICKET_KEYS_MAX).unwrap_or(names));
        let snapshot = Snapshot {
            revision: source.revision,
            hash: source.hash.clone(),
            defaults: self.defaults,
            leads_to_http2: self.services.values().any(|service| service.upstream.protocol == Protocol::Http2),
            credentials: self.credentials,
            services: self.services,
            router: self.router,
            routes: self.routes,
            ticket_keys,
            grants: self.grants,
            quotas: self.quotas,
            watched: self.watched,
            understood: self.understood,
            decoy: KeyState::decoy(),
        };
        Compiled { snapshot, problems: self.problems }
    }
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

#[cfg(test)]
mod tests;

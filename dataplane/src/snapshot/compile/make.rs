//! One document → what it becomes, given what it refers to.

use std::net::SocketAddr;
use std::sync::Arc;

use lgsp_shared::id::{CredentialId, PermissionId, RouteId, ServiceId, SystemId};
use lgsp_shared::path::document_form;
use lgsp_shared::resource::{
    CredentialSpec, CredentialState, ENDPOINTS_MAX, Kind, PathMatch, PermissionMode, PermissionSpec, Read, Resource,
    Rewrite, RouteSpec, ServiceSpec, SystemSpec,
};
use lgsp_shared::seal::{SealError, credential_identity};

use super::understood::{Granted, Made, Name, Placed, Source};
use super::{Compiler, DocumentProblem, Effect, unknown_fields};
use crate::snapshot::documents::DocumentKey;
use crate::snapshot::{Credential, Diagnoses, Grant, Quota, Route, Service, Snapshot, System, Watched};
use crate::upstream::{SourceShare, Upstream};

/// Endpoints of one service that are named as left out; about 200 bytes each.
const ENDPOINTS_NOTED_MAX: usize = 8;

/// Why nothing is made of a document: where, and what that leads to.
struct Unusable {
    path: &'static str,
    message: String,
    effect: Effect,
}

fn left_out(path: &'static str, message: impl Into<String>) -> Unusable {
    Unusable { path, message: message.into(), effect: Effect::LeftOut }
}

impl Compiler<'_> {
    /// Makes of the document what it becomes, and reports what is wrong with it.
    pub(super) fn make(&mut self, name: &Name, before: &Made) -> Made {
        let key = DocumentKey { kind: name.0.as_str().into(), name: name.1.clone() };
        let Some(source) = self.understood.source(name).cloned() else {
            self.understood.set_problems(&key, None);
            return Made::Nothing;
        };
        let read = match &source.reading {
            Ok(read) => read.clone(),
            Err(problem) => {
                self.understood.set_problems(&key, [(**problem).clone()]);
                return Made::Nothing;
            }
        };
        let mut problems = unknown_fields(&key.label(), &read);
        problems.extend(self.endpoints_left_out(&key.label(), &read));
        let made = self.made_of(&source, &read, before).unwrap_or_else(|Unusable { path, message, effect }| {
            problems.push(DocumentProblem { document: key.label(), path: path.to_owned(), message, effect });
            Made::Nothing
        });
        self.understood.set_problems(&key, problems);
        made
    }

    fn made_of(&self, source: &Source, read: &Read, before: &Made) -> Result<Made, Unusable> {
        match &read.resource {
            Resource::Defaults(_) => Ok(Made::Nothing),
            Resource::Agency(_, spec) => Ok(Made::Agency(Arc::new(spec.code.clone()))),
            Resource::System(id, spec) => self.system(id, spec, before),
            // An unknown field may be a restriction: the key stays unknown, nothing is granted.
            Resource::Credential(..) | Resource::Permission(..) if !read.unknown.is_empty() => Ok(Made::Nothing),
            Resource::Credential(id, spec) => self.credential(source, id, spec),
            Resource::Service(id, spec) => self.service(id, spec),
            Resource::Route(id, spec) => self.route(id, spec, read),
            Resource::Permission(id, spec) => self.permission(id, spec),
        }
    }

    fn system(&self, id: &SystemId, spec: &SystemSpec, before: &Made) -> Result<Made, Unusable> {
        let SystemSpec { agency, title: _, former_agency } = spec;
        let Some(Made::Agency(code)) = self.known(Kind::Agency, agency.as_str()) else {
            let message = format!("there is no agency `{agency}`: the system cannot be identified and is left out");
            return Err(left_out("spec.agency", message));
        };
        let (agency, former_agency) = (agency.clone(), former_agency.clone());
        let system = System { id: id.clone(), agency, agency_code: (**code).clone(), former_agency };
        match before {
            // What stands on it can stay.
            Made::System(known) if **known == system => Ok(before.clone()),
            _ => Ok(Made::System(Arc::new(system))),
        }
    }

    fn known(&self, kind: Kind, name: &str) -> Option<&Made> {
        self.understood.source(&(kind, name.into())).map(|source| &source.made)
    }

    fn system_of(&self, name: &SystemId) -> Option<&Arc<System>> {
        match self.known(Kind::System, name.as_str()) {
            Some(Made::System(system)) => Some(system),
            _ => None,
        }
    }

    fn credential(&self, source: &Source, id: &CredentialId, spec: &CredentialSpec) -> Result<Made, Unusable> {
        let Some(system) = self.system_of(&spec.system) else {
            let message = format!("there is no system `{}`: the key is refused", spec.system);
            return Err(left_out("spec.system", message));
        };
        if self.tables.credentials.contains_key(&spec.access_key) {
            let message = "another credential has this access key: this one is left out";
            return Err(left_out("spec.access_key", message));
        }
        let known = self.known_credential(source, id, system);
        let credential = known.map_or_else(|| self.open(id, spec, system.clone()), Ok);
        credential.map(Made::Credential).map_err(|error| left_out("spec.secret", error.to_string()))
    }

    /// The credential as compiled last time, if neither it nor its system changed: opening a secret is the dearest step.
    fn known_credential(&self, source: &Source, id: &CredentialId, system: &System) -> Option<Arc<Credential>> {
        let known = self.previous?.understood.source(&(Kind::Credential, id.as_str().into()))?;
        let Made::Credential(credential) = &known.made else { return None };
        let same = Arc::ptr_eq(&known.document, &source.document) && *credential.system == *system;
        same.then(|| credential.clone())
    }

    fn open(
        &self,
        id: &CredentialId,
        spec: &CredentialSpec,
        system: Arc<System>,
    ) -> Result<Arc<Credential>, SealError> {
        let identity = credential_identity(id.as_str(), spec.system.as_str(), spec.access_key.as_str());
        let secret = self.keys.open(&spec.secret, &identity)?;
        let known = self.known_key(id, spec);
        Ok(Arc::new(Credential {
            id: id.clone(),
            access_key: spec.access_key.clone(),
            system,
            state: spec.state,
            validity: spec.validity(),
            used: known.map(|known| known.used.clone()).unwrap_or_default(),
            held: known.map(|known| known.held.clone()).unwrap_or_default(),
            diagnoses: Diagnoses::default(),
            key: lgsp_shared::signature::KeyState::new(&secret),
        }))
    }

    /// The key in the previous snapshot: what is known of its use survives every change of its credential, but not another
    /// credential's taking over.
    fn known_key(&self, id: &CredentialId, spec: &CredentialSpec) -> Option<&Credential> {
        let known = self.previous.and_then(|snapshot| snapshot.credential(spec.access_key.as_str()));
        known.map(|known| &**known).filter(|known| known.id == *id)
    }

    fn service(&self, id: &ServiceId, spec: &ServiceSpec) -> Result<Made, Unusable> {
        let Some(owner) = self.system_of(&spec.system) else {
            let message = format!("there is no system `{}`: the service is left out", spec.system);
            return Err(left_out("spec.system", message));
        };
        if spec.endpoints.is_empty() {
            return Err(left_out("spec.endpoints", "a service needs at least one endpoint: it is left out"));
        }
        let before = self.previous.and_then(|snapshot| snapshot.service(id.as_str()));
        Ok(Made::Service(Arc::new(Service {
            id: id.clone(),
            owner: owner.clone(),
            signers: self.signers_of(&spec.system),
            host: spec.host.as_deref().map(Box::from),
            session_lifetime_secs: spec.session_lifetime_secs.unwrap_or(self.defaults.session.lifetime_secs),
            upstream: Arc::new(Upstream::new(spec, self.targets, before.map(|service| &*service.upstream))),
        })))
    }

    /// What is wrong with a service's endpoints, one by one: the others serve.
    fn endpoints_left_out(&self, label: &str, read: &Read) -> Vec<DocumentProblem> {
        let Resource::Service(_, spec) = &read.resource else { return Vec::new() };
        let left_out = |at: usize, address: SocketAddr| {
            let why = match self.targets.permit(address) {
                _ if at >= ENDPOINTS_MAX => format!("a service has {ENDPOINTS_MAX} endpoints at most"),
                Ok(_) => return None,
                Err(barred) => barred.to_string(),
            };
            let message = format!("this node does not connect to `{address}`: {why}; the endpoint is left out");
            let path = format!("spec.endpoints[{at}].address");
            Some(DocumentProblem { document: label.to_owned(), path, message, effect: Effect::Noted })
        };
        let endpoints = spec.endpoints.iter().enumerate();
        endpoints.filter_map(|(at, endpoint)| left_out(at, endpoint.address)).take(ENDPOINTS_NOTED_MAX).collect()
    }

    fn signers_of(&self, system: &SystemId) -> Box<[Arc<Credential>]> {
        let referrers = self.understood.referrers(&(Kind::System, system.as_str().into()));
        let credential = |name: &Name| match &self.understood.source(name)?.made {
            Made::Credential(credential) if credential.state != CredentialState::Disabled => Some(credential.clone()),
            _ => None,
        };
        let mut signers: Vec<Arc<Credential>> = referrers.iter().filter_map(credential).collect();
        signers.sort_by_key(|credential| {
            let newest_first = credential.validity.not_before.map_or(0, |start| start.0.saturating_neg());
            (credential.state != CredentialState::Active, newest_first)
        });
        signers.into()
    }

    fn route(&self, id: &RouteId, spec: &RouteSpec, read: &Read) -> Result<Made, Unusable> {
        let Some(service) = self.tables.services.get(&spec.service) else {
            let message = format!("there is no usable service `{}`: the route is left out", spec.service);
            return Err(left_out("spec.service", message));
        };
        let path = spec.path.in_matched_form();
        if matches!(&path, PathMatch::Exact(path) | PathMatch::Prefix(path) if path.contains(';')) {
            let message = "a `;` ends a segment when paths are matched, so no request has this path: it is left out";
            return Err(left_out("spec.path", message));
        }
        let route = Arc::new(Route {
            id: id.clone(),
            service: service.clone(),
            path,
            methods: boxed(&spec.methods),
            rewrite: spec.rewrite.as_ref().map(|Rewrite::Prefix(prefix)| prefix.as_str().into()),
            body_bytes_max: spec.body_bytes_max.unwrap_or(self.defaults.body_bytes_max),
            unsigned_payload: spec.unsigned_payload,
            require_nonce: spec.require.nonce,
            require_session: spec.require.session,
            debug_signatures: spec.debug_signatures.unwrap_or(self.defaults.debug_signatures),
            owner_unreachable: spec.replay_owner_unreachable.unwrap_or(self.defaults.replay_owner_unreachable),
            pass_headers: boxed(&spec.pass_headers),
            encoded_slash: spec.encoded_slash,
            closed: read.unknown.iter().any(|path| path.starts_with("spec.require")),
        });
        Ok(Made::Route(Arc::new(Placed { route, hosts: spec.hosts.clone() })))
    }

    fn permission(&self, id: &PermissionId, spec: &PermissionSpec) -> Result<Made, Unusable> {
        if self.system_of(&spec.source).is_none() {
            let message = format!("there is no system `{}`: nothing is granted", spec.source);
            return Err(left_out("spec.source", message));
        }
        if !self.tables.services.contains_key(&spec.service) {
            let message = format!("there is no usable service `{}`: nothing is granted", spec.service);
            return Err(left_out("spec.service", message));
        }
        let (watched, shadow) = match spec.mode {
            PermissionMode::Enforce => (None, false),
            PermissionMode::Retiring => (Some(self.watched(id, spec.mode)), false),
            PermissionMode::Shadow => (Some(self.watched(id, spec.mode)), true),
            PermissionMode::Unknown => {
                let message = "this version does not know the mode: nothing is granted; upgrade the node or correct it";
                return Err(Unusable { path: "spec.mode", message: message.to_owned(), effect: Effect::Closed });
            }
        };
        let grant = Arc::new(Grant {
            id: id.clone(),
            methods: boxed(&spec.methods),
            paths: spec.paths.iter().map(|path| document_form(path.trim_end_matches('/')).into()).collect(),
            validity: spec.validity(),
            share: self.share(&spec.source, &spec.service),
            quota: self.quota(id, spec),
            watched,
        });
        let (source, service) = (spec.source.clone(), spec.service.clone());
        Ok(Made::Grant(Arc::new(Granted { grant, source, service, shadow })))
    }

    /// What the source holds at the service, shared by all its grants there, in this snapshot and the one before.
    fn share(&self, source: &SystemId, service: &ServiceId) -> Arc<SourceShare> {
        let before = self.previous.map(Snapshot::grants);
        let mut known = [Some(&self.tables.grants), before]
            .into_iter()
            .flatten()
            .flat_map(|grants| grants.of(source, service).iter().chain(grants.shadow_of(source, service)));
        known.next().map(|grant| grant.share.clone()).unwrap_or_default()
    }

    /// The grant that the permission was in the previous snapshot.
    fn known_grant(&self, id: &PermissionId) -> Option<&Grant> {
        match &self.previous?.understood.source(&(Kind::Permission, id.as_str().into()))?.made {
            Made::Grant(granted) => Some(&granted.grant),
            _ => None,
        }
    }

    /// What is counted survives a revision unless the mode changed.
    fn watched(&self, id: &PermissionId, mode: PermissionMode) -> Arc<Watched> {
        let known = self.known_grant(id).and_then(|grant| grant.watched.as_ref());
        let known = known.filter(|known| known.mode == mode);
        known.cloned().unwrap_or_else(|| Arc::new(Watched::new(id.clone(), mode)))
    }

    /// The quota's bucket survives a revision unless its rate changed.
    fn quota(&self, id: &PermissionId, spec: &PermissionSpec) -> Option<Arc<Quota>> {
        let rate = spec.rate?;
        let known = self.known_grant(id).and_then(|grant| grant.quota.as_ref());
        let known = known.filter(|quota| quota.rate() == rate);
        Some(known.cloned().unwrap_or_else(|| Arc::new(Quota::new(rate))))
    }
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

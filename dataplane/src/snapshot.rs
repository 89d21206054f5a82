//! What a request may read: one revision, compiled, immutable and complete.
//!
//! [`compile`](compile::compile) is its only constructor. Everything that can be derived from a document is derived
//! there: matchers, HMAC key states, endpoint schedules. What lives longer than a revision (health, rates in flight,
//! retry budgets, quotas) is shared between snapshots under its stable name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{AccessKey, AgencyId, CredentialId, Revision, RouteId, ServiceId, SystemId};
use lgsp_shared::path::{MatchedPath, document_form};
use lgsp_shared::resource::{CredentialState, DefaultsSpec, FormerAgency, OwnerUnreachable, PathMatch};
use lgsp_shared::session::TicketKeys;
use lgsp_shared::signature::{EncodedSlash, KeyState};
use lgsp_shared::timestamp::{UnixSeconds, Validity};

use crate::stream::HeldByKey;
use crate::upstream::Upstream;

pub mod compile;
mod diagnoses;
mod documents;
#[cfg(test)]
pub mod fixture;
mod grant;
mod last_used;
mod quota;
mod router;
mod watched;

pub use compile::{Compiled, DocumentProblem, Effect, SnapshotSource, compile};
pub use diagnoses::{DIAGNOSES_PER_SECOND_MAX, Diagnoses};
pub use documents::{DocumentKey, Documents};
pub use grant::{Grant, Grants};
pub use last_used::LastUsed;
pub use quota::Quota;
pub use router::{Found, Matched, NotFound, Place, Router, host_of};
pub use watched::Watched;

/// A table that requests look things up in. Its keys come from the configuration, so nobody outside can choose them to
/// collide; the standard hasher, made for keys that strangers choose, costs four times as much, six times per request.
pub(crate) type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A system: the principal of a request, or the owner of a service.
#[derive(Debug, PartialEq, Eq)]
pub struct System {
    /// Its name.
    pub id: SystemId,
    /// The agency that runs it.
    pub agency: AgencyId,
    /// The agency's identification code, forwarded as `lgsp-agency`.
    pub agency_code: AgencyCode,
    /// The code its agency had before a reorganisation, forwarded beside it for a while.
    pub former_agency: Option<FormerAgency>,
}

impl System {
    /// The code its agency had before, while targets are still told it.
    pub fn former_at(&self, now: UnixSeconds) -> Option<&AgencyCode> {
        self.former_agency.as_ref().filter(|former| now < former.until).map(|former| &former.code)
    }
}

/// A credential with its key states ready.
pub struct Credential {
    /// The name of the credential resource.
    pub id: CredentialId,
    /// Who am I.
    pub access_key: AccessKey,
    /// The system it identifies.
    pub system: Arc<System>,
    /// Whether it may be used.
    pub state: CredentialState,
    /// When it may be used.
    pub validity: Validity,
    /// When it was last used on this node; survives revisions.
    pub used: Arc<LastUsed>,
    /// What its bodies hold in memory before they are verified; survives revisions.
    pub held: Arc<HeldByKey>,
    /// How often what is wrong with its signatures was looked for.
    pub diagnoses: Diagnoses,
    /// The secret as precomputed HMAC states.
    pub key: KeyState,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// A service: where a route leads.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub id: ServiceId,
    /// The system that offers it.
    pub owner: Arc<System>,
    /// The owner's credentials that may sign forwarded requests, best first.
    pub signers: Box<[Arc<Credential>]>,
    /// The `Host` sent to the target, when it is not the source's.
    pub host: Option<Box<str>>,
    /// How long a session towards it lasts.
    pub session_lifetime_secs: u32,
    /// Its endpoints.
    pub upstream: Arc<Upstream>,
}

impl Service {
    /// The credential to sign a forwarded request with, if the owner has a valid one.
    pub fn signer_at(&self, now: UnixSeconds) -> Option<&Arc<Credential>> {
        self.signers.iter().find(|credential| credential.validity.holds_at(now))
    }
}

/// A route: how a request found its service, and what it demands.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub id: RouteId,
    /// Where it leads.
    pub service: Arc<Service>,
    /// Paths it takes, in matched form.
    pub path: PathMatch,
    /// Methods it takes; empty for any.
    pub methods: Box<[Box<str>]>,
    /// What the matched part of the path becomes.
    pub rewrite: Option<Box<str>>,
    /// The largest request body, in bytes.
    pub body_bytes_max: u64,
    /// Whether a body may come without a signed digest.
    pub unsigned_payload: bool,
    /// Whether every request must carry a nonce.
    pub require_nonce: bool,
    /// Whether every request must belong to a session.
    pub require_session: bool,
    /// Whether a caller whose signature is wrong is shown what the node expected to be signed.
    pub debug_signatures: bool,
    /// What happens to a request when the node that remembers its nonce cannot be asked.
    pub owner_unreachable: OwnerUnreachable,
    /// Headers that pass to the target here though they could override what was decided.
    pub pass_headers: Box<[Box<str>]>,
    /// What an escaped `/` in a path is.
    pub encoded_slash: EncodedSlash,
    /// Set when the document restricts in a way this node does not understand: nothing passes.
    pub closed: bool,
}

impl Route {
    /// Whether it takes `method`.
    pub fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|taken| &**taken == method)
    }

    /// The path a source would send here for the target to see `path`: the rewrite undone. Permissions speak of paths as
    /// sources send them, so this is how a call that did not come this way is compared with them.
    pub fn path_before_rewrite<'p>(&self, path: &MatchedPath<'p>) -> Option<Cow<'p, str>> {
        let Some(rewritten) = self.rewrite.as_deref() else {
            let taken = match &self.path {
                PathMatch::Exact(exact) => path.form() == exact,
                PathMatch::Prefix(prefix) => path.is_below(prefix),
            };
            return taken.then(|| Cow::Borrowed(path.form()));
        };
        let rewritten = document_form(rewritten.trim_end_matches('/'));
        let rest = path.form().strip_prefix(&*rewritten)?;
        match &self.path {
            PathMatch::Exact(exact) => matches!(rest, "" | "/").then(|| Cow::Owned(exact.clone())),
            PathMatch::Prefix(prefix) if rest.is_empty() || rest.starts_with('/') => {
                Some(Cow::Owned(format!("{prefix}{rest}")))
            }
            PathMatch::Prefix(_) => None,
        }
    }
}

/// One revision, compiled.
pub struct Snapshot {
    /// Its number.
    pub revision: Revision,
    /// The hash of its documents.
    pub hash: ContentHash,
    /// Platform-wide limits.
    pub defaults: DefaultsSpec,
    tables: compile::Tables,
    ticket_keys: TicketKeys,
    understood: compile::Understood,
    decoy: KeyState,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("revision", &self.revision).field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The credential with this access key.
    pub fn credential(&self, access_key: &str) -> Option<&Arc<Credential>> {
        self.tables.credentials.get(access_key)
    }

    /// All credentials, in no order.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.tables.credentials.values()
    }

    /// A key that belongs to nobody: checking a signature against it costs what a real check costs.
    pub fn decoy(&self) -> &KeyState {
        &self.decoy
    }

    /// The routing table.
    pub fn router(&self) -> &Router {
        &self.tables.router
    }

    /// The permissions.
    pub fn grants(&self) -> &Grants {
        &self.tables.grants
    }

    /// The service of this name.
    pub fn service(&self, id: &str) -> Option<&Arc<Service>> {
        self.tables.services.get(id)
    }

    /// The routes that lead to a service, in the order of their names.
    pub fn routes_to(&self, service: &ServiceId) -> &[Arc<Route>] {
        self.tables.routes.get(service).map_or(&[], Vec::as_slice)
    }

    /// The keys of session tickets.
    pub fn ticket_keys(&self) -> &TicketKeys {
        &self.ticket_keys
    }

    /// Whether any service is spoken to over HTTP/2, so that a face which does not has to look before it decides.
    pub fn leads_to_http2(&self) -> bool {
        self.tables.http2_services > 0
    }

    /// Permissions that are tried, by name.
    pub fn watched(&self) -> Vec<&Arc<Watched>> {
        let mut watched: Vec<_> = self.tables.watched.values().collect();
        watched.sort_by(|one, other| one.permission.cmp(&other.permission));
        watched
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.tables.services.values()
    }
}

/// Where the current snapshot is kept: published whole, loaded once per request.
#[derive(Debug, Default)]
pub struct SnapshotStore(ArcSwapOption<Snapshot>);

impl SnapshotStore {
    /// The current snapshot; `None` until the first is published.
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        self.0.load_full()
    }

    /// Makes `snapshot` the current one. Exchanges under way keep theirs to their end.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.store(Some(snapshot));
    }
}

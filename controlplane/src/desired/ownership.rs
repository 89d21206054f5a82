//! Who may write what, and who may see it: the one table for fields of documents and for names that must not be taken.
//!
//! `apply`, rollback, the registry's commands and the API ask here. A role says which kinds an operator may change
//! (`operator::role`), an agency says which documents are its own ([`super::sight`]); this table says what within a document
//! is nevertheless the platform's. A field that the table does not have fails the test below.

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{AgencySpec, Document, Kind, PathMatch, Resource, RouteSpec, ServiceSpec};
use lgsp_shared::validate::Problem;
use serde_json::Value;

use super::change::Change;
use super::connection::key;
use super::whole::Whole;

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Whoever may change the kind; one bound to an agency, in its own documents.
    Kind,
    /// Operators of the platform: nobody bound to an agency.
    Platform,
    /// The same while the document is new; afterwards only a reorganisation.
    Founding,
    /// Only a reorganisation. Where a document leaves it out, it stays.
    Reorganisation,
    /// As [`Writer::Kind`]; one bound to an agency within the networks assigned to it.
    AssignedNetworks,
    /// As [`Writer::Kind`]; one bound to an agency within the hosts and path prefixes assigned to it.
    AssignedPlaces,
}

/// Who may see a field of a document that is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Whoever sees the document.
    Everyone,
    /// Who may change credentials.
    KeyHolders,
}

/// One field, directly below `spec`, with everything in it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Of which kind.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// Who may write it.
    pub writer: Writer,
    /// Who may see it.
    pub reader: Reader,
}

/// Fields of a kind with one writer and one reader.
macro_rules! fields {
    ($($kind:ident $writer:ident $reader:ident [$($name:literal)*];)*) => {
        /// The table of fields.
        pub const FIELDS: &[Field] = &[$($(
            Field { kind: Kind::$kind, name: $name, writer: Writer::$writer, reader: Reader::$reader },
        )*)*];
    };
}

fields! {
    Defaults Platform Everyone ["clock_window_secs" "body_bytes_max" "body_idle_ms" "body_bytes_per_sec_min" "session"
                                "debug_signatures" "replay_owner_unreachable"];
    Agency Founding Everyone ["code"];
    Agency Platform Everyone ["title" "networks" "hosts" "paths"];
    System Kind Everyone ["agency" "title"];
    System Reorganisation Everyone ["former_agency"];
    Credential Kind Everyone ["system" "access_key" "state" "not_before" "not_after"];
    Credential Kind KeyHolders ["secret"];
    Service AssignedNetworks Everyone ["endpoints"];
    Service Kind Everyone ["system" "title" "protocol" "balance" "host" "tls" "health" "outlier" "deadlines" "retry"
                           "connections_max" "session_lifetime_secs"];
    Route AssignedPlaces Everyone ["hosts" "path"];
    Route Kind Everyone ["service" "methods" "rewrite" "body_bytes_max" "unsigned_payload" "require" "debug_signatures"
                         "replay_owner_unreachable" "pass_headers" "encoded_slash"];
    Permission Kind Everyone ["source" "service" "methods" "paths" "not_before" "not_after" "rate" "mode"];
}

/// What is taken by whoever comes first, beside the fields of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Names of documents: unique within their kind.
    Document,
    /// Names of operators.
    Operator,
    /// What the identity provider calls an operator. Who has it logs in as that operator.
    Identity,
    /// The key-encryption key under which everything is sealed.
    Sealing,
}

impl Namespace {
    /// Whether an operator bound to an agency may write into it.
    pub fn is_open_to_agencies(self) -> bool {
        match self {
            Namespace::Document | Namespace::Operator => true,
            Namespace::Identity | Namespace::Sealing => false,
        }
    }
}

/// How a change came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// An operator wrote documents, or brought old ones back.
    #[default]
    Hand,
    /// A reorganisation is carried out.
    Reorganisation,
}

fn rows(kind: Kind) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.kind == kind)
}

/// The fields of a kind that are hidden from who may not change credentials.
pub fn sealed(kind: Kind) -> impl Iterator<Item = &'static str> {
    rows(kind).filter(|field| field.reader == Reader::KeyHolders).map(|field| field.name)
}

/// What of a change the table refuses to an author, bound to `agency` where one is given.
pub fn refusals(current: &Whole, change: &Change, door: Door, agency: Option<&AgencyId>) -> Vec<Problem> {
    let assigned = agency.map(|agency| (agency, assigned(current, agency)));
    let mut refusals = Vec::new();
    for put in &change.puts {
        // One without a valid key is refused by validation.
        let Ok(key) = put.key() else { continue };
        let before = current.get(&key);
        for field in rows(key.kind).filter(|field| !same(before, put, field.name)) {
            let refused = match (field.writer, &assigned) {
                (Writer::Kind, _) => Vec::new(),
                (Writer::Platform | Writer::Founding, Some((agency, _))) => {
                    vec![format!("operators of `Agency/{agency}` may not change it; ask an operator of the platform")]
                }
                (Writer::Founding, None) if door == Door::Hand && before.is_some() => {
                    vec!["it changes by a reorganisation only: `lgspctl agency rename`".to_owned()]
                }
                (Writer::Platform | Writer::Founding, None) => Vec::new(),
                (Writer::Reorganisation, _) if door == Door::Hand => {
                    vec!["it is written by reorganisations only; leave it as it is, or out".to_owned()]
                }
                (Writer::Reorganisation | Writer::AssignedNetworks | Writer::AssignedPlaces, None)
                | (Writer::Reorganisation, Some(_)) => Vec::new(),
                (Writer::AssignedNetworks, Some((agency, assigned))) => {
                    networks(before, put, agency, assigned.as_ref())
                }
                (Writer::AssignedPlaces, Some((agency, assigned))) => places(put, agency, assigned.as_ref()),
            };
            refusals.extend(refused.into_iter().map(|message| Problem {
                document: put.label(),
                path: format!("spec.{}", field.name),
                message,
            }));
        }
    }
    refusals
}

/// Whether a field stays as it was.
fn same(before: Option<&Document>, after: &Document, field: &str) -> bool {
    let value = |document: &Document| document.spec.get(field).cloned().unwrap_or(Value::Null);
    before.map_or(Value::Null, value) == value(after)
}

/// What is assigned to an agency: nothing when its document cannot be read.
fn assigned(current: &Whole, agency: &AgencyId) -> Option<AgencySpec> {
    match current.get(&key(Kind::Agency, agency.as_str()).ok()?)?.read().ok()?.resource {
        Resource::Agency(_, spec) => Some(spec),
        _ => None,
    }
}

fn service(document: &Document) -> Option<ServiceSpec> {
    match document.read().ok()?.resource {
        Resource::Service(_, spec) => Some(spec),
        _ => None,
    }
}

fn route(document: &Document) -> Option<RouteSpec> {
    match document.read().ok()?.resource {
        Resource::Route(_, spec) => Some(spec),
        _ => None,
    }
}

/// Endpoints that are new and in no network of the agency.
fn networks(
    before: Option<&Document>,
    put: &Document,
    agency: &AgencyId,
    assigned: Option<&AgencySpec>,
) -> Vec<String> {
    // What cannot be read is refused by validation.
    let Some(spec) = service(put) else { return Vec::new() };
    let known = before.and_then(service).map(|before| before.endpoints).unwrap_or_default();
    let is_known = |address| known.iter().any(|endpoint| endpoint.address == address);
    let is_assigned = |ip| assigned.is_some_and(|assigned| assigned.has_network_of(ip));
    let beyond = spec.endpoints.iter().map(|endpoint| endpoint.address);
    beyond
        .filter(|address| !is_known(*address) && !is_assigned(address.ip()))
        .map(|address| {
            format!(
                "`{address}` is in no network assigned to `Agency/{agency}`; an operator of the platform adds the network to \
                 `spec.networks` of the agency, or the endpoint to the service"
            )
        })
        .collect()
}

/// Hosts that are not the agency's; or the path, of a route for any host.
fn places(put: &Document, agency: &AgencyId, assigned: Option<&AgencySpec>) -> Vec<String> {
    let Some(spec) = route(put) else { return Vec::new() };
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = &spec.path;
    if spec.hosts.is_empty() {
        let is_assigned = assigned.is_some_and(|assigned| assigned.has_path(path));
        let message = format!(
            "`{path}` at any host is below no path assigned to `Agency/{agency}`; an operator of the platform adds a prefix to \
             `spec.paths` of the agency, or writes the route"
        );
        return if is_assigned { Vec::new() } else { vec![message] };
    }
    let is_assigned = |host: &&String| assigned.is_some_and(|assigned| assigned.has_host(host));
    let beyond = spec.hosts.iter().filter(|host| !is_assigned(host));
    beyond
        .map(|host| {
            format!(
                "`{host}` is not assigned to `Agency/{agency}`; an operator of the platform adds it to `spec.hosts` of the \
                 agency, or writes the route"
            )
        })
        .collect()
}

/// The documents of a change that is written by hand, with what reorganisations wrote where they leave it out.
pub fn carried(current: &Whole, change: Change) -> Change {
    let puts = change.puts.into_iter().map(|put| {
        let Ok(key) = put.key() else { return put };
        let kept = rows(key.kind).filter(|field| field.writer == Writer::Reorganisation);
        kept.fold(put, |mut put, field| {
            if put.spec.get(field.name).is_none()
                && let Some(value) = current.get(&key).and_then(|document| document.spec.get(field.name))
                && let Some(spec) = put.spec.as_object_mut()
            {
                spec.insert(field.name.to_owned(), value.clone());
            }
            put
        })
    });
    Change { puts: puts.collect(), ..change }
}

/// An old document as a rollback brings it back: what only a reorganisation changes is as it is now.
pub fn brought_back(current: Option<&Document>, old: &Document) -> Document {
    let mut document = old.clone();
    let Ok(kind) = old.key().map(|key| key.kind) else { return document };
    for field in rows(kind) {
        let now = current.and_then(|current| current.spec.get(field.name));
        let Some(spec) = document.spec.as_object_mut() else { continue };
        match (field.writer, now) {
            (Writer::Founding | Writer::Reorganisation, Some(now)) => {
                spec.insert(field.name.to_owned(), now.clone());
            }
            (Writer::Reorganisation, None) => {
                spec.remove(field.name);
            }
            (
                Writer::Founding | Writer::Kind | Writer::Platform | Writer::AssignedNetworks | Writer::AssignedPlaces,
                _,
            ) => {}
        }
    }
    document
}

/// The lists of an agency's document that say what is assigned to it.
const ASSIGNED: [&str; 3] = ["networks", "hosts", "paths"];

/// Gives an agency's new document what is assigned to those it takes over from, and to itself.
pub fn inherit(document: &mut Document, from: &[&Document]) {
    let Some(spec) = document.spec.as_object_mut() else { return };
    for field in ASSIGNED {
        let mut all: Vec<Value> = Vec::new();
        for value in from.iter().filter_map(|old| old.spec.get(field)?.as_array()).flatten() {
            if !all.contains(value) {
                all.push(value.clone());
            }
        }
        if !all.is_empty() {
            spec.insert(field.to_owned(), Value::Array(all));
        }
    }
}

#[cfg(test)]
mod tests;

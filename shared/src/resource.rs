//! Resources: what an operator writes as YAML, both planes carry as JSON, and a node compiles.
//!
//! A document is `kind`, `name`, `spec`. Reading one reports every field it does not know, so that a newer document
//! works on an older node; but in a kind that **restricts** (a credential, a permission, a route's `require`) a field
//! that is not understood might be the restriction itself, so whoever compiles it must fail closed:
//! see [`Read::unknown`] and [`Kind::restricts`].

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AgencyId, CredentialId, PermissionId, ResourceName, RouteId, ServiceId, SystemId};

mod agency;
mod credential;
mod defaults;
mod permission;
mod route;
mod service;

pub use agency::{AgencySpec, FormerAgency, SystemSpec};
pub use credential::{CredentialSpec, CredentialState};
pub use defaults::{DefaultsSpec, OwnerUnreachable, SessionDefaults};
pub use permission::{PermissionMode, PermissionSpec, Rate};
pub use route::{PathMatch, Require, Rewrite, RouteSpec};
pub use service::{
    Balance, Deadlines, ENDPOINTS_MAX, Endpoint, HEALTH_INTERVAL_MS_MIN, HealthCheck, Outlier, Protocol, Retry,
    ServiceSpec, UpstreamTls,
};

/// The kinds of resource, in the order in which they may refer to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Limits and deadlines for everything that does not set its own.
    Defaults,
    /// An organisation with an identification code.
    Agency,
    /// An information system of an agency.
    System,
    /// An access key and its sealed secret.
    Credential,
    /// Something a system offers.
    Service,
    /// How a request finds a service.
    Route,
    /// What a source system may do to a service.
    Permission,
}

impl Kind {
    /// Every kind, in the order of references.
    pub const ALL: [Kind; 7] =
        [Kind::Defaults, Kind::Agency, Kind::System, Kind::Credential, Kind::Service, Kind::Route, Kind::Permission];

    /// The kind as written in a document, and as used in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Defaults => "Defaults",
            Kind::Agency => "Agency",
            Kind::System => "System",
            Kind::Credential => "Credential",
            Kind::Service => "Service",
            Kind::Route => "Route",
            Kind::Permission => "Permission",
        }
    }

    /// Reads a kind in any case, singular.
    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether an unknown field anywhere in this kind may be a restriction, so that the document must not take effect.
    pub fn restricts(self) -> bool {
        match self {
            Kind::Credential | Kind::Permission => true,
            Kind::Defaults | Kind::Agency | Kind::System | Kind::Service | Kind::Route => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kind and name: the key of a resource. Written `Service/ho-tich`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: ResourceName,
}

impl ResourceKey {
    /// Reads `Kind/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        Some(Self { kind: Kind::parse(kind)?, name: name.parse().ok()? })
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A document before its `spec` is understood: the form in which it is stored, hashed and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// One of [`Kind`], as text: an unknown kind is reported, not a parse error of the whole.
    pub kind: String,
    /// The resource's name.
    pub name: String,
    /// The body, whose shape depends on the kind.
    pub spec: Value,
}

/// A resource with its `spec` understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// See [`DefaultsSpec`]; its only name is `default`.
    Defaults(DefaultsSpec),
    /// See [`AgencySpec`].
    Agency(AgencyId, AgencySpec),
    /// See [`SystemSpec`].
    System(SystemId, SystemSpec),
    /// See [`CredentialSpec`].
    Credential(CredentialId, CredentialSpec),
    /// See [`ServiceSpec`].
    Service(ServiceId, ServiceSpec),
    /// See [`RouteSpec`].
    Route(RouteId, RouteSpec),
    /// See [`PermissionSpec`].
    Permission(PermissionId, PermissionSpec),
}

/// Why a document could not be read: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document}: `{path}`: {message}")]
pub struct DocumentError {
    /// `Kind/name` as written.
    pub document: String,
    /// The path of the field, such as `spec.upstream.endpoints[0].address`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A document that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The resource.
    pub resource: Resource,
    /// Paths of fields this version does not know, such as `spec.mood`.
    pub unknown: Vec<String>,
}

/// The only name a `Defaults` document may have.
pub const DEFAULTS_NAME: &str = "default";

impl Document {
    /// `Kind/name` as written, for messages.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// The key, when kind and name are valid.
    pub fn key(&self) -> Result<ResourceKey, DocumentError> {
        let kind = self.known_kind()?;
        let name = self.name.parse().map_err(|error| self.error("name", format!("{error}")))?;
        Ok(ResourceKey { kind, name })
    }

    /// Understands the document.
    pub fn read(&self) -> Result<Read, DocumentError> {
        let mut unknown = Vec::new();
        let resource = match self.known_kind()? {
            Kind::Defaults if self.name != DEFAULTS_NAME => {
                return Err(self.error("name", format!("the only `Defaults` document is called `{DEFAULTS_NAME}`")));
            }
            Kind::Defaults => Resource::Defaults(self.spec(&mut unknown)?),
            Kind::Agency => Resource::Agency(self.id()?, self.spec(&mut unknown)?),
            Kind::System => Resource::System(self.id()?, self.spec(&mut unknown)?),
            Kind::Credential => Resource::Credential(self.id()?, self.spec(&mut unknown)?),
            Kind::Service => Resource::Service(self.id()?, self.spec(&mut unknown)?),
            Kind::Route => Resource::Route(self.id()?, self.spec(&mut unknown)?),
            Kind::Permission => Resource::Permission(self.id()?, self.spec(&mut unknown)?),
        };
        Ok(Read { resource, unknown })
    }

    fn known_kind(&self) -> Result<Kind, DocumentError> {
        let exact = Kind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        exact.ok_or_else(|| {
            let known = Kind::ALL.map(Kind::as_str).join("`, `");
            self.error("kind", format!("`{}` is not a kind; use one of `{known}`", self.kind))
        })
    }

    fn id<I: std::str::FromStr<Err = crate::id::InvalidId>>(&self) -> Result<I, DocumentError> {
        self.name.parse().map_err(|error| self.error("name", format!("{error}")))
    }

    fn spec<S: serde::de::DeserializeOwned>(&self, unknown: &mut Vec<String>) -> Result<S, DocumentError> {
        let mut report = |path: serde_ignored::Path<'_>| unknown.push(format!("spec.{path}"));
        let watched = serde_ignored::Deserializer::new(&self.spec, &mut report);
        let read = serde_path_to_error::deserialize(watched);
        read.map_err(|error| {
            let path = match error.path().to_string().as_str() {
                "." => "spec".to_owned(),
                inner => format!("spec.{inner}"),
            };
            let message = error.into_inner().to_string();
            // A field that is missing and one that is unknown beside it are mostly one field, misspelt.
            let message = match unknown.as_slice() {
                [] => message,
                unknown if message.starts_with("missing field") => {
                    format!("{message}; unknown here, and perhaps misspelt: `{}`", unknown.join("`, `"))
                }
                _ => message,
            };
            self.error(&path, message)
        })
    }

    fn error(&self, path: &str, message: String) -> DocumentError {
        DocumentError { document: self.label(), path: path.to_owned(), message }
    }
}

#[cfg(test)]
mod tests;

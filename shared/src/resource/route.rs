//! Routes: how a request finds a service.
//!
//! The most specific path decides: a named host before any host, an exact path before a prefix, a longer prefix before
//! a shorter one. A method that no route at that path takes is refused with 405, whatever a less specific route would
//! take: what a route demands of a path cannot be walked around with another method. Two routes that match the same
//! requests are a validation error, so the order never matters. Paths are compared by the rule of [`crate::path`].

use serde::{Deserialize, Serialize};

use super::OwnerUnreachable;
use crate::id::ServiceId;
use crate::path::document_form;
use crate::signature::EncodedSlash;

/// Which paths a route takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathMatch {
    /// This path and no other.
    Exact(String),
    /// This path and everything below it, by whole segments: `/a` takes `/a` and `/a/b`, not `/ab`.
    Prefix(String),
}

impl PathMatch {
    /// As it is compared with the paths of requests; a prefix without its final `/`.
    pub fn in_matched_form(&self) -> PathMatch {
        match self {
            PathMatch::Exact(path) => PathMatch::Exact(document_form(path)),
            PathMatch::Prefix(path) => PathMatch::Prefix(document_form(path.trim_end_matches('/'))),
        }
    }
}

/// What the matched part of the path becomes on the way to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rewrite {
    /// Replaces the matched prefix (for an exact match: the whole path).
    Prefix(String),
}

/// What a route demands beyond a signature. A field here that a node does not know closes the route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Require {
    /// The request must carry a `lgsp-nonce` or an RFC 9421 nonce, so that it is good exactly once whatever its method.
    #[serde(default)]
    pub nonce: bool,
    /// The request must belong to a session (A12).
    #[serde(default)]
    pub session: bool,
}

/// How a request finds a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The service it leads to.
    pub service: ServiceId,
    /// Host names, lower case, without a port; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The paths it takes.
    pub path: PathMatch,
    /// Methods, upper case; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// How the path changes on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// The largest request body, in bytes; the default applies when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes_max: Option<u64>,
    /// Whether a body may come without a signed digest (`UNSIGNED-PAYLOAD`).
    #[serde(default)]
    pub unsigned_payload: bool,
    /// What the route demands beyond a signature.
    #[serde(default)]
    pub require: Require,
    /// Whether a caller whose signature is wrong is shown the text the node expected to be signed; the default applies
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_signatures: Option<bool>,
    /// What happens to a request when the node that remembers its nonce cannot be asked; the default applies when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_owner_unreachable: Option<OwnerUnreachable>,
    /// Headers that pass to the target here and nowhere else, because they can override what was decided: `forwarded`,
    /// `x-forwarded-*`, `x-real-ip` and its kin, `x-http-method-override`, `x-original-url`, `x-rewrite-url`, `proxy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_headers: Vec<String>,
    /// What an escaped `/` (`%2F`) in a path is: refused, or data within its segment, as in document numbers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub encoded_slash: EncodedSlash,
}

fn is_default(slash: &EncodedSlash) -> bool {
    *slash == EncodedSlash::default()
}

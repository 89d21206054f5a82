//! Why a request was, or would be, refused: what is asked of a node, and its answer as a checklist.
//!
//! A node explains, with the functions it decides with; the control plane and `lgspctl` pass the answer on. Nothing
//! here holds a secret, a signature, a query string or a payload. Readers take what newer nodes add as text.

use serde::{Deserialize, Serialize};

use crate::id::{AccessKey, NodeId, Revision, ServiceId, SystemId};
use crate::timestamp::UnixSeconds;

/// The longest question, in bytes of JSON.
pub const QUESTION_BYTES_MAX: usize = 16 << 10;
/// The longest answer a reader takes, in bytes of JSON.
pub const EXPLANATION_BYTES_MAX: usize = 256 << 10;
/// The most facts one line holds; a system with more credentials, or a service with more endpoints, shows the first.
pub const FACTS_MAX: usize = 32;

/// A request that may not exist: would it be refused, and why?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who asks.
    #[serde(rename = "as")]
    pub source: Source,
    /// The method.
    pub method: String,
    /// The path as sent, without a query.
    pub path: String,
    /// The host as sent; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The service it is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A system, with the best of its credentials.
    System(SystemId),
    /// This credential and no other.
    AccessKey(AccessKey),
}

/// How a line of the checklist stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
    /// It depends on the request itself, and is taken to pass.
    Assumed,
    /// It cannot be told, because of a line above.
    Unknown,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The step of the decision, by its label.
    pub step: String,
    /// How it stands.
    pub mark: Mark,
    /// What is so, in a sentence.
    pub text: String,
    /// What it was told from: credentials, near misses, endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
}

/// A refusal a node remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Names the exchange.
    pub request_id: String,
    /// When it arrived.
    pub at: UnixSeconds,
    /// The reason.
    pub code: String,
    /// The status it was answered with.
    pub status: u16,
    /// What the caller was told beside the reason.
    #[serde(default)]
    pub detail: Option<String>,
    /// The revision that decided.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// Names the decision.
    #[serde(default)]
    pub decision_id: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The host it named.
    #[serde(default)]
    pub host: Option<String>,
    /// The access key it named, proved or not.
    #[serde(default)]
    pub access_key: Option<String>,
    /// The system, once proved.
    #[serde(default)]
    pub source: Option<String>,
}

/// A node's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The node.
    pub node: NodeId,
    /// When it answered, by its clock.
    pub at: UnixSeconds,
    /// The revision it serves.
    pub revision: Option<Revision>,
    /// What it remembers, if it was asked about a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// The reason the request was or would be refused for; absent when it would pass.
    pub code: Option<String>,
    /// Names the decision; equal decisions have equal ids on every node.
    pub decision_id: Option<String>,
    /// The checklist, in the order in which a node decides: the first that fails is the answer.
    pub lines: Vec<Line>,
}

impl Explanation {
    /// Whether the request would pass.
    pub fn passes(&self) -> bool {
        self.code.is_none()
    }

    /// Reads a node's answer. Whoever runs the node wrote it, so its length is bounded.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > EXPLANATION_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}

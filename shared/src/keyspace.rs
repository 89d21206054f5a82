//! Where things are in etcd, and the two small documents that steer nodes: the head and a node's status.
//!
//! ```text
//! /lgsp/v1/config/doc/<Kind>/<name>   one document, as JSON
//! /lgsp/v1/config/head                the complete revision: written after all of its documents
//! /lgsp/v1/nodes/<node>               a node's status, under its lease; outside the watched prefix
//! /lgsp/v1/members/<node>             where other nodes reach it, under the same lease; only in a cluster
//! ```
//!
//! A publisher writes the changed documents of a revision in transactions of at most [`TXN_OPERATIONS_MAX`] operations
//! and the head in the last one, as its last operation. A node takes documents as a revision only when it sees the
//! head, so no node ever serves half a revision however many transactions it took.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundle::{self, BundleError, ContentHash};
use crate::id::{NodeId, PermissionId, Revision};
use crate::resource::Document;
use crate::seal::origin::{Claim, Lineage, Origin, Unproven};
use crate::seal::{KEYS_MAX, KeyId, SealKeys};
use crate::timestamp::UnixSeconds;

/// Everything a node watches; ends in `/`.
pub const CONFIG_PREFIX: &str = "/lgsp/v1/config/";
/// All documents; ends in `/`.
pub const DOCUMENT_PREFIX: &str = "/lgsp/v1/config/doc/";
/// The key of the [`Head`].
pub const HEAD_KEY: &str = "/lgsp/v1/config/head";
/// All [`NodeStatus`]; ends in `/`.
pub const NODE_PREFIX: &str = "/lgsp/v1/nodes/";
/// Where each node of a cluster is reached by the others, under the lease of its status; ends in `/`.
pub const MEMBER_PREFIX: &str = "/lgsp/v1/members/";
/// The most operations etcd takes in one transaction (its `--max-txn-ops` default).
pub const TXN_OPERATIONS_MAX: usize = 128;

/// The key of a document. Kind and name must be valid, so that neither holds a `/`.
pub fn document_key(document: &Document) -> String {
    format!("{DOCUMENT_PREFIX}{}/{}", document.kind, document.name)
}

/// The key of a node's status.
pub fn node_key(node: &NodeId) -> String {
    format!("{NODE_PREFIX}{node}")
}

/// The node whose status is kept under `key`.
pub fn node_of_key(key: &[u8]) -> Option<NodeId> {
    std::str::from_utf8(key).ok()?.strip_prefix(NODE_PREFIX)?.parse().ok()
}

/// Where a node is reached by the others, and which process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Internal {
    /// Its internal listener.
    pub address: SocketAddr,
    /// Differs for every process: what an earlier one of the same name remembered is gone.
    pub incarnation: u64,
}

/// The key under which a node says where it is reached.
pub fn member_key(node: &NodeId) -> String {
    format!("{MEMBER_PREFIX}{node}")
}

/// The node and what it says of itself; `None` for what is not of this form.
pub fn read_member(key: &[u8], value: &[u8]) -> Option<(NodeId, Internal)> {
    const VALUE_BYTES_MAX: usize = 1_024;
    let node = std::str::from_utf8(key).ok()?.strip_prefix(MEMBER_PREFIX)?.parse().ok()?;
    let internal = (value.len() <= VALUE_BYTES_MAX).then(|| serde_json::from_slice(value).ok())??;
    Some((node, internal))
}

/// What a key under [`CONFIG_PREFIX`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKey<'a> {
    /// The head.
    Head,
    /// A document, by kind and name as written in the key.
    Document {
        /// The kind, which may be one this version does not know.
        kind: &'a str,
        /// The name.
        name: &'a str,
    },
    /// Something this version does not know; ignored.
    Other,
}

impl<'a> ConfigKey<'a> {
    /// Tells what `key` holds.
    pub fn parse(key: &'a [u8]) -> Self {
        let Ok(key) = std::str::from_utf8(key) else { return Self::Other };
        if key == HEAD_KEY {
            return Self::Head;
        }
        match key.strip_prefix(DOCUMENT_PREFIX).and_then(|rest| rest.split_once('/')) {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Self::Document { kind, name }
            }
            Some(_) | None => Self::Other,
        }
    }
}

/// Names a complete revision. Written last, read first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`bundle::FORMAT`].
    pub format: u32,
    /// The revision's number.
    pub revision: Revision,
    /// [`bundle::content_hash`] of all its documents.
    pub hash: ContentHash,
    /// How many documents it has.
    pub documents: u64,
    /// Whether emptying the configuration, or removing a large part of it, is meant. Without it nodes refuse to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_large_removal: bool,
    /// Whether going back to a lower revision number is meant. Without it nodes refuse, because an etcd that was
    /// restored from an older snapshot would give revoked credentials back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_older: bool,
    /// Where it comes from, and the proof. Absent where an earlier version published: nodes refuse it unless a setting
    /// accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Head {
    /// The head of a revision.
    pub fn new(revision: Revision, hash: ContentHash, documents: u64) -> Self {
        let (allow_large_removal, allow_older) = (false, false);
        Self { format: bundle::FORMAT, revision, hash, documents, allow_large_removal, allow_older, origin: None }
    }

    /// The same, marked as the platform's. Whatever is changed afterwards makes the mark false.
    pub fn marked(mut self, keys: &SealKeys, lineage: &Lineage) -> Self {
        self.origin = Some(keys.mark(&self.claim(lineage)));
        self
    }

    /// The line of revisions it belongs to, when a holder of one of the keys has marked it.
    pub fn proven(&self, keys: &SealKeys) -> Result<&Lineage, Unproven> {
        let Some(Origin { lineage, marks }) = &self.origin else { return Err(Unproven::Unmarked) };
        keys.check_marks(marks, &self.claim(lineage)).map(|()| lineage)
    }

    fn claim<'a>(&'a self, lineage: &'a Lineage) -> Claim<'a> {
        let Self { format: _, revision, hash, documents, allow_large_removal, allow_older, origin: _ } = self;
        Claim {
            lineage,
            revision: *revision,
            hash,
            documents: *documents,
            allow_large_removal: *allow_large_removal,
            allow_older: *allow_older,
        }
    }

    /// Reads a head; a newer format is told apart from a broken one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let malformed = |error: serde_json::Error| BundleError::Malformed(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        if format != bundle::FORMAT {
            return Err(BundleError::Format { found: format });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// The head as JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers only: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How a node stands to the desired revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Nothing has been published yet, and there is no last good copy.
    Waiting,
    /// The desired revision serves, all of it.
    Applied,
    /// The desired revision serves, but some documents were unusable: their last good value serves instead, or none.
    Degraded,
    /// The desired revision was refused as a whole; the last good one serves.
    Rejected,
}

impl NodeState {
    /// The state as text; also its metric label.
    pub fn label(self) -> &'static str {
        match self {
            NodeState::Waiting => "waiting",
            NodeState::Applied => "applied",
            NodeState::Degraded => "degraded",
            NodeState::Rejected => "rejected",
        }
    }
}

/// The most errors one status carries; with the lengths below a status stays under 32 KiB.
pub const STATUS_ERRORS_MAX: usize = 20;
/// The longest status a reader accepts, in bytes.
pub const STATUS_BYTES_MAX: usize = 64 << 10;
const MODE_BYTES_MAX: usize = 16;
const STATUS_LABEL_CHARS_MAX: usize = 160;
const STATUS_MESSAGE_CHARS_MAX: usize = 500;

/// The most notices one status carries, and the characters of one.
pub const STATUS_NOTICES_MAX: usize = 8;
const STATUS_NOTICE_CHARS_MAX: usize = 300;

/// One thing a node could not use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusError {
    /// `Kind/name`, or `head` or `bundle` when the whole is meant.
    pub document: String,
    /// The path of the field; may be empty.
    #[serde(default)]
    pub path: String,
    /// What is wrong and what to do next.
    pub message: String,
}

impl StatusError {
    /// Makes an error, cut to the lengths a status allows.
    pub fn new(document: &str, path: &str, message: &str) -> Self {
        let cut = |text: &str, chars: usize| text.chars().take(chars).collect::<String>();
        Self {
            document: cut(document, STATUS_LABEL_CHARS_MAX),
            path: cut(path, STATUS_LABEL_CHARS_MAX),
            message: cut(message, STATUS_MESSAGE_CHARS_MAX),
        }
    }
}

/// The most permissions in shadow one status tells of; 150 bytes each at most.
pub const STATUS_SHADOW_MAX: usize = 50;

/// What was counted for a permission that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowCount {
    /// The permission.
    pub permission: PermissionId,
    /// `shadow` or `retiring`.
    pub mode: String,
    /// Requests since the node started, or since the permission has this mode.
    pub requests: u64,
}

/// What a node reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// How it stands to the desired revision.
    pub state: NodeState,
    /// The revision it was told to serve, when it was told.
    pub desired: Option<Revision>,
    /// The revision it serves.
    pub active: Option<Revision>,
    /// The content hash of the revision it serves.
    pub hash: Option<ContentHash>,
    /// At most [`STATUS_ERRORS_MAX`].
    #[serde(default)]
    pub errors: Vec<StatusError>,
    /// How many errors there are in all.
    #[serde(default)]
    pub errors_total: u64,
    /// When state, desired or active last changed.
    pub since: UnixSeconds,
    /// When this was written: a status in a file that is much older than its refresh interval is stale.
    pub reported_at: UnixSeconds,
    /// The node's software version.
    pub version: String,
    /// Where its admin listener is, if others may ask it there.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// The names of the key-encryption keys it holds, the sealing one first; at most [`KEYS_MAX`].
    #[serde(default)]
    pub key_ids: Vec<KeyId>,
    /// Permissions that are tried, by name; at most [`STATUS_SHADOW_MAX`].
    #[serde(default)]
    pub shadow: Vec<ShadowCount>,
    /// Security notices, such as a setting that accepts configuration without a proof of origin; at
    /// most [`STATUS_NOTICES_MAX`].
    #[serde(default)]
    pub notices: Vec<String>,
}

impl NodeStatus {
    /// Reads what a node reported. Whoever holds the node's credentials wrote it, so length and count are bounded here.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > STATUS_BYTES_MAX {
            return None;
        }
        let mut status: Self = serde_json::from_slice(bytes).ok()?;
        status.errors.truncate(STATUS_ERRORS_MAX);
        status.key_ids.truncate(KEYS_MAX);
        status.shadow.truncate(STATUS_SHADOW_MAX);
        status.shadow.iter_mut().for_each(|count| count.mode.truncate(count.mode.floor_char_boundary(MODE_BYTES_MAX)));
        status.notices.truncate(STATUS_NOTICES_MAX);
        let cut_notice = |notice: &String| notice.chars().take(STATUS_NOTICE_CHARS_MAX).collect();
        status.notices = status.notices.iter().map(cut_notice).collect();
        let cut = |error: &StatusError| StatusError::new(&error.document, &error.path, &error.message);
        status.errors = status.errors.iter().map(cut).collect();
        Some(status)
    }

    /// The status as JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers only: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The directory in which nodes that read `bundle` report: beside the file, its name with `.status`.
pub fn bundle_status_dir(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".status");
    PathBuf::from(name)
}

/// The file in which `node` reports when it reads `bundle`.
pub fn bundle_status_path(bundle: &Path, node: &NodeId) -> PathBuf {
    bundle_status_dir(bundle).join(format!("{node}.json"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_read_as_what_was_written_under_it() {
        let document = Document { kind: "Service".into(), name: "ho-tich".into(), spec: json!({}) };
        let key = document_key(&document);
        assert_eq!(key, "/lgsp/v1/config/doc/Service/ho-tich");
        assert_eq!(ConfigKey::parse(key.as_bytes()), ConfigKey::Document { kind: "Service", name: "ho-tich" });
        assert_eq!(ConfigKey::parse(HEAD_KEY.as_bytes()), ConfigKey::Head);
        for other in ["/lgsp/v1/config/doc/Service", "/lgsp/v1/config/doc//x", "/lgsp/v1/config/doc/A/b/c", "/else"] {
            assert_eq!(ConfigKey::parse(other.as_bytes()), ConfigKey::Other, "{other}");
        }
        assert_eq!(ConfigKey::parse(b"\xff"), ConfigKey::Other);
        let node: NodeId = "node-1".parse().unwrap();
        assert_eq!(node_of_key(node_key(&node).as_bytes()), Some(node));
        assert!(!NODE_PREFIX.starts_with(CONFIG_PREFIX), "status writes must not wake every watcher");
    }

    #[test]
    fn a_newer_head_is_told_apart_from_a_broken_one() {
        let head = Head::new(Revision(7), ContentHash::from("ab".to_owned()), 3);
        assert_eq!(Head::parse(head.to_json().as_bytes()), Ok(head));
        assert_eq!(Head::parse(br#"{"format":9,"other":true}"#), Err(BundleError::Format { found: 9 }));
        assert!(matches!(Head::parse(b"{\"format\":1}"), Err(BundleError::Malformed(_))));
        assert!(matches!(Head::parse(b"\xff"), Err(BundleError::Malformed(_))));
    }

    #[test]
    fn a_status_is_bounded_by_its_reader() {
        let error = StatusError { document: "x".repeat(1_000), path: String::new(), message: "y".repeat(1_000) };
        let status = NodeStatus {
            node: "node-1".parse().unwrap(),
            state: NodeState::Degraded,
            desired: Some(Revision(2)),
            active: Some(Revision(2)),
            hash: None,
            errors: vec![error; 21],
            errors_total: 5_000,
            since: UnixSeconds(1),
            reported_at: UnixSeconds(2),
            version: "0.1.0".into(),
            admin: None,
            key_ids: Vec::new(),
            shadow: Vec::new(),
            notices: vec!["z".repeat(1_000); STATUS_NOTICES_MAX + 1],
        };
        let read = NodeStatus::parse(status.to_json().as_bytes()).unwrap();
        assert_eq!((read.errors.len(), read.errors_total), (STATUS_ERRORS_MAX, 5_000));
        assert!(read.errors.iter().all(|error| error.document.len() == STATUS_LABEL_CHARS_MAX));
        assert_eq!(read.notices, vec!["z".repeat(STATUS_NOTICE_CHARS_MAX); STATUS_NOTICES_MAX]);
        let huge = NodeStatus { version: "v".repeat(STATUS_BYTES_MAX), ..status };
        assert_eq!(NodeStatus::parse(huge.to_json().as_bytes()), None);
    }

    #[test]
    fn a_status_file_lies_beside_its_bundle() {
        let path = bundle_status_path(Path::new("/var/lib/lgsp/bundle.json"), &"node-1".parse().unwrap());
        assert_eq!(path, Path::new("/var/lib/lgsp/bundle.json.status/node-1.json"));
    }
}

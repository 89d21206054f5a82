//! A whole published revision: the form of the bundle file, of a node's last good copy, and of the content hash.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::id::Revision;
use crate::keyspace::Head;
use crate::resource::Document;
use crate::seal::SealKeys;
use crate::seal::origin::{Lineage, Origin};

/// The version of the bundle's own form.
pub const FORMAT: u32 = 1;

/// SHA-256 over all documents in the order of their keys; written in hexadecimal. Equal hashes mean equal content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for ContentHash {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// One revision with everything in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: u32,
    /// The revision's number.
    pub revision: Revision,
    /// [`content_hash`] of the documents; a reader checks it.
    pub hash: ContentHash,
    /// As in [`Head`]: whether removing a large part of the configuration is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_large_removal: bool,
    /// As in [`Head`]: whether going back to a lower revision number is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_older: bool,
    /// As in [`Head`]: where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// All documents.
    pub documents: Vec<Document>,
}

/// Why a bundle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not JSON of the wanted shape.
    #[error("the bundle is not readable: {0}; publish it again with `lgspctl`")]
    Malformed(String),
    /// Written by a newer version.
    #[error("the bundle has format {found}, this version reads {FORMAT}: upgrade the data plane first")]
    Format {
        /// The format found.
        found: u32,
    },
    /// Truncated or edited.
    #[error("the bundle's content does not match its hash: it was cut or edited; publish it again with `lgspctl`")]
    Hash,
}

impl Bundle {
    /// Makes the bundle of a revision.
    pub fn new(revision: Revision, documents: Vec<Document>) -> Self {
        let (hash, allow_large_removal, allow_older) = (content_hash(&documents), false, false);
        Self { format: FORMAT, revision, hash, allow_large_removal, allow_older, origin: None, documents }
    }

    /// Its outline, which is what a mark covers.
    pub fn head(&self) -> Head {
        let Self { format, revision, hash, allow_large_removal, allow_older, origin, documents } = self;
        Head {
            format: *format,
            revision: *revision,
            hash: hash.clone(),
            documents: u64::try_from(documents.len()).unwrap_or(u64::MAX),
            allow_large_removal: *allow_large_removal,
            allow_older: *allow_older,
            origin: origin.clone(),
        }
    }

    /// The same, marked as the platform's. Whatever is changed afterwards makes the mark false.
    pub fn marked(mut self, keys: &SealKeys, lineage: &Lineage) -> Self {
        self.origin = self.head().marked(keys, lineage).origin;
        self
    }

    /// Reads a bundle and checks its hash.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| BundleError::Malformed(error.to_string()))?;
        if bundle.format != FORMAT {
            return Err(BundleError::Format { found: bundle.format });
        }
        if content_hash(&bundle.documents) != bundle.hash {
            return Err(BundleError::Hash);
        }
        Ok(bundle)
    }

    /// The bundle as JSON.
    pub fn to_json(&self) -> String {
        // A `Bundle` holds only strings, numbers and values that came from JSON, so serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The hash of one document, whatever the order of its fields.
pub fn document_hash(document: &Document) -> [u8; 32] {
    let mut text = String::new();
    write_canonical(&document.spec, &mut text);
    Sha256::digest(text.as_bytes()).into()
}

/// The hash of all documents, whatever their order.
pub fn content_hash(documents: &[Document]) -> ContentHash {
    let hashes: BTreeMap<(&str, &str), [u8; 32]> =
        documents.iter().map(|doc| ((doc.kind.as_str(), doc.name.as_str()), document_hash(doc))).collect();
    combine(hashes.iter().map(|((kind, name), hash)| (*kind, *name, hash)))
}

/// The content hash from document hashes that are already known, in ascending order of (kind, name).
pub fn combine<'a>(sorted: impl Iterator<Item = (&'a str, &'a str, &'a [u8; 32])>) -> ContentHash {
    let mut whole = Sha256::new();
    for (kind, name, hash) in sorted {
        whole.update(kind.as_bytes());
        whole.update([0]);
        whole.update(name.as_bytes());
        whole.update([0]);
        whole.update(hash);
    }
    ContentHash(whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (name, field) in sorted {
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_canonical(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(name: &str, spec: Value) -> Document {
        Document { kind: "Agency".into(), name: name.into(), spec }
    }

    #[test]
    fn the_hash_depends_on_content_and_not_on_order() {
        let a = document("a", json!({"x": 1, "y": [1, 2]}));
        let b = document("b", json!({"z": null}));
        assert_eq!(content_hash(&[a.clone(), b.clone()]), content_hash(&[b.clone(), a.clone()]));
        assert_ne!(content_hash(std::slice::from_ref(&a)), content_hash(&[a.clone(), b]));
        assert_ne!(content_hash(&[a]), content_hash(&[document("a", json!({"x": 1, "y": [2, 1]}))]));
    }

    #[test]
    fn a_bundle_that_was_cut_edited_or_is_newer_is_refused() {
        let bundle = Bundle::new(Revision(3), vec![document("a", json!({"x": 1}))]);
        assert_eq!(Bundle::parse(bundle.to_json().as_bytes()), Ok(bundle.clone()));
        let text = bundle.to_json();
        assert!(matches!(Bundle::parse(&text.as_bytes()[..text.len() / 2]), Err(BundleError::Malformed(_))));
        assert_eq!(Bundle::parse(text.replace("\"x\":1", "\"x\":2").as_bytes()), Err(BundleError::Hash));
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert_eq!(Bundle::parse(newer.as_bytes()), Err(BundleError::Format { found: 2 }));
    }
}

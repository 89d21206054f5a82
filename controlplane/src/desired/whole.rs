//! All documents of one revision, immutable and cheap to derive the next one from.

use std::collections::BTreeMap;
use std::sync::Arc;

use lgsp_shared::bundle::{self, ContentHash};
use lgsp_shared::id::Revision;
use lgsp_shared::resource::{Document, ResourceKey};

/// A document and its hash.
#[derive(Debug, PartialEq)]
pub struct Entry {
    document: Document,
    hash: [u8; 32],
}

impl Entry {
    /// Hashes the document.
    pub fn new(document: Document) -> Self {
        let hash = bundle::document_hash(&document);
        Self { document, hash }
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The hash of its content.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The hash of its content in hexadecimal.
    pub fn hash_text(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its `spec` as JSON.
    pub fn spec_text(&self) -> String {
        self.document.spec.to_string()
    }
}

/// The documents by key; entries are shared between revisions.
pub type Entries = BTreeMap<ResourceKey, Arc<Entry>>;

/// One revision with everything in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    revision: Revision,
    hash: ContentHash,
    entries: Entries,
}

impl Whole {
    /// Revision 0, before the first change.
    pub fn empty() -> Self {
        Self::of(Revision(0), Entries::new())
    }

    /// The revision with these documents; `None` when a kind or a name is not valid.
    pub fn new(revision: Revision, documents: Vec<Document>) -> Option<Self> {
        let entry = |document: Document| Some((document.key().ok()?, Arc::new(Entry::new(document))));
        Some(Self::of(revision, documents.into_iter().map(entry).collect::<Option<_>>()?))
    }

    /// The revision with these entries.
    pub fn of(revision: Revision, entries: Entries) -> Self {
        let mut sorted: Vec<(&str, &str, &[u8; 32])> =
            entries.iter().map(|(key, entry)| (key.kind.as_str(), key.name.as_str(), &entry.hash)).collect();
        sorted.sort_unstable();
        let hash = bundle::combine(sorted.into_iter());
        Self { revision, hash, entries }
    }

    /// The same revision, number and hash included, with only these of its entries.
    pub fn with_entries(&self, entries: Entries) -> Self {
        Self { revision: self.revision, hash: self.hash.clone(), entries }
    }

    /// Its number.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The hash of all documents.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The documents by key.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// One document.
    pub fn get(&self, key: &ResourceKey) -> Option<&Document> {
        self.entries.get(key).map(|entry| &entry.document)
    }

    /// All documents, in the order of kind and name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.entries.values().map(|entry| &entry.document)
    }
}

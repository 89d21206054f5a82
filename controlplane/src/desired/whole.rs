//! All documents of one revision, immutable and cheap to derive the next one from.

use std::cmp::Ordering;
use std::sync::Arc;

use lgsp_shared::bundle::{self, ContentHash};
use lgsp_shared::id::{ResourceName, Revision};
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use lgsp_shared::sorted::Sorted;
use lgsp_shared::validate::{Index, validate_indexed};

/// A document and its hash.
#[derive(Debug, PartialEq)]
pub struct Entry {
    document: Document,
    hash: [u8; 32],
    bytes: u64,
}

impl Entry {
    /// Hashes the document.
    pub fn new(document: Document) -> Self {
        let hash = bundle::document_hash(&document);
        // A document came from JSON, so it can be written as JSON.
        let bytes = serde_json::to_vec(&document).map_or(0, |json| u64::try_from(json.len()).unwrap_or(u64::MAX));
        Self { document, hash, bytes }
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The hash of its content.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Its bytes as it is published.
    pub fn bytes(&self) -> u64 {
        self.bytes
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

/// The documents by key; what does not change is shared between revisions.
pub type Entries = Sorted<ResourceKey, Arc<Entry>>;

/// One revision with everything in it.
#[derive(Debug, Clone)]
pub struct Whole {
    revision: Revision,
    hash: ContentHash,
    entries: Entries,
    /// By which a change to it is validated at the cost of the change; only a valid one has it.
    index: Option<Arc<Index>>,
}

impl PartialEq for Whole {
    /// The index is made of the rest.
    fn eq(&self, other: &Self) -> bool {
        (self.revision, &self.hash, &self.entries) == (other.revision, &other.hash, &other.entries)
    }
}

impl Whole {
    /// Revision 0, before the first change.
    pub fn empty() -> Self {
        Self::of(Revision(0), Entries::default(), Some(Index::default()))
    }

    /// The revision with these documents; `None` when a kind or a name is not valid.
    pub fn new(revision: Revision, documents: Vec<Document>) -> Option<Self> {
        let entry = |document: Document| Some((document.key().ok()?, Arc::new(Entry::new(document))));
        Some(Self::of(revision, documents.into_iter().map(entry).collect::<Option<_>>()?, None))
    }

    /// The revision with these entries, and their index if they are known to be valid.
    pub fn of(revision: Revision, entries: Entries, index: Option<Index>) -> Self {
        let hash = bundle::combine(by_text(&entries));
        Self { revision, hash, entries, index: index.map(Arc::new) }
    }

    /// The same with its index, for which all of it is validated unless that was done. One that a later version's rules
    /// refuse stays without, and every change to it is validated with the whole.
    pub fn indexed(mut self) -> Self {
        if self.index.is_none() {
            let documents: Vec<Document> = self.documents().cloned().collect();
            self.index = validate_indexed(&documents).map(Arc::new);
        }
        self
    }

    /// By which a change to it is validated; absent where that takes the whole.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_deref()
    }

    /// The same revision, number and hash included, with only these of its entries.
    pub fn with_entries(&self, entries: Entries) -> Self {
        Self { revision: self.revision, hash: self.hash.clone(), entries, index: None }
    }

    /// The same content under another number.
    pub fn renumbered(&self, revision: Revision) -> Self {
        Self { revision, ..self.clone() }
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

    /// The bytes of all documents as they are published; one look at each.
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.bytes).sum()
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

    /// All documents of a kind, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Document> {
        entries_of(&self.entries, kind).map(|(_, entry)| &entry.document)
    }

    /// The documents of a kind after this name, by name; all of them without one.
    pub fn of_kind_after<'a>(
        &'a self,
        kind: Kind,
        after: Option<&'a ResourceName>,
    ) -> impl Iterator<Item = &'a Document> + 'a {
        let later = move |key: &ResourceKey| after.is_none_or(|after| key.name > *after);
        let compare = move |key: &ResourceKey| match key.kind.cmp(&kind) {
            Ordering::Equal if later(key) => Ordering::Greater,
            Ordering::Equal => Ordering::Less,
            other => other,
        };
        let from = self.entries.from(compare).take_while(move |(key, _)| key.kind == kind);
        from.map(|(_, entry)| &entry.document)
    }

    /// All documents, in the order of kind and name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.entries.values().map(|entry| &entry.document)
    }
}

fn entries_of(entries: &Entries, kind: Kind) -> impl Iterator<Item = (&ResourceKey, &Arc<Entry>)> {
    let from = entries.from(move |key| key.kind.cmp(&kind).then(std::cmp::Ordering::Greater));
    from.take_while(move |(key, _)| key.kind == kind)
}

/// All hashes in the order in which the content hash takes them: by the text of the kind.
fn by_text(entries: &Entries) -> impl Iterator<Item = (&str, &str, &[u8; 32])> {
    let mut kinds = Kind::ALL;
    kinds.sort_by_key(|kind| kind.as_str());
    let all = kinds.into_iter().flat_map(|kind| entries_of(entries, kind));
    all.map(|(key, entry)| (key.kind.as_str(), key.name.as_str(), &entry.hash))
}

//! The documents as they stand at one point of the store's history, put together change by change.
//!
//! Hashes are kept per document, so that a change costs its own size and the hash of the whole one cheap pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use lgsp_shared::bundle::{Bundle, ContentHash, combine, document_hash};
use lgsp_shared::keyspace::{Head, StatusError};
use lgsp_shared::resource::Document;

use super::origin::Origin;
use super::rejection::{CONFIGURATION_BYTES_MAX, Offer, Rejection};
use crate::snapshot::{DocumentKey, Documents};

/// What is known of a document's value.
#[derive(Debug)]
struct Entry {
    hash: [u8; 32],
    bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Assembly {
    documents: Documents,
    /// For each of the documents.
    entries: BTreeMap<DocumentKey, Entry>,
    unreadable: BTreeMap<DocumentKey, StatusError>,
    known: Documents,
    bytes: usize,
}

impl Assembly {
    /// Empty. Documents equal to one of `known` keep its allocation, and a value that cannot be read falls back to it.
    pub fn new(known: Documents) -> Self {
        Self { known, ..Self::default() }
    }

    /// Takes what was written under the key of `kind` and `name`; false when it cannot be read.
    pub fn put(&mut self, kind: &str, name: &str, value: &[u8]) -> bool {
        let key = DocumentKey::new(kind, name);
        match read(kind, name, value) {
            Ok(document) => {
                self.unreadable.remove(&key);
                self.insert(key, document, value.len());
                true
            }
            Err(message) => {
                self.unreadable.insert(key.clone(), StatusError::new(&format!("{kind}/{name}"), "", &message));
                if !self.entries.contains_key(&key)
                    && let Some(known) = self.known.get(kind, name).cloned()
                {
                    self.entries.insert(key, Entry { hash: document_hash(&known), bytes: 0 });
                    self.documents.insert(known);
                }
                false
            }
        }
    }

    /// Takes a deletion.
    pub fn remove(&mut self, kind: &str, name: &str) {
        let key = DocumentKey::new(kind, name);
        self.unreadable.remove(&key);
        self.documents.remove(kind, name);
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn insert(&mut self, key: DocumentKey, document: Document, bytes: usize) {
        let hash = document_hash(&document);
        let before = self.documents.get(&key.kind, &key.name).or_else(|| self.known.get(&key.kind, &key.name));
        let same = before.filter(|known| ***known == document).cloned();
        self.documents.insert(same.unwrap_or_else(|| Arc::new(document)));
        let replaced = self.entries.insert(key, Entry { hash, bytes });
        self.bytes = self.bytes.saturating_sub(replaced.map_or(0, |entry| entry.bytes)).saturating_add(bytes);
    }

    /// The revision `head` names, if that is what is here. `consistent` says that these are the documents as the store
    /// held them when the head was written. Then a value nobody can read does not make the rest unusable, but only where
    /// the head is unmarked: the store is not believed about what a mark covers.
    pub fn offer(&self, head: &Head, origin: Origin, consistent: bool) -> Result<Offer, Rejection> {
        if self.bytes > CONFIGURATION_BYTES_MAX {
            return Err(Rejection::TooLarge);
        }
        let hashes = self.entries.iter().map(|(key, entry)| (&*key.kind, &*key.name, &entry.hash));
        let found = combine(hashes);
        let lost = self.unreadable.keys().filter(|key| !self.entries.contains_key(key)).count();
        let believed = consistent && origin.lineage().is_none();
        let unverifiable = believed && lost > 0 && (self.entries.len() + lost) as u64 == head.documents;
        if found != head.hash && !unverifiable {
            return Err(self.mismatch(head, found));
        }
        Ok(Offer {
            revision: head.revision,
            hash: head.hash.clone(),
            allow_large_removal: head.allow_large_removal,
            allow_older: head.allow_older,
            origin,
            documents: self.documents.clone(),
            unreadable: self.unreadable.values().cloned().collect(),
        })
    }

    fn mismatch(&self, head: &Head, found: ContentHash) -> Rejection {
        const NAMED_MAX: usize = 5;
        let named: Vec<&str> = self.unreadable.values().take(NAMED_MAX).map(|error| error.document.as_str()).collect();
        let unreadable = match named.is_empty() {
            true => String::new(),
            false => format!(" (unreadable: {})", named.join(", ")),
        };
        Rejection::Hash { revision: head.revision, wanted: head.hash.clone(), found, unreadable }
    }
}

/// A value as a document, if it is the one its key names.
fn read(kind: &str, name: &str, value: &[u8]) -> Result<Document, String> {
    let document: Document = serde_json::from_slice(value)
        .map_err(|error| format!("the value in etcd is not a document ({error}): publish it again"))?;
    if (document.kind.as_str(), document.name.as_str()) != (kind, name) {
        let found = document.label();
        return Err(format!("the value in etcd is the document `{found}`: publish both again"));
    }
    Ok(document)
}

/// A bundle whose hash was checked, as an offer; documents equal to one of `known` keep its allocation.
pub fn offer_of_bundle(bundle: Bundle, origin: Origin, known: &Documents) -> Offer {
    let Bundle { format: _, revision, hash, allow_large_removal, allow_older, origin: _, documents } = bundle;
    let reuse = |document: Document| match known.get(&document.kind, &document.name) {
        Some(same) if **same == document => same.clone(),
        Some(_) | None => Arc::new(document),
    };
    // Of two with one key the later counts, as in the content hash.
    let documents = documents.into_iter().map(reuse).collect();
    Offer { revision, hash, allow_large_removal, allow_older, origin, documents, unreadable: Vec::new() }
}

#[cfg(test)]
mod tests {
    use lgsp_shared::bundle::content_hash;
    use lgsp_shared::id::Revision;
    use serde_json::json;

    use super::*;

    fn document(name: &str, at: u32) -> Document {
        Document { kind: "Agency".into(), name: name.into(), spec: json!({"at": at}) }
    }

    fn value(document: &Document) -> Vec<u8> {
        serde_json::to_vec(document).unwrap()
    }

    fn head(documents: &[Document]) -> Head {
        Head::new(Revision(1), content_hash(documents), documents.len() as u64)
    }

    fn unmarked() -> Origin {
        Origin::fake(None)
    }

    fn assembled(documents: &[Document], known: Vec<Arc<Document>>) -> Assembly {
        let mut assembly = Assembly::new(known.into_iter().collect());
        for document in documents {
            assembly.put(&document.kind, &document.name, &value(document));
        }
        assembly
    }

    #[test]
    fn the_hash_kept_by_change_is_the_hash_of_the_whole() {
        let mut assembly = assembled(&[document("b", 1), document("a", 1), document("c", 1)], vec![]);
        assembly.put("Agency", "b", &value(&document("b", 2)));
        assembly.remove("Agency", "c");
        let now = [document("a", 1), document("b", 2)];
        let offer = assembly.offer(&head(&now), unmarked(), true).unwrap();
        assert_eq!(offer.documents.iter().map(|document| (**document).clone()).collect::<Vec<_>>(), now);
        assert_eq!(assembly.bytes, now.iter().map(|document| value(document).len()).sum::<usize>());
    }

    #[test]
    fn documents_that_are_not_the_heads_are_no_revision() {
        let assembly = assembled(&[document("a", 1)], vec![]);
        let rejected = assembly.offer(&head(&[document("a", 2)]), unmarked(), true).unwrap_err();
        assert!(matches!(rejected, Rejection::Hash { .. }), "{rejected}");
    }

    #[test]
    fn an_unchanged_document_keeps_its_allocation() {
        let known = vec![Arc::new(document("a", 1)), Arc::new(document("b", 1))];
        let now = [document("a", 1), document("b", 2)];
        let offer = assembled(&now, known.clone()).offer(&head(&now), unmarked(), true).unwrap();
        let there = |offer: &Offer, name: &str| offer.documents.get("Agency", name).unwrap().clone();
        assert!(Arc::ptr_eq(&there(&offer, "a"), &known[0]) && !Arc::ptr_eq(&there(&offer, "b"), &known[1]));
        let bundle = Bundle::new(Revision(1), vec![document("b", 1), document("b", 2), document("a", 1)]);
        let offer = offer_of_bundle(bundle, unmarked(), &known.iter().cloned().collect());
        assert!(Arc::ptr_eq(&there(&offer, "a"), &known[0]));
        assert_eq!((offer.documents.len(), &*there(&offer, "b")), (2, &document("b", 2)));
    }

    #[test]
    fn a_value_that_became_unreadable_falls_back_to_its_last_good_one() {
        let published = [document("a", 1), document("b", 1)];
        let mut assembly = assembled(&published[1..], vec![Arc::new(document("a", 1))]);
        assembly.put("Agency", "a", b"not json");
        let offer = assembly.offer(&head(&published), unmarked(), true).unwrap();
        assert_eq!((offer.documents.len(), offer.unreadable.len()), (2, 1));
        assembly.put("Agency", "b", &value(&document("c", 1)));
        let offer = assembly.offer(&head(&published), unmarked(), true).unwrap();
        assert!(offer.unreadable[1].message.contains("`Agency/c`"), "{:?}", offer.unreadable);
    }

    #[test]
    fn an_unreadable_value_nobody_knows_costs_only_itself_where_no_mark_covers_the_rest() {
        let published = [document("a", 1), document("b", 1)];
        let mut assembly = assembled(&published[1..], vec![]);
        assembly.put("Agency", "a", b"not json");
        assert_eq!(assembly.offer(&head(&published), unmarked(), true).unwrap().documents.len(), 1);
        let marked = Origin::fake(Some(lgsp_testkit::resources::lineage()));
        assert!(assembly.offer(&head(&published), marked, true).is_err(), "what is read must be what was marked");
        let rejected = assembly.offer(&head(&published), unmarked(), false).unwrap_err().to_string();
        assert!(rejected.contains("unreadable: Agency/a"), "{rejected}");
        assembly.remove("Agency", "b");
        assert!(assembly.offer(&head(&published), unmarked(), true).is_err());
    }
}

//! The difference between what etcd holds and a revision: what has to be written, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use lgsp_shared::keyspace::{DOCUMENT_PREFIX, document_key};

use crate::desired::{Entry, Whole};

/// The longest name shown; any client that can write to etcd chose it.
const NAME_CHARS_MAX: usize = 160;

/// What etcd holds.
#[derive(Debug)]
pub enum Held {
    /// Found by reading it: documents by key and hash.
    Found(HashMap<String, [u8; 32]>),
    /// What this process wrote.
    Written(Arc<Whole>),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Difference {
    /// Keys and values to be written.
    pub puts: Vec<(String, Vec<u8>)>,
    /// Keys to be deleted.
    pub deletes: Vec<String>,
}

impl Held {
    /// How many documents.
    pub fn len(&self) -> usize {
        match self {
            Self::Found(found) => found.len(),
            Self::Written(whole) => whole.len(),
        }
    }
}

impl Difference {
    /// What makes `held` the revision.
    pub fn new(whole: &Whole, held: &Held) -> Self {
        match held {
            Held::Found(found) => to_found(whole, found),
            Held::Written(before) => to_written(whole, before),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// How many keys differ.
    pub fn len(&self) -> usize {
        self.puts.len().saturating_add(self.deletes.len())
    }

    /// The first of the keys that differ, as `Kind/name` where they are documents.
    pub fn named(&self, most: usize) -> Vec<String> {
        let keys = self.puts.iter().map(|(key, _)| key).chain(&self.deletes);
        let name =
            |key: &String| key.strip_prefix(DOCUMENT_PREFIX).unwrap_or(key).chars().take(NAME_CHARS_MAX).collect();
        keys.take(most).map(name).collect()
    }
}

fn to_found(whole: &Whole, found: &HashMap<String, [u8; 32]>) -> Difference {
    let wanted: HashMap<String, &Entry> =
        whole.entries().values().map(|entry| (document_key(entry.document()), &**entry)).collect();
    let deletes = found.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
    let differs = |(key, entry): &(String, &Entry)| found.get(key) != Some(&entry.hash());
    let puts = wanted.into_iter().filter(differs).map(|(key, entry)| (key, json(entry))).collect();
    Difference { puts, deletes }
}

/// Costs what was changed: what both revisions share is passed over.
fn to_written(whole: &Whole, before: &Whole) -> Difference {
    let same = |one: &Arc<Entry>, other: &Arc<Entry>| one.hash() == other.hash();
    let mut difference = Difference::default();
    for (_, gone, here) in before.entries().diff(whole.entries(), same) {
        match (gone, here) {
            (_, Some(entry)) => difference.puts.push((document_key(entry.document()), json(entry))),
            (Some(entry), None) => difference.deletes.push(document_key(entry.document())),
            (None, None) => {}
        }
    }
    difference
}

/// A document came from JSON, so it can be written as JSON.
fn json(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry.document()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use lgsp_shared::resource::Document;
    use serde_json::json;

    use super::*;

    fn whole(documents: &[(&str, &str)]) -> Whole {
        let document = |(name, title): &(&str, &str)| Document {
            kind: "Agency".into(),
            name: (*name).into(),
            spec: json!({"code": "H61", "title": title}),
        };
        Whole::new(Revision(1), documents.iter().map(document).collect()).unwrap()
    }

    fn found(whole: &Whole) -> Held {
        let hash = |entry: &Arc<Entry>| (document_key(entry.document()), entry.hash());
        Held::Found(whole.entries().values().map(hash).collect())
    }

    #[test]
    fn only_what_differs_is_written() {
        let before = whole(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let next = whole(&[("a", "A"), ("b", "renamed"), ("d", "D")]);
        for held in [found(&before), Held::Written(Arc::new(before.clone()))] {
            let mut difference = Difference::new(&next, &held);
            difference.puts.sort_unstable();
            let put: Vec<&str> = difference.puts.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(put, ["/lgsp/v1/config/doc/Agency/b", "/lgsp/v1/config/doc/Agency/d"]);
            assert_eq!(difference.deletes, ["/lgsp/v1/config/doc/Agency/c"]);
            assert_eq!((difference.len(), difference.named(1)), (3, vec!["Agency/b".to_owned()]));
            assert!(Difference::new(&before, &held).is_empty());
        }
    }
}

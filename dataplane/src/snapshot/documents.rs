//! The documents of one revision by key; what does not change is shared with the revision before.

use std::sync::Arc;

use lgsp_shared::resource::Document;
use lgsp_shared::sorted::{Difference, Sorted};

/// Kind and name as written, whether or not they are known and valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentKey {
    /// The kind.
    pub kind: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl DocumentKey {
    /// The key of these.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }

    /// `Kind/name`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// How it stands to another key, which is never made.
    pub fn compare(&self, kind: &str, name: &str) -> std::cmp::Ordering {
        (&*self.kind, &*self.name).cmp(&(kind, name))
    }
}

/// See the module. In the order of kind and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents(Sorted<DocumentKey, Arc<Document>>);

impl Documents {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.0.values()
    }

    /// The one of this kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&Arc<Document>> {
        self.0.find(|key| key.compare(kind, name))
    }

    /// Adds one, or replaces the one of its kind and name.
    pub fn insert(&mut self, document: Arc<Document>) {
        self.0.insert(DocumentKey::new(&document.kind, &document.name), document);
    }

    /// Removes one.
    pub fn remove(&mut self, kind: &str, name: &str) {
        self.0.remove(&DocumentKey::new(kind, name));
    }

    /// What is another allocation in `after`, or only there or here. Costs what differs.
    pub fn diff<'a>(&'a self, after: &'a Self) -> Vec<Difference<'a, DocumentKey, Arc<Document>>> {
        self.0.diff(&after.0, Arc::ptr_eq)
    }
}

impl FromIterator<Arc<Document>> for Documents {
    /// Of two with one key the later counts.
    fn from_iter<I: IntoIterator<Item = Arc<Document>>>(documents: I) -> Self {
        let mut all = Self::default();
        documents.into_iter().for_each(|document| all.insert(document));
        all
    }
}

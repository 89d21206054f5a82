//! Rollback: a new revision with old content.

use std::collections::HashMap;

use lgsp_shared::resource::{Document, Kind, ResourceKey};

use super::change::Change;
use super::ownership;
use super::whole::Whole;

/// Which credentials a rollback brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// None: they stay as they are now. A key that was disabled stays disabled, one issued since keeps working.
    Keep,
    /// As they were: keys issued since are gone, keys disabled since work again.
    Restore,
}

/// The change from `current` to the content `old`.
pub fn to(current: &Whole, old: &[Document], credentials: Credentials) -> Change {
    let concerned = |kind: &str| credentials == Credentials::Restore || kind != Kind::Credential.as_str();
    let wanted: HashMap<ResourceKey, &Document> = old
        .iter()
        .filter(|document| concerned(&document.kind))
        .filter_map(|document| Some((document.key().ok()?, document)))
        .collect();
    let deletes = current
        .entries()
        .keys()
        .filter(|key| concerned(key.kind.as_str()) && !wanted.contains_key(*key))
        .cloned()
        .collect();
    let mut puts: Vec<Document> = wanted
        .iter()
        .map(|(key, document)| (current.get(key), ownership::brought_back(current.get(key), document)))
        .filter(|(now, document)| *now != Some(document))
        .map(|(_, document)| document)
        .collect();
    puts.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
    Change { base: None, puts, deletes, allow_large_removal: false }
}

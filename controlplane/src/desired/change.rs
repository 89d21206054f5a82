//! One change applied to the whole: pure.

use std::collections::HashSet;
use std::sync::Arc;

use lgsp_shared::id::Revision;
use lgsp_shared::resource::{Document, Resource, ResourceKey};
use lgsp_shared::seal::{SealKeys, credential_identity};
use lgsp_shared::validate::{Base, Index, Problem, Report, validate_change};

use super::ChangeError;
use super::whole::{Entries, Entry, Whole};

/// Removing more documents than this at once, and more than half of them, has to be asked for.
const REMOVAL_UNASKED_MAX: usize = 10;
/// The longest `spec` as JSON, in bytes; with a batch's other documents it stays below etcd's 1.5 MiB per request.
const SPEC_BYTES_MAX: usize = 256 << 10;

/// A set of puts and deletes against a base.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The revision it was made against; the current one when absent.
    pub base: Option<Revision>,
    /// Documents to add or replace.
    pub puts: Vec<Document>,
    /// Documents to remove: nothing is removed that is not named.
    pub deletes: Vec<ResourceKey>,
    /// Whether removing a large part is meant.
    pub allow_large_removal: bool,
}

/// One key before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The key.
    pub key: ResourceKey,
    /// Absent when it is added.
    pub before: Option<Arc<Entry>>,
    /// Absent when it is removed.
    pub after: Option<Arc<Entry>>,
}

/// A valid whole after a change.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The next revision.
    pub whole: Whole,
    /// What differs from the one before; keys whose content stays the same are left out.
    pub edits: Vec<Edit>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Applies the change and validates the whole.
pub fn propose(current: &Whole, change: &Change, keys: &SealKeys) -> Result<Proposal, ChangeError> {
    let Change { base, puts, deletes, allow_large_removal } = change;
    if let Some(base) = *base
        && base != current.revision()
    {
        return Err(ChangeError::Stale { base, current: current.revision() });
    }
    let mut problems = delete_problems(current, puts, deletes);
    let (report, index) = check(current, puts, deletes);
    problems.extend(report.problems.into_iter().map(|problem| still_referring(problem, puts, deletes)));
    problems.extend(puts.iter().filter_map(|put| foreign_secret(put, keys)));
    problems.extend(puts.iter().filter_map(too_long));
    if !problems.is_empty() {
        return Err(ChangeError::Refused(problems));
    }
    let edits = edits(current, puts, deletes);
    guard_removal(current, &edits, *allow_large_removal)?;
    Ok(Proposal { whole: next(current, &edits, index), edits, warnings: report.warnings })
}

/// Validates what the whole becomes, and indexes it.
pub(super) fn check(current: &Whole, puts: &[Document], deletes: &[ResourceKey]) -> (Report, Index) {
    if let Some(index) = current.index() {
        return validate_change(Base { index, document: &|key| current.get(key) }, puts, deletes);
    }
    let deleted: HashSet<&ResourceKey> = deletes.iter().collect();
    let put: HashSet<(&str, &str)> = puts.iter().map(|put| (put.kind.as_str(), put.name.as_str())).collect();
    let stays = |key: &ResourceKey| !deleted.contains(key) && !put.contains(&(key.kind.as_str(), key.name.as_str()));
    // Puts come first, so that their problems do, and all of them, with those that cannot be read.
    let kept = current.entries().iter().filter(|(key, _)| stays(key)).map(|(_, entry)| entry.document());
    let documents: Vec<Document> = puts.iter().chain(kept).cloned().collect();
    validate_change(Base { index: &Index::default(), document: &|_| None }, &documents, &[])
}

/// What refers to a document that the change removes is told so: the name in it is no mistake.
fn still_referring(problem: Problem, puts: &[Document], deletes: &[ResourceKey]) -> Problem {
    let missing = |key: &&ResourceKey| problem.message.starts_with(&format!("there is no `{key}`"));
    let Some(key) = deletes.iter().find(missing) else { return problem };
    let message = match puts.iter().any(|put| put.label() == problem.document) {
        true => format!("it refers to `{key}`, which the same change removes; keep that, or refer to another"),
        false => format!("it still refers to `{key}`, which the change removes; remove or change this one too"),
    };
    Problem { message, ..problem }
}

fn delete_problems(current: &Whole, puts: &[Document], deletes: &[ResourceKey]) -> Vec<Problem> {
    let put: HashSet<(&str, &str)> = puts.iter().map(|put| (put.kind.as_str(), put.name.as_str())).collect();
    let mut seen = HashSet::new();
    let problem = |(at, key): (usize, &ResourceKey), message: String| Problem {
        document: key.to_string(),
        path: format!("deletes[{at}]"),
        message,
    };
    deletes
        .iter()
        .enumerate()
        .filter_map(|(at, key)| {
            let message = if !current.entries().contains_key(key) {
                format!("revision {} does not have it; correct the name, or leave it out", current.revision())
            } else if put.contains(&(key.kind.as_str(), key.name.as_str())) {
                "it is put and deleted in one change; do one of them".to_owned()
            } else if !seen.insert(key) {
                "it is deleted twice; name it once".to_owned()
            } else {
                return None;
            };
            Some(problem((at, key), message))
        })
        .collect()
}

/// A credential whose secret this platform cannot open: made elsewhere, or moved to another name, system or key.
fn foreign_secret(document: &Document, keys: &SealKeys) -> Option<Problem> {
    let Ok(Resource::Credential(name, spec)) = document.read().map(|read| read.resource) else { return None };
    if !spec.secret.is_well_formed() {
        return None;
    }
    let identity = credential_identity(name.as_str(), spec.system.as_str(), spec.access_key.as_str());
    let error = keys.open(&spec.secret, &identity).err()?;
    Some(Problem { document: document.label(), path: "spec.secret".into(), message: error.to_string() })
}

fn too_long(document: &Document) -> Option<Problem> {
    let bytes = document.spec.to_string().len();
    let message = format!("{bytes} bytes are more than {SPEC_BYTES_MAX}; split it, or shorten its texts");
    (bytes > SPEC_BYTES_MAX).then(|| Problem { document: document.label(), path: "spec".into(), message })
}

/// What differs from the current revision, in the order of kind and name.
pub(super) fn edits(current: &Whole, puts: &[Document], deletes: &[ResourceKey]) -> Vec<Edit> {
    let put = |document: &Document| {
        let key = document.key().ok()?;
        let before = current.entries().get(&key).cloned();
        let after = Arc::new(Entry::new(document.clone()));
        let same = before.as_ref().is_some_and(|before| before.hash() == after.hash());
        (!same).then_some(Edit { key, before, after: Some(after) })
    };
    let delete =
        |key: &ResourceKey| Edit { key: key.clone(), before: current.entries().get(key).cloned(), after: None };
    let mut edits: Vec<Edit> = puts.iter().filter_map(put).chain(deletes.iter().map(delete)).collect();
    edits.sort_by(|one, other| one.key.cmp(&other.key));
    edits
}

fn guard_removal(current: &Whole, edits: &[Edit], allowed: bool) -> Result<(), ChangeError> {
    let removed = edits.iter().filter(|edit| edit.after.is_none()).count();
    let of = current.len();
    if !allowed && removed > REMOVAL_UNASKED_MAX && removed * 2 > of {
        return Err(ChangeError::LargeRemoval { removed, of });
    }
    Ok(())
}

fn next(current: &Whole, edits: &[Edit], index: Index) -> Whole {
    if edits.is_empty() {
        return current.clone();
    }
    let mut entries: Entries = current.entries().clone();
    for Edit { key, before: _, after } in edits {
        match after {
            Some(entry) => entries.insert(key.clone(), entry.clone()),
            None => entries.remove(key),
        };
    }
    Whole::of(current.revision().next(), entries, Some(index))
}

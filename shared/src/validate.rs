//! Whether a whole configuration holds together: every problem at once, each with its document and path.
//!
//! Pure: no I/O and no clock. Problems forbid the configuration; warnings say what an operator probably did not mean.
//! Secrets never appear in a message.
//!
//! A change to a valid configuration is checked at the cost of the change ([`validate_change`]): what it holds, what
//! refers to what it removes, and what stands in the same place. A whole is a change to an empty configuration.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::resource::{Document, Kind, Read, Resource, ResourceKey};

mod index;
mod text;
mod values;
mod whole;

pub use index::{Base, Index};
pub use text::{TITLE_CHARS_MAX, check_host, check_method, check_path, check_prefix, check_title};

/// One thing that is wrong: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// `Kind/name` as written.
    pub document: String,
    /// The path of the field, such as `spec.endpoints[0].weight`; `name` or `kind` for the document's own.
    pub path: String,
    /// What is wrong, with which value, and what would be right.
    pub message: String,
}

/// Everything found in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What forbids it. Empty means that the configuration may be published.
    pub problems: Vec<Problem>,
    /// What is probably not meant, but does no harm.
    pub warnings: Vec<Problem>,
}

impl Report {
    /// Whether nothing forbids the configuration.
    pub fn accepts(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks all documents, each alone and against each other, in their order.
pub fn validate(documents: &[Document]) -> Report {
    validate_change(Base { index: &Index::default(), document: &|_| None }, documents, &[]).0
}

/// The index of these documents, when nothing forbids them together.
pub fn validate_indexed(documents: &[Document]) -> Option<Index> {
    let (report, index) = validate_change(Base { index: &Index::default(), document: &|_| None }, documents, &[]);
    report.accepts().then_some(index)
}

/// Checks what a valid configuration becomes when `deletes` go and `puts` come, each put alone and all against each other
/// and against what stays. Finds the problems that [`validate`] would in `puts` followed by what stays, in the order of
/// keys, and warns about what is put and what the change brings about, not again about what was so before.
///
/// The index is that of the configuration after the change; it is of use only when nothing forbids that one.
pub fn validate_change(base: Base<'_>, puts: &[Document], deletes: &[ResourceKey]) -> (Report, Index) {
    let mut report = Report::default();
    let mut seen = HashSet::with_capacity(puts.len());
    let mut resources = Vec::with_capacity(puts.len());
    for document in puts {
        if !seen.insert((document.kind.as_str(), document.name.as_str())) {
            let message = "another document has this kind and name; rename or remove one of them";
            Notes::new(document, &mut report).problem("name", message);
            continue;
        }
        match document.read() {
            Ok(Read { resource, unknown }) => {
                let mut alone = Report::default();
                note_unknown(document, &resource, unknown, &mut alone);
                values::check(&resource, &mut Notes::new(document, &mut alone));
                report.problems.extend(alone.problems);
                resources.push(Known { document, resource, warnings: alone.warnings });
            }
            Err(error) => Notes::new(document, &mut report).problem(error.path, error.message),
        }
    }
    let stays = base.without(puts, deletes);
    whole::check(&resources, &seen, &stays, &mut report);
    let next = stays.index_with(&resources);
    report.warnings = stays.warnings(&resources, &next);
    (report, next)
}

/// A resource beside the document it was read from.
struct Known<'a> {
    document: &'a Document,
    resource: Resource,
    /// What was noted about it alone.
    warnings: Vec<Problem>,
}

/// Checks the values of one resource alone, without what it refers to. Empty means that they are all in range.
pub fn validate_alone(document: &Document, read: &Read) -> Vec<Problem> {
    let mut report = Report::default();
    note_unknown(document, &read.resource, read.unknown.clone(), &mut report);
    values::check(&read.resource, &mut Notes::new(document, &mut report));
    report.problems
}

/// Whether the unknown field at `path` of this resource may be a restriction, so that ignoring it would open what
/// somebody meant to close.
pub fn may_restrict(resource: &Resource, path: &str) -> bool {
    match resource {
        Resource::Credential(..) => Kind::Credential.restricts(),
        Resource::Permission(..) => Kind::Permission.restricts(),
        Resource::Route(..) => path == "spec.require" || path.starts_with("spec.require."),
        Resource::Defaults(_) | Resource::Agency(..) | Resource::System(..) | Resource::Service(..) => false,
    }
}

fn note_unknown(document: &Document, resource: &Resource, unknown: Vec<String>, report: &mut Report) {
    let mut notes = Notes::new(document, report);
    for path in unknown {
        if may_restrict(resource, &path) {
            notes.problem(path, "this field is unknown here and might restrict access; correct or remove it");
        } else {
            notes.warning(path, "this field is unknown and has no effect; correct or remove it");
        }
    }
}

/// Where findings about one document go.
struct Notes<'a> {
    document: &'a Document,
    report: &'a mut Report,
}

impl<'a> Notes<'a> {
    fn new(document: &'a Document, report: &'a mut Report) -> Self {
        Self { document, report }
    }

    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let problem = self.entry(path.into(), message.into());
        self.report.problems.push(problem);
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let warning = self.entry(path.into(), message.into());
        self.report.warnings.push(warning);
    }

    fn entry(&self, path: String, message: String) -> Problem {
        Problem { document: self.document.label(), path, message }
    }
}

#[cfg(test)]
mod tests;

//! Whether a whole configuration holds together: every problem at once, each with its document and path.
//!
//! Pure: no I/O and no clock, linear in the number of documents. Problems forbid the configuration; warnings say what
//! an operator probably did not mean. Secrets never appear in a message.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::resource::{Document, Kind, Read, Resource};

mod text;
mod values;
mod whole;

pub use text::{check_host, check_method, check_path, check_prefix};

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
    let mut report = Report::default();
    let mut seen = HashSet::with_capacity(documents.len());
    let mut resources = Vec::with_capacity(documents.len());
    for document in documents {
        if !seen.insert((document.kind.as_str(), document.name.as_str())) {
            let message = "another document has this kind and name; rename or remove one of them";
            Notes::new(document, &mut report).problem("name", message);
            continue;
        }
        match document.read() {
            Ok(Read { resource, unknown }) => {
                note_unknown(document, &resource, unknown, &mut report);
                values::check(&resource, &mut Notes::new(document, &mut report));
                resources.push((document, resource));
            }
            Err(error) => Notes::new(document, &mut report).problem(error.path, error.message),
        }
    }
    whole::check(&resources, &seen, &mut report);
    report
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

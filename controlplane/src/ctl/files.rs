//! Documents in files: YAML with one or many, or JSON. Each remembers its file and place for messages.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use lgsp_shared::resource::{Document, Kind};
use lgsp_shared::yaml;
use serde::Deserialize;
use serde_json::Value;

use super::failure::{Exit, Failure};

/// The longest file, in bytes; held once as text and once as values, about five times this.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// The most documents in one file.
const FILE_DOCUMENTS_MAX: usize = 100_000;
/// The most files in one command.
const FILES_MAX: usize = 10_000;
/// How deep directories are walked.
const DEPTH_MAX: usize = 8;

/// Documents and where each was read.
#[derive(Debug, Default)]
pub struct Sourced {
    /// The documents, in the order of files and places.
    pub documents: Vec<Document>,
    places: HashMap<String, String>,
}

impl Sourced {
    /// Where the document called `Kind/name` was read, as ` (routes.yaml, document 2)`; empty when it was not.
    pub fn place(&self, label: &str) -> String {
        self.places.get(label).map_or_else(String::new, |place| format!(" ({place})"))
    }
}

/// Reads all files; every file and document that cannot be read is in the failure.
pub fn read(paths: &[PathBuf]) -> Result<Sourced, Failure> {
    let mut sourced = Sourced::default();
    let mut problems = Vec::new();
    for path in list(paths)? {
        let name = path.display().to_string();
        let text = read_text(&path)?;
        match parse(&text) {
            Ok(values) => {
                for (at, value) in values.into_iter().enumerate() {
                    let place = format!("{name}, document {}", at + 1);
                    match document(value) {
                        Ok(document) => {
                            sourced.places.insert(document.label(), place);
                            sourced.documents.push(document);
                        }
                        Err(problem) => problems.push(format!("{place}: {problem}")),
                    }
                }
            }
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    if problems.is_empty() && sourced.documents.is_empty() {
        return Err(Failure::new(Exit::Usage, "there is no document in the files", "Check the path after `-f`."));
    }
    if !problems.is_empty() {
        let hint = "A document is `kind`, `name` and `spec`; several in one file are separated by a line `---`.";
        let failure = Failure::new(Exit::Refused, "some documents cannot be read", hint);
        return Err(Failure { details: problems, ..failure });
    }
    Ok(sourced)
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    let values = yaml::many(text, FILE_DOCUMENTS_MAX).map_err(|error| error.to_string())?;
    // A JSON file, or what `get -o json` wrote, holds a list.
    let values: Vec<Value> = values
        .into_iter()
        .flat_map(|value| match value {
            Value::Array(items) => items,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
        })
        .collect();
    if values.len() > FILE_DOCUMENTS_MAX {
        return Err(format!("{} documents are more than {FILE_DOCUMENTS_MAX}; split the file", values.len()));
    }
    Ok(values)
}

fn document(value: Value) -> Result<Document, String> {
    /// As `Document`, but a misspelt field is an error.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        kind: String,
        name: String,
        spec: Value,
    }
    let Written { kind, name, spec } = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        if path == "." { error.into_inner().to_string() } else { format!("`{path}`: {}", error.into_inner()) }
    })?;
    // `kind: agency` is understood as `get agency` is.
    let kind = Kind::parse(&kind).map_or(kind, |kind| kind.to_string());
    Ok(Document { kind, name, spec })
}

fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
        if found.len() > FILES_MAX {
            let message = format!("`{}` holds more than {FILES_MAX} files", path.display());
            return Err(Failure::new(Exit::Usage, message, "Give a smaller directory after `-f`."));
        }
    }
    Ok(found)
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| unreadable(directory, &error))?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && depth < DEPTH_MAX && !hidden {
            walk(&path, depth + 1, found)?;
        } else if matches!(extension, Some("yaml" | "yml" | "json")) && !hidden && found.len() <= FILES_MAX {
            found.push(path);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    match read {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= FILE_BYTES_MAX) => Ok(text),
        Ok(_) => {
            let message = format!("`{}` is longer than {FILE_BYTES_MAX} bytes", path.display());
            Err(Failure::new(Exit::Usage, message, "Split the file."))
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot read `{}`: {error}", path.display());
    Failure::new(Exit::Unreachable, message, "Check the path after `-f`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let path = directory.path().to_owned();
        (directory, vec![path])
    }

    #[test]
    fn yaml_with_many_documents_and_json_are_read_in_order() {
        let (directory, paths) = files(&[
            ("b/second.json", r#"[{"kind": "Agency", "name": "c", "spec": {}}]"#),
            ("a.yaml", "kind: Agency\nname: a\nspec: {}\n---\n# nothing\n---\nkind: Agency\nname: b\nspec:\n  x: 01\n"),
            ("notes.txt", "not a document"),
            (".hidden.yaml", "nor: this"),
        ]);
        let sourced = read(&paths).unwrap();
        let names: Vec<&str> = sourced.documents.iter().map(|document| document.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let place = format!(" ({}, document 2)", directory.path().join("a.yaml").display());
        assert_eq!(sourced.place("Agency/b"), place);
    }

    #[test]
    fn a_kind_in_another_case_is_the_kind_and_what_is_no_kind_stays_as_it_is() {
        let (_directory, paths) =
            files(&[("a.yaml", "kind: agency\nname: a\nspec: {}\n---\nkind: mood\nname: b\nspec: {}\n")]);
        let kinds: Vec<_> = read(&paths).unwrap().documents.into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["Agency", "mood"]);
    }

    #[test]
    fn every_unreadable_document_is_named_with_its_file_and_place() {
        let (_directory, paths) = files(&[
            ("a.yaml", "kind: Agency\nname: a\nspec: {}\n---\nkind: Agency\nnme: b\nspec: {}\n"),
            ("b.yaml", "kind: [\n"),
            ("c.yaml", "just text\n"),
        ]);
        let failure = read(&paths).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.details.len(), 3, "{failure}");
        assert!(failure.details[0].contains("a.yaml, document 2") && failure.details[0].contains("`nme`"), "{failure}");
        assert!(failure.details[1].contains("b.yaml"), "{failure}");
    }

    #[test]
    fn a_file_without_documents_and_a_missing_one_are_told_apart() {
        let (_directory, paths) = files(&[("a.yaml", "# nothing\n")]);
        assert_eq!(read(&paths).unwrap_err().exit, Exit::Usage);
        assert_eq!(read(&["/nonexistent".into()]).unwrap_err().exit, Exit::Unreachable);
    }
}

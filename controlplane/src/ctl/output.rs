//! How results are written: as a table for people, as JSON or YAML for programs.
#![allow(clippy::print_stdout, reason = "results go to standard output; this is the one file that writes there")]

use serde_json::Value;

use super::arguments::Format;
use super::failure::{Exit, Failure};

/// Writes results.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Writes in this format.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes `value` for programs; for people, what `people` makes of it.
    pub fn write(self, value: &Value, people: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => people(),
            Format::Json => format!("{value:#}\n"),
            Format::Yaml => yaml(value)?,
        };
        print(&text)
    }

    /// Writes documents: YAML separated by `---`, or a JSON list; for people, what `people` makes of them.
    pub fn write_documents(self, documents: &[Value], people: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => people(),
            Format::Json => format!("{:#}\n", Value::from(documents)),
            Format::Yaml => documents.iter().map(yaml).collect::<Result<Vec<_>, _>>()?.join("---\n"),
        };
        print(&text)
    }
}

/// Tells people something beside the result.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// A value as YAML.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value)
        .map(|text| text.trim_end().to_owned() + "\n")
        .map_err(|error| Failure::new(Exit::Unreachable, format!("cannot write YAML: {error}"), "Use `-o json`."))
}

/// A table with aligned columns.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| {
            let gap = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(gap))
        });
        let text: Vec<String> = padded.collect();
        format!("{}\n", text.join("  ").trim_end())
    };
    let mut text = line(header);
    for row in rows {
        text.push_str(&line(row.each_ref().map(String::as_str)));
    }
    text
}

/// A field of an answer as text; numbers as digits, absent as `-`.
pub fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// The items of a list in an answer.
pub fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Unreachable, format!("cannot write: {error}"), "Is the disk full?")),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_and_lines_have_no_tail() {
        let rows = [["hộ-tịch".to_owned(), "1".to_owned()], ["a".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "N"], &rows), "NAME     N\nhộ-tịch  1\na\n");
    }

    #[test]
    fn yaml_that_is_written_is_read_back_the_same() {
        let value = json!({
            "code": "000.00.12.H61", "title": "Sở: Tư pháp # 1", "on": "yes", "number": "0123", "empty": "",
            "pem": "-----BEGIN\nline\n-----END\n", "list": [1, 2.5, true, null, {"a": []}], "time": "2026-11-23T08:00:00Z",
        });
        let read: Value = serde_saphyr::from_str(&yaml(&value).unwrap()).unwrap();
        assert_eq!(read, value);
    }
}

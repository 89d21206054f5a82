//! How results are written: as a table for people, as JSON or YAML for programs.
#![allow(clippy::print_stdout, reason = "results go to standard output; this is the one file that writes there")]

use serde_json::Value;

use super::arguments::Format;
use super::failure::{Exit, Failure};
use super::shown;

/// Writes results.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

/// How much a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What fits a terminal.
    Usual,
    /// Every column.
    Wide,
}

impl Output {
    /// Writes in this format.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes `value` for programs; for people, what `people` makes of it.
    pub fn write(self, value: &Value, people: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide | Format::Name => print(&shown::block(&people())),
            Format::Json => print(&json(value)),
            Format::Yaml => print(&yaml(value)?),
        }
    }

    /// Writes a list: `value` for programs, the `name` of each item, or for people what `people` makes of all.
    pub fn write_list(
        self,
        value: &Value,
        listed: &[Value],
        name: impl Fn(&Value) -> String,
        people: impl FnOnce(Detail) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Name => {
                print(&shown::block(&listed.iter().map(|one| format!("{}\n", name(one))).collect::<String>()))
            }
            Format::Table | Format::Wide | Format::Json | Format::Yaml => self.write(value, || people(self.detail())),
        }
    }

    /// Writes a text that this program made, whatever the format.
    pub fn write_text(self, text: &str) -> Result<(), Failure> {
        print(&shown::block(text))
    }

    /// Writes documents: YAML separated by `---`, or a JSON list; for people, what `people` makes of them.
    pub fn write_documents(self, documents: &[Value], people: impl FnOnce(Detail) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Yaml => print(&documents.iter().map(yaml).collect::<Result<Vec<_>, _>>()?.join("---\n")),
            Format::Json => print(&json(&Value::from(documents))),
            Format::Table | Format::Wide | Format::Name => {
                let name = |one: &Value| format!("{}/{}", text(one, "kind"), text(one, "name"));
                self.write_list(&Value::Null, documents, name, people)
            }
        }
    }

    fn detail(self) -> Detail {
        match self.format {
            Format::Wide => Detail::Wide,
            Format::Table | Format::Name | Format::Json | Format::Yaml => Detail::Usual,
        }
    }
}

/// Writes something for people beside the result.
pub fn note(text: &str) {
    eprintln!("{}", shown::block(text));
}

/// Writes a failure: for people, or as one line of JSON.
pub fn fail(format: Format, failure: &Failure) {
    match format {
        Format::Json => eprintln!("{}", shown::json(&failure.to_json().to_string())),
        Format::Table | Format::Wide | Format::Name | Format::Yaml => {
            eprint!("{}", shown::block(&failure.to_string()));
        }
    }
}

/// A value as JSON.
fn json(value: &Value) -> String {
    shown::json(&format!("{value:#}\n"))
}

/// A value as YAML. One that holds what would steer a terminal is written as JSON, which YAML reads, with escapes.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value)
        .map_err(|error| Failure::new(Exit::Unreachable, format!("cannot write YAML: {error}"), "Use `-o json`."))?;
    match shown::is_plain(&text) {
        true => Ok(text.trim_end().to_owned() + "\n"),
        false => Ok(shown::json_as_yaml(&format!("{value:#}\n"))),
    }
}

/// `1 node`, `2 nodes`.
pub fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
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

/// A field of an answer within a line, for people: numbers as digits, absent or empty as `-`, and nothing that steers a
/// terminal or begins another line.
pub fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => shown::inline(text),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => shown::inline(&other.to_string()),
    }
}

/// A text of an answer as it came, for what is not shown; empty when there is none.
pub fn raw<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
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
    fn a_text_of_others_begins_no_line_and_steers_nothing() {
        let one = json!({"message": "b\u{1b}[2J\n6  revision 999 made", "tags": ["\u{202e}"], "number": 7});
        assert_eq!(text(&one, "message"), "b\\u{1b}[2J\\n6  revision 999 made");
        assert_eq!((text(&one, "tags").as_str(), text(&one, "number").as_str()), ("[\"\\u{202e}\"]", "7"));
        let hostile = json!({"title": "a\u{1b}]52;c;eA==\u{7}\u{202e}\n---\nkind: Agency", "name": "\u{e0041}"});
        let written = yaml(&hostile).unwrap();
        assert!(shown::is_plain(&written), "{written}");
        assert_eq!(lgsp_shared::yaml::one(&written).unwrap(), hostile);
    }

    #[test]
    fn one_is_counted_as_one() {
        assert_eq!([counted(0, "node"), counted(1, "node"), counted(2, "node")], ["0 nodes", "1 node", "2 nodes"]);
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

//! The registry's commands, one file per subject.

pub mod agency;
pub mod application;
pub mod contact;
pub mod import;
pub mod notice;
pub mod participant;

use serde_json::Value;

use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::encoded;
use crate::ctl::output::text;

/// Items of a list of the registry asked for at once.
const LISTED_AT_ONCE: u32 = 200;

/// The query of a search: `?q=…&limit=…&after=…`.
fn search(words: &[String], limit: u32, after: Option<&String>) -> String {
    let after = after.map_or_else(String::new, |after| format!("&after={}", encoded(after)));
    format!("?q={}&limit={limit}{after}", encoded(&words.join(" ")))
}

/// The line that tells how a search goes on.
fn more(answer: &Value) -> String {
    match answer.get("next").and_then(Value::as_str) {
        Some(next) => format!("more: --after {next}\n"),
        None => String::new(),
    }
}

/// `CODE=NAME` as its two halves.
fn pair<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once('=').map(|(left, right)| (left.trim(), right.trim())).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is not `{form}`"), format!("Write it as `{form}`, in quotes."))
    })
}

/// Lines `label  value`, without those that have none.
fn lines(answer: &Value, fields: &[(&str, &str)]) -> String {
    let width = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let shown = fields.iter().map(|(label, field)| (label, text(answer, field))).filter(|(_, value)| value != "-");
    shown.map(|(label, value)| format!("  {label:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_travel_in_a_query_whatever_they_hold() {
        let words = ["Sở".to_owned(), "a&b=c".to_owned()];
        assert_eq!(search(&words, 20, None), "?q=S%E1%BB%9F%20a%26b%3Dc&limit=20");
        assert_eq!(search(&[], 5, Some(&"0-H61.1".to_owned())), "?q=&limit=5&after=0-H61.1");
    }
}

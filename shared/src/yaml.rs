//! YAML, read in one strict way wherever people write it: settings of both planes, resources, values of variables.
//!
//! YAML 1.2 without its older habits: only `true` and `false` are booleans, so that a name such as `no` stays a name;
//! numbers with leading zeros or underscores, such as the code `007`, stay text; a key given twice is an error, and so is
//! a tag. What a text may grow to is bounded, aliases included.

use serde_json::Value;

/// YAML events per document at most; a long resource has about 40.
const EVENTS_PER_DOCUMENT_MAX: usize = 80;
/// YAML events in a text of one document, such as settings; about 100 bytes each while they are read.
const EVENTS_ALONE_MAX: usize = 20_000;

/// A text that is not YAML, or more of it than may be: where and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct YamlError(String);

/// The one document of a text; an empty text is null.
pub fn one(text: &str) -> Result<Value, YamlError> {
    let mut documents = read(text, 1, EVENTS_ALONE_MAX)?;
    Ok(documents.pop().unwrap_or(Value::Null))
}

/// All documents of a text, at most `documents_max`.
pub fn many(text: &str, documents_max: usize) -> Result<Vec<Value>, YamlError> {
    read(text, documents_max, documents_max.saturating_mul(EVENTS_PER_DOCUMENT_MAX))
}

fn read(text: &str, documents_max: usize, events_max: usize) -> Result<Vec<Value>, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: events_max,
            max_nodes: events_max,
            max_documents: documents_max,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| YamlError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_codes_that_older_yaml_takes_for_something_else_stay_texts() {
        let read = one("{a: no, b: 007, c: 1_000, d: true, e: 7, f: on, g: y, h: 0x1F, i: ~, j: 1.5}").unwrap();
        let wanted = json!({
            "a": "no", "b": "007", "c": "1_000", "d": true, "e": 7, "f": "on", "g": "y", "h": 31, "i": null, "j": 1.5,
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_refused() {
        for text in ["{a: 1, a: 2}", "a: !secret b", "a: b: c", "[1", "a: *nowhere", "a: .inf", "a: 1\n---\nb: 2"] {
            assert!(one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_text_is_null_and_documents_are_counted() {
        assert_eq!(one("").unwrap(), Value::Null);
        assert_eq!(one("# nothing\n").unwrap(), Value::Null);
        assert_eq!(many("a: 1\n---\nb: 2\n", 2).unwrap(), [json!({"a": 1}), json!({"b": 2})]);
        assert!(many("a: 1\n---\nb: 2\n---\nc: 3\n", 2).is_err());
    }

    #[test]
    fn a_text_of_aliases_does_not_grow_without_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
        }
        assert!(one(&text).is_err() && many(&text, 100_000).is_err());
    }
}

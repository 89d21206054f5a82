//! The structured-field suite (httpwg/structured-field-tests), for the productions signatures rely on: the parser in
//! use must read what the suite reads and refuse what it refuses.

use serde_json::Value;
use sfv::{Dictionary, Item, List, Parser};

use super::{read, third_party};

/// What `Signature-Input`, `Signature` and `Content-Digest` are made of.
const FILES: [&str; 13] = [
    "binary",
    "boolean",
    "dictionary",
    "item",
    "key-generated",
    "listlist",
    "number",
    "number-generated",
    "param-dict",
    "param-listlist",
    "string",
    "string-generated",
    "token",
];

fn parses(kind: &str, text: &str) -> bool {
    match kind {
        "dictionary" => Parser::new(text).parse::<Dictionary>().is_ok(),
        "list" => Parser::new(text).parse::<List>().is_ok(),
        "item" => Parser::new(text).parse::<Item>().is_ok(),
        other => panic!("the suite has a new kind of field: {other}"),
    }
}

#[test]
fn the_parser_accepts_and_refuses_what_the_suite_does() {
    let mut judged = 0;
    for file in FILES {
        let cases: Value = serde_json::from_str(&read(third_party(&format!("sfv/{file}.json")))).unwrap();
        for case in cases.as_array().unwrap() {
            let lines: Vec<&str> =
                case["raw"].as_array().into_iter().flatten().map(|line| line.as_str().unwrap()).collect();
            // `can_fail` leaves the choice to the parser; cases without `raw` are about serialising.
            if lines.is_empty() || case["can_fail"].as_bool() == Some(true) {
                continue;
            }
            let read = parses(case["header_type"].as_str().unwrap(), &lines.join(", "));
            assert_eq!(read, case["must_fail"].as_bool() != Some(true), "{file}: {}", case["name"]);
            judged += 1;
        }
    }
    assert!(judged > 1000, "only {judged} cases were found");
}

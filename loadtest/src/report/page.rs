//! The page that reports are set on: one file, no script, nothing fetched; readable on a screen, in the dark and on paper.

use std::fmt::Write;

use lgsp_shared::refusal::Language;

use crate::verdict::Outcome;

const STYLE: &str = include_str!("style.css");

/// A cell up to this length is kept on one line.
const SHORT_LETTERS_MAX: usize = 24;

/// A page under construction.
pub(super) struct Page {
    language: Language,
    title: String,
    body: String,
}

/// Text that cannot become markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

impl Page {
    pub(super) fn new(language: Language, title: &str) -> Self {
        Self { language, title: title.to_owned(), body: String::new() }
    }

    /// The first thing a reader sees.
    pub(super) fn verdict(&mut self, outcome: Outcome, words: &str, reasons: &[String]) {
        let kind = match outcome {
            Outcome::Pass => "good",
            Outcome::CriterionFailed | Outcome::Regression => "bad",
            Outcome::Invalid => "none",
        };
        let title = escape(&self.title);
        let _ = write!(self.body, "<header class=\"{kind}\"><p>{title}</p><h1>{}</h1><ul>", escape(words));
        for reason in reasons {
            let _ = write!(self.body, "<li>{}</li>", escape(reason));
        }
        self.body.push_str("</ul></header>");
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = write!(self.body, "<h2>{}</h2>", escape(text));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = write!(self.body, "<p>{}</p>", escape(text));
    }

    /// Something drawn already.
    pub(super) fn drawing(&mut self, svg: &str) {
        self.body.push_str(svg);
    }

    /// Names and values.
    pub(super) fn facts(&mut self, facts: &[(&str, String)]) {
        self.body.push_str("<dl>");
        for (name, value) in facts {
            let _ = write!(self.body, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        self.body.push_str("</dl>");
    }

    /// A table; in columns after the first, numbers line up on the right and sentences on the left.
    pub(super) fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        let is_short = |cell: &str| cell.chars().count() <= SHORT_LETTERS_MAX;
        let is_text = |column: usize| rows.iter().filter_map(|row| row.get(column)).any(|cell| !is_short(cell));
        let columns: Vec<bool> = (0..heads.len()).map(is_text).collect();
        self.body.push_str("<div class=\"scroll\"><table><thead><tr>");
        for (head, is_text) in heads.iter().zip(&columns) {
            let kind = if *is_text { " class=\"text\"" } else { "" };
            let _ = write!(self.body, "<th scope=\"col\"{kind}>{}</th>", escape(head));
        }
        self.body.push_str("</tr></thead><tbody>");
        for row in rows {
            self.body.push_str("<tr>");
            for (cell, is_text) in row.iter().zip(&columns) {
                let kind = match cell.as_str() {
                    "✓" => " class=\"yes\"",
                    "✗" => " class=\"no\"",
                    _ if *is_text => " class=\"text\"",
                    _ => " class=\"short\"",
                };
                let _ = write!(self.body, "<td{kind}>{}</td>", escape(cell));
            }
            self.body.push_str("</tr>");
        }
        self.body.push_str("</tbody></table></div>");
    }

    pub(super) fn finish(self) -> String {
        let (language, title) = (self.language.tag(), escape(&self.title));
        format!(
            "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><main>{}</main></body></html>\n",
            self.body
        )
    }
}

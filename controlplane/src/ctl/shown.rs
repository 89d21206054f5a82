//! Text of others on a terminal: what steers it, or hides or reorders what is read, is shown escaped.
//!
//! Everything `lgspctl` writes passes here. Titles, messages, reports of nodes and answers of the server are written by
//! others, so none of them may move the cursor, begin a line of its own, or look like something it is not.

use std::fmt::Write as _;

/// Whether a character steers a terminal or hides or reorders its neighbours: controls (C0, DEL, C1), separators of lines
/// and paragraphs, bidirectional and zero-width characters (Unicode categories Cc, Zl, Zp, Cf), and fillers.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn escape(text: &str, kept: &[char], write: impl Fn(&mut String, char)) -> String {
    if !text.chars().any(|character| steers(character) && !kept.contains(&character)) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut shown, character| {
        if steers(character) && !kept.contains(&character) {
            write(&mut shown, character);
        } else {
            shown.push(character);
        }
        shown
    })
}

/// `\n`, `\t` or `\u{202e}`.
fn visible(shown: &mut String, character: char) {
    // Writing into a string cannot fail.
    let _ = write!(shown, "{}", character.escape_default());
}

/// A value within a line: line breaks and tabs are escaped too.
pub fn inline(text: &str) -> String {
    escape(text, &[], visible)
}

/// Lines that this program made: line breaks and tabs stay.
pub fn block(text: &str) -> String {
    escape(text, &['\n', '\t'], visible)
}

/// JSON text in which such characters are escaped as JSON escapes them: the same values, which no terminal acts on.
pub fn json(text: &str) -> String {
    escape(text, &['\n'], |shown, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

/// JSON text as YAML reads it: beyond 16 bits YAML has an escape of its own (YAML 1.2 section 5.7).
pub fn json_as_yaml(text: &str) -> String {
    escape(text, &['\n'], |shown, character| {
        let _ = match u32::from(character) {
            code @ ..=0xffff => write!(shown, "\\u{code:04x}"),
            code => write!(shown, "\\U{code:08x}"),
        };
    })
}

/// Whether lines hold nothing that would have to be escaped.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| steers(character) && character != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clears the screen, sets the clipboard, begins a line, reorders, hides.
    const HOSTILE: &str =
        "a\u{1b}[2J\u{1b}]52;c;eA==\u{7}\r\nrevision 999 made\u{202e}b\u{200b}\u{9b}31m\u{e0041}\u{2028}\0";

    #[test]
    fn what_steers_a_terminal_is_shown_and_everything_else_stays() {
        let shown = inline(HOSTILE);
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(
            shown.starts_with("a\\u{1b}[2J\\u{1b}]52;c;eA==\\u{7}\\r\\nrevision 999 made\\u{202e}b\\u{200b}"),
            "{shown}"
        );
        assert!(!shown.chars().any(steers) && !block(HOSTILE).chars().any(|one| steers(one) && one != '\n'));
        for plain in ["Sở Tư pháp — \"hộ tịch\" \\ 100 %", "日本語 🏛️", ""] {
            assert_eq!(inline(plain), plain);
            assert_eq!(json(plain), plain);
        }
        assert_eq!(block("a\n\tb"), "a\n\tb");
        assert_eq!(inline(&inline(HOSTILE)), inline(HOSTILE), "what is shown is not escaped again");
    }

    #[test]
    fn json_and_yaml_keep_their_values() {
        let text = serde_json::json!({"title": HOSTILE}).to_string();
        for escaped in [json(&text), json_as_yaml(&text)] {
            assert!(escaped.is_ascii() && !escaped.chars().any(steers), "{escaped}");
        }
        let read: serde_json::Value = serde_json::from_str(&json(&text)).unwrap();
        assert_eq!(read["title"], HOSTILE);
        assert_eq!(lgsp_shared::yaml::one(&json_as_yaml(&text)).unwrap()["title"], HOSTILE);
    }
}

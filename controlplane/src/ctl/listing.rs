//! Lists of the server, page by page: as many items as were asked for, whatever a page holds.

use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::output::items;

/// A list of the server.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// Its path, with a query or without.
    pub path: &'a str,
    /// The field of an answer that holds the items.
    pub field: &'a str,
    /// The parameter that takes `next` of the page before.
    pub cursor: &'a str,
    /// The most items one page holds.
    pub page_max: u32,
    /// Where to begin, as the cursor takes it.
    pub from: Option<u64>,
}

impl Listing<'_> {
    /// At most so many items: the first answer with all of them in it, and `next` where there are more.
    pub fn read(self, client: &Client, limit: u32) -> Result<Value, Failure> {
        let Self { path, field, cursor, page_max, from } = self;
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut found, mut next) = (Vec::new(), from.map(|from| from.to_string()));
        loop {
            let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(found.len());
            let page = u32::try_from(left).unwrap_or(u32::MAX).min(page_max);
            let after = next.map_or_else(String::new, |next| format!("&{cursor}={}", encoded(&next)));
            let mut answer = client.get(&format!("{path}{joint}limit={page}{after}"))?;
            found.extend_from_slice(items(&answer, field));
            next = match answer.get("next") {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            let enough = u32::try_from(found.len()).is_ok_and(|found| found >= limit);
            if next.is_none() || enough || items(&answer, field).is_empty() {
                if let Some(fields) = answer.as_object_mut() {
                    fields.insert(field.to_owned(), found.into());
                }
                return Ok(answer);
            }
        }
    }

    /// All items.
    pub fn all(self, client: &Client) -> Result<Value, Failure> {
        self.read(client, u32::MAX)
    }
}

/// A text as part of a query or a path (RFC 3986 section 2.3).
pub fn encoded(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

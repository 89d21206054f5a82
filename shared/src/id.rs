//! Identifiers as types: a string is checked once, at the edge, and never again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {wanted}: {rule}")]
pub struct InvalidId {
    value: String,
    wanted: &'static str,
    rule: &'static str,
}

impl InvalidId {
    pub(crate) fn new(value: &str, wanted: &'static str, rule: &'static str) -> Self {
        // An error never carries more of a hostile input than a reader needs to recognise it.
        const SHOWN_CHARS_MAX: usize = 80;
        Self { value: value.chars().take(SHOWN_CHARS_MAX).collect(), wanted, rule }
    }
}

/// The longest resource name, in bytes; names are parts of etcd keys and of metric labels.
pub const NAME_BYTES_MAX: usize = 63;

const NAME_RULE: &str =
    "use 1 to 63 lower-case letters, digits, `-` or `.`, starting and ending with a letter or digit";

fn is_name(value: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = value.as_bytes();
    bytes.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b'-' | b'.'))
}

/// The shortest and longest access keys accepted, in bytes.
pub const ACCESS_KEY_BYTES: std::ops::RangeInclusive<usize> = 8..=64;

const ACCESS_KEY_RULE: &str = "use 8 to 64 letters and digits, as printed when the credential was issued";

fn is_access_key(value: &str) -> bool {
    ACCESS_KEY_BYTES.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The longest name of a ticket key, in bytes; it is written into every ticket.
pub const TICKET_KEY_ID_BYTES_MAX: usize = 16;

const TICKET_KEY_RULE: &str = "use 1 to 16 lower-case letters, digits or `-`, such as `2026-11`";

fn is_ticket_key(value: &str) -> bool {
    (1..=TICKET_KEY_ID_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $type:ident, $wanted:literal, $rule:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                if $check(value) { Ok(Self(value.into())) } else { Err(InvalidId::new(value, $wanted, $rule)) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;

            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// The name of an agency resource (not its identification code, which may change).
    AgencyId, "an agency name", NAME_RULE, is_name
);
text_id!(
    /// The name of a system: the principal that holds credentials.
    SystemId, "a system name", NAME_RULE, is_name
);
text_id!(
    /// The name of a service that a system offers.
    ServiceId, "a service name", NAME_RULE, is_name
);
text_id!(
    /// The name of a route.
    RouteId, "a route name", NAME_RULE, is_name
);
text_id!(
    /// The name of a permission.
    PermissionId, "a permission name", NAME_RULE, is_name
);
text_id!(
    /// The name of a credential resource.
    CredentialId, "a credential name", NAME_RULE, is_name
);
text_id!(
    /// The name of any resource, where its kind does not matter.
    ResourceName, "a resource name", NAME_RULE, is_name
);
text_id!(
    /// The name of one running data plane.
    NodeId, "a node name", NAME_RULE, is_name
);
text_id!(
    /// Who am I: the public half of a credential, sent with every request.
    AccessKey, "an access key", ACCESS_KEY_RULE, is_access_key
);

text_id!(
    /// The name of a key that session tickets are sealed under; the key itself is derived from it.
    TicketKeyId, "the name of a ticket key", TICKET_KEY_RULE, is_ticket_key
);

/// The number of one immutable state of the configuration; 0 is the empty state before the first change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once_at_the_edge() {
        for good in ["a", "mot-cua", "so-tttt.vinhlong", "0a"] {
            assert!(good.parse::<SystemId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "ạ", &"a".repeat(64)] {
            assert!(bad.parse::<SystemId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_access_key_never_holds_a_separator_of_any_signing_scheme() {
        assert!("LGSPAB12CD34EF56".parse::<AccessKey>().is_ok());
        for bad in ["short", "AK/20260101", "AK:secret1", "AK\"quoted\"", "AK with spaces", &"A".repeat(65)] {
            assert!(bad.parse::<AccessKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_value_the_kind_and_the_rule() {
        let error = "Bad Name".parse::<RouteId>().unwrap_err().to_string();
        assert!(error.contains("`Bad Name` is not a route name") && error.contains("lower-case"), "{error}");
    }
}

//! People to call: personal data, kept in the database only. No document, no revision, no node and no log holds them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most people of one agency, system or service.
pub const CONTACTS_MAX: usize = 20;
/// The longest of each field, in characters.
const FIELD_CHARS_MAX: usize = 200;
const PHONE_CHARS: std::ops::RangeInclusive<usize> = 3..=30;

/// Somebody who answers for an agency, a system or a service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The person's name.
    pub name: String,
    /// What for, such as `kỹ thuật`, `đầu mối`, `lãnh đạo`.
    pub role: String,
    /// Empty when there is none.
    #[serde(default)]
    pub email: String,
    /// Empty when there is none.
    #[serde(default)]
    pub phone: String,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contact(..)")
    }
}

/// What is wrong with a contact; never holds the contact itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContact {
    /// Too many.
    #[error("there are more than {CONTACTS_MAX} contacts; keep those who answer")]
    TooMany,
    /// A field is missing or too long.
    #[error("contact {at}: `{field}` is empty, too long, or holds a line break")]
    Field {
        /// Which contact, counted from 1.
        at: usize,
        /// Which field.
        field: &'static str,
    },
    /// Neither a mail address nor a telephone number.
    #[error("contact {at}: there is neither an `email` nor a `phone`; give one")]
    Unreachable {
        /// Which contact, counted from 1.
        at: usize,
    },
}

/// Checks contacts that somebody entered.
pub fn check(contacts: &[Contact]) -> Result<(), InvalidContact> {
    if contacts.len() > CONTACTS_MAX {
        return Err(InvalidContact::TooMany);
    }
    for (at, contact) in (1..).zip(contacts) {
        let Contact { name, role, email, phone } = contact;
        let wrong = |field| Err(InvalidContact::Field { at, field });
        match () {
            () if !is_text(name) => return wrong("name"),
            () if !is_text(role) => return wrong("role"),
            () if !(email.is_empty() || is_email(email)) => return wrong("email"),
            () if !(phone.is_empty() || is_phone(phone)) => return wrong("phone"),
            () if email.is_empty() && phone.is_empty() => return Err(InvalidContact::Unreachable { at }),
            () => {}
        }
    }
    Ok(())
}

fn is_text(text: &str) -> bool {
    let chars = text.chars().count();
    (1..=FIELD_CHARS_MAX).contains(&chars) && text.trim() == text && !text.chars().any(char::is_control)
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    is_text(text)
        && !text.contains(char::is_whitespace)
        && parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.') && !domain.contains('@'))
}

fn is_phone(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_digit() || matches!(letter, '+' | ' ' | '.' | '-' | '(' | ')');
    PHONE_CHARS.contains(&text.chars().count()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(name: &str, email: &str, phone: &str) -> Contact {
        Contact { name: name.into(), role: "kỹ thuật".into(), email: email.into(), phone: phone.into() }
    }

    #[test]
    fn a_contact_can_be_reached_and_an_error_does_not_repeat_it() {
        assert_eq!(check(&[contact("An", "an@vinhlong.gov.vn", ""), contact("Bình", "", "0270 3822 222")]), Ok(()));
        let cases =
            [("", "a@b.vn", ""), ("An", "an", ""), ("An", "", ""), ("An", "", "call me"), ("A\nn", "a@b.vn", "")];
        for (name, email, phone) in cases {
            let error = check(&[contact(name, email, phone)]).unwrap_err().to_string();
            assert!(error.starts_with("contact 1") && !error.contains("call me"), "{error}");
        }
        assert_eq!(check(&vec![contact("An", "a@b.vn", ""); 21]), Err(InvalidContact::TooMany));
        assert_eq!(format!("{:?}", contact("An", "a@b.vn", "")), "Contact(..)");
    }
}

//! The `Signature-Input` field (RFC 9421 section 4.1), read in place: its usual shape directly, every other through the structured-field
//! parser.

use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor};
use sfv::{BareItemFromInput, KeyRef, Parser, StringRef};
use std::borrow::Cow;

use super::super::component::Component;
use super::super::error::ClaimError;
use super::super::{COMPONENTS_MAX, KEY_ID_BYTES_MAX, NONCE_BYTES_MAX};
use super::{Components, usual};
use crate::timestamp::UnixSeconds;

const FIELD: &str = "Signature-Input";
/// Stands for every tag with escapes.
const ESCAPED_TAG: &str = "\\";

/// What the field says, with every parameter the verifier needs.
pub(super) struct Input<'a> {
    pub(super) label: &'a str,
    pub(super) member: &'a str,
    pub(super) key_id: &'a str,
    pub(super) created: UnixSeconds,
    pub(super) expires: Option<UnixSeconds>,
    pub(super) nonce: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

/// What the field says, in whatever completeness.
pub(super) struct Parts<'a> {
    pub(super) label: &'a str,
    pub(super) member: &'a str,
    pub(super) params: Params<'a>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Params<'a> {
    pub(super) key_id: Option<&'a str>,
    pub(super) created: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) nonce: Option<&'a str>,
    pub(super) alg: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// Reads the field and requires `keyid` and `created`; `alg`, if given, must be `hmac-sha256`.
    pub(super) fn parse(text: &'a str, components: &mut Components<'a>) -> Result<Self, ClaimError> {
        let Parts { label, member, params } = Self::parse_parts(text, components)?;
        let Params { key_id, created, expires, nonce, alg, tag } = params;
        if alg.is_some_and(|alg| alg != "hmac-sha256") {
            return Err(ClaimError::malformed("alg", "this node verifies `hmac-sha256` only"));
        }
        let key_id = key_id.ok_or(ClaimError::NotCovered("keyid"))?;
        if key_id.is_empty() || key_id.len() > KEY_ID_BYTES_MAX {
            return Err(ClaimError::malformed("keyid", "give the access key you were issued"));
        }
        if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX) {
            return Err(ClaimError::malformed("nonce", format!("use 1 to {NONCE_BYTES_MAX} characters")));
        }
        let created = created.ok_or(ClaimError::NotCovered("created"))?;
        if expires.is_some_and(|expires| expires < created) {
            return Err(ClaimError::malformed("expires", "lies before `created`"));
        }
        let (created, expires) = (UnixSeconds(created), expires.map(UnixSeconds));
        Ok(Self { label, member, key_id, created, expires, nonce, tag })
    }

    /// Reads the field without asking for completeness. The covered components are put into `components`, which is empty
    /// and stays where it is: it is three quarters of a KiB.
    pub(super) fn parse_parts(text: &'a str, components: &mut Components<'a>) -> Result<Parts<'a>, ClaimError> {
        match usual::read(text, components) {
            Some(parts) => Ok(parts),
            None => Self::parse_generally(text, components),
        }
    }

    /// The same, through the structured-field parser whatever the shape.
    pub(super) fn parse_generally(text: &'a str, components: &mut Components<'a>) -> Result<Parts<'a>, ClaimError> {
        components.count = 0;
        let mut draft = Draft { label: None, components, params: Params::default(), problem: None };
        let parsed = Parser::new(text).parse_dictionary_with_visitor(&mut draft);
        if let Some(problem) = draft.problem {
            return Err(problem);
        }
        parsed.map_err(|error| ClaimError::malformed(FIELD, error.to_string()))?;
        let label = draft.label.ok_or_else(|| ClaimError::malformed(FIELD, "is empty"))?;
        // With exactly one member, all that follows its key and `=` is the member as received.
        let member = text.trim_matches(' ').strip_prefix(label).and_then(|rest| rest.strip_prefix('='));
        let member = member.ok_or_else(|| ClaimError::malformed(FIELD, "write it as `<label>=(…);…`"))?;
        Ok(Parts { label, member, params: draft.params })
    }
}

/// Fills itself while the parser walks the field; the first problem found stops the walk and is reported.
struct Draft<'c, 'a> {
    label: Option<&'a str>,
    components: &'c mut Components<'a>,
    params: Params<'a>,
    problem: Option<ClaimError>,
}

/// Stops the parser; the reason is in [`Draft::problem`].
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Stop;

impl<'a> Draft<'_, 'a> {
    fn stop(&mut self, part: &str, reason: impl Into<Box<str>>) -> Stop {
        self.problem = Some(ClaimError::malformed(part, reason));
        Stop
    }

    fn cover(&mut self, component: Component<'a>) -> Result<(), Stop> {
        if self.components.contains(&component) {
            return Err(self.stop(component.name(), "is covered twice"));
        }
        if self.components.add(component) {
            Ok(())
        } else {
            Err(self.stop(FIELD, format!("covers more than {COMPONENTS_MAX} components")))
        }
    }

    fn parameter(&mut self, key: &'a str, value: BareItemFromInput<'a>) -> Result<(), Stop> {
        let repeated = match (key, value) {
            ("created", BareItemFromInput::Integer(at)) => self.params.created.replace(at.into()).is_some(),
            ("expires", BareItemFromInput::Integer(at)) => self.params.expires.replace(at.into()).is_some(),
            ("keyid", BareItemFromInput::String(Cow::Borrowed(text))) => set(&mut self.params.key_id, text),
            ("nonce", BareItemFromInput::String(Cow::Borrowed(text))) => set(&mut self.params.nonce, text),
            ("alg", BareItemFromInput::String(Cow::Borrowed(text))) => set(&mut self.params.alg, text),
            ("tag", BareItemFromInput::String(Cow::Borrowed(text))) => set(&mut self.params.tag, text),
            // A tag with escapes is some application's own: the platform's has none.
            ("tag", BareItemFromInput::String(Cow::Owned(_))) => self.params.tag.replace(ESCAPED_TAG).is_some(),
            ("created" | "expires", _) => return Err(self.stop(key, "give whole seconds since 1970")),
            ("keyid" | "nonce" | "alg" | "tag", _) => {
                return Err(self.stop(key, "give a quoted string without escapes"));
            }
            // Section 2.3 lets applications add parameters; they are signed with the rest and mean nothing here.
            (_, _) => false,
        };
        if repeated { Err(self.stop(key, "is given twice")) } else { Ok(()) }
    }
}

fn set<'a>(place: &mut Option<&'a str>, text: &'a StringRef) -> bool {
    place.replace(text.as_str()).is_some()
}

impl<'a> DictionaryVisitor<'a> for &mut Draft<'_, 'a> {
    type Out = ();
    type Error = Stop;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Stop> {
        if self.label.replace(key.as_str()).is_some() {
            let reason = "holds more than one signature; send exactly one, so that it is clear which decides";
            return Err(self.stop(FIELD, reason));
        }
        Ok(Member(self))
    }

    fn finish(self) -> Result<(), Stop> {
        Ok(())
    }
}

struct Member<'d, 'c, 'a>(&'d mut Draft<'c, 'a>);

impl<'a> EntryVisitor<'a> for Member<'_, '_, 'a> {
    type Error = Stop;

    fn item(self) -> Result<impl ItemVisitor<'a>, Stop> {
        Err::<Ignored, Stop>(self.0.stop(FIELD, "its member must be a list of components: `<label>=(…);…`"))
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Stop> {
        Ok(self)
    }
}

impl<'a> InnerListVisitor<'a> for Member<'_, '_, 'a> {
    type Error = Stop;

    fn item(&mut self) -> Result<impl ItemVisitor<'a>, Stop> {
        Ok(CoveredItem(self.0))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'a>, Stop> {
        Ok(self)
    }
}

impl<'a> ParameterVisitor<'a> for Member<'_, '_, 'a> {
    type Out = ();
    type Error = Stop;

    fn parameter(&mut self, key: &'a KeyRef, value: BareItemFromInput<'a>) -> Result<(), Stop> {
        self.0.parameter(key.as_str(), value)
    }

    fn finish(self) -> Result<(), Stop> {
        Ok(())
    }
}

struct CoveredItem<'d, 'c, 'a>(&'d mut Draft<'c, 'a>);

impl<'a> ItemVisitor<'a> for CoveredItem<'_, '_, 'a> {
    type Out = ();
    type Error = Stop;

    fn bare_item(self, item: BareItemFromInput<'a>) -> Result<impl ParameterVisitor<'a, Out = ()>, Stop> {
        let BareItemFromInput::String(Cow::Borrowed(name)) = item else {
            return Err(self.0.stop(FIELD, "components are quoted strings"));
        };
        match Component::named(name.as_str()) {
            Some(component) => Ok(CoveredParameters { draft: self.0, component }),
            None => Err(self.0.stop(name.as_str(), "is not a component this node supports")),
        }
    }
}

struct CoveredParameters<'d, 'c, 'a> {
    draft: &'d mut Draft<'c, 'a>,
    component: Component<'a>,
}

impl<'a> ParameterVisitor<'a> for CoveredParameters<'_, '_, 'a> {
    type Out = ();
    type Error = Stop;

    /// `bs` is supported; `sf` and `key` would re-serialise what was sent, `req` and `tr` name other messages.
    fn parameter(&mut self, key: &'a KeyRef, value: BareItemFromInput<'a>) -> Result<(), Stop> {
        match (&mut self.component, key.as_str(), value) {
            (Component::Field { binary, .. }, "bs", BareItemFromInput::Boolean(true)) if !*binary => {
                *binary = true;
                Ok(())
            }
            (_, _, _) => {
                let reason = format!("the component parameter `{}` is not supported here", key.as_str());
                Err(self.draft.stop(self.component.name(), reason))
            }
        }
    }

    fn finish(self) -> Result<(), Stop> {
        self.draft.cover(self.component)
    }
}

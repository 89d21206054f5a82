//! Instants as whole seconds since 1970-01-01T00:00:00Z; written in documents as RFC 3339.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UnixSeconds(pub i64);

/// A text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write it as `2026-11-23T08:00:00+07:00`")]
pub struct InvalidTime(String);

impl UnixSeconds {
    /// Reads RFC 3339 (`2026-11-23T08:00:00+07:00`); fractions of a second are dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTime(text.into()))?;
        Ok(Self(instant.unix_timestamp()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0).ok().and_then(|instant| instant.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} s", self.0),
        }
    }
}

impl Serialize for UnixSeconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixSeconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A span of validity: from `not_before` up to, not including, `not_after`; an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first second of validity.
    pub not_before: Option<UnixSeconds>,
    /// The first second after validity.
    pub not_after: Option<UnixSeconds>,
}

impl Validity {
    /// Whether `now` lies within the span.
    pub fn holds_at(&self, now: UnixSeconds) -> bool {
        self.not_before.is_none_or(|start| start <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_offset_out_of_the_value() {
        assert_eq!(UnixSeconds::parse("1970-01-01T07:00:01+07:00"), Ok(UnixSeconds(1)));
        assert_eq!(UnixSeconds(1).to_string(), "1970-01-01T00:00:01Z");
        assert!(UnixSeconds::parse("23/11/2026").unwrap_err().to_string().contains("23/11/2026"));
    }

    #[test]
    fn validity_includes_its_start_and_excludes_its_end() {
        let span = Validity { not_before: Some(UnixSeconds(10)), not_after: Some(UnixSeconds(20)) };
        let inside: Vec<i64> = (8..22).filter(|now| span.holds_at(UnixSeconds(*now))).collect();
        assert_eq!(inside, (10..20).collect::<Vec<_>>());
        assert!(Validity::default().holds_at(UnixSeconds(i64::MIN)));
    }
}

//! Maintenance announced ahead of time (A13.8): a start, an end, a text; to one agency or to all of them.

use lgsp_shared::id::AgencyId;
use lgsp_shared::timestamp::UnixSeconds;

/// The longest text of a notice, in characters.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// The longest maintenance: 31 days.
pub const DURATION_SECS_MAX: i64 = 31 * 86_400;
/// The most notices on a page.
pub const PAGE_MAX: u32 = 200;

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its number; 0 before it was stored.
    pub number: u64,
    /// The document of the agency it is for; none when it is for all of them.
    pub agency: Option<AgencyId>,
    /// When the work starts.
    pub starts: UnixSeconds,
    /// When it ends.
    pub ends: UnixSeconds,
    /// The text in Vietnamese.
    pub text: String,
    /// The text in English; empty when there is none.
    pub text_en: String,
    /// Who announced it.
    pub author: String,
    /// When it was announced.
    pub published_at: UnixSeconds,
    /// When it was called off.
    pub cancelled_at: Option<UnixSeconds>,
}

/// How a notice stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The work is to come.
    Ahead,
    /// The work is going on.
    Underway,
    /// The work is over.
    Over,
    /// It was called off.
    Cancelled,
}

impl Standing {
    /// The standing as text.
    pub fn label(self) -> &'static str {
        match self {
            Standing::Ahead => "ahead",
            Standing::Underway => "underway",
            Standing::Over => "over",
            Standing::Cancelled => "cancelled",
        }
    }
}

/// A notice that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNotice {
    /// The end is not after the start.
    #[error("the end is not after the start; give both as `2026-11-23T22:00:00+07:00`")]
    Backwards,
    /// It is over.
    #[error("the end has passed; a notice is published ahead of time")]
    Past,
    /// It lasts too long.
    #[error("the work lasts more than 31 days; announce it in parts")]
    TooLong,
}

/// Checks the times of a notice that is announced at `now`.
pub fn check(starts: UnixSeconds, ends: UnixSeconds, now: UnixSeconds) -> Result<(), InvalidNotice> {
    match () {
        () if ends <= starts => Err(InvalidNotice::Backwards),
        () if ends <= now => Err(InvalidNotice::Past),
        () if ends.0.saturating_sub(starts.0) > DURATION_SECS_MAX => Err(InvalidNotice::TooLong),
        () => Ok(()),
    }
}

impl Notice {
    /// How it stands.
    pub fn standing(&self, now: UnixSeconds) -> Standing {
        match () {
            () if self.cancelled_at.is_some() => Standing::Cancelled,
            () if now < self.starts => Standing::Ahead,
            () if now < self.ends => Standing::Underway,
            () => Standing::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(starts: i64, ends: i64) -> Notice {
        Notice {
            number: 1,
            agency: None,
            starts: UnixSeconds(starts),
            ends: UnixSeconds(ends),
            text: "Nâng cấp".into(),
            text_en: String::new(),
            author: "operator".into(),
            published_at: UnixSeconds(5),
            cancelled_at: None,
        }
    }

    #[test]
    fn a_notice_is_ahead_then_underway_then_over() {
        let standing = |now| notice(10, 20).standing(UnixSeconds(now));
        assert_eq!(
            [9, 10, 19, 20].map(standing),
            [Standing::Ahead, Standing::Underway, Standing::Underway, Standing::Over]
        );
        let cancelled = Notice { cancelled_at: Some(UnixSeconds(6)), ..notice(10, 20) };
        assert_eq!(cancelled.standing(UnixSeconds(15)), Standing::Cancelled);
    }

    #[test]
    fn times_that_cannot_be_meant_are_refused() {
        let check = |starts, ends| check(UnixSeconds(starts), UnixSeconds(ends), UnixSeconds(100));
        assert_eq!(check(200, 200), Err(InvalidNotice::Backwards));
        assert_eq!(check(10, 100), Err(InvalidNotice::Past));
        assert_eq!(check(200, 201 + DURATION_SECS_MAX), Err(InvalidNotice::TooLong));
        assert_eq!(check(50, 101), Ok(()));
    }
}

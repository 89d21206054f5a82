//! The basic ISO 8601 time of SigV4, `20150830T123600Z`, kept as the text that is signed.

use time::{Date, Month, OffsetDateTime};

use crate::timestamp::UnixSeconds;

/// Bytes of `20150830T123600Z`.
pub const AMZ_DATE_BYTES: usize = 16;
const DAY_BYTES: usize = 8;

/// An instant in the form SigV4 signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmzDate {
    text: [u8; AMZ_DATE_BYTES],
    at: UnixSeconds,
}

impl AmzDate {
    /// The form of `at`; `None` outside the years 0 to 9999.
    pub fn of(at: UnixSeconds) -> Option<Self> {
        let instant = OffsetDateTime::from_unix_timestamp(at.0).ok()?;
        let year = u32::try_from(instant.year()).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"00000000T000000Z";
        let parts = [
            (0, 4, year),
            (4, 2, u32::from(u8::from(instant.month()))),
            (6, 2, instant.day().into()),
            (9, 2, instant.hour().into()),
            (11, 2, instant.minute().into()),
            (13, 2, instant.second().into()),
        ];
        for (start, digits, value) in parts {
            let mut value = value;
            for place in text.get_mut(start..start + digits)?.iter_mut().rev() {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        }
        Some(Self { text, at })
    }

    /// Reads `20150830T123600Z`, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; AMZ_DATE_BYTES] = text.as_bytes().try_into().ok()?;
        let number = |range| number(text.get(range)?);
        if bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
            return None;
        }
        let at =
            instant([number(0..4)?, number(4..6)?, number(6..8)?, number(9..11)?, number(11..13)?, number(13..15)?])?;
        Some(Self { text: bytes, at })
    }

    /// Reads an IMF-fixdate, `Sun, 30 Aug 2015 12:36:00 GMT` (RFC 9110 section 5.6.7); obsolete forms are refused.
    pub fn parse_http(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let (day_name, rest) = text.split_once(", ")?;
        let rest = rest.strip_suffix(" GMT").filter(|rest| rest.len() == 20 && DAYS.contains(&day_name))?;
        let number = |range| number(rest.get(range)?);
        let month = MONTHS.iter().position(|name| rest.get(3..6) == Some(name))?;
        let separators = [(2, b' '), (6, b' '), (11, b' '), (14, b':'), (17, b':')];
        if !separators.iter().all(|(at, byte)| rest.as_bytes().get(*at) == Some(byte)) {
            return None;
        }
        let month = u32::try_from(month).ok()? + 1;
        let at = instant([number(7..11)?, month, number(0..2)?, number(12..14)?, number(15..17)?, number(18..20)?])?;
        Self::of(at)
    }

    /// The instant.
    pub fn at(&self) -> UnixSeconds {
        self.at
    }

    /// The text, as `x-amz-date` carries it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The day, as a credential scope carries it.
    pub fn day(&self) -> &str {
        self.as_str().get(..DAY_BYTES).unwrap_or_default()
    }
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn instant([year, month, day, hour, minute, second]: [u32; 6]) -> Option<UnixSeconds> {
    let narrow = |value: u32| u8::try_from(value).ok();
    let month = Month::try_from(narrow(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, narrow(day)?).ok()?;
    let moment = date.with_hms(narrow(hour)?, narrow(minute)?, narrow(second)?).ok()?;
    Some(UnixSeconds(moment.assume_utc().unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_readings_of_an_instant_agree() {
        let date = AmzDate::parse("20150830T123600Z").unwrap();
        assert_eq!(date.at(), UnixSeconds(1_440_938_160));
        assert_eq!(AmzDate::of(date.at()), Some(date));
        assert_eq!(AmzDate::parse_http("Sun, 30 Aug 2015 12:36:00 GMT"), Some(date));
        assert_eq!((date.as_str(), date.day()), ("20150830T123600Z", "20150830"));
        assert_eq!(AmzDate::of(UnixSeconds(i64::MAX)), None);
    }

    #[test]
    fn anything_but_the_exact_form_is_refused() {
        let basic = [
            "",
            "20150830",
            "20150830T123600",
            "20150830T123600z",
            "20151330T123600Z",
            "20150230T123600Z",
            "2015-08-30T12:36:00Z",
            "20150830T126000Z",
            "+0150830T123600Z",
            "20150830T12360éZ",
        ];
        assert!(basic.iter().all(|text| AmzDate::parse(text).is_none()));
        let http = [
            "Sunday, 30-Aug-15 12:36:00 GMT",
            "Sun Aug 30 12:36:00 2015",
            "Sun, 30 Aug 2015 12:36:00 UTC",
            "Sun, 30 Aug 2015 24:36:00 GMT",
            "Sun, 3 Aug 2015 12:36:00 GMT",
            "Xxx, 30 Aug 2015 12:36:00 GMT",
        ];
        assert!(http.iter().all(|text| AmzDate::parse_http(text).is_none()));
    }
}

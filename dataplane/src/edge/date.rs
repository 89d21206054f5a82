//! RFC 9110 section 6.6.1: `Date` on every answer. Clients correct a wrong clock by the `Date` of a refusal.
//!
//! Formatted once a second on each thread.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_BYTES: usize = 29;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECS_PER_DAY: u64 = 86_400;

thread_local! {
    static FORMATTED: Cell<(u64, [u8; DATE_BYTES])> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
}

/// Now, as `Date` says it.
pub fn now() -> [u8; DATE_BYTES] {
    let secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    FORMATTED.with(|formatted| {
        let (at, text) = formatted.get();
        if at == secs {
            return text;
        }
        let text = format(secs);
        formatted.set((secs, text));
        text
    })
}

fn format(secs: u64) -> [u8; DATE_BYTES] {
    let days = secs / SECS_PER_DAY;
    let (year, month, day) = civil(days);
    let of_day = secs % SECS_PER_DAY;
    let named = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        named(&DAYS, days % 7).unwrap_or_default(),
        named(&MONTHS, month - 1).unwrap_or_default(),
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    );
    text.as_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

/// Year, month and day of a day counted from 1970-01-01: Howard Hinnant's `civil_from_days`, for days since then.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_the_specification_writes_them() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&format(secs)).unwrap(), text);
        }
    }

    #[test]
    fn the_date_of_now_is_that_of_the_clock() {
        let secs = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let before = secs();
        let text = now();
        assert!((before..=secs()).any(|secs| format(secs) == text));
    }
}

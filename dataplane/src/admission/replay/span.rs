//! For which requests this process can know whether they were seen: those signed after its start, and before it began to
//! end. The process that served here before may have taken the others.
//!
//! Sources' clocks may be ahead by up to the clock window, so that a request taken before the start can claim to be signed
//! after it. Such requests leave a mark on disk before they are forwarded, one for each key; the marks of before are
//! part of the span. And a clock window that is made wider admits nothing whose nonce was remembered for the narrow one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use lgsp_shared::timestamp::UnixSeconds;

use super::KeyId;
use crate::admission::REPLAY_HOLD_SECS_MAX;

/// How long nodes may take to use a new clock window after the first of them.
const SPREAD_SECS: i64 = 60;

/// The latest instant at which a request was signed that was taken before this process began, by key; where it was ahead
/// of the clock.
pub type Ahead = HashMap<KeyId, UnixSeconds>;

/// The span. It has no limits until [`Span::begin`] and [`Span::end`] set them.
#[derive(Debug)]
pub struct Span {
    began: AtomicI64,
    /// The latest of all marks.
    marked: AtomicI64,
    marks: ArcSwap<Ahead>,
    ended: AtomicI64,
    windows: Windows,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            began: AtomicI64::new(i64::MIN),
            marked: AtomicI64::new(i64::MIN),
            marks: ArcSwap::default(),
            ended: AtomicI64::new(i64::MAX),
            windows: Windows::default(),
        }
    }
}

impl Span {
    /// This process takes requests signed after `at`, and after the mark of their key.
    pub fn begin(&self, at: UnixSeconds, marks: Ahead) {
        let latest = marks.values().max().map_or(i64::MIN, |mark| mark.0);
        self.marks.store(marks.into());
        self.marked.store(latest, Ordering::Release);
        self.began.store(at.0, Ordering::Release);
    }

    /// This process takes nothing yet: it has not taken over from its predecessor.
    pub fn wait(&self, marks: Ahead) {
        self.begin(UnixSeconds(i64::MAX), marks);
    }

    /// This process takes requests signed after `at`, if it was still waiting.
    pub fn begin_if_waiting(&self, at: UnixSeconds) {
        let _ = self.began.compare_exchange(i64::MAX, at.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// This process takes nothing that is signed after `at`: another one does.
    pub fn end(&self, at: UnixSeconds) {
        self.ended.store(at.0, Ordering::Release);
    }

    /// Since when, exclusive, this process takes requests by the time at which they were signed.
    pub fn began(&self) -> UnixSeconds {
        UnixSeconds(self.began.load(Ordering::Acquire))
    }

    /// The marks of before, for a successor.
    pub fn marks(&self) -> Ahead {
        Ahead::clone(&self.marks.load())
    }

    /// Whether this process can know if a request of this key, signed then, was seen.
    pub fn covers(&self, access_key: &str, created: UnixSeconds) -> bool {
        if created.0 <= self.began.load(Ordering::Acquire) || created.0 > self.ended.load(Ordering::Acquire) {
            return false;
        }
        created.0 > self.marked.load(Ordering::Acquire) || {
            let marks = self.marks.load();
            marks.get(&KeyId::of(access_key)).is_none_or(|mark| created > *mark)
        }
    }

    /// The clock window for a request signed at `created`; `window_secs` is that of the configuration. Notes its change.
    pub fn window_secs(&self, window_secs: i64, created: UnixSeconds, now: UnixSeconds) -> i64 {
        self.windows.note(window_secs, now);
        self.windows.of(window_secs, created)
    }

    /// What is known of the clock windows of late, for a successor.
    pub fn windows(&self) -> [i64; 3] {
        let Windows { current, narrow, narrow_until, changing: _ } = &self.windows;
        [current, narrow, narrow_until].map(|word| word.load(Ordering::Acquire))
    }

    /// Takes over what a predecessor knows of them.
    pub fn set_windows(&self, [current, narrow, narrow_until]: [i64; 3]) {
        self.windows.narrow.store(narrow, Ordering::Release);
        self.windows.narrow_until.store(narrow_until, Ordering::Release);
        self.windows.current.store(current, Ordering::Release);
    }

    /// As [`Self::window_secs`], without noting anything.
    pub fn window_secs_now(&self, window_secs: i64, created: UnixSeconds) -> i64 {
        self.windows.of(window_secs, created)
    }
}

/// The clock windows of the last half hour, as far as they matter: their present width, and the narrowest by which
/// requests signed until some instant may have been remembered.
#[derive(Debug)]
struct Windows {
    /// 0 before the first request.
    current: AtomicI64,
    narrow: AtomicI64,
    narrow_until: AtomicI64,
    changing: Mutex<()>,
}

impl Default for Windows {
    fn default() -> Self {
        let (current, narrow, narrow_until) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(i64::MIN));
        Self { current, narrow, narrow_until, changing: Mutex::default() }
    }
}

impl Windows {
    fn note(&self, window_secs: i64, now: UnixSeconds) {
        if self.current.load(Ordering::Acquire) != window_secs {
            self.change(window_secs, now);
        }
    }

    #[cold]
    fn change(&self, window_secs: i64, now: UnixSeconds) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load(Ordering::Acquire);
        if before != 0 && before < window_secs {
            let until = self.narrow_until.load(Ordering::Acquire);
            let matters = until.saturating_add(REPLAY_HOLD_SECS_MAX) >= now.0;
            let narrow = if matters { self.narrow.load(Ordering::Acquire).min(before) } else { before };
            self.narrow.store(narrow, Ordering::Release);
            // A clock may have been ahead by the narrow window when its request was taken.
            let taken = now.0.saturating_add(before).saturating_add(SPREAD_SECS);
            self.narrow_until.store(until.max(taken), Ordering::Release);
        }
        self.current.store(window_secs, Ordering::Release);
    }

    fn of(&self, window_secs: i64, created: UnixSeconds) -> i64 {
        if created.0 > self.narrow_until.load(Ordering::Acquire) {
            return window_secs;
        }
        window_secs.min(self.narrow.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn covers(span: &Span, key: &str, created: i64) -> bool {
        span.covers(key, UnixSeconds(created))
    }

    #[test]
    fn a_process_knows_nothing_of_what_was_signed_before_it_began_or_after_it_ended() {
        let span = Span::default();
        assert!(covers(&span, "KEY1", 0) && covers(&span, "KEY1", i64::MAX));
        span.begin(UnixSeconds(NOW), Ahead::new());
        assert_eq!([NOW - 1, NOW, NOW + 1].map(|created| covers(&span, "KEY1", created)), [false, false, true]);
        span.end(UnixSeconds(NOW + 9));
        assert_eq!([NOW + 9, NOW + 10].map(|created| covers(&span, "KEY1", created)), [true, false]);
    }

    #[test]
    fn a_key_whose_clock_was_ahead_waits_for_its_own_mark_and_no_other_key_does() {
        let span = Span::default();
        span.begin(UnixSeconds(NOW), Ahead::from([(KeyId::of("AHEAD"), UnixSeconds(NOW + 200))]));
        assert_eq!([200, 201].map(|secs| covers(&span, "AHEAD", NOW + secs)), [false, true]);
        assert!(covers(&span, "OTHER", NOW + 1));
    }

    #[test]
    fn a_wider_clock_window_is_for_what_is_signed_after_it_was_widened() {
        let span = Span::default();
        let window = |secs, created, now| span.window_secs(secs, UnixSeconds(created), UnixSeconds(now));
        assert_eq!(window(5, NOW, NOW), 5);
        let widened = NOW + 7;
        assert_eq!(window(300, NOW, widened), 5, "its nonce may be forgotten by now");
        let first = widened + 5 + SPREAD_SECS + 1;
        assert_eq!((window(300, first - 1, widened), window(300, first, widened)), (5, 300));
        assert_eq!(window(10, first, widened + 1), 10);
        assert_eq!(window(300, first, widened + 2), 5, "the narrowest of late counts");
        assert_eq!(span.window_secs_now(300, UnixSeconds(NOW)), 5);
    }
}

//! How many places are taken, in a shard and by a key: counted by the end of each nonce's life, in steps of about a minute,
//! so that what has expired leaves the count without being looked for.

use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::timestamp::UnixSeconds;

use crate::admission::REPLAY_HOLD_SECS_MAX;

/// Seconds that are counted together: a count lags behind by no more.
const STEP_SECS: i64 = 64;
/// Steps: more than the longest life takes.
const STEPS: usize = 32;
const _: () = assert!((STEPS as i64 - 2) * STEP_SECS > REPLAY_HOLD_SECS_MAX);
/// Counts of keys at most: 256 bytes each, 1 MiB. Keys that meet in one share what it allows.
const KEYS_MAX: usize = 4_096;
const KEYS_MIN: usize = 64;
/// Slots of a window for one count of keys.
const SLOTS_PER_KEY: usize = 1_024;

fn step_of(at: UnixSeconds) -> i64 {
    at.0.div_euclid(STEP_SECS)
}

fn index_of(step: i64) -> usize {
    // Never negative, and below the number of steps.
    usize::try_from(step.rem_euclid(STEPS as i64)).unwrap_or(0)
}

/// The live nonces of one shard. Behind the shard's lock.
#[derive(Debug, Default)]
pub(super) struct Live {
    counts: [u32; STEPS],
    oldest: i64,
    total: u32,
}

impl Live {
    /// How many there are; what has expired is counted no longer.
    pub fn count(&mut self, now: UnixSeconds) -> u32 {
        let step = step_of(now);
        if step.saturating_sub(self.oldest) >= STEPS as i64 {
            *self = Self { oldest: step, ..Self::default() };
        }
        while self.oldest < step {
            if let Some(count) = self.counts.get_mut(index_of(self.oldest)) {
                self.total = self.total.saturating_sub(std::mem::take(count));
            }
            self.oldest += 1;
        }
        self.total
    }

    /// One more, until then.
    pub fn add(&mut self, until: UnixSeconds, now: UnixSeconds) {
        self.count(now);
        let index = self.index(until);
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
            self.total += 1;
        }
    }

    /// One of those that would have lived until then is gone.
    pub fn remove(&mut self, until: UnixSeconds) {
        let index = self.index(until);
        if let Some(count) = self.counts.get_mut(index).filter(|count| **count > 0) {
            *count -= 1;
            self.total = self.total.saturating_sub(1);
        }
    }

    fn index(&self, until: UnixSeconds) -> usize {
        index_of(step_of(until).clamp(self.oldest, self.oldest.saturating_add(STEPS as i64 - 1)))
    }
}

/// The live nonces of each key, without a lock.
pub(super) struct Shares {
    /// Each word: the step it counts in its upper half, the count in its lower.
    keys: Box<[[AtomicU64; STEPS]]>,
}

impl Shares {
    /// For a window of so many slots.
    pub fn of(slots: usize) -> Self {
        let keys = (slots / SLOTS_PER_KEY).clamp(KEYS_MIN, KEYS_MAX);
        Self { keys: (0..keys).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect() }
    }

    /// How many nonces of this key are live; 0 for one that is not known.
    pub fn count(&self, key: Option<u64>, now: UnixSeconds) -> u64 {
        let Some(words) = self.words(key) else { return 0 };
        let now = tag_of(step_of(now));
        let live = words.iter().map(|word| word.load(Ordering::Relaxed)).filter(|word| word >> 32 >= now);
        live.map(|word| word & u64::from(u32::MAX)).sum()
    }

    /// One more of this key, until then.
    pub fn add(&self, key: Option<u64>, until: UnixSeconds) {
        let tag = tag_of(step_of(until));
        self.change(key, until, |word| Some(if word >> 32 == tag { word + 1 } else { tag << 32 | 1 }));
    }

    /// One of those of this key that would have lived until then is gone.
    pub fn remove(&self, key: Option<u64>, until: UnixSeconds) {
        let tag = tag_of(step_of(until));
        self.change(key, until, |word| (word >> 32 == tag && word & u64::from(u32::MAX) > 0).then(|| word - 1));
    }

    fn change(&self, key: Option<u64>, until: UnixSeconds, to: impl Fn(u64) -> Option<u64>) {
        let Some(word) = self.words(key).and_then(|words| words.get(index_of(step_of(until)))) else { return };
        // Without a change there is nothing to note.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, to);
    }

    fn words(&self, key: Option<u64>) -> Option<&[AtomicU64; STEPS]> {
        self.keys.get(usize::try_from(key? % self.keys.len() as u64).ok()?)
    }
}

/// A step as it fits the upper half of a word; steps are positive and small for thousands of years.
fn tag_of(step: i64) -> u64 {
    u64::from(u32::try_from(step).unwrap_or(0))
}

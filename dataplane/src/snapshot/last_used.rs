//! When a credential was last used on this node: one word, written at most once a second.

use std::sync::atomic::{AtomicI64, Ordering};

use lgsp_shared::timestamp::UnixSeconds;

/// Seconds since 1970; 0 for never.
#[derive(Debug, Default)]
pub struct LastUsed(AtomicI64);

impl LastUsed {
    /// Used now. Within one second only the first use writes, so that cores do not take the word from each other.
    pub fn touch(&self, now: UnixSeconds) {
        if self.0.load(Ordering::Relaxed) < now.0 {
            self.0.store(now.0, Ordering::Relaxed);
        }
    }

    /// When, if ever since the node started.
    pub fn get(&self) -> Option<UnixSeconds> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != 0).map(UnixSeconds)
    }
}

//! The share of a service's places that one source may hold.
//!
//! All sources of a service share its places, so a source may hold at most [`SHARE_FACTOR`] times as many as it leaves
//! free. Alone it gets eight of nine, 1138 of the default 1280; two get about 600 each and leave 75. However many the busiest
//! sources hold, the next one finds some.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many places a source may hold for each that it leaves free.
pub const SHARE_FACTOR: u32 = 8;

/// What one source holds at one service. It outlives revisions.
#[derive(Debug, Default)]
pub struct SourceShare {
    held: AtomicU32,
}

impl SourceShare {
    /// Exchanges of the source in flight at the service.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether the source may take one of `free` places.
    pub fn allows(&self, free: u32) -> bool {
        self.held() < free.saturating_mul(SHARE_FACTOR)
    }

    /// Takes a place; to be given back by dropping it.
    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        self.held.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// A place taken by a source.
#[derive(Debug)]
pub(super) struct Entered(Arc<SourceShare>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

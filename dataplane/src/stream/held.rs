//! Memory for bytes of bodies that are held until they are verified: one budget for the node.
//!
//! What one request may hold is bounded where it is held. The sum is bounded here, and it is shared fairly: an access key
//! may hold at most [`SHARE_FACTOR`] times as much as it leaves free. Above that the request is refused as `overloaded`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::refusal::Code;

/// How much an access key may hold for each byte that it leaves free.
const SHARE_FACTOR: u64 = 8;

/// The node's budget.
#[derive(Debug)]
pub struct HeldBudget {
    bytes_max: u64,
    used: AtomicU64,
}

impl HeldBudget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max: bytes_max as u64, used: AtomicU64::new(0) }
    }
}

/// What the bodies of one access key hold. It outlives revisions.
#[derive(Debug, Default)]
pub struct HeldByKey(AtomicU64);

/// What one body holds; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<HeldBudget>,
    key: Arc<HeldByKey>,
    bytes: u64,
}

impl Held {
    /// Nothing yet.
    pub fn new(budget: &Arc<HeldBudget>, key: &Arc<HeldByKey>) -> Self {
        Self { budget: budget.clone(), key: key.clone(), bytes: 0 }
    }

    /// Notes that the body holds so many bytes now.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when there is no room for them; it then counts as before.
    pub fn set(&mut self, bytes: u64) -> Result<(), Code> {
        let more = bytes.saturating_sub(self.bytes);
        let used = self.budget.used.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let of_key = self.key.0.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let free = self.budget.bytes_max.checked_sub(used);
        if more > 0 && free.is_none_or(|free| of_key > free.saturating_mul(SHARE_FACTOR)) {
            self.give_back(more);
            return Err(Code::Overloaded);
        }
        self.give_back(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        self.key.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_bounded_and_each_key_leaves_room_for_the_next() {
        let budget = Arc::new(HeldBudget::new(900));
        let keys = [(); 3].map(|()| Arc::<HeldByKey>::default());
        let fill = |key| {
            let mut all = Vec::new();
            loop {
                let mut held = Held::new(&budget, key);
                if held.set(10).is_err() {
                    return all;
                }
                all.push(held);
            }
        };
        let first = fill(&keys[0]);
        assert_eq!(first.len(), 80);
        assert!(!fill(&keys[1]).is_empty());
        drop(first);
        assert_eq!((budget.used.load(Ordering::Relaxed), keys[0].0.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn what_is_refused_counts_as_before_and_what_shrinks_is_given_back() {
        let (budget, key) = (Arc::new(HeldBudget::new(900)), Arc::default());
        let mut held = Held::new(&budget, &key);
        assert_eq!(
            (held.set(500), held.set(1_000), held.set(850)),
            (Ok(()), Err(Code::Overloaded), Err(Code::Overloaded))
        );
        assert_eq!(budget.used.load(Ordering::Relaxed), 500);
        assert_eq!(held.set(0), Ok(()));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}

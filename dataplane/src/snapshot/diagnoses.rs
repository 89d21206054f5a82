//! How often what is wrong with a key's signatures is looked for: a diagnosis tries many heads, and needs no secret.

use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::timestamp::UnixSeconds;

/// Diagnoses for one access key in one second. Each costs up to 0.5 ms of CPU, so that who knows an access key can make a
/// node spend 5 ms of each second on it.
pub const DIAGNOSES_PER_SECOND_MAX: u64 = 10;
/// Bits of the counter that count; the others hold the second.
const COUNT_BITS: u32 = 8;

/// The diagnoses of the second.
#[derive(Debug, Default)]
pub struct Diagnoses(AtomicU64);

impl Diagnoses {
    /// Whether there may be one more in this second.
    pub fn take(&self, now: UnixSeconds) -> bool {
        let second = now.0.unsigned_abs() << COUNT_BITS;
        let next = |state: u64| {
            let begun = if state >> COUNT_BITS == second >> COUNT_BITS { state } else { second };
            let used = begun & ((1 << COUNT_BITS) - 1);
            (used < DIAGNOSES_PER_SECOND_MAX).then_some(begun + 1)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_diagnoses_and_the_next_one_again() {
        let diagnoses = Diagnoses::default();
        for second in [1_800_000_000, 1_800_000_001] {
            let given = (0..100).filter(|_| diagnoses.take(UnixSeconds(second))).count();
            assert_eq!(given as u64, DIAGNOSES_PER_SECOND_MAX);
        }
    }
}

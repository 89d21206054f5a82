//! The replay window: a nonce is good once per key for as long as the clock check would let it pass again.
//!
//! A fixed table of 16-byte slots, allocated once, split into shards with one lock each. A slot holds a keyed 63-bit
//! hash of access key and nonce, and until when it counts; an expired slot is free again. Nothing grows and nothing
//! is swept. When all slots a nonce may use hold live nonces there is no room and the request is refused: forgetting
//! a nonce early would let it be replayed. Two different nonces collide once in about 10^11 requests at a full table,
//! which refuses a request and never lets one through.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Mutex;

use lgsp_shared::signature::Nonce;
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest, Sha256};

/// Slots by default: 64 MiB when all are in use, touched only as they are used; about 8 000 nonces a second at the
/// default clock window of 300 s.
pub const REPLAY_SLOTS_DEFAULT: usize = 1 << 22;

/// Locks. Requests of different nonces rarely meet; 64 shards keep 16 threads apart.
const SHARDS: usize = 64;
/// Consecutive slots a nonce may use: 1 KiB, read in order.
const PROBES_MAX: usize = 64;
/// The smallest shard that still probes without overlap.
const SHARD_SLOTS_MIN: usize = PROBES_MAX;

/// What the window knows of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not here before; now it is remembered.
    First,
    /// It was here before.
    Again,
    /// It cannot be remembered.
    NoRoom,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// 0 for a slot that was never used.
    fingerprint: u64,
    until: i64,
}

/// Bytes of a [`NonceId`].
pub const NONCE_ID_BYTES: usize = 32;

/// A nonce of a key in the same form on every node: SHA-256 over both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceId([u8; NONCE_ID_BYTES]);

impl NonceId {
    /// The nonce of this key.
    pub fn of(access_key: &str, nonce: Nonce<'_>) -> Self {
        // No access key holds a zero byte, so the two parts cannot be told apart in two ways.
        let hash = Sha256::new().chain_update(access_key.as_bytes());
        let hash = match nonce {
            Nonce::Given(text) => hash.chain_update([0, 0]).chain_update(text.as_bytes()),
            Nonce::Signature(bytes) => hash.chain_update([0, 1]).chain_update(bytes),
        };
        Self(hash.finalize().into())
    }

    /// Takes over what another node sent.
    pub fn from_bytes(bytes: [u8; NONCE_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sent to another node.
    pub fn as_bytes(&self) -> &[u8; NONCE_ID_BYTES] {
        &self.0
    }
}

/// What the owner of a nonce has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The nonce.
    pub id: NonceId,
    /// When the request was signed.
    pub created: UnixSeconds,
    /// Until when the nonce must be remembered.
    pub until: UnixSeconds,
}

impl Question {
    /// The first instant at which a node could have taken the request: a clock window before it was signed.
    pub fn earliest(&self) -> UnixSeconds {
        let window_secs = self.until.0.saturating_sub(self.created.0);
        UnixSeconds(self.created.0.saturating_sub(window_secs))
    }
}

/// The nonces of the last minutes.
pub struct ReplayWindow {
    shards: Box<[Mutex<Box<[Slot]>>]>,
    hasher: RandomState,
    shared: bool,
}

impl std::fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayWindow").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl ReplayWindow {
    /// A window of about `slots` slots of 16 bytes; the hash key is random, so that nobody can aim at one slot.
    pub fn new(slots: usize) -> Self {
        let shard_slots = slots.div_ceil(SHARDS).next_power_of_two().max(SHARD_SLOTS_MIN);
        let shard = || Mutex::new(vec![Slot { fingerprint: 0, until: 0 }; shard_slots].into_boxed_slice());
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new(), shared: false }
    }

    /// A window of which other nodes ask: it knows nonces by the form they have on every node, at the cost of one SHA-256.
    pub fn shared(slots: usize) -> Self {
        Self { shared: true, ..Self::new(slots) }
    }

    /// The form of this nonce on every node, if other nodes ask this window.
    pub fn identify(&self, access_key: &str, nonce: Nonce<'_>) -> Option<NonceId> {
        self.shared.then(|| NonceId::of(access_key, nonce))
    }

    /// As [`Self::see`], for a nonce in the form it has on every node.
    pub fn see_id(&self, id: &NonceId, until: UnixSeconds, now: UnixSeconds) -> Seen {
        self.see_hash(self.hasher.hash_one(id.as_bytes()), until, now)
    }

    /// Remembers a nonce until `until`, inclusive, or tells that it is remembered already.
    pub fn see(&self, access_key: &str, nonce: Nonce<'_>, until: UnixSeconds, now: UnixSeconds) -> Seen {
        self.see_hash(self.hash(access_key, nonce), until, now)
    }

    fn see_hash(&self, hash: u64, until: UnixSeconds, now: UnixSeconds) -> Seen {
        let Some(shard) = self.shards.get(hash as usize % SHARDS) else { return Seen::NoRoom };
        // A panic while the lock was held cannot leave a slot half-written; the table stays usable.
        let mut slots = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        see_in(&mut slots, hash, until, now)
    }

    /// What [`ReplayWindow::see`] would say, without remembering anything.
    pub fn peek(&self, access_key: &str, nonce: Nonce<'_>, now: UnixSeconds) -> Seen {
        let hash = self.hash(access_key, nonce);
        let Some(shard) = self.shards.get(hash as usize % SHARDS) else { return Seen::NoRoom };
        let slots = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match place_in(&slots, hash, now) {
            Place::Taken => Seen::Again,
            Place::Free(_) => Seen::First,
            Place::None => Seen::NoRoom,
        }
    }

    fn hash(&self, access_key: &str, nonce: Nonce<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        access_key.hash(&mut hasher);
        match nonce {
            Nonce::Given(text) => (0u8, text).hash(&mut hasher),
            Nonce::Signature(bytes) => (1u8, bytes).hash(&mut hasher),
        }
        hasher.finish()
    }
}

fn see_in(slots: &mut [Slot], hash: u64, until: UnixSeconds, now: UnixSeconds) -> Seen {
    match place_in(slots, hash, now) {
        Place::Taken => Seen::Again,
        Place::None => Seen::NoRoom,
        Place::Free(index) => match slots.get_mut(index) {
            Some(slot) => {
                *slot = Slot { fingerprint: fingerprint(hash), until: until.0 };
                Seen::First
            }
            None => Seen::NoRoom,
        },
    }
}

fn fingerprint(hash: u64) -> u64 {
    hash | 1
}

/// Where a nonce is or could be.
enum Place {
    Taken,
    Free(usize),
    None,
}

fn place_in(slots: &[Slot], hash: u64, now: UnixSeconds) -> Place {
    let first = (hash / SHARDS as u64) as usize;
    let mask = slots.len() - 1;
    let mut free = None;
    for step in 0..PROBES_MAX {
        let index = first.wrapping_add(step) & mask;
        let Some(slot) = slots.get(index) else { return Place::None };
        let unused = slot.fingerprint == 0;
        if unused || slot.until < now.0 {
            free = free.or(Some(index));
        } else if slot.fingerprint == fingerprint(hash) {
            return Place::Taken;
        }
        if unused {
            break;
        }
    }
    free.map_or(Place::None, Place::Free)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn see(window: &ReplayWindow, key: &str, nonce: &str, until: i64, now: i64) -> Seen {
        window.see(key, Nonce::Given(nonce), UnixSeconds(until), UnixSeconds(now))
    }

    #[test]
    fn a_nonce_is_good_once_per_key_until_it_expires() {
        let window = ReplayWindow::new(1 << 10);
        let peek = || window.peek("KEY1", Nonce::Given("n"), UnixSeconds(50));
        assert_eq!([peek(), peek()], [Seen::First; 2], "asking remembers nothing");
        assert_eq!(see(&window, "KEY1", "n", 100, 50), Seen::First);
        assert_eq!(peek(), Seen::Again);
        assert_eq!(see(&window, "KEY1", "n", 100, 50), Seen::Again);
        assert_eq!(see(&window, "KEY1", "n", 400, 100), Seen::Again, "signed anew with an old nonce");
        assert_eq!(see(&window, "KEY2", "n", 100, 50), Seen::First);
        assert_eq!(see(&window, "KEY1", "n", 401, 101), Seen::First);
    }

    #[test]
    fn a_signature_is_not_mistaken_for_a_nonce() {
        let window = ReplayWindow::new(1 << 10);
        let (until, now) = (UnixSeconds(9), UnixSeconds(1));
        assert_eq!(window.see("KEY1", Nonce::Signature([7; 32]), until, now), Seen::First);
        assert_eq!(window.see("KEY1", Nonce::Signature([7; 32]), until, now), Seen::Again);
        assert_eq!(window.see("KEY1", Nonce::Signature([8; 32]), until, now), Seen::First);
    }

    #[test]
    fn a_full_window_refuses_instead_of_forgetting_and_recovers_with_time() {
        let window = ReplayWindow::new(SHARDS * SHARD_SLOTS_MIN);
        let fill = |now: i64, round: &str| {
            (0..20_000).filter(|at| see(&window, "KEY1", &format!("{round}{at}"), now + 10, now) == Seen::First).count()
        };
        let first: Vec<Seen> = (0..20_000).map(|at| see(&window, "KEY1", &at.to_string(), 10, 0)).collect();
        let remembered = first.iter().filter(|seen| **seen == Seen::First).count();
        assert_eq!(remembered, SHARDS * SHARD_SLOTS_MIN, "every slot is used");
        for (at, seen) in first.iter().enumerate().filter(|(_, seen)| **seen == Seen::First) {
            assert_eq!(see(&window, "KEY1", &at.to_string(), 10, 10), Seen::Again, "{at} {seen:?}");
        }
        assert_eq!(fill(11, "later "), SHARDS * SHARD_SLOTS_MIN);
    }

    #[test]
    fn many_threads_with_the_same_nonce_are_let_through_once() {
        let window = ReplayWindow::new(1 << 10);
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for nonce in 0..500 {
                        if see(&window, "KEY1", &nonce.to_string(), 10, 0) == Seen::First {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 500);
    }
}

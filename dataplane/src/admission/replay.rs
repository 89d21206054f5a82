//! The replay window: a nonce is good once per key for as long as the clock check would let it pass again.
//!
//! A fixed table of 16-byte slots, allocated once, split into shards with one lock each. A slot holds a keyed 63-bit
//! hash of access key and nonce, and until when it counts; an expired slot is free again. Nothing grows and nothing
//! is swept. When all slots a nonce may use hold live nonces there is no room and the request is refused: forgetting
//! a nonce early would let it be replayed. Two different nonces collide once in about 10^11 requests at a full table,
//! which refuses a request and never lets one through.
//!
//! Half of the places are for everyone; beyond it a key that holds [`Shares`] of them gets no more. What this process
//! cannot know, because it happened before its start, is in [`Span`]. A table moves to a successor shard by shard: what
//! a shard takes after it was handed over has to be asked of the successor too.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::timestamp::UnixSeconds;

mod live;
mod name;
mod span;

use live::{Live, Shares};
pub use name::{KeyId, NONCE_ID_BYTES, Name, NonceId};
pub use span::{Ahead, Span};

/// Slots by default: 64 MiB when all are in use, touched only as they are used; about 8 000 nonces a second at the
/// default clock window of 300 s.
pub const REPLAY_SLOTS_DEFAULT: usize = 1 << 22;

/// Locks. Requests of different nonces rarely meet; 64 shards keep 16 threads apart.
pub const SHARDS: usize = 64;
/// Consecutive slots a nonce may use: 1 KiB, read in order.
const PROBES_MAX: usize = 64;
/// The smallest shard that still probes without overlap.
const SHARD_SLOTS_MIN: usize = PROBES_MAX;
/// What part of all places one key may hold once half of them are taken.
const KEY_SHARE: usize = 8;

/// What the window knows of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not here before; now it is remembered.
    First,
    /// It was here before.
    Again,
    /// It cannot be remembered.
    NoRoom,
    /// It cannot be remembered: its key holds its share of the places.
    OverShare,
}

/// A nonce that this request used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    hash: u64,
    key: Option<u64>,
    until: UnixSeconds,
    /// Whether its source can only send the same again: there is no nonce, the signature stands for it.
    by_signature: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// 0 for a slot that was never used.
    fingerprint: u64,
    until: i64,
}

struct Shard {
    slots: Box<[Slot]>,
    live: Live,
    /// Whether a successor has what is in here.
    handed_over: bool,
}

/// What the owner of a nonce has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceQuestion {
    /// The nonce.
    pub id: NonceId,
    /// When the request was signed.
    pub created: UnixSeconds,
    /// Until when the nonce must be remembered.
    pub until: UnixSeconds,
}

impl NonceQuestion {
    /// The first instant at which a node could have taken the request: a clock window before it was signed.
    pub fn earliest(&self) -> UnixSeconds {
        let window_secs = self.until.0.saturating_sub(self.created.0);
        UnixSeconds(self.created.0.saturating_sub(window_secs))
    }
}

/// The nonces of the last minutes.
pub struct ReplayWindow {
    shards: Box<[Mutex<Shard>]>,
    /// The key of the hash, random, so that nobody can aim at one slot; a successor takes it over.
    hash_key: [AtomicU64; 2],
    shares: Shares,
    share_max: u64,
    shared: bool,
    span: Span,
}

impl std::fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayWindow").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl ReplayWindow {
    /// A window of about `slots` slots of 16 bytes.
    pub fn new(slots: usize) -> Self {
        let shard_slots = slots.div_ceil(SHARDS).next_power_of_two().max(SHARD_SLOTS_MIN);
        let shard = || Shard {
            slots: vec![Slot { fingerprint: 0, until: 0 }; shard_slots].into_boxed_slice(),
            live: Live::default(),
            handed_over: false,
        };
        let [first, second] = name::random_hash_key();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            hash_key: [AtomicU64::new(first), AtomicU64::new(second)],
            shares: Shares::of(shard_slots * SHARDS),
            share_max: (shard_slots * SHARDS / KEY_SHARE) as u64,
            shared: false,
            span: Span::default(),
        }
    }

    /// A window of which other nodes ask: it knows nonces by the form they have on every node, at the cost of one SHA-256.
    pub fn shared(slots: usize) -> Self {
        Self { shared: true, ..Self::new(slots) }
    }

    /// For which requests this process can know whether they were seen.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Remembers a nonce until `until`, inclusive, or returns that it is remembered already. The second value is whether
    /// a successor has to be asked too.
    pub fn see(&self, name: &Name, until: UnixSeconds, now: UnixSeconds) -> (Seen, bool) {
        let Some(mut shard) = self.shard(name.hash) else { return (Seen::NoRoom, false) };
        let seen = self.see_in(&mut shard, name, until, now);
        (seen, shard.handed_over)
    }

    /// As [`Self::see`], for a nonce in the form it has on every node; its key is not known, and has no share.
    pub fn see_id(&self, id: &NonceId, until: UnixSeconds, now: UnixSeconds) -> (Seen, bool) {
        self.see(&self.name_of_id(id, None), until, now)
    }

    /// Remembers what a predecessor or another process of this node remembered.
    pub fn see_hash(&self, hash: u64, until: UnixSeconds, now: UnixSeconds) -> (Seen, bool) {
        self.see(&Name { hash, key: None, id: None }, until, now)
    }

    /// What [`ReplayWindow::see`] would say, without remembering anything.
    pub fn peek(&self, name: &Name, now: UnixSeconds) -> Seen {
        let Some(mut shard) = self.shard(name.hash) else { return Seen::NoRoom };
        match place_in(&shard.slots, name.hash, now) {
            Place::Taken(_) => Seen::Again,
            Place::Free(_) if self.is_over_share(&mut shard, name, now) => Seen::OverShare,
            Place::Free(_) => Seen::First,
            Place::None => Seen::NoRoom,
        }
    }

    /// Takes a nonce back that was used up by a request of which nothing was done. Changes nothing when another request
    /// has been refused because of it in the meantime with a longer life.
    pub fn forget(&self, used: &Used, now: UnixSeconds) {
        let Used { hash, key, until, by_signature: _ } = used;
        let Some(mut shard) = self.shard(*hash) else { return };
        let Place::Taken(index) = place_in(&shard.slots, *hash, now) else { return };
        let Some(slot) = shard.slots.get_mut(index).filter(|slot| slot.until == until.0) else { return };
        slot.until = i64::MIN;
        shard.live.remove(*until);
        self.shares.remove(*key, *until);
    }

    /// Hands one shard over: what it remembers, as hashes with their ends. What it takes from here on has to be asked of
    /// the successor.
    pub fn hand_over(&self, index: usize, now: UnixSeconds) -> Vec<(u64, UnixSeconds)> {
        let Some(mut shard) = self.shard(index as u64) else { return Vec::new() };
        shard.handed_over = true;
        let live = shard.slots.iter().filter(|slot| slot.fingerprint != 0 && slot.until >= now.0);
        // The lowest bit, which a fingerprint does not keep, is in the shard's number.
        let whole = |slot: &Slot| (slot.fingerprint & !1) | (index as u64 & 1);
        live.map(|slot| (whole(slot), UnixSeconds(slot.until))).collect()
    }

    /// Goes on alone: the successor is gone before it served anything.
    pub fn take_back(&self) {
        for index in 0..SHARDS {
            if let Some(mut shard) = self.shard(index as u64) {
                shard.handed_over = false;
            }
        }
    }

    /// The key of the hash, for a successor.
    pub fn hash_key(&self) -> [u64; 2] {
        let [first, second] = &self.hash_key;
        [first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)]
    }

    /// Takes the key of the hash over from a predecessor; to be done before anything is remembered.
    pub fn set_hash_key(&self, [first, second]: [u64; 2]) {
        let [own_first, own_second] = &self.hash_key;
        own_first.store(first, Ordering::Relaxed);
        own_second.store(second, Ordering::Relaxed);
    }

    fn shard(&self, hash: u64) -> Option<std::sync::MutexGuard<'_, Shard>> {
        let shard = self.shards.get(hash as usize % SHARDS)?;
        // A panic while the lock was held cannot leave a slot half-written; the table stays usable.
        Some(shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Whether half of the places are taken and the key has its share of them. One shard stands for all: nonces fall into
    /// them at random.
    fn is_over_share(&self, shard: &mut Shard, name: &Name, now: UnixSeconds) -> bool {
        let scarce = shard.live.count(now) as usize >= shard.slots.len() / 2;
        scarce && self.shares.count(name.key, now) >= self.share_max
    }

    fn see_in(&self, shard: &mut Shard, name: &Name, until: UnixSeconds, now: UnixSeconds) -> Seen {
        let place = place_in(&shard.slots, name.hash, now);
        if matches!(place, Place::Free(_)) && self.is_over_share(shard, name, now) {
            return Seen::OverShare;
        }
        let Shard { slots, live, handed_over: _ } = shard;
        match place {
            Place::Taken(index) => {
                let Some(slot) = slots.get_mut(index).filter(|slot| slot.until < until.0) else { return Seen::Again };
                // A later request with this nonce was refused: it must stay refused for as long as it could pass.
                let before = UnixSeconds(std::mem::replace(&mut slot.until, until.0));
                live.remove(before);
                live.add(until, now);
                self.shares.remove(name.key, before);
                self.shares.add(name.key, until);
                Seen::Again
            }
            Place::None => Seen::NoRoom,
            Place::Free(index) => {
                let Some(slot) = slots.get_mut(index) else { return Seen::NoRoom };
                *slot = Slot { fingerprint: fingerprint(name.hash), until: until.0 };
                live.add(until, now);
                self.shares.add(name.key, until);
                Seen::First
            }
        }
    }
}

impl Used {
    /// This nonce, remembered until then.
    pub fn new(name: &Name, until: UnixSeconds, by_signature: bool) -> Self {
        Self { hash: name.hash, key: name.key, until, by_signature }
    }

    /// Whether its source can only send the same again. A source with nonces signs again with another; its first request
    /// stays refused, so that no copy of it is ever served.
    pub fn is_by_signature(&self) -> bool {
        self.by_signature
    }
}

fn fingerprint(hash: u64) -> u64 {
    hash | 1
}

/// Where a nonce is or could be.
enum Place {
    Taken(usize),
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
            return Place::Taken(index);
        }
        if unused {
            break;
        }
    }
    free.map_or(Place::None, Place::Free)
}

#[cfg(test)]
mod tests;

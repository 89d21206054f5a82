//! A sorted map from which the next one is made at the cost of the change: all but the touched chunks are shared.
//!
//! Made for configurations of a hundred thousand documents that change by one. A look-up is two binary searches; a
//! clone copies one pointer per chunk, and a change one chunk; [`Sorted::diff`] passes over what two maps share.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The most entries of one chunk: what a change copies. With 130,000 entries there are about a thousand chunks, which
/// is what a clone copies.
const CHUNK_MAX: usize = 128;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// See the module.
pub struct Sorted<K, V> {
    /// In order; none is empty.
    chunks: Vec<Chunk<K, V>>,
    len: usize,
}

/// What became of one key between two maps: its value before and after, at least one of which is there.
pub type Difference<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

impl<K, V> Sorted<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entries from the first that is not before what is sought, as `compare` tells.
    pub fn from(&self, compare: impl Fn(&K) -> Ordering) -> impl Iterator<Item = (&K, &V)> {
        let (chunk, at) = match self.locate(compare) {
            Ok(place) | Err(place) => place,
        };
        let rest = self.chunks.get(chunk..).unwrap_or_default();
        rest.iter().flat_map(|chunk| chunk.iter()).skip(at).map(|(key, value)| (key, value))
    }

    /// The value of the key for which `compare` says that it is the one; it must agree with the order of keys.
    pub fn find(&self, compare: impl Fn(&K) -> Ordering) -> Option<&V> {
        let (chunk, at) = self.locate(compare).ok()?;
        self.chunks.get(chunk)?.get(at).map(|(_, value)| value)
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(|other| other.borrow().cmp(key))
    }

    /// Whether it has the key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Chunk and place in it: of the key, or where it would be.
    fn locate(&self, compare: impl Fn(&K) -> Ordering) -> Result<(usize, usize), (usize, usize)> {
        let starts_after = |chunk: &Chunk<K, V>| chunk.first().is_some_and(|(key, _)| compare(key).is_gt());
        let chunk = self.chunks.partition_point(|chunk| !starts_after(chunk)).saturating_sub(1);
        let entries = self.chunks.get(chunk).map(|chunk| chunk.as_slice()).unwrap_or_default();
        match entries.binary_search_by(|(key, _)| compare(key)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// Every key whose value is not the `same` in `after`, in order. What both share is passed over unread.
    pub fn diff<'a>(&'a self, after: &'a Self, same: impl Fn(&V, &V) -> bool) -> Vec<Difference<'a, K, V>> {
        let (mut left, mut right) = (Cursor::new(&self.chunks), Cursor::new(&after.chunks));
        let mut differences = Vec::new();
        loop {
            if left.shares_chunk_with(&right) {
                left.pass_chunk();
                right.pass_chunk();
                continue;
            }
            let order = match (left.peek(), right.peek()) {
                (None, None) => return differences,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let before = if order.is_le() { left.next() } else { None };
            let now = if order.is_ge() { right.next() } else { None };
            match (before, now) {
                (Some((_, one)), Some((_, other))) if same(one, other) => {}
                (Some((key, _)), _) | (None, Some((key, _))) => {
                    differences.push((key, before.map(|(_, value)| value), now.map(|(_, value)| value)));
                }
                (None, None) => return differences,
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// Adds or replaces an entry; returns the value that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.locate(|other| other.cmp(&key)) {
            Ok((chunk, at)) => {
                let place = Arc::make_mut(self.chunks.get_mut(chunk)?).get_mut(at)?;
                Some(std::mem::replace(&mut place.1, value))
            }
            Err((chunk, at)) => {
                self.len += 1;
                let Some(entries) = self.chunks.get_mut(chunk) else {
                    self.chunks.push(Arc::new(vec![(key, value)]));
                    return None;
                };
                let entries = Arc::make_mut(entries);
                entries.insert(at, (key, value));
                if entries.len() > CHUNK_MAX {
                    // One that grows at its end, as when a map is filled in order, stays full.
                    let keep = if at + 1 == entries.len() { CHUNK_MAX } else { CHUNK_MAX / 2 };
                    let rest = entries.split_off(keep);
                    self.chunks.insert(chunk + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Removes an entry; returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.locate(|other| other.borrow().cmp(key)).ok()?;
        let entries = Arc::make_mut(self.chunks.get_mut(chunk)?);
        let (_, value) = entries.remove(at);
        if entries.is_empty() {
            self.chunks.remove(chunk);
        }
        self.len -= 1;
        Some(value)
    }
}

/// A place in a sequence of chunks.
struct Cursor<'a, K, V> {
    chunks: std::slice::Iter<'a, Chunk<K, V>>,
    current: Option<&'a Chunk<K, V>>,
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(chunks: &'a [Chunk<K, V>]) -> Self {
        let mut chunks = chunks.iter();
        Self { current: chunks.next(), chunks, at: 0 }
    }

    /// Whether both are at the beginning of one and the same chunk.
    fn shares_chunk_with(&self, other: &Self) -> bool {
        let both = self.current.zip(other.current);
        self.at == 0 && other.at == 0 && both.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    fn pass_chunk(&mut self) {
        self.current = self.chunks.next();
        self.at = 0;
    }

    fn peek(&self) -> Option<(&'a K, &'a V)> {
        self.current?.get(self.at).map(|(key, value)| (key, value))
    }

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        let entry = self.peek();
        self.at += 1;
        if self.current.is_none_or(|chunk| self.at >= chunk.len()) {
            self.pass_chunk();
        }
        entry
    }
}

impl<K, V> Clone for Sorted<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Sorted<K, V> {
    /// Of two entries with one key the later counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests;

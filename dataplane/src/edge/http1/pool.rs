//! Idle connections to targets, kept for the next exchange.
//!
//! Each thread prefers its own shard, because a connection's readiness arrives on the runtime that opened it. The most
//! recently used connection goes first, so that after a peak the rest grows old and is closed. No task watches an idle
//! connection: whether it lives is asked when it is taken, and [`Pool::sweep`] closes what is old or dead.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead as _, ReadBuf};

/// Idle connections per endpoint and shard; about 1.5 KiB and one file descriptor each.
pub const IDLE_PER_ENDPOINT_MAX: usize = 1_024;
/// Idle connections per shard, over all endpoints.
pub const IDLE_PER_SHARD_MAX: usize = 4_096;
/// How long a connection may stay idle. Most servers close theirs after 60 s or more; one that closes earlier is
/// noticed when its connection is taken or swept.
pub const IDLE_MAX: Duration = Duration::from_secs(50);
/// Shards; threads beyond this number share.
const SHARDS: usize = 32;

/// What two connections must have in common to be interchangeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Where it leads.
    pub address: SocketAddr,
    /// A fingerprint of the TLS settings (server name, authorities); 0 for plain.
    pub tls: u64,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    endpoints: HashMap<PoolKey, Vec<Idle>>,
    count: usize,
}

/// Idle connections of this node.
#[derive(Debug)]
pub struct Pool {
    shards: Vec<Mutex<Shard>>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }
}

impl Pool {
    /// The live connection that was put last, if there is one.
    pub fn take(&self, key: &PoolKey, now: Instant) -> Option<Stream> {
        // Dead ones are dropped outside the lock: closing a socket is a system call.
        loop {
            let mut idle = self.with_own_shard(|shard| {
                let found = shard.endpoints.get_mut(key)?.pop();
                shard.count -= usize::from(found.is_some());
                found
            })??;
            if now.saturating_duration_since(idle.since) < IDLE_MAX && is_quiet(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection on which an exchange has ended cleanly. Above the bounds it is closed.
    pub fn put(&self, key: PoolKey, stream: Stream, now: Instant) {
        let mut idle = Some(Idle { stream, since: now });
        self.with_own_shard(|shard| {
            let stack = shard.endpoints.entry(key).or_default();
            if stack.len() < IDLE_PER_ENDPOINT_MAX && shard.count < IDLE_PER_SHARD_MAX {
                stack.extend(idle.take());
                shard.count += 1;
            }
        });
    }

    /// Closes what is old or dead; to be called every few seconds. Returns how many connections stay.
    pub fn sweep(&self) -> usize {
        self.shards.iter().map(sweep_shard).sum()
    }

    fn with_own_shard<T>(&self, act: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let shard = self.shards.get(own_index() % SHARDS)?;
        Some(act(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn sweep_shard(shard: &Mutex<Shard>) -> usize {
    let mut closed = Vec::new();
    let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
    for stack in shard.endpoints.values_mut() {
        closed.extend(stack.extract_if(.., |idle| idle.since.elapsed() >= IDLE_MAX || !is_quiet(&mut idle.stream)));
    }
    shard.endpoints.retain(|_, stack| !stack.is_empty());
    shard.count = shard.endpoints.values().map(Vec::len).sum();
    let count = shard.count;
    drop(shard);
    drop(closed);
    count
}

/// Whether the target has neither closed the connection nor said something unasked (which would be taken for the answer
/// to the next request). Costs no system call unless the socket was reported readable.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0_u8; 1];
    let mut context = Context::from_waker(Waker::noop());
    let read = Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
    matches!(read, Poll::Pending)
}

fn own_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    INDEX.try_with(|index| *index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    fn key(port: u16) -> PoolKey {
        PoolKey { address: ([127, 0, 0, 1], port).into(), tls: 0 }
    }

    #[tokio::test]
    async fn the_connection_put_last_is_taken_first_and_only_for_its_key() {
        let pool = Pool::default();
        let (first, _a) = tokio::io::duplex(8);
        let (second, mut b) = tokio::io::duplex(8);
        pool.put(key(1), Box::new(first), Instant::now());
        pool.put(key(1), Box::new(second), Instant::now());
        assert!(pool.take(&key(2), Instant::now()).is_none());
        assert!(pool.take(&PoolKey { tls: 7, ..key(1) }, Instant::now()).is_none());
        let mut taken = pool.take(&key(1), Instant::now()).unwrap();
        taken.write_all(b"x").await.unwrap();
        assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut b).await.unwrap(), b'x');
        assert!(pool.take(&key(1), Instant::now()).is_some() && pool.take(&key(1), Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_closed_or_spoke_unasked_is_not_reused() {
        let pool = Pool::default();
        let (closed, other) = tokio::io::duplex(8);
        pool.put(key(1), Box::new(closed), Instant::now());
        drop(other);
        let (spoke, mut other) = tokio::io::duplex(8);
        pool.put(key(1), Box::new(spoke), Instant::now());
        other.write_all(b"HTTP").await.unwrap();
        assert!(pool.take(&key(1), Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_sweep_closes_the_dead_and_keeps_the_quiet() {
        let pool = Pool::default();
        let (closed, other) = tokio::io::duplex(8);
        let (quiet, _open) = tokio::io::duplex(8);
        pool.put(key(1), Box::new(closed), Instant::now());
        pool.put(key(2), Box::new(quiet), Instant::now());
        drop(other);
        assert_eq!(pool.sweep(), 1);
    }
}

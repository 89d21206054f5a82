//! The answering side: the internal listener, and what it does for a peer: look a nonce up in this node's memory, and
//! remember it.
//!
//! A place is a greeted peer's, which has shown a certificate of the cluster. Those that have only connected share a few
//! places of their own, with a bound for each address, and lose them after [`GREET_DEADLINE`]. A peer that is gone without
//! a word is noticed by keep-alive.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::ClusterTls;
use super::wire::{GREETING, QUESTION_BYTES, answer_byte, read_question};
use crate::admission::{REPLAY_HOLD_SECS_MAX, ReplayWindow};
use crate::clock::Now;

/// Connections of greeted peers at a time, one for each node; about 40 KiB each.
const PEERS_MAX: usize = 256;
/// Of them from one address: nodes may share one.
const PEERS_PER_ADDRESS_MAX: usize = 128;
/// Connections that have not greeted yet; about 40 KiB each.
const STRANGERS_MAX: usize = 128;
/// Of them from one address.
const STRANGERS_PER_ADDRESS_MAX: usize = 32;
/// For TLS and greetings.
const GREET_DEADLINE: Duration = Duration::from_secs(2);
/// How long a peer may take to read its answers.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// Silence after which a peer is asked whether it is still there; then every [`KEEP_ALIVE_AGAIN`], so that one that is
/// gone is noticed after half a minute.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TRIES: u32 = 3;
/// After an accept that failed, so that a lack of descriptors does not become a hot loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Questions read at once.
const READ_BYTES: usize = 64 * QUESTION_BYTES;

/// What answering needs.
pub struct Answering {
    /// Where peers connect to.
    pub listener: TcpListener,
    /// Certificates.
    pub tls: ClusterTls,
    /// This node's memory.
    pub replay: Arc<ReplayWindow>,
    /// This process.
    pub incarnation: u64,
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answering").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What every connection needs.
struct Desk {
    acceptor: TlsAcceptor,
    replay: Arc<ReplayWindow>,
    incarnation: u64,
    strangers: Arc<Places>,
    peers: Arc<Places>,
}

/// Answers peers until `stop` ends; then their connections are closed.
pub async fn answer(answering: Answering, stop: impl Future<Output = ()>) {
    let Answering { listener, tls, replay, incarnation } = answering;
    let desk = Arc::new(Desk {
        acceptor: TlsAcceptor::from(tls.server.clone()),
        replay,
        incarnation,
        strangers: Places::new(STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX),
        peers: Places::new(PEERS_MAX, PEERS_PER_ADDRESS_MAX),
    });
    let mut serving = JoinSet::new();
    let accept = async {
        loop {
            while serving.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, address)) => {
                    // One too many is closed: the next accept must not wait for it.
                    let Some(place) = desk.strangers.take(address.ip()) else { continue };
                    let desk = desk.clone();
                    serving.spawn(async move {
                        if let Err(error) = serve(stream, place, &desk).await {
                            tracing::debug!(%address, %error, "a peer's connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the internal listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
}

async fn serve(stream: TcpStream, place: Place, desk: &Desk) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER).with_interval(KEEP_ALIVE_AGAIN);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive.with_retries(KEEP_ALIVE_TRIES))?;
    let stream = timeout(GREET_DEADLINE, greet(stream, desk)).await??;
    let peer = desk.peers.take(place.address).ok_or_else(|| io::Error::other("there are as many peers as may be"))?;
    drop(place);
    let ended = converse(stream, &desk.replay).await;
    drop(peer);
    ended
}

async fn greet(stream: TcpStream, desk: &Desk) -> io::Result<TlsStream<TcpStream>> {
    let mut stream = desk.acceptor.accept(stream).await?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    if greeting != *GREETING {
        return Err(io::Error::other("the peer speaks another version"));
    }
    stream.write_all(&desk.incarnation.to_be_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

async fn converse(mut stream: TlsStream<TcpStream>, replay: &ReplayWindow) -> io::Result<()> {
    let (mut input, mut filled, mut answers) = ([0; READ_BYTES], 0, Vec::with_capacity(READ_BYTES / QUESTION_BYTES));
    loop {
        let room = input.get_mut(filled..).unwrap_or_default();
        let count = stream.read(room).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let now = Now::read().unix;
        let (questions, rest) = input.get(..filled).unwrap_or_default().as_chunks::<QUESTION_BYTES>();
        let left = rest.len();
        answers.clear();
        for question in questions {
            answers.push(look_up(question, replay, now)?);
        }
        let done = filled - left;
        input.copy_within(done..filled, 0);
        filled = left;
        let write = async {
            stream.write_all(&answers).await?;
            stream.flush().await
        };
        timeout(WRITE_DEADLINE, write).await??;
    }
}

/// # Errors
/// When a successor has this node's memory: it is the one to be asked.
fn look_up(question: &[u8; QUESTION_BYTES], replay: &ReplayWindow, now: UnixSeconds) -> io::Result<u8> {
    let Some((id, until)) = read_question(question) else { return Ok(0) };
    // A peer whose clock is wrong must not fill this memory for ever.
    let until = UnixSeconds(until.0.min(now.0.saturating_add(REPLAY_HOLD_SECS_MAX)));
    match replay.see_id(&id, until, now) {
        (_, true) => Err(io::Error::other("a successor answers in place of this process")),
        (seen, false) => Ok(answer_byte(seen)),
    }
}

/// Places for connections, in all and from one address.
struct Places {
    max: usize,
    per_address_max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One place; given back on drop.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_address_max, taken: Mutex::default() })
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.get(&address).copied().unwrap_or(0);
        if here >= self.per_address_max || taken.values().sum::<usize>() >= self.max {
            return None;
        }
        taken.insert(address, here + 1);
        Some(Place { places: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count = count.saturating_sub(1);
        }
        taken.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_the_places_of_the_others_and_gives_back_what_it_had() {
        let places = Places::new(5, 3);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let taken: Vec<_> = (0..4).filter_map(|_| places.take(one)).collect();
        assert_eq!(taken.len(), 3);
        let others: Vec<_> = (0..4).filter_map(|_| places.take(other)).collect();
        assert_eq!(others.len(), 2, "no more than all");
        drop(taken);
        assert!(places.take(one).is_some());
        drop(others);
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn what_a_successor_has_is_not_answered_here() {
        let replay = ReplayWindow::shared(1);
        let question = [7; QUESTION_BYTES];
        assert_eq!(look_up(&question, &replay, UnixSeconds(0)).unwrap(), b'1');
        assert_eq!(look_up(&question, &replay, UnixSeconds(0)).unwrap(), b'2');
        (0..crate::admission::SHARDS).for_each(|index| drop(replay.hand_over(index, UnixSeconds(0))));
        assert!(look_up(&question, &replay, UnixSeconds(0)).is_err());
    }
}

//! The answering side: the internal listener, and what it does for a peer: look a nonce up in this node's memory, and
//! remember it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::tls::ClusterTls;
use super::wire::{GREETING, QUESTION_BYTES, answer_byte, read_question};
use crate::admission::{REPLAY_HOLD_SECS_MAX, ReplayWindow};
use crate::clock::Now;

/// Connections of peers at a time, one for each node; about 40 KiB each.
const CONNECTIONS_MAX: usize = 256;
/// For TLS and greetings.
const GREET_DEADLINE: Duration = Duration::from_secs(2);
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

/// Answers peers until `stop` ends; then their connections are closed.
pub async fn answer(answering: Answering, stop: impl Future<Output = ()>) {
    let Answering { listener, tls, replay, incarnation } = answering;
    let acceptor = TlsAcceptor::from(tls.server.clone());
    let (places, mut serving) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), JoinSet::new());
    let accept = async {
        loop {
            while serving.try_join_next().is_some() {}
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    let (acceptor, replay) = (acceptor.clone(), replay.clone());
                    serving.spawn(async move {
                        if let Err(error) = serve(stream, &acceptor, &replay, incarnation).await {
                            tracing::debug!(%address, %error, "a peer's connection ended");
                        }
                        drop(place);
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

async fn serve(stream: TcpStream, acceptor: &TlsAcceptor, replay: &ReplayWindow, incarnation: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let greet = async {
        let mut stream = acceptor.accept(stream).await?;
        let mut greeting = [0; GREETING.len()];
        stream.read_exact(&mut greeting).await?;
        if greeting != *GREETING {
            return Err(io::Error::other("the peer speaks another version"));
        }
        stream.write_all(&incarnation.to_be_bytes()).await?;
        stream.flush().await?;
        Ok(stream)
    };
    let mut stream = timeout(GREET_DEADLINE, greet).await??;
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
        answers.extend(questions.iter().map(|question| look_up(question, replay, now)));
        let done = filled - left;
        input.copy_within(done..filled, 0);
        filled = left;
        stream.write_all(&answers).await?;
        stream.flush().await?;
    }
}

fn look_up(question: &[u8; QUESTION_BYTES], replay: &ReplayWindow, now: UnixSeconds) -> u8 {
    let Some((id, until)) = read_question(question) else { return 0 };
    // A peer whose clock is wrong must not fill this memory for ever.
    let until = UnixSeconds(until.0.min(now.0.saturating_add(REPLAY_HOLD_SECS_MAX)));
    answer_byte(replay.see_id(&id, until, now))
}

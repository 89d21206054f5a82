//! The asking side: one connection to each peer, kept warm, questions in batches, answers in order.
//!
//! While there is no connection questions are dropped at once, which their askers take as unreachable: nobody waits for a
//! peer that is gone.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use lgsp_shared::id::NodeId;
use lgsp_shared::keyspace::Internal;
use prometheus::IntGauge;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::ClusterTls;
use super::wire::{GREETING, INCARNATION_BYTES, push_question, read_answer};
use crate::admission::{NonceQuestion, Seen};

/// Questions written at once.
const BATCH_MAX: usize = 64;
/// Questions that wait for their answers on one connection.
const PENDING_MAX: usize = 1_024;
/// For a connection to be made, TLS and greetings included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a peer may owe an answer before the connection counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// A question and who waits for its answer.
#[derive(Debug)]
pub struct Ask {
    pub question: NonceQuestion,
    pub reply: oneshot::Sender<Seen>,
}

/// Who is asked.
#[derive(Debug)]
pub struct Target {
    pub node: NodeId,
    pub internal: Internal,
}

/// Why a connection is over.
enum Over {
    /// Nobody will ask any more.
    Forgotten,
    /// It broke.
    Broken(io::Error),
}

/// Keeps a connection until nobody will ask any more.
pub async fn keep_asking(target: Target, tls: ClusterTls, connections: IntGauge, mut asks: mpsc::Receiver<Ask>) {
    loop {
        let over = tokio::select! {
            connected = timeout(CONNECT_DEADLINE, connect(&target, &tls)) => match connected {
                Ok(Ok(stream)) => {
                    connections.inc();
                    let over = converse(stream, &mut asks).await;
                    connections.dec();
                    over
                }
                Ok(Err(error)) => Over::Broken(error),
                Err(_) => Over::Broken(io::ErrorKind::TimedOut.into()),
            },
            () = drop_all(&mut asks) => Over::Forgotten,
        };
        match over {
            Over::Forgotten => return,
            Over::Broken(error) => tracing::debug!(node = %target.node, %error, "no connection to a peer"),
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            () = drop_all(&mut asks) => return,
        }
    }
}

/// Drops what is asked; returns when nobody will ask any more.
async fn drop_all(asks: &mut mpsc::Receiver<Ask>) {
    while asks.recv().await.is_some() {}
}

async fn connect(target: &Target, tls: &ClusterTls) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(target.internal.address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(target.node.as_str().to_owned()).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(tls.client.clone()).connect(name, stream).await?;
    stream.write_all(GREETING).await?;
    stream.flush().await?;
    let mut incarnation = [0; INCARNATION_BYTES];
    stream.read_exact(&mut incarnation).await?;
    if u64::from_be_bytes(incarnation) == target.internal.incarnation {
        Ok(stream)
    } else {
        Err(io::Error::other("another process answers at the peer's address"))
    }
}

async fn converse(stream: TlsStream<TcpStream>, asks: &mut mpsc::Receiver<Ask>) -> Over {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut pending: VecDeque<oneshot::Sender<Seen>> = VecDeque::new();
    let (mut batch, mut bytes, mut answers) = (Vec::with_capacity(BATCH_MAX), Vec::new(), [0; PENDING_MAX]);
    let mut owed_since = Instant::now();
    loop {
        tokio::select! {
            count = asks.recv_many(&mut batch, BATCH_MAX), if pending.len() < PENDING_MAX => {
                if count == 0 {
                    return Over::Forgotten;
                }
                bytes.clear();
                if pending.is_empty() {
                    owed_since = Instant::now();
                }
                for Ask { question, reply } in batch.drain(..) {
                    push_question(&question, &mut bytes);
                    pending.push_back(reply);
                }
                let write = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                match timeout(SILENCE_MAX, write).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Over::Broken(error),
                    Err(_) => return Over::Broken(io::ErrorKind::TimedOut.into()),
                }
            }
            read = reader.read(&mut answers) => {
                let count = match read {
                    Ok(0) => return Over::Broken(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => count,
                    Err(error) => return Over::Broken(error),
                };
                owed_since = Instant::now();
                for byte in answers.get(..count).unwrap_or_default() {
                    let (Some(seen), Some(reply)) = (read_answer(*byte), pending.pop_front()) else {
                        return Over::Broken(io::ErrorKind::InvalidData.into());
                    };
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(seen);
                }
            }
            () = sleep_until(owed_since + SILENCE_MAX), if !pending.is_empty() => {
                return Over::Broken(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

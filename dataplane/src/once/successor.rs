//! The side of a process that is being replaced: gives its memory to a successor that connects to its private socket, and
//! asks it about whatever it still takes itself.
//!
//! A shard is marked as handed over under its lock when it is copied: what is taken before is in the copy, what is taken
//! after is asked. A successor that goes away before it has the listening sockets has served nothing: this process
//! goes on alone. One that goes away later leaves it with no answer, and requests are refused.

use std::collections::VecDeque;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::wire::{Head, push_pair, write_head, write_shard};
use crate::admission::{Question, ReplayWindow, SHARDS, Seen};
use crate::clock::Now;
use crate::cluster::read_answer;

/// Questions that wait for the successor; beyond them there is no answer. About 100 bytes each.
const WAITING_MAX: usize = 4_096;
/// Questions written at once.
const BATCH_MAX: usize = 64;
/// How long an answer may take: the largest table is read in less.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
/// How long the successor may take to read one piece of the table.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
const SOCKET_MODE: u32 = 0o600;
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Ask {
    hash: u64,
    until: i64,
    reply: oneshot::Sender<Seen>,
}

/// The process that takes over, once there is one.
#[derive(Default)]
pub struct Successor {
    asks: Mutex<Option<mpsc::Sender<Ask>>>,
    taken_over: AtomicBool,
}

impl std::fmt::Debug for Successor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Successor").field("taken_over", &self.taken_over).finish_non_exhaustive()
    }
}

impl Successor {
    /// What the successor knows of this nonce, which it remembers; `None` when it cannot be asked.
    pub(super) async fn ask(&self, question: &Question) -> Option<Seen> {
        let (reply, answer) = oneshot::channel();
        let asks = self.asks().clone()?;
        asks.try_send(Ask { hash: question.hash, until: question.until.0, reply }).ok()?;
        timeout(ANSWER_DEADLINE, answer).await.ok()?.ok()
    }

    /// Whether the listening sockets were handed over.
    pub(super) fn has_taken_over(&self) -> bool {
        self.taken_over.load(Ordering::Acquire)
    }

    /// Notes that the listening sockets are handed over. Returns whether the memory was, too.
    pub(super) fn takes_over(&self) -> bool {
        self.taken_over.store(true, Ordering::Release);
        self.asks().is_some()
    }

    fn asks(&self) -> MutexGuard<'_, Option<mpsc::Sender<Ask>>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The private socket of this process.
#[derive(Debug)]
pub struct HandOver {
    path: PathBuf,
    successor: Arc<Successor>,
    replay: Arc<ReplayWindow>,
}

impl HandOver {
    /// The socket of the process with this id.
    pub fn path(state_dir: &Path, pid: u32) -> PathBuf {
        state_dir.join(format!("replay.{pid}.sock"))
    }

    /// Nothing listens yet.
    pub fn new(path: PathBuf, successor: Arc<Successor>, replay: Arc<ReplayWindow>) -> Self {
        Self { path, successor, replay }
    }

    /// Gives the memory to successors, one at a time, until `stop` ends; then until the last of them is gone.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        // What is left of an earlier process with the same id.
        let _ = fs::remove_file(&self.path);
        // The directory is this user's alone; the socket says so once more.
        let private =
            |listener| fs::set_permissions(&self.path, Permissions::from_mode(SOCKET_MODE)).map(|()| listener);
        let listener = match UnixListener::bind(&self.path).and_then(private) {
            Ok(listener) => listener,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "no socket for a successor: after an upgrade requests have to be signed again");
                return;
            }
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.map(|(stream, _)| stream),
                () = &mut stop => return,
            };
            let served = match stream {
                Ok(stream) => self.serve(stream).await,
                Err(error) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    Err(error)
                }
            };
            if let Err(error) = served {
                tracing::info!(%error, "a successor's connection ended");
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        if stream.peer_cred()?.uid() != fs::metadata(&self.path)?.uid() {
            return Err(io::Error::other("it belongs to another user"));
        }
        let (asks, mut asked) = mpsc::channel(WAITING_MAX);
        *self.successor.asks() = Some(asks);
        let ended = self.give(stream, &mut asked).await;
        *self.successor.asks() = None;
        if self.successor.has_taken_over() {
            self.replay.span().end(Now::read().unix);
        } else {
            self.replay.take_back();
        }
        ended
    }

    async fn give(&self, mut stream: UnixStream, asked: &mut mpsc::Receiver<Ask>) -> io::Result<()> {
        let span = self.replay.span();
        let head = Head {
            hash_key: self.replay.hash_key(),
            began: span.began(),
            windows: span.windows(),
            marks: span.marks(),
        };
        timeout(WRITE_DEADLINE, write_head(&mut stream, &head)).await??;
        let mut count = 0;
        for index in 0..SHARDS {
            let slots = self.replay.hand_over(index, Now::read().unix);
            count += slots.len();
            timeout(WRITE_DEADLINE, write_shard(&mut stream, &slots)).await??;
        }
        tracing::info!(nonces = count, "gave the memory of nonces to a successor");
        converse(stream, asked).await
    }
}

async fn converse(stream: UnixStream, asked: &mut mpsc::Receiver<Ask>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let mut pending: VecDeque<oneshot::Sender<Seen>> = VecDeque::new();
    let (mut batch, mut bytes, mut answers) = (Vec::with_capacity(BATCH_MAX), Vec::new(), [0; WAITING_MAX]);
    loop {
        tokio::select! {
            count = asked.recv_many(&mut batch, BATCH_MAX), if pending.len() < WAITING_MAX - BATCH_MAX => {
                if count == 0 {
                    return Ok(());
                }
                bytes.clear();
                for Ask { hash, until, reply } in batch.drain(..) {
                    push_pair((hash, until), &mut bytes);
                    pending.push_back(reply);
                }
                timeout(WRITE_DEADLINE, writer.write_all(&bytes)).await??;
            }
            read = reader.read(&mut answers) => {
                let count = read?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                for byte in answers.get(..count).unwrap_or_default() {
                    let (Some(seen), Some(reply)) = (read_answer(*byte), pending.pop_front()) else {
                        return Err(io::ErrorKind::InvalidData.into());
                    };
                    // The asker may have stopped waiting.
                    let _ = reply.send(seen);
                }
            }
        }
    }
}

//! The side of a process that replaces another: takes the memory of nonces over before the listening sockets, then answers
//! its predecessor about whatever that one still takes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire::{read_head, read_pair, read_table};
use crate::admission::{REPLAY_HOLD_SECS_MAX, ReplayWindow};
use crate::clock::Now;
use crate::cluster::answer_byte;

/// For the whole memory to be taken over: 64 MiB on one machine, which may be busy.
const TAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// A predecessor whose memory this process has.
#[derive(Debug)]
pub struct Predecessor {
    stream: BufReader<UnixStream>,
    replay: Arc<ReplayWindow>,
}

impl Predecessor {
    /// Takes the memory over from the process that listens at `socket`.
    ///
    /// # Errors
    /// When it cannot be reached, speaks another version, or stops on the way. What came until then does no harm.
    pub async fn take_over(socket: &Path, replay: &Arc<ReplayWindow>) -> io::Result<Self> {
        let take = async {
            let mut stream = BufReader::with_capacity(READ_BYTES, UnixStream::connect(socket).await?);
            let head = read_head(&mut stream).await?;
            replay.set_hash_key(head.hash_key);
            let mut count = 0_usize;
            read_table(&mut stream, |(hash, until)| {
                remember(replay, hash, until);
                count += 1;
            })
            .await?;
            replay.span().set_windows(head.windows);
            replay.span().begin(head.began, head.marks);
            tracing::info!(nonces = count, "took over the memory of nonces");
            Ok(Self { stream, replay: replay.clone() })
        };
        timeout(TAKE_DEADLINE, take).await?
    }

    /// Answers until the predecessor has ended.
    ///
    /// # Errors
    /// When its connection breaks.
    pub async fn answer(mut self) -> io::Result<()> {
        let mut answers = Vec::new();
        loop {
            let (hash, until) = match read_pair(&mut self.stream).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            answers.push(remember(&self.replay, hash, until));
            // Answers go out when there is nothing more to read at once.
            if self.stream.buffer().is_empty() {
                self.stream.write_all(&answers).await?;
                answers.clear();
            }
        }
    }
}

fn remember(replay: &ReplayWindow, hash: u64, until: i64) -> u8 {
    let now = Now::read().unix;
    let until = UnixSeconds(until.min(now.0.saturating_add(REPLAY_HOLD_SECS_MAX)));
    let (seen, _) = replay.see_hash(hash, until, now);
    answer_byte(seen)
}

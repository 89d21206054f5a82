//! What passes between a process and its successor: a head, the table shard by shard, then questions of fixed length one
//! way and answers of one byte the other way. Numbers are big-endian.

use std::io;

use lgsp_shared::timestamp::UnixSeconds;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::admission::{Ahead, KeyId, SHARDS};

/// What comes first; the last byte is the version, of the hash of nonces too.
const GREETING: &[u8; 8] = b"lgsprep\x01";
/// Marks at most: as many as are kept.
pub(super) const MARKS_MAX: usize = 4_096;
/// Nonces of one shard at most: more than fit the largest table, 16 bytes each.
const SHARD_SLOTS_MAX: usize = 1 << 20;
/// A pair of numbers.
pub(super) const PAIR_BYTES: usize = 16;

/// What a successor is given before the table.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub hash_key: [u64; 2],
    pub began: UnixSeconds,
    pub windows: [i64; 3],
    pub marks: Ahead,
}

/// A question: the nonce's hash, and until when it must be remembered.
pub(super) type Pair = (u64, i64);

pub(super) async fn write_head(out: &mut (impl AsyncWrite + Unpin), head: &Head) -> io::Result<()> {
    let Head { hash_key, began, windows, marks } = head;
    let mut bytes = GREETING.to_vec();
    hash_key.iter().for_each(|word| bytes.extend_from_slice(&word.to_be_bytes()));
    bytes.extend_from_slice(&began.0.to_be_bytes());
    windows.iter().for_each(|word| bytes.extend_from_slice(&word.to_be_bytes()));
    let marks: Vec<Pair> = marks.iter().take(MARKS_MAX).map(|(key, mark)| (key.0, mark.0)).collect();
    push_pairs(&marks, &mut bytes);
    out.write_all(&bytes).await
}

pub(super) async fn read_head(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    let mut greeting = [0; GREETING.len()];
    input.read_exact(&mut greeting).await?;
    if greeting != *GREETING {
        return Err(io::Error::other("the running node speaks another version"));
    }
    let hash_key = [input.read_u64().await?, input.read_u64().await?];
    let began = UnixSeconds(input.read_i64().await?);
    let windows = [input.read_i64().await?, input.read_i64().await?, input.read_i64().await?];
    let marks = read_pairs(input, MARKS_MAX).await?;
    let marks = marks.into_iter().map(|(key, mark)| (KeyId(key), UnixSeconds(mark))).collect();
    Ok(Head { hash_key, began, windows, marks })
}

pub(super) async fn write_shard(out: &mut (impl AsyncWrite + Unpin), slots: &[(u64, UnixSeconds)]) -> io::Result<()> {
    let pairs: Vec<Pair> = slots.iter().map(|(hash, until)| (*hash, until.0)).collect();
    let mut bytes = Vec::with_capacity(4 + pairs.len() * PAIR_BYTES);
    push_pairs(&pairs, &mut bytes);
    out.write_all(&bytes).await
}

/// Calls `take` with each nonce of a whole table.
pub(super) async fn read_table(input: &mut (impl AsyncRead + Unpin), mut take: impl FnMut(Pair)) -> io::Result<()> {
    for _ in 0..SHARDS {
        read_pairs(input, SHARD_SLOTS_MAX).await?.into_iter().for_each(&mut take);
    }
    Ok(())
}

fn push_pairs(pairs: &[Pair], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(pairs.len()).unwrap_or(0).to_be_bytes());
    pairs.iter().for_each(|pair| push_pair(*pair, out));
}

/// Appends two numbers.
pub(super) fn push_pair((first, second): Pair, out: &mut Vec<u8>) {
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&second.to_be_bytes());
}

/// Reads two numbers.
pub(super) async fn read_pair(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Pair> {
    Ok((input.read_u64().await?, input.read_i64().await?))
}

async fn read_pairs(input: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Vec<Pair>> {
    let count = usize::try_from(input.read_u32().await?).unwrap_or(usize::MAX);
    if count > max {
        return Err(io::Error::other("more than can be taken over"));
    }
    let mut bytes = vec![0; count * PAIR_BYTES];
    input.read_exact(&mut bytes).await?;
    let (pairs, _) = bytes.as_chunks::<PAIR_BYTES>();
    Ok(pairs.iter().map(pair_of).collect())
}

/// Two numbers out of their bytes.
pub(super) fn pair_of(bytes: &[u8; PAIR_BYTES]) -> Pair {
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
    let (first, second) = bytes.split_at(PAIR_BYTES / 2);
    (word(first), word(second).cast_signed())
}

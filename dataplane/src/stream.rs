//! Bodies: verified as they flow, in constant memory.
//!
//! A gate takes pieces as they arrive and gives out what may go on. Where a digest was signed, the last piece is held
//! back until the digest matches, so that a target never sees a complete body that did not verify. Where chunks were
//! signed, each is verified before any of it is given out. The payload is in this memory only and is dropped with it.

use bytes::Bytes;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::{BodyRule, ChunkError, ChunkVerifier, DigestVerifier};

mod held;

pub use held::{Held, HeldBudget, HeldByKey};

/// What the head says about the body to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// None.
    Nothing,
    /// Exactly this many bytes (`Content-Length`).
    Bytes(u64),
    /// Of unknown length (chunked, or an HTTP/2 stream).
    Unbounded,
}

/// The gate between the source's body and the target.
pub struct BodyGate {
    rule: Rule,
    bytes_max: u64,
    received: u64,
    released: u64,
    released_length: Declared,
    memory: Held,
}

enum Rule {
    Nothing,
    Open,
    Digest { verifier: Box<DigestVerifier>, held: Bytes },
    Chunks { verifier: Box<ChunkVerifier>, held: Bytes },
    Finished,
}

impl std::fmt::Debug for BodyGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyGate").field("received", &self.received).finish_non_exhaustive()
    }
}

impl BodyGate {
    /// A gate for one body of one attempt, and what it holds counted in `memory`.
    ///
    /// # Errors
    /// [`Code::BodyTooLarge`] for a declared length over `bytes_max`, [`Code::DigestMissing`] for a body that nothing
    /// signed vouches for.
    pub fn new(
        rule: BodyRule,
        chunks: Option<ChunkVerifier>,
        declared: Declared,
        bytes_max: u64,
        memory: Held,
    ) -> Result<Self, Code> {
        if matches!(declared, Declared::Bytes(bytes) if bytes > bytes_max) {
            return Err(Code::BodyTooLarge);
        }
        let declared = if declared == Declared::Bytes(0) { Declared::Nothing } else { declared };
        let (rule, released_length) = match (rule, chunks) {
            (BodyRule::Empty, _) if matches!(declared, Declared::Bytes(_)) => return Err(Code::DigestMissing),
            (BodyRule::Empty, _) => (Rule::Nothing, declared),
            (BodyRule::Unsigned, _) => (Rule::Open, declared),
            (BodyRule::Digest(expected), _) => {
                (Rule::Digest { verifier: Box::new(expected.verifier()), held: Bytes::new() }, declared)
            }
            (BodyRule::Chunked { decoded_bytes } | BodyRule::UnsignedChunks { decoded_bytes }, Some(verifier)) => {
                let decoded = decoded_bytes.map_or(Declared::Unbounded, Declared::Bytes);
                (Rule::Chunks { verifier: Box::new(verifier), held: Bytes::new() }, decoded)
            }
            (BodyRule::Chunked { .. } | BodyRule::UnsignedChunks { .. }, None) => {
                return Err(Code::ChunkSignatureInvalid);
            }
        };
        Ok(Self { rule, bytes_max, received: 0, released: 0, released_length, memory })
    }

    /// Counts bytes that are held outside of the gate until they have passed it.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when the node holds too much already.
    pub fn holds_outside(&mut self, bytes: usize) -> Result<(), Code> {
        self.memory.set(bytes as u64)
    }

    /// What the target should be told about the body: chunk framing is removed, so its length differs from the source's.
    pub fn released_length(&self) -> Declared {
        self.released_length
    }

    /// Bytes taken in so far.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Whether the body's bytes reach the target as they came, so that the caller may forward without this gate's help.
    pub fn is_open(&self) -> bool {
        matches!(self.rule, Rule::Open)
    }

    /// Takes one piece in; what may go on is appended to `out`. An empty piece changes nothing.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), Code> {
        if piece.is_empty() {
            return Ok(());
        }
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > self.bytes_max {
            return Err(Code::BodyTooLarge);
        }
        let before = out.len();
        match &mut self.rule {
            Rule::Nothing => return Err(Code::DigestMissing),
            Rule::Finished => return Err(Code::BodyIncomplete),
            Rule::Open => out.push(piece),
            Rule::Digest { verifier, held } => {
                verifier.update(&piece);
                let released = std::mem::replace(held, piece);
                if !released.is_empty() {
                    out.push(released);
                }
            }
            Rule::Chunks { verifier, held } => {
                verifier.push(piece, out).map_err(chunk_code)?;
                self.memory.set(verifier.held_bytes() as u64)?;
                hold_last(held, out, before);
            }
        }
        self.count_released(out, before);
        Ok(())
    }

    /// The body ended where its framing said it would: the verdict. What was held back is appended to `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Code> {
        let before = out.len();
        let held = match std::mem::replace(&mut self.rule, Rule::Finished) {
            Rule::Nothing | Rule::Open => Bytes::new(),
            Rule::Finished => return Err(Code::BodyIncomplete),
            Rule::Digest { verifier, held } => {
                verifier.finish().map_err(|_| Code::DigestMismatch)?;
                held
            }
            Rule::Chunks { verifier, held } => {
                verifier.finish().map_err(chunk_code)?;
                held
            }
        };
        if !held.is_empty() {
            out.push(held);
        }
        self.count_released(out, before);
        match self.released_length {
            Declared::Bytes(bytes) if bytes != self.released => Err(Code::BodyIncomplete),
            Declared::Bytes(_) | Declared::Nothing | Declared::Unbounded => Ok(()),
        }
    }

    fn count_released(&mut self, out: &[Bytes], before: usize) {
        let pieces = out.get(before..).unwrap_or_default();
        self.released = self.released.saturating_add(pieces.iter().map(|piece| piece.len() as u64).sum());
    }
}

/// Keeps the newest byte back, behind the one held before: the target must not see the last one before the final, empty
/// chunk and the trailers are verified. It is copied, because a slice would keep its whole chunk alive.
fn hold_last(held: &mut Bytes, out: &mut Vec<Bytes>, before: usize) {
    let Some(mut last) = out.get(before..).and_then(<[Bytes]>::last).cloned() else { return };
    let kept = last.split_off(last.len().saturating_sub(1));
    let earlier = std::mem::replace(held, Bytes::copy_from_slice(&kept));
    out.pop();
    if !last.is_empty() {
        out.push(last);
    }
    if !earlier.is_empty() {
        out.insert(before, earlier);
    }
}

/// A small body that is wanted whole, gathered in one buffer: pieces would each keep what they were read into.
#[derive(Debug, Default)]
pub struct Gathered {
    body: Vec<u8>,
    pieces: Vec<Bytes>,
}

impl Gathered {
    /// Takes one piece through the gate.
    ///
    /// # Errors
    /// As [`BodyGate::push`].
    pub fn take(&mut self, gate: &mut BodyGate, piece: Bytes) -> Result<(), Code> {
        gate.push(piece, &mut self.pieces)?;
        self.join();
        Ok(())
    }

    /// The whole body, verified.
    ///
    /// # Errors
    /// As [`BodyGate::finish`].
    pub fn finish(mut self, gate: &mut BodyGate) -> Result<Vec<u8>, Code> {
        gate.finish(&mut self.pieces)?;
        self.join();
        Ok(self.body)
    }

    fn join(&mut self) {
        self.pieces.drain(..).for_each(|piece| self.body.extend_from_slice(&piece));
    }
}

fn chunk_code(error: ChunkError) -> Code {
    error.code()
}

#[cfg(test)]
mod tests;

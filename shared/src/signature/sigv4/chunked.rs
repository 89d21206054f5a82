//! Chunk-signed bodies (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with and without `-TRAILER`), decoded while they flow; and
//! bodies in the same framing that nothing vouches for but a checksum behind them (`STREAMING-UNSIGNED-PAYLOAD-TRAILER`).
//!
//! Guarantee: no byte of a chunk comes out before the chunk's signature, which chains back to the request's, has been
//! verified. The framing never comes out. What does come out may still turn out to be cut short: only
//! [`ChunkVerifier::finish`] says that all of it was there, so whoever forwards holds the last bytes back until then.

mod trailer;

use bytes::{Buf, Bytes};
use hmac::Hmac;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::super::hex;
use super::super::key::{self, KeyState};
use super::super::sink::Sink;
use super::checksum::{Algorithm, Checksum};
use super::scope::Scope;
use super::timestamp::AmzDate;
use crate::refusal::Code;
use trailer::TrailerNames;

/// The largest chunk. A chunk is held until it is verified, in one buffer that grows with it and is at most twice as large
/// as what it holds. AWS's clients send 64 KiB to 1 MiB.
pub const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest chunk header: 8 digits of size, `;chunk-signature=`, 64 digits, CRLF. Held per request.
pub const CHUNK_HEADER_BYTES_MAX: usize = 8 + 17 + 64 + 2;
/// All trailers with their signature. Held per request.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// Why a chunk-signed body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not `<size>;chunk-signature=<64 digits>` and its data.
    #[error("the chunk framing is malformed: {0}")]
    Framing(&'static str),
    /// A chunk larger than is held here.
    #[error("a chunk is larger than {CHUNK_BYTES_MAX} bytes: send smaller chunks")]
    TooLarge,
    /// A chunk or the trailers have another signature than the secret makes.
    #[error("the signature of a chunk or of the trailers does not match")]
    Signature,
    /// The body has another checksum than the trailer says.
    #[error("the body does not have the checksum that its trailer says")]
    Checksum,
    /// More or fewer bytes than `x-amz-decoded-content-length` says.
    #[error("the body does not have the {expected} bytes that `x-amz-decoded-content-length` announces")]
    Length {
        /// What was announced.
        expected: u64,
    },
    /// The trailers are not those announced.
    #[error("the trailers are malformed: {0}")]
    Trailer(&'static str),
    /// The body ended within its framing.
    #[error("the body ended before its last chunk")]
    Incomplete,
    /// Used again after it failed.
    #[error("the body was already refused")]
    Refused,
}

impl ChunkError {
    /// The refusal this leads to.
    pub fn code(self) -> Code {
        match self {
            ChunkError::Signature => Code::ChunkSignatureInvalid,
            ChunkError::TooLarge => Code::BodyTooLarge,
            ChunkError::Checksum => Code::DigestMismatch,
            ChunkError::Framing(_)
            | ChunkError::Length { .. }
            | ChunkError::Trailer(_)
            | ChunkError::Incomplete
            | ChunkError::Refused => Code::BodyIncomplete,
        }
    }
}

/// The chain of signatures through one body.
#[derive(Clone)]
pub(in super::super) struct Chain {
    signing_key: Hmac<Sha256>,
    genuine: Choice,
    /// Date and scope, a line each.
    context: Vec<u8>,
    previous: [u8; 32],
}

impl Chain {
    pub(in super::super) fn new(key: &KeyState, scope: &Scope<'_>, date: &AmzDate, seed: [u8; 32]) -> Self {
        let mut context = date.as_str().as_bytes().to_vec();
        context.push(b'\n');
        scope.push(&mut context);
        context.push(b'\n');
        let signing_key = key.kept_signing_key(scope).unwrap_or_else(|| key.signing_key(scope));
        Self { signing_key, genuine: key.genuine(), context, previous: seed }
    }

    /// The signature of a chunk with this hash; the chain moves on to it.
    pub(super) fn next_chunk(&mut self, hash: &[u8; 32]) -> [u8; 32] {
        self.next(b"AWS4-HMAC-SHA256-PAYLOAD\n", &[super::payload::EMPTY_PAYLOAD.as_bytes(), b"\n"].concat(), hash)
    }

    /// The signature of trailers with this hash.
    pub(super) fn next_trailer(&mut self, hash: &[u8; 32]) -> [u8; 32] {
        self.next(b"AWS4-HMAC-SHA256-TRAILER\n", b"", hash)
    }

    fn next(&mut self, kind: &[u8], middle: &[u8], hash: &[u8; 32]) -> [u8; 32] {
        let mut mac = self.signing_key.clone();
        let previous = hex::encode(&self.previous);
        let hash = hex::encode(hash);
        for part in [kind, &self.context, &previous, b"\n", middle, &hash] {
            Sink::push(&mut mac, part);
        }
        self.previous = key::finish(mac);
        self.previous
    }

    fn matches(&self, computed: &[u8; 32], given: &[u8; 32]) -> bool {
        (computed.ct_eq(given) & self.genuine).into()
    }
}

/// What vouches for the chunks.
enum Vouching {
    /// A signature on each, and on the trailers.
    Chain(Box<Chain>),
    /// A checksum of all of them. They come out as they arrive.
    Checksum(Box<Checksum>),
}

/// Decodes and verifies one body in chunks.
pub struct ChunkVerifier {
    vouching: Vouching,
    decoded_bytes_expected: Option<u64>,
    decoded_bytes: u64,
    trailers: Option<TrailerNames>,
    state: State,
    /// What came of the chunk so far. Copied: pieces would keep alive whatever buffers they were read into.
    held: Vec<u8>,
}

impl std::fmt::Debug for ChunkVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkVerifier").field("decoded_bytes", &self.decoded_bytes).finish_non_exhaustive()
    }
}

enum State {
    /// Collecting the header line of a chunk.
    Header(Vec<u8>),
    /// Within a chunk's data.
    Data { left: usize, hash: Sha256, signature: [u8; 32] },
    /// Within the data of a chunk that is not signed.
    OpenData { left: usize },
    /// At the line end after a chunk's data.
    DataEnd(&'static [u8]),
    /// After the last chunk: its line end, or the trailers.
    Tail(Vec<u8>),
    /// Refused; nothing more comes out.
    Refused,
}

impl ChunkVerifier {
    pub(super) fn new(chain: Chain, decoded_bytes_expected: Option<u64>, trailer_names: Option<&str>) -> Self {
        Self {
            vouching: Vouching::Chain(Box::new(chain)),
            decoded_bytes_expected,
            decoded_bytes: 0,
            trailers: trailer_names.map(TrailerNames::new),
            state: State::Header(Vec::new()),
            held: Vec::new(),
        }
    }

    /// A decoder of chunks that are not signed.
    pub(super) fn unsigned(algorithm: Algorithm, decoded_bytes_expected: Option<u64>) -> Self {
        Self {
            vouching: Vouching::Checksum(Box::new(algorithm.start())),
            decoded_bytes_expected,
            decoded_bytes: 0,
            trailers: None,
            state: State::Header(Vec::new()),
            held: Vec::new(),
        }
    }

    /// Takes the next bytes off the wire; appends to `out` what they complete, verified and without framing.
    pub fn push(&mut self, mut input: Bytes, out: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        while !input.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Refused);
            self.state = self.step(state, &mut input, out)?;
        }
        Ok(())
    }

    /// The verdict at the end of the body.
    pub fn finish(mut self) -> Result<(), ChunkError> {
        let tail = match std::mem::replace(&mut self.state, State::Refused) {
            State::Tail(tail) => tail,
            State::Header(_) | State::Data { .. } | State::OpenData { .. } | State::DataEnd(_) => {
                return Err(ChunkError::Incomplete);
            }
            State::Refused => return Err(ChunkError::Refused),
        };
        if let Some(expected) = self.decoded_bytes_expected.filter(|expected| *expected != self.decoded_bytes) {
            return Err(ChunkError::Length { expected });
        }
        match (self.vouching, self.trailers) {
            (Vouching::Checksum(checksum), _) => checksum.check(&tail),
            // Clients end with the zero chunk's own line or with one more: both occur.
            (Vouching::Chain(_), None) if tail.is_empty() || tail == b"\r\n" => Ok(()),
            (Vouching::Chain(_), None) => Err(ChunkError::Framing("something follows the last chunk")),
            (Vouching::Chain(mut chain), Some(names)) => check_trailers(&mut chain, &names, &tail),
        }
    }

    fn step(&mut self, state: State, input: &mut Bytes, out: &mut Vec<Bytes>) -> Result<State, ChunkError> {
        match state {
            State::Header(mut line) => {
                if take_line(&mut line, input)? {
                    self.start_chunk(&line)
                } else {
                    Ok(State::Header(line))
                }
            }
            State::Data { left, mut hash, signature } => {
                let piece = input.split_to(left.min(input.len()));
                let left = left - piece.len();
                Digest::update(&mut hash, &piece);
                if left > 0 {
                    self.held.extend_from_slice(&piece);
                    return Ok(State::Data { left, hash, signature });
                }
                self.verify_chunk(&hash.finalize().into(), &signature)?;
                self.release(piece, out);
                Ok(State::DataEnd(b"\r\n"))
            }
            State::OpenData { left } => {
                let piece = input.split_to(left.min(input.len()));
                let left = left - piece.len();
                if let Vouching::Checksum(checksum) = &mut self.vouching {
                    checksum.update(&piece);
                }
                out.push(piece);
                Ok(if left > 0 { State::OpenData { left } } else { State::DataEnd(b"\r\n") })
            }
            State::DataEnd(wanted) => {
                let (byte, rest) = wanted.split_first().ok_or(ChunkError::Refused)?;
                if input.get_u8() != *byte {
                    return Err(ChunkError::Framing("a chunk's data is not followed by CRLF"));
                }
                Ok(if rest.is_empty() { State::Header(Vec::new()) } else { State::DataEnd(rest) })
            }
            State::Tail(mut tail) => {
                if tail.len() + input.len() > TRAILER_BYTES_MAX {
                    return Err(ChunkError::Trailer("they are too long"));
                }
                tail.extend_from_slice(input);
                input.clear();
                Ok(State::Tail(tail))
            }
            State::Refused => Err(ChunkError::Refused),
        }
    }

    fn start_chunk(&mut self, line: &[u8]) -> Result<State, ChunkError> {
        let signed = matches!(self.vouching, Vouching::Chain(_));
        let (size, state) = if signed {
            let (size, signature) = parse_header(line).ok_or(ChunkError::Framing(
                "a chunk header must read `<size in hexadecimal>;chunk-signature=<64 digits>` and end in CRLF",
            ))?;
            if size == 0 {
                self.verify_chunk(&super::payload::EMPTY_SHA256, &signature)?;
            }
            (size, State::Data { left: size, hash: Sha256::new(), signature })
        } else {
            let size = line.strip_suffix(b"\r\n").and_then(parse_size);
            let size =
                size.ok_or(ChunkError::Framing("a chunk header must read `<size in hexadecimal>` and end in CRLF"))?;
            (size, State::OpenData { left: size })
        };
        if size == 0 {
            return Ok(State::Tail(Vec::new()));
        }
        if signed && size > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLarge);
        }
        self.decoded_bytes = self.decoded_bytes.saturating_add(size as u64);
        match self.decoded_bytes_expected {
            Some(expected) if self.decoded_bytes > expected => Err(ChunkError::Length { expected }),
            _ => Ok(state),
        }
    }

    fn verify_chunk(&mut self, hash: &[u8; 32], given: &[u8; 32]) -> Result<(), ChunkError> {
        let Vouching::Chain(chain) = &mut self.vouching else { return Err(ChunkError::Refused) };
        let computed = chain.next_chunk(hash);
        if chain.matches(&computed, given) { Ok(()) } else { Err(ChunkError::Signature) }
    }

    /// Gives out a verified chunk, whose last piece this is. One that came in one piece is not copied.
    fn release(&mut self, last: Bytes, out: &mut Vec<Bytes>) {
        if self.held.is_empty() {
            out.push(last);
            return;
        }
        let mut chunk = std::mem::take(&mut self.held);
        chunk.extend_from_slice(&last);
        out.push(chunk.into());
    }

    /// Bytes of memory that hold what is not verified yet.
    pub fn held_bytes(&self) -> usize {
        self.held.capacity()
    }
}

fn check_trailers(chain: &mut Chain, names: &TrailerNames, tail: &[u8]) -> Result<(), ChunkError> {
    let trailers = names.read(tail)?;
    let computed = chain.next_trailer(&trailers.hash);
    if chain.matches(&computed, &trailers.signature) { Ok(()) } else { Err(ChunkError::Signature) }
}

/// Moves bytes up to a line feed from `input` to `line`; true when the line is complete.
fn take_line(line: &mut Vec<u8>, input: &mut Bytes) -> Result<bool, ChunkError> {
    let end = input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    let part = input.split_to(end.unwrap_or(input.len()));
    if line.len() + part.len() > CHUNK_HEADER_BYTES_MAX {
        return Err(ChunkError::Framing("a chunk header is too long"));
    }
    line.extend_from_slice(&part);
    Ok(end.is_some())
}

/// Exactly one extension, the signature: everything else between size and CRLF has been an attack somewhere.
fn parse_header(line: &[u8]) -> Option<(usize, [u8; 32])> {
    let text = line.strip_suffix(b"\r\n")?;
    let at = text.iter().position(|byte| *byte == b';')?;
    let (digits, extension) = text.split_at_checked(at)?;
    let signature = hex::decode(extension.strip_prefix(b";chunk-signature=")?)?;
    Some((parse_size(digits)?, signature))
}

fn parse_size(digits: &[u8]) -> Option<usize> {
    const SIZE_DIGITS_MAX: usize = 8;
    if !(1..=SIZE_DIGITS_MAX).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |size: usize, digit| Some(size << 4 | usize::from(hex::value(*digit)?)))
}

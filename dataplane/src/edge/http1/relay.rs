//! The answer on its way back: its head rewritten for this hop, its body from the target's framing into the source's.
//!
//! Head and first bytes of the body go out in one write. The body is written from the buffer it was read into.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::body::BodyDecoder;
use super::chunked::{self, Step};
use super::connection::Version;
use super::converse::poll_gone;
use super::deadline::Total;
use super::decide::Asked;
use super::fault::Fault;
use super::framing::Framing;
use super::head::Fields;
use super::pace::Pace;
use super::response::{self, Response};
use super::sending::{STEPS_PER_PIECE, Sending, Sent};
use super::source::Source;
use super::stock::{HEAD_BYTES, Lines, Use};
use super::turn::Turn;
use super::wire::Wire;
use crate::edge::cause::{BODY_LATE, Cause, TOTAL_OVER};
use crate::edge::date;
use crate::forward;
use crate::record::RequestId;

const CUT: Cause = Cause::closed("the connection ended within the answer's body");
const PAUSED: Cause = Cause::late("the target paused within its answer for longer than the service's `idle_ms`");

/// How a relayed answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Delivered whole.
    Whole,
    /// The target failed before anything was written to the source, which can still be told.
    NotBegun(Cause),
    /// The target failed in the middle of it.
    TargetCut(Cause),
    /// The rest of the request, sent meanwhile, turned out wrong: its answer is worth nothing and is cut.
    RequestWrong(Cause),
    /// The source stopped taking it.
    SourceGone,
}

/// How the body is framed for the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// As it is: its length is told, or it ends with the connection.
    Plain,
    /// In chunks.
    Chunked,
}

/// How long either side may be waited for, and when everything must be over.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The target, between two pieces.
    pub target: Duration,
    /// The source, in taking what is written.
    pub taking: Pace,
    /// The source, in sending the rest of its request.
    pub sending: Pace,
    /// The whole exchange.
    pub total: Total,
}

/// Why nothing more was staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staged {
    /// The target's input holds nothing more to use: the target has to send.
    Drained,
    /// There is no room, or a piece has to go first: the input may hold the rest of the answer, and no socket will wake
    /// the task for bytes that were read already.
    Full,
    /// The end of the answer is staged.
    Ended,
}

/// The side that has to move next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// An answer whose head was parsed and rewritten.
#[derive(Debug)]
pub struct Relay {
    /// The target's status.
    pub status: u16,
    /// Whether the target's connection can be used again after a whole answer.
    pub target_reusable: bool,
    /// Whether the source's connection can take another request after a whole answer.
    pub source_persistent: bool,
    /// Body bytes passed on.
    pub body_bytes: u64,
    decoder: BodyDecoder,
    coding: Coding,
    /// Copied and written first: the head, chunk sizes, small pieces.
    staged: Lines,
    staged_sent: usize,
    /// Bytes the source has taken, head and framing included.
    delivered_bytes: u64,
    /// Bytes at the front of the target's input that go on from where they are, after what is staged.
    piece: usize,
    chunk_open: bool,
    ended: bool,
    unflushed: bool,
    purpose: Use,
    awaited: Option<Side>,
    begun_at: Option<Instant>,
}

/// A piece up to this size is copied behind what is staged, which saves a write; about 100 ns.
const COPIED_BYTES_MAX: usize = 4 << 10;
/// What may be staged; above it, it is written first.
const STAGED_BYTES_MAX: usize = 12 << 10;

impl Relay {
    /// Parses the answer's head, the first `length` bytes of the target's input, and takes it from there. `keep` says
    /// whether this side would keep the source's connection.
    pub fn begin(
        target: &mut Wire,
        length: usize,
        asked: &Asked,
        keep: bool,
        request_id: RequestId,
    ) -> Result<Self, Fault> {
        let mut fields = Fields::new();
        let head = target.input().get(..length).unwrap_or_default();
        let relay = Self::parsed(&response::parse(head, asked.to_head, &mut fields)?, asked, keep, request_id);
        drop(fields);
        target.consume(length);
        Ok(relay)
    }

    fn parsed(answer: &Response<'_>, asked: &Asked, keep: bool, request_id: RequestId) -> Self {
        let coding = coding(answer, asked);
        let delimited = coding == Coding::Chunked || answer.framing.length().is_some();
        let source_persistent = keep && asked.persistent && delimited;
        let mut staged = Lines::new();
        write_head(answer, coding, &mut staged);
        write_connection(asked, source_persistent, request_id, &mut staged);
        let large = answer.framing.length().is_none_or(|length| length > HEAD_BYTES as u64);
        Self {
            status: answer.status,
            target_reusable: answer.reusable,
            source_persistent,
            body_bytes: 0,
            decoder: BodyDecoder::new(answer.framing),
            coding,
            staged,
            staged_sent: 0,
            delivered_bytes: 0,
            piece: 0,
            chunk_open: false,
            ended: false,
            unflushed: true,
            purpose: if large { Use::Body } else { Use::Head },
            awaited: None,
            begun_at: None,
        }
    }

    /// When the head, with what of the body came with it, was delivered.
    pub fn begun_at(&self) -> Option<Instant> {
        self.begun_at
    }

    /// Relays to the end, and sends the rest of the request meanwhile, if there is one.
    pub async fn run(
        &mut self,
        source: &mut Source,
        target: &mut Wire,
        rest: &mut Sending<'_>,
        mut patience: Patience,
    ) -> Relayed {
        poll_fn(|cx| self.poll(cx, source, target, rest, &mut patience)).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
        target: &mut Wire,
        rest: &mut Sending<'_>,
        patience: &mut Patience,
    ) -> Poll<Relayed> {
        let mut turn = Turn::new(1);
        loop {
            match send_rest(cx, source, target, rest) {
                Ok(true) => {
                    self.awaited = None;
                    patience.sending.moved_to(rest.upload.received_bytes(), Instant::now);
                }
                Ok(false) => {}
                Err(relayed) => return Poll::Ready(relayed),
            }
            let staged = match self.stage(target) {
                Ok(staged) => staged,
                Err(fault) => {
                    let begun = self.begun_at.is_some() || self.staged_sent > 0;
                    let failed = if begun { Relayed::TargetCut } else { Relayed::NotBegun };
                    return Poll::Ready(failed(fault.into()));
                }
            };
            match self.poll_deliver(cx, source, target) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Relayed::SourceGone),
                // The source's socket wakes the task when it takes bytes again.
                Poll::Pending => return self.wait(cx, source, Side::Source, rest, patience),
            }
            match staged {
                Staged::Ended => return Poll::Ready(Relayed::Whole),
                // What was read is used up first; one buffer holds it all, so this ends without a turn.
                Staged::Full => continue,
                Staged::Drained => {}
            }
            match target.poll_fill(cx, self.purpose) {
                Poll::Ready(Ok(0)) if self.decoder.ends_with_connection() => self.end(&[]),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Relayed::TargetCut(CUT)),
                Poll::Ready(Ok(_)) => {
                    self.awaited = None;
                    // However much there is to move, the deadline is looked at.
                    if turn.is_over(cx) {
                        return self.wait(cx, source, Side::Target, rest, patience);
                    }
                }
                Poll::Pending if rest.is_over() && poll_gone(&mut source.wire, cx).is_ready() => {
                    return Poll::Ready(Relayed::SourceGone);
                }
                // The target's socket wakes the task when more arrives. A rest that is still being sent waits for the
                // socket that stopped it, a source that may leave for its own.
                Poll::Pending => return self.wait(cx, source, Side::Target, rest, patience),
            }
        }
    }

    /// Takes from the target's input what can be written next, and says why it stopped.
    fn stage(&mut self, target: &mut Wire) -> Result<Staged, Fault> {
        while self.piece == 0 && !self.ended && self.staged.len() < STAGED_BYTES_MAX {
            let step = self.decoder.step(target.input()).map_err(|fault| Fault::target(fault.detail))?;
            match step {
                Step::More => return Ok(Staged::Drained),
                Step::Framing(length) => target.consume(length),
                Step::Content(length) => self.stage_content(target, length),
                Step::End(length) => {
                    let trailers = target.take(length);
                    self.end(&trailers);
                }
            }
        }
        Ok(if self.ended { Staged::Ended } else { Staged::Full })
    }

    fn stage_content(&mut self, target: &mut Wire, length: usize) {
        self.body_bytes += length as u64;
        if self.coding == Coding::Chunked {
            self.close_chunk();
            chunked::write_size(&mut self.staged, length);
            self.chunk_open = true;
        }
        if length <= COPIED_BYTES_MAX {
            self.staged.extend_from_slice(target.input().get(..length).unwrap_or_default());
            target.consume(length);
        } else {
            self.piece = length;
        }
    }

    fn close_chunk(&mut self) {
        if std::mem::take(&mut self.chunk_open) {
            self.staged.extend_from_slice(b"\r\n");
        }
    }

    fn end(&mut self, trailers: &[u8]) {
        self.ended = true;
        if self.coding == Coding::Plain {
            return;
        }
        self.close_chunk();
        self.staged.extend_from_slice(b"0\r\n");
        if !trailers.is_empty() {
            // Trailers that cannot be read are dropped: the body itself is whole.
            let _ = chunked::copy_trailers(trailers, forward::passes_to_source, &mut self.staged);
        }
        self.staged.extend_from_slice(b"\r\n");
    }

    /// Writes and flushes everything there is; `false` when the source does not take it any more.
    fn poll_deliver(&mut self, cx: &mut Context<'_>, source: &mut Source, target: &mut Wire) -> Poll<bool> {
        while self.staged_sent < self.staged.len() || self.piece > 0 {
            let staged = self.staged.get(self.staged_sent..).unwrap_or_default();
            let piece = target.input().get(..self.piece).unwrap_or_default();
            let written = match (staged.is_empty(), piece.is_empty()) {
                (false, true) => source.wire.poll_write(cx, &[IoSlice::new(staged)]),
                (true, _) => source.wire.poll_write(cx, &[IoSlice::new(piece)]),
                (false, false) => source.wire.poll_write(cx, &[IoSlice::new(staged), IoSlice::new(piece)]),
            };
            match written {
                Poll::Ready(Ok(length)) => self.written(target, length),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.unflushed {
            match source.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    let at = source.look_at_clock();
                    self.begun_at.get_or_insert(at);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(true)
    }

    fn written(&mut self, target: &mut Wire, length: usize) {
        self.delivered_bytes += length as u64;
        let of_staged = length.min(self.staged.len() - self.staged_sent);
        self.staged_sent += of_staged;
        let of_piece = length - of_staged;
        target.consume(of_piece);
        self.piece -= of_piece.min(self.piece);
        if self.staged_sent == self.staged.len() {
            self.staged.clear();
            self.staged_sent = 0;
        }
        self.unflushed = true;
        self.awaited = None;
    }

    fn wait(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
        side: Side,
        rest: &Sending<'_>,
        patience: &mut Patience,
    ) -> Poll<Relayed> {
        if self.awaited != Some(side) {
            self.awaited = Some(side);
            let now = Instant::now();
            patience.taking.moved_to(self.delivered_bytes, || now);
            let at = match side {
                Side::Source => patience.taking.awaited(now),
                Side::Target => {
                    patience.taking.not_awaited(|| now);
                    now + patience.target
                }
            };
            // A source that still sends must not keep an exchange open by sending next to nothing.
            let at = if rest.is_over() { at } else { at.min(patience.sending.awaited(now)) };
            source.deadline.set(patience.total.bound(at));
        }
        source.deadline.poll_expired(cx).map(|()| match side {
            // Whoever is awaited just then, that the time is over is not the source's doing.
            Side::Source if !patience.total.is_over() => Relayed::SourceGone,
            Side::Target if !patience.total.is_over() && !rest.is_over() && patience.sending.is_used_up() => {
                Relayed::RequestWrong(BODY_LATE)
            }
            Side::Source | Side::Target if patience.total.is_over() => Relayed::TargetCut(TOTAL_OVER),
            Side::Source | Side::Target => Relayed::TargetCut(PAUSED),
        })
    }
}

/// Sends what can be sent of the rest of the request; tells whether anything moved. A target that takes no more of it
/// has its answer passed on all the same.
fn send_rest(
    cx: &mut Context<'_>,
    source: &mut Source,
    target: &mut Wire,
    rest: &mut Sending<'_>,
) -> Result<bool, Relayed> {
    let mut moved = false;
    let mut turn = Turn::new(STEPS_PER_PIECE);
    while !rest.is_over() {
        match rest.step(cx, &mut source.wire, target) {
            Sent::Moved => {
                moved = true;
                if turn.is_over(cx) {
                    break;
                }
            }
            Sent::Waiting => break,
            Sent::Refused => rest.give_up(),
            Sent::SourceGone => return Err(Relayed::SourceGone),
            Sent::Wrong(cause) => return Err(Relayed::RequestWrong(cause)),
        }
    }
    Ok(moved)
}

/// How the source gets the body: an end that only the closing connection would tell becomes chunks where it can.
fn coding(answer: &Response<'_>, asked: &Asked) -> Coding {
    match (answer.framing, asked.version) {
        (Framing::Chunked | Framing::UntilClose, Version::Http11) => Coding::Chunked,
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Coding::Plain,
        (Framing::Empty | Framing::Length(_), _) => Coding::Plain,
    }
}

fn write_head(answer: &Response<'_>, coding: Coding, out: &mut Vec<u8>) {
    let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(answer.status), out);
    out.push(b' ');
    out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut dated = false;
    for field in answer.fields {
        dated |= field.is("date");
        if field.is("content-length")
            || !forward::passes_to_source(field.name)
            || answer.connection.nominates(field.name)
        {
            continue;
        }
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if !dated {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(&date::now());
        out.extend_from_slice(b"\r\n");
    }
    // A 204 tells no length (RFC 9110 section 8.6); HEAD and 304 tell that of the body they leave out.
    let length = answer.declared_length.filter(|_| answer.status != 204);
    match (coding, length) {
        (Coding::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (Coding::Plain, Some(length)) => {
            out.extend_from_slice(b"content-length: ");
            write_number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        (Coding::Plain, None) => {}
    }
}

fn write_connection(asked: &Asked, persistent: bool, request_id: RequestId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"lgsp-request-id: ");
    out.extend_from_slice(&request_id.to_ascii());
    out.extend_from_slice(match (asked.version, persistent) {
        (Version::Http11, true) => b"\r\n\r\n".as_slice(),
        (Version::Http10, true) => b"\r\nconnection: keep-alive\r\n\r\n",
        (_, false) => b"\r\nconnection: close\r\n\r\n",
    });
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}");
}

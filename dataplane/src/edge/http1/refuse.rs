//! Writes a refusal, and decides whether the connection can go on.
//!
//! It goes on only where the next request's first byte is known. A caller that waits for `100 Continue` may or may not
//! send its body after a final answer, so the bytes that follow could be read as a request: that connection is closed.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::body::BodyDecoder;
use super::chunked::Step;
use super::decide::Asked;
use super::source::Source;
use super::stock::{Lines, Use};
use crate::admission::Refusal;
use crate::edge::answer::{Answer, answer};
use crate::edge::date;
use crate::record::OpenRecord;

/// Bytes of an unread body that are skipped to keep a connection, when they are already here.
const SKIPPED_BYTES_MAX: u64 = 64 << 10;
/// How long bytes are read and dropped after an answer that closes, so that a caller still sending can read the answer
/// instead of seeing its connection reset. As nginx does it: however many come, up to this time.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// How long such a caller may pause.
const LINGER_IDLE_MAX: Duration = Duration::from_secs(5);
/// Both, when the node stops.
const LINGER_STOPPING_MAX: Duration = Duration::from_secs(2);

/// Whether the connection can take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request starts at the front of the input.
    KeepAlive,
    /// Nothing more is understood on this connection, but the source may still read what it was told.
    Linger,
    /// The source is gone.
    Close,
}

/// Answers with a refusal. `rest` stands where the body was read up to.
pub async fn refuse(
    source: &mut Source,
    asked: &Asked,
    rest: BodyDecoder,
    refusal: &Refusal,
    record: &mut OpenRecord,
) -> After {
    record.refused(refusal);
    let answer = answer(refusal, record.names(), asked.reader);
    tell(source, asked, rest, &answer, record).await
}

/// Writes an answer of the node's own. `rest` stands where the body was read up to.
pub async fn tell(
    source: &mut Source,
    asked: &Asked,
    rest: BodyDecoder,
    answer: &Answer,
    record: &mut OpenRecord,
) -> After {
    record.exchange.own_micros = record.elapsed_micros();
    let persistent = asked.persistent && !source.is_closing() && skip_buffered(source, rest);
    let mut lines = Lines::new();
    write_answer(answer, persistent, asked.to_head, &mut lines);
    let told = send(source, &lines, asked.source_idle_ms).await;
    record.exchange.response_bytes = if asked.to_head { 0 } else { answer.body.len() as u64 };
    match (told, persistent) {
        (true, true) => After::KeepAlive,
        (true, false) => After::Linger,
        (false, _) => After::Close,
    }
}

/// Skips what is left of a body if that has arrived whole; false when it has not.
fn skip_buffered(source: &mut Source, mut rest: BodyDecoder) -> bool {
    let (mut at, mut content) = (0_usize, 0_u64);
    loop {
        let input = source.wire.input().get(at..).unwrap_or_default();
        match rest.step(input) {
            Ok(Step::Framing(length)) => at += length,
            Ok(Step::Content(length)) => {
                at += length;
                content += length as u64;
            }
            Ok(Step::End(length)) => {
                source.wire.consume(at + length);
                return content <= SKIPPED_BYTES_MAX;
            }
            Ok(Step::More) | Err(_) => return false,
        }
    }
}

fn write_answer(answer: &Answer, persistent: bool, to_head: bool, out: &mut Vec<u8>) {
    let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    // Writing to a vector cannot fail.
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", answer.status, reason.unwrap_or("Refused"));
    for (name, value) in &answer.headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(&date::now());
    let _ = write!(out, "\r\ncontent-length: {}\r\n", answer.body.len());
    out.extend_from_slice(if persistent { b"\r\n" } else { b"connection: close\r\n\r\n" });
    if !to_head {
        out.extend_from_slice(&answer.body);
    }
}

/// Writes all of `bytes`; false when the source does not take them. Pending only while its socket or the deadline will
/// wake the task.
pub async fn send(source: &mut Source, bytes: &[u8], idle_ms: u64) -> bool {
    source.deadline.set_after(Duration::from_millis(idle_ms));
    let mut sent = 0;
    poll_fn(|cx| {
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match source.wire.poll_write(cx, &[IoSlice::new(rest)]) {
                Poll::Ready(Ok(length)) => sent += length,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return source.deadline.poll_expired(cx).map(|()| false),
            }
        }
        match source.wire.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
            Poll::Pending => source.deadline.poll_expired(cx).map(|()| false),
        }
    })
    .await
}

/// Says that no more will come, and reads for a while what the source still sends (RFC 9112 section 9.6). Holds one buffer
/// while bytes arrive and none between.
pub async fn linger(source: &mut Source) {
    let end = Instant::now() + LINGER_MAX;
    source.deadline.set(lingers_until(source, end));
    poll_fn(|cx| {
        if source.wire.poll_shutdown(cx).is_pending() {
            return source.deadline.poll_expired(cx);
        }
        loop {
            let length = source.wire.input().len();
            source.wire.consume(length);
            match source.wire.poll_fill(cx, Use::Head) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {
                    if end <= Instant::now() {
                        return Poll::Ready(());
                    }
                    source.deadline.set(lingers_until(source, end));
                }
                // The source's socket wakes the task, or the deadline.
                Poll::Pending => return source.deadline.poll_expired(cx),
            }
        }
    })
    .await;
}

fn lingers_until(source: &Source, end: Instant) -> Instant {
    let pause = if source.is_closing() { LINGER_STOPPING_MAX } else { LINGER_IDLE_MAX };
    end.min(Instant::now() + pause)
}

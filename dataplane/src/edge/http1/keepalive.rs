//! RFC 9112 section 9: one connection of a source, request after request, in order.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;

use super::body::BodyDecoder;
use super::decide::Asked;
use super::exchange::{self, Next};
use super::fault::Fault;
use super::framing::Framing;
use super::head::{self, Extent};
use super::refuse::{self, After, refuse};
use super::rewound::Rewound;
use super::source::Source;
use super::stock::Use;
use crate::admission::Refusal;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::record::{Face, OpenRecord, RequestId};
use lgsp_shared::refusal::Code;

/// What an HTTP/2 connection starts with (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection ended.
#[derive(Debug)]
pub enum Handover {
    /// It is closed.
    Closed,
    /// pingora-proxy serves it from here on; the bytes already read come again.
    HandOver(Stream),
}

/// What waiting for a request came to.
pub(super) enum Awaited {
    /// A head of this many bytes is at the front of the input.
    Head(usize),
    /// HTTP/2.
    Http2,
    /// The source has nothing more to ask, or took too long without having begun.
    Quiet,
    /// It began, and it is wrong or took too long.
    Wrong(Fault),
}

/// Serves a connection until it closes or something else has to serve it.
pub async fn serve(stream: Stream, context: &Rooms, shutdown: &ShutdownWatch) -> Handover {
    let mut source = Source::new(stream, context.limits.header_deadline, shutdown.clone());
    let mut stopping = shutdown.clone();
    let mut stopping = pin!(stopping.wait_for(|stopping| *stopping));
    // Leaves this task's waker there once: asking again before every request would take a lock that all connections
    // share. Whether the node stops is then read from the source.
    poll_fn(|cx| Poll::Ready(stopping.as_mut().poll(cx).is_ready())).await;
    let mut first = true;
    loop {
        match next_request(&mut source, context, first).await {
            // In a box for as long as it lasts: inside this future its room would be held while the connection rests.
            Awaited::Head(length) => match Box::pin(exchange::serve(&mut source, context, length)).await {
                Next::Request => {}
                Next::Linger => {
                    Box::pin(refuse::linger(&mut source)).await;
                    return Handover::Closed;
                }
                Next::Close => return Handover::Closed,
                Next::HandOver => return hand_over(source),
            },
            Awaited::Http2 => return hand_over(source),
            Awaited::Quiet => return Handover::Closed,
            Awaited::Wrong(fault) => {
                if Box::pin(refuse_unread(&mut source, context, fault)).await == After::Linger {
                    Box::pin(refuse::linger(&mut source)).await;
                }
                return Handover::Closed;
            }
        }
        first = false;
    }
}

fn hand_over(source: Source) -> Handover {
    let (stream, already_read) = source.wire.into_parts();
    Handover::HandOver(Box::new(Rewound::new(stream, &already_read)))
}

pub(super) async fn next_request(source: &mut Source, context: &Rooms, first: bool) -> Awaited {
    // A connection that has not asked anything yet gets the time of one head; one that has may rest.
    let limits = &context.limits;
    source.deadline.set(source.at + if first { limits.header_deadline } else { limits.keep_alive_idle });
    let mut scanned = 0;
    let mut begun = false;
    let mut hurried = false;
    poll_fn(|cx| {
        loop {
            if let Some(awaited) = look(source, &mut scanned, first) {
                return Poll::Ready(awaited);
            }
            if !source.wire.input().is_empty() && !std::mem::replace(&mut begun, true) {
                source.deadline.set_after(limits.header_deadline);
            }
            match source.wire.poll_fill(cx, Use::Head) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Awaited::Quiet),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if !begun && !first && source.is_closing() => return Poll::Ready(Awaited::Quiet),
                // The source's socket wakes the task, its deadline, or the node's stop.
                Poll::Pending => {
                    if first && source.is_closing() && !std::mem::replace(&mut hurried, true) {
                        source.deadline.set_after(FIRST_REQUEST_WHILE_STOPPING.min(limits.header_deadline));
                    }
                    return source.deadline.poll_expired(cx).map(|()| if begun { TOO_SLOW } else { Awaited::Quiet });
                }
            }
        }
    })
    .await
}

/// How long a stopping node waits for the request of a connection that it accepted just before: the request may be on
/// its way, and closing now would lose it.
const FIRST_REQUEST_WHILE_STOPPING: Duration = Duration::from_secs(1);

const TOO_SLOW: Awaited =
    Awaited::Wrong(Fault { code: Code::HeaderTimeout, detail: "the head did not arrive within the header deadline" });

/// What the input is so far; `None` while that cannot be said.
fn look(source: &mut Source, scanned: &mut usize, first: bool) -> Option<Awaited> {
    skip_empty_line(source, *scanned);
    let input = source.wire.input();
    if first && !input.is_empty() && HTTP2_PREFACE.starts_with(input.get(..HTTP2_PREFACE.len()).unwrap_or(input)) {
        return (input.len() >= HTTP2_PREFACE.len()).then_some(Awaited::Http2);
    }
    match head::extent(input, scanned) {
        Ok(Extent::Complete(length)) => Some(Awaited::Head(length)),
        Ok(Extent::Partial) => None,
        Err(fault) => Some(Awaited::Wrong(fault)),
    }
}

/// RFC 9112 section 2.2: one empty line before a request is a leftover of an old client's body, and skipped.
fn skip_empty_line(source: &mut Source, scanned: usize) {
    if scanned == 0 && source.wire.input().starts_with(b"\r\n") && !source.wire.input().starts_with(b"\r\n\r\n") {
        source.wire.consume(2);
    }
}

/// Answers what never became a request: its end is unknown, so the connection cannot go on.
async fn refuse_unread(source: &mut Source, context: &Rooms, fault: Fault) -> After {
    let mut record = OpenRecord::open(&context.records, RequestId::new(), Face::Http1, source.peer, Now::read());
    let refusal: Refusal = fault.into();
    let rest = BodyDecoder::new(Framing::UntilClose);
    refuse(source, &Asked::default(), rest, &refusal, &mut record).await
}

//! A connection over the node's limits is told so before it is closed: 503 with `Retry-After` to its first request, a
//! GOAWAY to HTTP/2.
//!
//! It must stay cheap, because it is what a flood gets: one head is looked at, nothing is decided on, and everything is
//! over within [`TOLD_WITHIN`]. How many are told at a time is up to whoever accepts connections.

use std::time::Duration;

use lgsp_shared::refusal::Code;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;

use super::body::BodyDecoder;
use super::decide::{Asked, unheard};
use super::framing::Framing;
use super::keepalive::{Awaited, next_request};
use super::refuse::{After, linger, refuse, send};
use super::source::Source;
use crate::admission::Refusal;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::record::{Face, OpenRecord, RequestId};

/// For the request to arrive, the answer to be taken, and the connection to end.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// An empty SETTINGS frame, then GOAWAY (RFC 9113 section 6.8): no stream was processed, so all may be sent again
/// elsewhere; ENHANCE_YOUR_CALM.
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// Tells the connection, and closes it.
pub async fn turn_away(stream: Stream, context: &Rooms, shutdown: &ShutdownWatch) {
    let mut source = Source::new(stream, TOLD_WITHIN, shutdown.clone());
    // Whoever needs longer is not told.
    let _ = tokio::time::timeout(TOLD_WITHIN, tell(&mut source, context)).await;
}

async fn tell(source: &mut Source, context: &Rooms) {
    let head = match next_request(source, context, true).await {
        Awaited::Head(length) => length,
        Awaited::Wrong(_) => 0,
        Awaited::Quiet => return,
        Awaited::Http2 => {
            if send(source, GOAWAY, within_millis()).await {
                linger(source).await;
            }
            return;
        }
    };
    let mut record = OpenRecord::open(&context.records, RequestId::new(), Face::Http1, source.peer, Now::read());
    let input = source.wire.input().get(..head).unwrap_or_default();
    let asked = Asked { source_idle_ms: within_millis(), ..unheard(input, source.scheme, &mut record) };
    let refusal = Refusal::new(Code::Overloaded).with_detail("too many connections to this node, or from your address");
    let rest = BodyDecoder::new(Framing::UntilClose);
    if refuse(source, &asked, rest, &refusal, &mut record).await != After::Close {
        // The record is closed before the wait for a caller that may not go.
        drop(record);
        linger(source).await;
    }
}

fn within_millis() -> u64 {
    u64::try_from(TOLD_WITHIN.as_millis()).unwrap_or(u64::MAX)
}

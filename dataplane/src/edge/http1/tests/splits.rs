//! Wherever a message is cut into segments, nothing waits for what has arrived already.
//!
//! Found with a chunked answer of a Node.js target: its last chunk and its end came in one segment, and the answer ended
//! only when the target closed its connection seconds later. Here no timer ever fires: a future that is pending and that
//! nobody will wake has hung.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::join3;
use lgsp_shared::resource::Deadlines;
use lgsp_shared::signature::{BodyRule, ExpectedDigest};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::body::BodyDecoder;
use super::super::chunked::{self, Step};
use super::super::converse::{Conversation, Reply};
use super::super::deadline::Total;
use super::super::decide::Asked;
use super::super::framing::Framing;
use super::super::outgoing::Outgoing;
use super::super::pace::Pace;
use super::super::relay::{Patience, Relay, Relayed};
use super::super::sending::Sending;
use super::super::source::Source;
use super::super::upload::Upload;
use super::super::wire::Wire;
use crate::record::RequestId;
use crate::stream::{BodyGate, Declared, Held, HeldBudget};

/// No timer of a test fires.
const NEVER: Duration = Duration::from_secs(3_600);
/// More than any answer here.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Notes that somebody woke the task.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a future for as long as somebody wakes it; `None` when it waits for something that has happened already.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Timers can be made, and none is driven.
    let _entered = runtime.enter();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !woken.0.swap(false, Ordering::SeqCst) {
            return None;
        }
    }
}

/// Lets all others have a turn.
async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How a message goes out: cut where, with a pause for the reader after which cuts.
#[derive(Debug, Clone)]
struct Segments {
    cuts: Vec<(prop::sample::Index, bool)>,
}

impl Segments {
    async fn send(&self, bytes: &[u8], to: &mut DuplexStream) {
        let mut cuts: Vec<(usize, bool)> =
            self.cuts.iter().map(|(index, pauses)| (index.index(bytes.len() + 1), *pauses)).collect();
        cuts.sort_unstable();
        let mut sent = 0;
        for (cut, pauses) in cuts {
            to.write_all(&bytes[sent..cut]).await.unwrap();
            sent = cut;
            if pauses {
                pause().await;
                pause().await;
            }
        }
        to.write_all(&bytes[sent..]).await.unwrap();
    }
}

fn segments() -> impl Strategy<Value = Segments> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6).prop_map(|cuts| Segments { cuts })
}

/// Sizes around those at which the code does something else.
fn size() -> impl Strategy<Value = usize> {
    let edges = prop::sample::select(vec![0, 1, 4 << 10, (4 << 10) + 1, 8 << 10, 12 << 10, 64 << 10, 128 << 10]);
    (edges, 0_usize..600).prop_map(|(edge, more)| edge + more)
}

/// A body in chunks, and whether it is sent so or with its length.
#[derive(Debug, Clone)]
struct Message {
    chunks: Vec<usize>,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Length,
    Chunked,
    UntilClose,
}

impl Message {
    fn body(&self) -> Vec<u8> {
        (0..self.chunks.iter().sum()).map(|at: usize| (at % 251) as u8).collect()
    }

    fn framing(&self) -> Framing {
        match self.coding {
            Coding::Length => Framing::Length(self.body().len() as u64),
            Coding::Chunked => Framing::Chunked,
            Coding::UntilClose => Framing::UntilClose,
        }
    }

    fn framing_line(&self) -> String {
        match self.coding {
            Coding::Length => format!("Content-Length: {}\r\n", self.body().len()),
            Coding::Chunked => "Transfer-Encoding: chunked\r\n".into(),
            Coding::UntilClose => String::new(),
        }
    }

    fn framed_body(&self) -> Vec<u8> {
        let body = self.body();
        if self.coding != Coding::Chunked {
            return body;
        }
        let (mut framed, mut at) = (Vec::new(), 0);
        for size in self.chunks.iter().filter(|size| **size > 0) {
            chunked::write_size(&mut framed, *size);
            framed.extend_from_slice(&body[at..at + size]);
            framed.extend_from_slice(b"\r\n");
            at += size;
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        framed
    }

    fn answer(&self) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\n{}\r\n", self.framing_line()).into_bytes(), self.framed_body()].concat()
    }
}

fn message(codings: &'static [Coding]) -> impl Strategy<Value = Message> {
    (prop::collection::vec(size(), 1..4), prop::sample::select(codings))
        .prop_map(|(chunks, coding)| Message { chunks, coding })
}

/// Takes the framing off everything behind the first empty line.
fn unframed(message: &[u8], framing: Framing) -> Vec<u8> {
    let start = super::fixture::find(message, b"\r\n\r\n").unwrap() + 4;
    let (mut decoder, mut body, mut at) = (BodyDecoder::new(framing), Vec::new(), start);
    loop {
        match decoder.step(&message[at..]).unwrap() {
            Step::Framing(length) => at += length,
            Step::Content(length) => {
                body.extend_from_slice(&message[at..at + length]);
                at += length;
            }
            Step::End(_) | Step::More => return body,
        }
    }
}

/// An exchange between two connections in memory.
struct Exchange {
    /// The request's body.
    request: Message,
    /// How much the source's connection holds.
    source_bytes: usize,
}

impl Exchange {
    /// Sends the request and relays the answer; tells how that ended.
    async fn serve(&self, source: DuplexStream, target: DuplexStream) -> Relayed {
        let (_stop, shutdown) = watch::channel(false);
        let mut source = Source::new(Box::new(source), NEVER, shutdown);
        let mut target = Wire::new(Box::new(target));
        let framing = self.request.framing();
        let declared = match framing {
            Framing::Length(length) => Declared::Bytes(length),
            _ => Declared::Unbounded,
        };
        let memory = Held::new(&Arc::new(HeldBudget::new(BODY_BYTES_MAX as usize)), &Arc::default());
        let rule = BodyRule::Digest(ExpectedDigest::of(&self.request.body()));
        let gate = BodyGate::new(rule, None, declared, BODY_BYTES_MAX, memory).unwrap();
        let mut upload = Upload::new(BodyDecoder::new(framing), gate);
        let mut out = Outgoing::default();
        out.head.extend_from_slice(format!("POST / HTTP/1.1\r\n{}\r\n", self.request.framing_line()).as_bytes());
        let never = NEVER.as_millis() as u64;
        let deadlines = Deadlines { connect_ms: never, first_byte_ms: never, idle_ms: never, total_ms: 0 };
        let mut conversation = Conversation {
            source: &mut source,
            target: &mut target,
            sending: Sending::new(&mut out, &mut upload),
            deadlines: &deadlines,
            pace: &mut Pace::new(NEVER, 0),
            total: Total(None),
            answer_by: None,
            sent_at: None,
            interim: 0,
            scanned: 0,
        };
        let reply = conversation.run().await;
        let Reply::Head(length) = reply else { panic!("{reply:?}") };
        let asked = Asked { persistent: true, framing, ..Asked::default() };
        let mut relay = Relay::begin(&mut target, length, &asked, true, RequestId::new()).unwrap();
        let patience =
            Patience { target: NEVER, taking: Pace::new(NEVER, 0), sending: Pace::new(NEVER, 0), total: Total(None) };
        let mut rest = Sending::new(&mut out, &mut upload);
        relay.run(&mut source, &mut target, &mut rest, patience).await
    }

    /// How the relay ended, what the target read, and what the source read; `None` when somebody waited in vain.
    fn run(
        &self,
        asks: &Segments,
        answer: &Message,
        answers: &Segments,
        closes: bool,
    ) -> Option<(Relayed, Vec<u8>, Vec<u8>)> {
        let (mut source, source_near) = duplex(self.source_bytes);
        let (mut target, target_near) = duplex(64 << 10);
        let request = self.request.framed_body();
        let head = format!("POST / HTTP/1.1\r\n{}\r\n", self.request.framing_line());
        let asking = async {
            asks.send(&request, &mut source).await;
            let mut read = Vec::new();
            source.read_to_end(&mut read).await.unwrap();
            read
        };
        let answering = async {
            let mut read = Vec::new();
            let chunked = self.request.coding == Coding::Chunked;
            let mut due = if chunked { 1 } else { head.len() + request.len() };
            while read.len() < due {
                assert!(target.read_buf(&mut read).await.unwrap() > 0);
                if chunked {
                    // The chunks for the target are cut as they came: their end says that it is over.
                    due = if read.ends_with(b"\r\n0\r\n\r\n") { read.len() } else { read.len() + 1 };
                }
            }
            answers.send(&answer.answer(), &mut target).await;
            let kept = (!closes && answer.coding != Coding::UntilClose).then_some(target);
            (read, kept)
        };
        let (relayed, read, (seen, _kept)) = run(join3(self.serve(source_near, target_near), asking, answering))?;
        Some((relayed, unframed(&seen, self.request.framing()), read))
    }
}

/// How the source gets an answer of this coding.
fn relayed_framing(answer: &Message) -> Framing {
    match answer.coding {
        Coding::Length => answer.framing(),
        Coding::Chunked | Coding::UntilClose => Framing::Chunked,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_ends_when_its_last_byte_came_and_a_request_when_its_last_byte_went(
        request in message(&[Coding::Length, Coding::Chunked]),
        asks in segments(),
        answer in message(&[Coding::Length, Coding::Chunked, Coding::UntilClose]),
        answers in segments(),
        closes in any::<bool>(),
        source_bytes in 1_000_usize..200_000,
    ) {
        let exchange = Exchange { request, source_bytes };
        let ended = exchange.run(&asks, &answer, &answers, closes);
        prop_assert!(ended.is_some(), "somebody waits for what has arrived already");
        let (relayed, seen, read) = ended.unwrap();
        prop_assert_eq!(relayed, Relayed::Whole);
        prop_assert!(seen == exchange.request.body());
        prop_assert!(unframed(&read, relayed_framing(&answer)) == answer.body());
    }
}

#[test]
fn a_large_last_chunk_and_the_end_in_one_segment_end_the_answer() {
    let request = Message { chunks: vec![1], coding: Coding::Length };
    let at_once = Segments { cuts: Vec::new() };
    for (coding, size) in [(Coding::Chunked, 5_000), (Coding::Length, 5_000), (Coding::Chunked, 60_000)] {
        let answer = Message { chunks: vec![size], coding };
        for closes in [false, true] {
            let exchange = Exchange { request: request.clone(), source_bytes: 256 << 10 };
            let ended = exchange.run(&at_once, &answer, &at_once, closes);
            assert!(matches!(ended, Some((Relayed::Whole, ..))), "{coding:?} of {size}, closed behind it: {closes}");
        }
    }
}

#[test]
fn a_future_that_nobody_wakes_is_seen_to_hang() {
    let _ = Instant::now();
    assert_eq!(run(std::future::pending::<()>()), None);
    assert_eq!(run(pause()), Some(()));
}

//! One attempt at a target: the request goes out while the answer is awaited, until the answer's head is there.
//!
//! One task polls both sides, so a target may answer early, and a source that goes away ends the attempt. What has not
//! been verified never completes a body at the target: the last piece stays in the gate, and an attempt that ends
//! before it is simply dropped with its connection.

use std::task::{Context, Poll};
use std::time::Duration;

use lgsp_shared::resource::Deadlines;
use tokio::time::Instant;

use super::deadline::Total;
use super::fault::Fault;
use super::head::{Extent, Fields};
use super::pace::Pace;
use super::response;
use super::sending::{STEPS_PER_PIECE, Sending, Sent};
use super::source::Source;
use super::stock::{HEAD_BYTES, Use};
use super::turn::Turn;
use super::wire::Wire;
use crate::edge::cause::{BODY_LATE, Cause, TOTAL_OVER};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The head of the final answer is at the front of the target's input, this many bytes long.
    Head(usize),
    /// The connection broke, or was closed, before the first byte of an answer.
    Silent,
    /// The target failed otherwise.
    Failed(Cause),
    /// The request itself turned out wrong.
    Refused(Cause),
    /// The source went away.
    SourceGone,
}

/// An attempt.
#[derive(Debug)]
pub struct Conversation<'a> {
    /// Who asks.
    pub source: &'a mut Source,
    /// Who is asked.
    pub target: &'a mut Wire,
    /// What is asked.
    pub sending: Sending<'a>,
    /// The service's deadlines.
    pub deadlines: &'a Deadlines,
    /// How much time the source may take for its body.
    pub pace: &'a mut Pace,
    /// When the whole exchange must be over, if ever.
    pub total: Total,
    /// When the first byte of the answer must be there; set once the request is complete.
    pub answer_by: Option<Instant>,
    /// When the request was written completely.
    pub sent_at: Option<Instant>,
    /// Interim answers dropped so far.
    pub interim: usize,
    /// How far the answer's head was searched.
    pub scanned: usize,
}

/// What one round did.
enum Round {
    Moved,
    Waiting,
    Over(Reply),
}

impl Conversation<'_> {
    /// Runs the attempt to its end.
    pub async fn run(&mut self) -> Reply {
        self.renew(self.source.at);
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut turn = Turn::new(STEPS_PER_PIECE);
        loop {
            let rounds = [self.send(cx), self.listen(cx)];
            let mut moved = false;
            for round in rounds {
                match round {
                    Round::Over(reply) => return Poll::Ready(reply),
                    Round::Moved => moved = true,
                    Round::Waiting => {}
                }
            }
            if !moved {
                break;
            }
            self.renew(Instant::now());
            // However much there is to move, the deadline is looked at.
            if turn.is_over(cx) {
                break;
            }
        }
        // Both sides were asked and are pending, or the turn has arranged its own wake-up: each socket that stopped a step
        // wakes the task, and so does the deadline.
        if self.watch_source(cx).is_ready() {
            return Poll::Ready(Reply::SourceGone);
        }
        self.source.deadline.poll_expired(cx).map(|()| self.expired())
    }

    /// Whom the deadline is about: the source while its body is awaited, the target otherwise.
    fn expired(&self) -> Reply {
        if self.total.is_over() {
            Reply::Failed(TOTAL_OVER)
        } else if !self.sending.out.is_empty() {
            Reply::Failed(Cause::late("the target took nothing of the request for as long as the service's `idle_ms`"))
        } else if self.sending.upload.is_done() {
            Reply::Failed(Cause::late("no answer began within the service's `first_byte_ms`"))
        } else {
            Reply::Refused(BODY_LATE)
        }
    }

    fn renew(&mut self, now: Instant) {
        if self.sending.is_whole() {
            self.sent_at.get_or_insert(now);
        }
        self.pace.moved_to(self.sending.upload.received_bytes(), || now);
        let (done, written) = (self.sending.upload.is_done(), self.sending.out.is_empty());
        if done || !written {
            self.pace.not_awaited(|| now);
        }
        let at = match (done, written) {
            (true, true) => *self.answer_by.get_or_insert(now + Duration::from_millis(self.deadlines.first_byte_ms)),
            (false, true) => self.pace.awaited(now),
            (_, false) => {
                let idle = now + Duration::from_millis(self.deadlines.idle_ms);
                self.answer_by.map_or(idle, |by| by.min(idle))
            }
        };
        self.source.deadline.set(self.total.bound(at));
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Round {
        match self.sending.step(cx, &mut self.source.wire, self.target) {
            Sent::Moved => Round::Moved,
            Sent::Waiting => Round::Waiting,
            // It may have answered before it closed (RFC 9112 section 9.5): what it said decides.
            Sent::Refused if self.sending.out.is_begun() => {
                self.sending.give_up();
                Round::Waiting
            }
            Sent::Refused => Round::Over(Reply::Silent),
            Sent::SourceGone => Round::Over(Reply::SourceGone),
            Sent::Wrong(cause) => Round::Over(Reply::Refused(cause)),
        }
    }

    fn listen(&mut self, cx: &mut Context<'_>) -> Round {
        match self.target.poll_fill(cx, Use::Head) {
            Poll::Pending => Round::Waiting,
            Poll::Ready(Ok(0) | Err(_)) if self.target.input().is_empty() && self.interim == 0 => {
                Round::Over(Reply::Silent)
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                Round::Over(Reply::Failed(Cause::closed("the connection ended within the answer's head")))
            }
            Poll::Ready(Ok(_)) => self.heard(),
        }
    }

    /// Looks for the final answer's head in what the target said so far.
    fn heard(&mut self) -> Round {
        loop {
            match response::extent(self.target.input(), &mut self.scanned) {
                Err(fault) => return Round::Over(Reply::Failed(fault.into())),
                Ok(Extent::Partial) => return Round::Moved,
                Ok(Extent::Complete(length)) if !self.is_interim(length) => return Round::Over(Reply::Head(length)),
                Ok(Extent::Complete(length)) => {
                    // `100 Continue` was answered here already, and no other interim answer says anything to a source.
                    self.interim += 1;
                    self.scanned = 0;
                    if let Err(fault) = self.check_interim(length) {
                        return Round::Over(Reply::Failed(fault.into()));
                    }
                    self.target.consume(length);
                }
            }
        }
    }

    fn is_interim(&self, length: usize) -> bool {
        let head = self.target.input().get(..length).unwrap_or_default();
        head.get(9).is_some_and(|first| *first == b'1')
    }

    /// An interim answer that is one; `101 Switching Protocols` was never asked for.
    fn check_interim(&self, length: usize) -> Result<(), Fault> {
        if self.interim > response::INTERIM_MAX {
            return Err(Fault::target("the target sent too many interim (1xx) answers"));
        }
        let head = self.target.input().get(..length).unwrap_or_default();
        let mut fields = Fields::new();
        match response::parse(head, false, &mut fields)?.status {
            101 => Err(Fault::target("the target switched protocols (101), which was not asked for")),
            _ => Ok(()),
        }
    }

    /// Ready when the source closed while the target is awaited. A source that half-closes after its request is taken
    /// to be gone, as other proxies do: the two cannot be told apart, and work for nobody is worse.
    fn watch_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.sending.upload.is_done() {
            return Poll::Pending;
        }
        poll_gone(&mut self.source.wire, cx)
    }
}

/// Ready when this side closed. What it sends meanwhile (the next request, pipelined) is kept, up to one buffer; with that
/// full its socket is not asked, and its closing is noticed only by writing to it.
pub fn poll_gone(wire: &mut Wire, cx: &mut Context<'_>) -> Poll<()> {
    while wire.input().len() < HEAD_BYTES / 2 {
        match wire.poll_fill(cx, Use::Head) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Pending
}

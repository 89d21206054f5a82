//! A request on its way to a target: the head, and the body behind it as it comes in from the source.
//!
//! Sending goes on while an answer is awaited and also while one is already passed on, because a target may answer
//! before it has read everything (RFC 9112 section 9.5), and many sources read nothing before they have sent it all.

use std::task::{Context, Poll};

use super::outgoing::Outgoing;
use super::stock::Use;
use super::upload::{Progress, Upload};
use super::wire::Wire;
use crate::edge::cause::Cause;

/// A piece of the body is read, verified and written.
pub const STEPS_PER_PIECE: u32 = 3;

/// A request being sent.
#[derive(Debug)]
pub struct Sending<'a> {
    /// What is still to be written.
    pub out: &'a mut Outgoing,
    /// The body behind it.
    pub upload: &'a mut Upload,
    unflushed: bool,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Something moved: there may be more to do at once.
    Moved,
    /// One of the two sides has to move first, or everything is sent.
    Waiting,
    /// The target takes no more.
    Refused,
    /// The source went away in the middle of its body.
    SourceGone,
    /// The body turned out wrong.
    Wrong(Cause),
}

impl<'a> Sending<'a> {
    /// At wherever `out` and `upload` are.
    pub fn new(out: &'a mut Outgoing, upload: &'a mut Upload) -> Self {
        let unflushed = out.is_begun();
        Self { out, upload, unflushed }
    }

    /// Whether everything was sent and verified.
    pub fn is_whole(&self) -> bool {
        !self.out.is_abandoned() && self.upload.is_done() && self.out.is_empty()
    }

    /// Whether nothing will be sent any more.
    pub fn is_over(&self) -> bool {
        self.out.is_abandoned() || self.is_whole()
    }

    /// Sends no more: the target does not want the rest.
    pub fn give_up(&mut self) {
        self.out.abandon();
    }

    /// Writes what there is, and takes in more of the body when there is nothing left to write. When it says
    /// [`Sent::Waiting`], the socket that stopped it wakes the task, unless everything is sent or given up.
    pub fn step(&mut self, cx: &mut Context<'_>, source: &mut Wire, target: &mut Wire) -> Sent {
        if self.out.is_abandoned() {
            return Sent::Waiting;
        }
        if !self.out.is_empty() {
            match self.out.with_slices(|slices| target.poll_write(cx, slices)) {
                Poll::Ready(Ok(length)) => {
                    self.out.advance(length);
                    self.unflushed = true;
                    return Sent::Moved;
                }
                Poll::Ready(Err(_)) => return Sent::Refused,
                Poll::Pending => return Sent::Waiting,
            }
        }
        let flushed = if self.unflushed { target.poll_flush(cx) } else { Poll::Ready(Ok(())) };
        match flushed {
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(_)) => return Sent::Refused,
            Poll::Pending => return Sent::Waiting,
        }
        self.refill(cx, source)
    }

    fn refill(&mut self, cx: &mut Context<'_>, source: &mut Wire) -> Sent {
        if self.upload.is_done() {
            return Sent::Waiting;
        }
        match self.upload.advance(source, self.out) {
            Ok(Progress::Moved | Progress::Done) => Sent::Moved,
            Err(cause) => Sent::Wrong(cause),
            Ok(Progress::More) => match source.poll_fill(cx, Use::Body) {
                Poll::Ready(Ok(0) | Err(_)) => Sent::SourceGone,
                Poll::Ready(Ok(_)) => Sent::Moved,
                Poll::Pending => Sent::Waiting,
            },
        }
    }
}

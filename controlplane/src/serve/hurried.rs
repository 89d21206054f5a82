//! A connection whose other side has to take what it is sent.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How much of an answer has to be taken in one wait; whoever takes less is not reading, or reads a byte at a time.
pub const ANSWER_BYTES_PER_WAIT: usize = 256 << 10;

/// See the module.
pub struct Hurried {
    stream: TcpStream,
    wait: Duration,
    /// Since when nothing more can be sent, and what ends that.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    /// How long that was before, since `sent` was last begun anew.
    waited: Duration,
    sent: usize,
}

impl Hurried {
    /// Gives the other side `wait` for each [`ANSWER_BYTES_PER_WAIT`]. Only the time counts in which there is something
    /// to send and it takes nothing.
    pub fn new(stream: TcpStream, wait: Duration) -> Self {
        Self { stream, wait, stalled: None, waited: Duration::ZERO, sent: 0 }
    }

    fn after(&mut self, written: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if let Poll::Ready(written) = written {
            self.waited += self.stalled.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            self.sent += written.as_ref().copied().unwrap_or_default();
            if self.sent >= ANSWER_BYTES_PER_WAIT {
                (self.waited, self.sent) = (Duration::ZERO, 0);
            }
            return Poll::Ready(written);
        }
        let left = self.wait.saturating_sub(self.waited);
        let (_, end) = self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        match end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer was not taken in time"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Hurried {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl AsyncWrite for Hurried {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.after(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.after(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

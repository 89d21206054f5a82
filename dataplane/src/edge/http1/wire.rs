//! One side's connection together with what has been read from it and not used yet.
//!
//! Every operation polls, so that one task can wait for both sides at once without an allocation. While nothing has been
//! read no buffer is held.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::stock::{self, Use};

/// The least room worth a read.
const ROOM_BYTES_MIN: usize = 1 << 10;

/// A connection and its unread input.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    input: BytesMut,
    filled: usize,
}

impl Wire {
    /// A connection from which nothing has been read.
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: BytesMut::new(), filled: 0 }
    }

    /// What has been read and not used.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Drops `length` bytes from the front of the input.
    pub fn consume(&mut self, length: usize) {
        self.input.advance(length.min(self.input.len()));
    }

    /// Takes `length` bytes from the front of the input.
    pub fn take(&mut self, length: usize) -> Bytes {
        self.input.split_to(length.min(self.input.len())).freeze()
    }

    /// Puts bytes in front of everything that will be read.
    pub fn seed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Reads once and returns how many bytes came; 0 is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, purpose: Use) -> Poll<io::Result<usize>> {
        self.make_room(purpose);
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        match read {
            Poll::Ready(Ok(length)) => {
                self.filled += length;
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.settle();
                Poll::Pending
            }
        }
    }

    fn make_room(&mut self, purpose: Use) {
        if self.input.is_empty() {
            let reusable = self.input.try_reclaim(size_of_use(purpose));
            if !reusable {
                self.settle();
                self.input = stock::borrow(purpose);
            }
        } else if self.input.capacity() - self.input.len() < ROOM_BYTES_MIN {
            self.input.reserve(size_of_use(purpose));
        }
    }

    /// Gives an empty buffer back to the thread.
    pub fn settle(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            stock::give_back(std::mem::take(&mut self.input), self.filled);
        }
        if self.input.is_empty() {
            self.filled = 0;
        }
    }

    /// Writes as much as the connection takes of `slices`, which are not all empty; returns how much.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match slices {
            [one] => Pin::new(&mut self.stream).poll_write(cx, one),
            several => Pin::new(&mut self.stream).poll_write_vectored(cx, several),
        };
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            length => Poll::Ready(Ok(length)),
        }
    }

    /// Pushes what the connection buffered to the peer.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// The connection and what was read from it.
    pub fn into_parts(mut self) -> (Stream, Bytes) {
        let input = std::mem::take(&mut self.input).freeze();
        (self.stream, input)
    }
}

fn size_of_use(purpose: Use) -> usize {
    match purpose {
        Use::Head => stock::HEAD_BYTES,
        Use::Body => stock::BODY_BYTES,
    }
}

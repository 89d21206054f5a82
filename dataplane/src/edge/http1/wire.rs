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
/// A taken piece keeps the whole buffer it was read into alive. One shorter than this is copied instead, so that pieces
/// never keep more than about twice their own bytes.
const SHARED_BYTES_MIN: usize = stock::BODY_BYTES / 2;

/// A connection and its unread input.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    input: Input,
}

/// A buffer borrowed from the thread, or none. It goes back, wiped, however its connection ends.
#[derive(Debug, Default)]
struct Input {
    bytes: BytesMut,
    /// How many bytes were read into it since it was borrowed.
    filled: usize,
}

impl Input {
    fn give_back(&mut self) {
        if self.bytes.capacity() > 0 {
            stock::give_back(std::mem::take(&mut self.bytes), self.filled);
        }
        self.filled = 0;
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Wire {
    /// A connection from which nothing has been read.
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: Input::default() }
    }

    /// What has been read and not used.
    pub fn input(&self) -> &[u8] {
        &self.input.bytes
    }

    /// Drops `length` bytes from the front of the input.
    pub fn consume(&mut self, length: usize) {
        self.input.bytes.advance(length.min(self.input.bytes.len()));
    }

    /// Takes `length` bytes from the front of the input. What it returns keeps at most about twice `length` alive.
    pub fn take(&mut self, length: usize) -> Bytes {
        // Splitting would turn the buffer into a shared one, which costs an allocation, and most bodies end without bytes.
        if length == 0 {
            return Bytes::new();
        }
        let length = length.min(self.input.bytes.len());
        if length >= SHARED_BYTES_MIN {
            return self.input.bytes.split_to(length).freeze();
        }
        let copied = Bytes::copy_from_slice(self.input.bytes.get(..length).unwrap_or_default());
        self.input.bytes.advance(length);
        copied
    }

    /// Puts bytes in front of everything that will be read.
    pub fn seed(&mut self, bytes: &[u8]) {
        self.input.bytes.extend_from_slice(bytes);
        self.input.filled += bytes.len();
    }

    /// Reads once and returns how many bytes came; 0 is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, purpose: Use) -> Poll<io::Result<usize>> {
        self.make_room(purpose);
        self.poll_read(cx)
    }

    /// The same towards an input of `total` bytes, at most one body buffer, which stay where they are until all of them
    /// are there: however many reads that takes, one buffer holds them.
    pub fn poll_gather(&mut self, cx: &mut Context<'_>, total: usize) -> Poll<io::Result<usize>> {
        if self.input.bytes.capacity() < total {
            let mut larger = stock::borrow(Use::Body);
            larger.extend_from_slice(&self.input.bytes);
            let filled = larger.len();
            self.input.give_back();
            self.input = Input { bytes: larger, filled };
        }
        self.poll_read(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = pin!(self.stream.read_buf(&mut self.input.bytes)).poll(cx);
        match read {
            Poll::Ready(Ok(length)) => {
                self.input.filled += length;
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
        let bytes = &mut self.input.bytes;
        if bytes.is_empty() {
            if bytes.capacity() == 0 || !bytes.try_reclaim(size_of_use(purpose)) {
                self.settle();
                self.input.bytes = stock::borrow(purpose);
            }
        } else if bytes.capacity() - bytes.len() < ROOM_BYTES_MIN {
            bytes.reserve(size_of_use(purpose));
        }
    }

    /// Gives an empty buffer back to the thread.
    pub fn settle(&mut self) {
        if self.input.bytes.is_empty() {
            self.input.give_back();
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
        let input = std::mem::take(&mut self.input.bytes).freeze();
        (self.stream, input)
    }

    /// The connection, for another exchange.
    pub fn into_stream(self) -> Stream {
        self.stream
    }
}

fn size_of_use(purpose: Use) -> usize {
    match purpose {
        Use::Head => stock::HEAD_BYTES,
        Use::Body => stock::BODY_BYTES,
    }
}

//! One connection: sends a request, reads its answer, says how it ended. HTTP/1.1 (RFC 9112), as lean as it can be,
//! because what the client costs is taken from the server on the same machine.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::answer::{Answer, Fault, Reader};
use super::request::Prepared;
use super::target::Target;

/// What a connection holds between answers.
const BUFFER_BYTES: usize = 8 << 10;
/// A connection that rested longer may have been closed by its peer, which is looked for before it is used.
const REST_TRUSTED: Duration = Duration::from_secs(1);

/// A connection.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    used: Instant,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects.
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        let tcp = TcpStream::connect(target.address).await?;
        // Small requests must not wait for the acknowledgement of the last.
        tcp.set_nodelay(true)?;
        let stream = match &target.tls {
            None => Stream::Plain(tcp),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                Stream::Tls(Box::new(connector.connect(name.clone(), tcp).await?))
            }
        };
        Ok(Self { stream, input: BytesMut::with_capacity(BUFFER_BYTES), used: Instant::now() })
    }

    /// Whether the peer has closed it while it rested.
    pub(super) fn has_ended(&self) -> bool {
        if self.used.elapsed() < REST_TRUSTED {
            return false;
        }
        // A peer says nothing unasked: what can be read on a resting plain connection is its end.
        match &self.stream {
            Stream::Plain(tcp) => {
                !matches!(tcp.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // Over TLS there may be session tickets, which only the TLS side may read.
            Stream::Tls(_) => false,
        }
    }

    /// Sends `first`, then the rest of the request's body, and reads the answer.
    pub(super) async fn exchange(&mut self, request: &Prepared, first: &[u8]) -> Result<Answer, Fault> {
        let (is_head, rest) = (request.is_head, request.rest());
        if rest == 0 {
            self.stream.write_all(first).await.map_err(|_| Fault::Io)?;
            self.stream.flush().await.map_err(|_| Fault::Io)?;
            let answer = Reader { source: &mut self.stream, input: &mut self.input, is_head }.answer().await;
            self.used = Instant::now();
            return answer;
        }
        let (mut source, mut sink) = tokio::io::split(&mut self.stream);
        let writing = async {
            sink.write_all(first).await?;
            let mut left = rest;
            while left > 0 {
                let piece = request.body.piece(left);
                sink.write_all(piece).await?;
                left -= piece.len() as u64;
            }
            sink.flush().await
        };
        // A refusal may come before all is sent; then the rest is not, and the connection is of no more use.
        let mut reader = Reader { source: &mut source, input: &mut self.input, is_head };
        let reading = reader.answer();
        tokio::pin!(writing, reading);
        let answer = tokio::select! {
            biased;
            answer = &mut reading => answer.map(|answer| Answer { keep: false, ..answer }),
            written = &mut writing => {
                let answer = reading.await;
                match written {
                    Ok(()) => answer,
                    // The peer stopped reading; it may have said why.
                    Err(_) => answer.map(|answer| Answer { keep: false, ..answer }).map_err(|_| Fault::Io),
                }
            }
        };
        self.used = Instant::now();
        answer
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

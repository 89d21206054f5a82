//! A connection whose first bytes were already read: they are read again, then the connection goes on.
//!
//! What our loop does not serve itself is handed to pingora-proxy as one of these. Everything but reading is the inner
//! connection's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// A connection with bytes put back in front of it.
#[derive(Debug)]
pub struct Rewound {
    again: BytesMut,
    inner: Stream,
}

impl Rewound {
    /// `inner` as if `already_read` had not been read from it.
    pub fn new(inner: Stream, already_read: &[u8]) -> Self {
        Self { again: BytesMut::from(already_read), inner }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.again.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        let length = self.again.len().min(into.remaining());
        into.put_slice(self.again.get(..length).unwrap_or_default());
        self.again.advance(length);
        if self.again.is_empty() {
            self.again = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Rewound {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl UniqueID for Rewound {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Rewound {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Rewound {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Rewound {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Rewound {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Rewound {
    /// Waits for `into.len()` bytes, shows them, and keeps them for reading. Pingora looks for the HTTP/2 preface so.
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        while self.again.len() < into.len() {
            if self.inner.read_buf(&mut self.again).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        into.copy_from_slice(self.again.get(..into.len()).unwrap_or_default());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn bytes_already_read_come_first_and_the_connection_goes_on() {
        let (here, mut there) = tokio::io::duplex(64);
        there.write_all(b" HTTP/2.0 and more").await.unwrap();
        let mut rewound = Rewound::new(Box::new(here), b"PRI *");
        let mut preface = [0; 14];
        assert!(rewound.try_peek(&mut preface).await.unwrap());
        assert_eq!(&preface, b"PRI * HTTP/2.0");
        let mut text = [0; 23];
        rewound.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"PRI * HTTP/2.0 and more");
        rewound.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        there.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[tokio::test]
    async fn peeking_past_the_end_is_an_error_and_loses_nothing() {
        let (here, there) = tokio::io::duplex(64);
        drop(there);
        let mut rewound = Rewound::new(Box::new(here), b"PRI");
        assert!(rewound.try_peek(&mut [0; 4]).await.is_err());
        let mut text = Vec::new();
        rewound.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"PRI");
    }
}

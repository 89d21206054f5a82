//! The target's HTTP/2 (RFC 9113), on the `h2` crate: back-pressure both ways, trailers both ways.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::Settings;
use super::answer::{Broken, Exchange, Pair, answer};
use super::head::{Head, HeadBuilder};

const STREAMS_MAX: u32 = 1_000;
/// What a sender may have in flight, per stream and per connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Handed to the connection at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, settings: Arc<Settings>) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut exchanges = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        exchanges.spawn(serve_stream(request, respond, settings.clone()));
        while exchanges.try_join_next().is_some() {}
    }
}

async fn serve_stream(request: Request<RecvStream>, respond: SendResponse<Bytes>, settings: Arc<Settings>) {
    let head = head_of(&request);
    let is_head = request.method() == http::Method::HEAD;
    let mut exchange = Http2 { body: request.into_body(), respond, stream: None, is_head, has_ended: false };
    if answer(&mut exchange, &head, &settings).await.is_err() {
        match &mut exchange.stream {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => exchange.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

fn head_of(request: &Request<RecvStream>) -> Head {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut builder = HeadBuilder::new(request.method().as_str(), target, request.headers().len());
    if let Some(authority) = uri.authority() {
        builder.authority(authority.as_str().as_bytes());
    }
    for (name, value) in request.headers() {
        builder.field(name.as_str(), value.as_bytes());
    }
    builder.build()
}

struct Http2 {
    body: RecvStream,
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    is_head: bool,
    has_ended: bool,
}

fn failed(error: h2::Error) -> Broken {
    Broken::Io(io::Error::other(error))
}

fn response(status: u16, headers: &[Pair<'_>]) -> Result<Response<()>, Broken> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    *response.headers_mut() = map_of(headers)?;
    Ok(response)
}

fn map_of(headers: &[Pair<'_>]) -> Result<HeaderMap, Broken> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        map.append(name, HeaderValue::from_str(value).map_err(io::Error::other)?);
    }
    Ok(map)
}

impl Http2 {
    fn stream(&mut self) -> Result<&mut SendStream<Bytes>, Broken> {
        self.stream.as_mut().ok_or_else(|| Broken::Io(io::Error::other("the answer was not begun")))
    }
}

impl Exchange for Http2 {
    const PROTOCOL: &'static str = "HTTP/2";

    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(data) = self.body.data().await else { return Ok(None) };
        let data = data.map_err(failed)?;
        // A stream that was reset meanwhile has no window left to give back; the next read says so.
        let _ = self.body.flow_control().release_capacity(data.len());
        Ok(Some(data))
    }

    async fn request_trailers(&mut self) -> Result<Vec<(String, String)>, Broken> {
        let trailers = self.body.trailers().await.map_err(failed)?.unwrap_or_default();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(trailers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
    }

    async fn interim(&mut self, status: u16, headers: &[Pair<'_>]) -> Result<(), Broken> {
        self.respond.send_informational(response(status, headers)?).map_err(failed)
    }

    async fn start(&mut self, status: u16, headers: &[Pair<'_>], length: Option<u64>) -> Result<(), Broken> {
        let mut response = response(status, headers)?;
        if let Some(length) = length.filter(|_| status != 204) {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        self.has_ended = self.is_head || length == Some(0);
        self.stream = Some(self.respond.send_response(response, self.has_ended).map_err(failed)?);
        Ok(())
    }

    async fn write(&mut self, mut data: Bytes) -> Result<(), Broken> {
        if self.has_ended {
            return Ok(());
        }
        let stream = self.stream()?;
        while !data.is_empty() {
            stream.reserve_capacity(data.len().min(PIECE_BYTES));
            let granted = poll_fn(|context| stream.poll_capacity(context)).await;
            let granted = granted.ok_or_else(|| Broken::Io(io::ErrorKind::BrokenPipe.into()))?.map_err(failed)?;
            let now = data.split_to(granted.min(data.len()));
            stream.send_data(now, false).map_err(failed)?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        // The connection sends by itself.
        Ok(())
    }

    async fn finish(&mut self, trailers: &[Pair<'_>]) -> Result<(), Broken> {
        if self.has_ended {
            return Ok(());
        }
        self.has_ended = true;
        let stream = self.stream()?;
        if trailers.is_empty() {
            stream.send_data(Bytes::new(), true).map_err(failed)
        } else {
            let trailers = map_of(trailers)?;
            stream.send_trailers(trailers).map_err(failed)
        }
    }

    async fn garbage(&mut self) -> Result<(), Broken> {
        Err(Broken::Planned)
    }

    async fn tunnel(&mut self) -> Result<(), Broken> {
        Err(Broken::Planned)
    }
}

//! Carries out a [`Plan`], whichever protocol the request came over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Settings;
use super::head::Head;
use super::ledger::{Entry, hex};
use super::plan::Plan;

/// Bytes produced at a time for `/bytes/N`.
const PIECE_BYTES: usize = 64 << 10;
static FILL: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];
/// A body up to this size is echoed with its length known and in one write.
const ECHO_BUFFERED_BYTES_MAX: usize = 64 << 10;
/// Longer than any deadline of a proxy in front.
const HANG: Duration = Duration::from_secs(3_600);

/// Name and value of a header or trailer.
pub(super) type Pair<'a> = (&'a str, &'a str);

/// Why an exchange ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The connection failed, or the peer went away.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The request's body is not validly framed.
    #[error("the body is not validly framed")]
    Framing,
    /// The plan was to break.
    #[error("the plan was to stop here")]
    Planned,
}

/// One request and the answer to it.
pub(super) trait Exchange {
    /// `HTTP/1.1` or `HTTP/2`.
    const PROTOCOL: &'static str;

    /// The next piece of the request's body; `None` at its valid end.
    async fn read(&mut self) -> Result<Option<Bytes>, Broken>;
    /// The request's trailers, once its body has ended.
    async fn request_trailers(&mut self) -> Result<Vec<(String, String)>, Broken>;
    /// Sends an interim response.
    async fn interim(&mut self, status: u16, headers: &[Pair<'_>]) -> Result<(), Broken>;
    /// Begins the answer. Without a length the answer may end in trailers.
    async fn start(&mut self, status: u16, headers: &[Pair<'_>], length: Option<u64>) -> Result<(), Broken>;
    /// Adds to the answer's body.
    async fn write(&mut self, data: Bytes) -> Result<(), Broken>;
    /// Sends what has been written so far.
    async fn flush(&mut self) -> Result<(), Broken>;
    /// Ends the answer.
    async fn finish(&mut self, trailers: &[Pair<'_>]) -> Result<(), Broken>;
    /// Sends bytes that are not HTTP.
    async fn garbage(&mut self) -> Result<(), Broken>;
    /// Switches protocols and sends every byte back.
    async fn tunnel(&mut self) -> Result<(), Broken>;
}

/// Answers one request; an error means that the exchange ends without a whole answer.
pub(super) async fn answer<E: Exchange>(exchange: &mut E, head: &Head, settings: &Arc<Settings>) -> Result<(), Broken> {
    let plan = Plan::of(head.path(), head.query());
    let mut entry = Entry::open(settings, E::PROTOCOL, head, plan.is_counted());
    if let Some(verifier) = settings.verifier.as_ref().filter(|_| plan.is_counted()) {
        let verdict = verifier.verify(head);
        entry.verified(verdict.is_ok());
        if let Err(reason) = verdict {
            receive(exchange, entry, Duration::ZERO).await?;
            return whole(exchange, 403, "text/plain", format!("not signed by the platform: {reason}\n").into()).await;
        }
    }
    if plan.is_counted() && !settings.pressure.admits().await {
        receive(exchange, entry, Duration::ZERO).await?;
        let headers = [("content-type", "text/plain"), ("retry-after", "1")];
        let body = Bytes::from_static(b"over the limit of this target\n");
        exchange.start(503, &headers, Some(body.len() as u64)).await?;
        exchange.write(body).await?;
        return exchange.finish(&[]).await;
    }
    match plan {
        Plan::EchoBytes { count } => {
            receive(exchange, entry, Duration::ZERO).await?;
            return bytes(exchange, count, false).await;
        }
        Plan::Echo => return echo(exchange, head, entry).await,
        Plan::Sink => return sink(exchange, entry).await,
        Plan::Early(status) => {
            whole(exchange, status, "text/plain", Bytes::from_static(b"before the body\n")).await?;
            exchange.flush().await?;
            return receive(exchange, entry, Duration::ZERO).await;
        }
        Plan::Slow { read_pause, .. } => receive(exchange, entry, read_pause).await?,
        Plan::EchoHead | Plan::Bytes { .. } | Plan::Delay(_) | Plan::Status(_) | Plan::Trailers | Plan::Hints => {
            receive(exchange, entry, Duration::ZERO).await?;
        }
        Plan::Close | Plan::Hang | Plan::Half | Plan::Garbage | Plan::Health | Plan::Requests | Plan::Unknown => {
            receive(exchange, entry, Duration::ZERO).await?;
        }
        Plan::Upgrade => entry.complete(),
    }
    respond(exchange, plan, head, settings).await
}

/// The answer to a request that has been received whole.
async fn respond<E: Exchange>(exchange: &mut E, plan: Plan, head: &Head, settings: &Settings) -> Result<(), Broken> {
    match plan {
        Plan::Echo | Plan::EchoBytes { .. } | Plan::Sink | Plan::Early(_) => Ok(()),
        Plan::EchoHead => whole(exchange, 200, "application/json", head_json(head, E::PROTOCOL).into()).await,
        Plan::Bytes { count, chunked } => bytes(exchange, count, chunked).await,
        Plan::Slow { bytes, piece, pause, .. } => slowly(exchange, bytes, piece, pause).await,
        Plan::Delay(pause) => {
            tokio::time::sleep(pause).await;
            whole(exchange, 200, "text/plain", Bytes::from_static(b"later\n")).await
        }
        Plan::Status(status) => whole(exchange, status, "text/plain", format!("status {status}\n").into()).await,
        Plan::Trailers => {
            exchange.start(200, &[("content-type", "text/plain"), ("trailer", "x-checksum")], None).await?;
            exchange.write(Bytes::from_static(b"trailers follow\n")).await?;
            exchange.finish(&[("x-checksum", "42")]).await
        }
        Plan::Hints => {
            exchange.interim(103, &[("link", "</style.css>; rel=preload")]).await?;
            whole(exchange, 200, "text/plain", Bytes::from_static(b"after a hint\n")).await
        }
        Plan::Close => Err(Broken::Planned),
        Plan::Hang => {
            tokio::time::sleep(HANG).await;
            Err(Broken::Planned)
        }
        Plan::Half => {
            exchange.start(200, &[("content-type", "text/plain")], Some(1_000)).await?;
            exchange.write(Bytes::from_static(&FILL).slice(..500)).await?;
            exchange.flush().await?;
            Err(Broken::Planned)
        }
        Plan::Garbage => exchange.garbage().await,
        Plan::Upgrade => exchange.tunnel().await,
        Plan::Health => whole(exchange, 200, "text/plain", Bytes::from_static(b"ok\n")).await,
        Plan::Requests => whole(exchange, 200, "application/json", settings.ledger.to_json().to_string().into()).await,
        Plan::Unknown => whole(exchange, 404, "text/plain", Bytes::from_static(b"no such path here\n")).await,
    }
}

async fn whole<E: Exchange>(exchange: &mut E, status: u16, kind: &str, body: Bytes) -> Result<(), Broken> {
    // RFC 9110 section 8.6: 204 and 304 carry neither content nor, for 204, a length.
    let body = if matches!(status, 204 | 304) { Bytes::new() } else { body };
    exchange.start(status, &[("content-type", kind)], Some(body.len() as u64)).await?;
    exchange.write(body).await?;
    exchange.finish(&[]).await
}

/// Reads the rest of the request and closes its entry.
async fn receive<E: Exchange>(exchange: &mut E, mut entry: Entry, pause: Duration) -> Result<(), Broken> {
    while let Some(data) = exchange.read().await? {
        entry.body(&data);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    entry.trailers(&exchange.request_trailers().await?);
    entry.complete();
    Ok(())
}

async fn sink<E: Exchange>(exchange: &mut E, mut entry: Entry) -> Result<(), Broken> {
    let (mut hash, mut count) = (Sha256::new(), 0_u64);
    while let Some(data) = exchange.read().await? {
        hash.update(&data);
        count += data.len() as u64;
        entry.body(&data);
    }
    entry.trailers(&exchange.request_trailers().await?);
    entry.complete();
    let body = json!({ "bytes": count, "sha256": hex(&hash.finalize()) }).to_string();
    whole(exchange, 200, "application/json", body.into()).await
}

async fn echo<E: Exchange>(exchange: &mut E, head: &Head, mut entry: Entry) -> Result<(), Broken> {
    let kind = head.value("content-type").and_then(|value| std::str::from_utf8(value).ok());
    let kind = kind.unwrap_or("application/octet-stream");
    let is_grpc = kind.starts_with("application/grpc");
    let declared = head.value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    if let Some(length) = declared.filter(|length| *length <= ECHO_BUFFERED_BYTES_MAX as u64 && !is_grpc) {
        let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(data) = exchange.read().await? {
            entry.body(&data);
            body.extend_from_slice(&data);
        }
        entry.complete();
        return whole(exchange, 200, kind, body.into()).await;
    }
    exchange.start(200, &[("content-type", kind)], declared.filter(|_| !is_grpc)).await?;
    while let Some(data) = exchange.read().await? {
        entry.body(&data);
        exchange.write(data).await?;
        exchange.flush().await?;
    }
    let received = exchange.request_trailers().await?;
    entry.trailers(&received);
    entry.complete();
    let mut trailers: Vec<Pair<'_>> = received.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if is_grpc {
        trailers.extend([("grpc-status", "0"), ("grpc-message", "")]);
    }
    exchange.finish(&trailers).await
}

async fn bytes<E: Exchange>(exchange: &mut E, count: u64, chunked: bool) -> Result<(), Broken> {
    let kind = [("content-type", "application/octet-stream")];
    exchange.start(200, &kind, (!chunked).then_some(count)).await?;
    let mut left = count;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        exchange.write(Bytes::from_static(&FILL).slice(..piece)).await?;
        left -= piece as u64;
    }
    exchange.finish(&[]).await
}

async fn slowly<E: Exchange>(exchange: &mut E, count: u64, piece: u64, pause: Duration) -> Result<(), Broken> {
    exchange.start(200, &[("content-type", "application/octet-stream")], Some(count)).await?;
    let mut left = count;
    while left > 0 {
        let now = usize::try_from(left.min(piece)).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        exchange.write(Bytes::from_static(&FILL).slice(..now)).await?;
        exchange.flush().await?;
        tokio::time::sleep(pause).await;
        left -= now as u64;
    }
    exchange.finish(&[]).await
}

fn head_json(head: &Head, protocol: &str) -> String {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<(String, String)> =
        head.fields().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
    json!({
        "protocol": protocol, "method": head.method(), "path": head.path(), "query": head.query(), "headers": headers,
    })
    .to_string()
}

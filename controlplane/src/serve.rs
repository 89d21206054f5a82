//! The API's connections: how many there may be, and how long each may take to say what it wants and to take the answer.
//!
//! Whoever connects and says nothing, or says it or reads the answer a byte at a time, is let go by a deadline, so that a
//! few such callers cannot keep operators out. Beyond [`Limits::connections_max`] new ones wait in the kernel's queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

mod hurried;

pub use hurried::ANSWER_BYTES_PER_WAIT;
use hurried::Hurried;

/// Bytes of a request's head, line and all fields; what one connection reads ahead.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long to wait after the system refused a connection, mostly because the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a caller may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; about 50 KiB each, and a change that is being read comes on top.
    pub connections_max: usize,
    /// For a request's head to arrive, counted from the end of the one before: an idle connection ends with it too.
    pub head_wait: Duration,
    /// For a request's body to arrive: 32 MiB in this time are 0.5 MiB a second.
    pub body_wait: Duration,
    /// For each [`ANSWER_BYTES_PER_WAIT`] of an answer to be taken.
    pub answer_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (head_wait, body_wait) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { connections_max: 256, head_wait, body_wait, answer_wait: Duration::from_secs(30) }
    }
}

/// Serves until `stop`; then requests in flight finish.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let body_wait = limits.body_wait;
    let router = router.layer(axum::middleware::from_fn(move |request, next| framed(request, next, body_wait)));
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (service, from) = (TowerToHyperService::new(router.clone()), ConnectInfo(peer));
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            // What a handler knows of where a request comes from.
            request.extensions_mut().insert(from);
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_wait)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Hurried::new(stream, limits.answer_wait)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // It is never closed.
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and written at once; that the option fails only delays them.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers a request whose body has to arrive within `wait`. An answer that leaves some of the body unread says that it
/// ends the connection: a proxy that kept it would have its next request cut off.
async fn framed(request: Request, next: Next, wait: Duration) -> Response {
    let whole = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let read = whole.clone();
    let mut response = next.run(request.map(|body| within(body, wait, read))).await;
    if !whole.load(Ordering::Acquire) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The body, which ends with an error when it is not whole after `wait`; `whole` says when its end was read.
fn within(body: Body, wait: Duration, whole: Arc<AtomicBool>) -> Body {
    let until = Instant::now() + wait;
    Body::from_stream(stream::unfold((body.into_data_stream(), whole), move |(mut pieces, whole)| async move {
        let piece = match tokio::time::timeout_at(until, pieces.next()).await {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                whole.store(true, Ordering::Release);
                return None;
            }
            Err(_) => Err(axum::Error::new(format!("it did not arrive within {} s", wait.as_secs_f32()))),
        };
        Some((piece, (pieces, whole)))
    }))
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Far longer than the deadlines below, far shorter than those of a server that has none.
    const SOON: Duration = Duration::from_secs(5);

    async fn start(limits: Limits) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let large = post(async || "x".repeat(64 << 20));
        let router = Router::new().route("/", post(async |body: String| body)).route("/large", large);
        let router = router.route("/unread", post(async || "no"));
        tokio::spawn(serve(listener, router, limits, stopped));
        (address, stop)
    }

    fn limits() -> Limits {
        let wait = Duration::from_millis(300);
        Limits { connections_max: 2, head_wait: wait, body_wait: wait, answer_wait: wait }
    }

    /// What the server says to these bytes until it closes.
    async fn told(address: std::net::SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("it closes").unwrap();
        answer
    }

    #[tokio::test]
    async fn a_head_or_a_body_that_does_not_arrive_ends_its_connection() {
        let (address, _stop) = start(limits()).await;
        assert!(!told(address, "POST / HTTP/1.1\r\nhost: a\r\nx-slow: ").await.contains("200"));
        let late = told(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await;
        assert!(late.starts_with("HTTP/1.1 400 "), "{late}");
        let kept = told(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nwhole").await;
        assert!(kept.starts_with("HTTP/1.1 200 ") && kept.ends_with("whole"), "an idle connection ends too: {kept}");
        let large = format!("POST / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
        assert!(told(address, &large).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test]
    async fn an_answer_that_leaves_a_body_unread_says_that_the_connection_ends() {
        let (address, _stop) = start(limits()).await;
        // A body that has not arrived, and one that has and could be skipped.
        for bytes in [2 * HEAD_BYTES_MAX, 2] {
            let request = format!("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\nxx");
            let answer = told(address, &request).await.to_ascii_lowercase();
            assert!(answer.contains("\r\nconnection: close\r\n"), "{bytes}: {answer}");
        }
        let kept = told(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nwhole").await;
        assert!(!kept.to_ascii_lowercase().contains("connection: close"), "{kept}");
        let empty = told(address, "POST /unread HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(!empty.to_ascii_lowercase().contains("connection: close"), "{empty}");
    }

    #[tokio::test]
    async fn silent_callers_up_to_the_limit_do_not_keep_the_next_one_out_for_long() {
        let (address, _stop) = start(limits()).await;
        let mut silent = Vec::new();
        for _ in 0..6 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let request = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nwhole";
        assert!(told(address, request).await.ends_with("whole"));
    }

    #[tokio::test]
    async fn callers_that_do_not_read_their_answers_do_not_keep_the_next_one_out_for_long() {
        let (address, _stop) = start(limits()).await;
        let mut deaf = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            deaf.push(stream);
        }
        let request = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nwhole";
        assert!(told(address, request).await.ends_with("whole"));
    }

    #[tokio::test]
    async fn a_large_answer_that_is_read_arrives_whole() {
        let (address, _stop) = start(limits()).await;
        let request = "POST /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(told(address, request).await.len() > 64 << 20);
    }

    #[tokio::test]
    async fn more_than_the_limit_are_not_served_at_one_time() {
        let (address, _stop) = start(Limits { head_wait: Duration::from_secs(60), ..limits() }).await;
        let _silent = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(300), third.read(&mut [0; 16])).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

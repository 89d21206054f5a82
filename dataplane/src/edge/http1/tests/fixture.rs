//! A gateway with one route, a source that signs, and a target that does as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{ContentDigest, ExpectedDigest, KeyState, Rfc9421Params, sign_rfc9421};
use pingora_core::connectors::TransportConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admission::ReplayWindow;
use crate::clock::Now;
use crate::edge::http1::pool::Pool;
use crate::edge::http1::{Handover, serve};
use crate::edge::{Limits, Rooms};
use crate::record::{Metrics, OnFull, RecordBounds, RecordSettings, RecordTarget, Recorder};
use crate::snapshot::SnapshotStore;
use crate::snapshot::fixture::{SECRET, build, credential, document};
use crate::stream::HeldBudget;
use crate::upstream::{Rules, Targets};

pub const HOST: &str = "lgsp.vinhlong.gov.vn";

/// A node's rooms.
pub struct Gateway {
    rooms: Arc<Rooms>,
    recorder: Recorder,
    folder: tempfile::TempDir,
    pub stop: watch::Sender<bool>,
}

impl Gateway {
    /// Bytes of a connection's task, which are held for as long as it is open.
    pub fn task_bytes(&self) -> usize {
        let (stream, _) = tokio::io::duplex(8);
        let shutdown = self.stop.subscribe();
        std::mem::size_of_val(&serve(Box::new(stream), &self.rooms, &shutdown))
    }

    /// A route `/v` to these targets.
    pub fn towards(targets: &[SocketAddr]) -> Self {
        Self::with(targets, |_, _| ())
    }

    /// The same, with the service's and the route's spec changed.
    pub fn with(targets: &[SocketAddr], patch: impl Fn(&mut Value, &mut Value)) -> Self {
        let endpoints: Vec<Value> = targets.iter().map(|address| json!({"address": address})).collect();
        let mut service = json!({"system": "target", "title": "V", "endpoints": endpoints});
        let mut route = json!({"service": "v", "path": {"prefix": "/v"}});
        patch(&mut service, &mut route);
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
        let documents = [
            document("Agency", "a", json!({"code": "H61", "title": "A"})),
            document("System", "source", json!({"agency": "a", "title": "S"})),
            document("System", "target", json!({"agency": "a", "title": "T"})),
            document("Credential", "source-1", credential("source-1", "source", "SOURCEKEY1")),
            document("Credential", "target-1", credential("target-1", "target", "TARGETKEY1")),
            document("Service", "v", service),
            document("Route", "r", route),
            document(
                "Permission",
                "p",
                json!({"source": "source", "service": "v", "methods": methods, "paths": ["/v"]}),
            ),
        ];
        let compiled = build(&documents, None);
        assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        let snapshots = Arc::new(SnapshotStore::default());
        snapshots.publish(Arc::new(compiled.snapshot));
        let folder = tempfile::tempdir().unwrap();
        let settings = RecordSettings {
            node: "node-1".parse().unwrap(),
            target: RecordTarget::File(folder.path().join("records")),
            on_full: OnFull::Refuse,
            bounds: RecordBounds::default(),
        };
        let recorder = Recorder::start(settings, Metrics::new().unwrap()).unwrap();
        let limits = Limits {
            connections_max: 10,
            connections_per_address_max: 10,
            unverified_bytes_max: 1 << 20,
            header_deadline: Duration::from_millis(300),
            keep_alive_idle: Duration::from_millis(600),
            drain_grace: Duration::from_secs(1),
        };
        let rooms = Rooms {
            snapshots,
            once: Arc::default(),
            replay: Arc::new(ReplayWindow::new(1)),
            held: Arc::new(HeldBudget::new(limits.unverified_bytes_max)),
            records: recorder.sink().clone(),
            targets: Arc::new(Targets::new(Rules::loopback(), Vec::new())),
            connector: TransportConnector::new(None),
            pool: Pool::default(),
            limits,
            descriptor_ceiling: i32::MAX,
        };
        Self { rooms: Arc::new(rooms), recorder, folder, stop: watch::Sender::new(false) }
    }

    /// A new connection to it.
    pub fn connect(&self) -> Source {
        let (here, there) = tokio::io::duplex(256 << 10);
        let (rooms, shutdown) = (self.rooms.clone(), self.stop.subscribe());
        let served = tokio::spawn(async move { serve(Box::new(there), &rooms, &shutdown).await });
        Source { stream: here, read: Vec::new(), served }
    }

    /// The size of the task that serves a connection.
    pub fn waiting_bytes(&self) -> usize {
        let (_, there) = tokio::io::duplex(1);
        let shutdown = self.stop.subscribe();
        std::mem::size_of_val(&serve(Box::new(there), &self.rooms, &shutdown))
    }

    /// Ends the node; the outcomes of all exchanges, in order.
    pub fn outcomes(self) -> Vec<String> {
        self.records().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends the node; its records, in order.
    pub fn records(self) -> Vec<Value> {
        self.recorder.close();
        let text = std::fs::read_to_string(self.folder.path().join("records")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A source's connection.
pub struct Source {
    stream: DuplexStream,
    read: Vec<u8>,
    served: JoinHandle<Handover>,
}

/// A response as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

impl Source {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends what the other side still takes.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads one response whose end its own framing tells.
    pub async fn answer(&mut self) -> Answer {
        let head_end = self.read_until(|read| find(read, b"\r\n\r\n").map(|at| at + 4)).await.expect("a whole head");
        let head = String::from_utf8(self.read.drain(..head_end).collect()).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if let Some(length) = header(&head, "content-length") {
            let length: usize = if matches!(status, 100..=199 | 204 | 304) { 0 } else { length.parse().unwrap() };
            self.read_until(|read| (read.len() >= length).then_some(length)).await.expect("a whole body");
            self.read.drain(..length).collect()
        } else if header(&head, "transfer-encoding").is_some() {
            let end = self.read_until(|read| {
                find(read, b"0\r\n").and_then(|at| {
                    let tail = find(&read[at..], b"\r\n\r\n")?;
                    Some(at + tail + 4)
                })
            });
            let end = end.await.expect("a last chunk");
            self.read.drain(..end).collect()
        } else {
            Vec::new()
        };
        Answer { status, head, body }
    }

    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Everything until the connection closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        self.read_until(|_| None).await;
        std::mem::take(&mut self.read)
    }

    /// Closes this side and waits until the node is done with the connection.
    pub async fn close(self) -> Handover {
        drop(self.stream);
        self.served.await.unwrap()
    }

    /// Waits until the node is done with the connection.
    pub async fn ended(self) -> Handover {
        self.served.await.unwrap()
    }

    async fn read_until(&mut self, complete: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = complete(&self.read) {
                return Some(end);
            }
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line = head.lines().find(|line| line.split(':').next().unwrap().eq_ignore_ascii_case(name))?;
    Some(line.split_once(':').unwrap().1.trim())
}

/// The head of a signed request; `digest_of` is the body whose digest is signed.
pub fn signed(method: &str, target: &str, more: &str, digest_of: Option<&[u8]>) -> Vec<u8> {
    static NONCE: AtomicUsize = AtomicUsize::new(0);
    let nonce = format!("nonce-{}", NONCE.fetch_add(1, Ordering::Relaxed));
    let mut digest = Vec::new();
    if let Some(body) = digest_of {
        use sha2::Digest as _;
        ContentDigest::format(&ExpectedDigest::sha256(sha2::Sha256::digest(body).into()), &mut digest);
    }
    let fields = [Field { name: "host", value: HOST.as_bytes() }, Field { name: "content-digest", value: &digest }];
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let fields = if digest_of.is_some() { &fields[..] } else { &fields[..1] };
    let head = RequestHead { method, scheme: Scheme::Http, authority: HOST, path, query, fields };
    let covered: &[&str] = &["@method", "@authority", "@path", "@query", "content-digest"];
    let params =
        Rfc9421Params { created: Now::read().unix, expires: None, nonce: &nonce, key_id: "SOURCEKEY1", label: "sig1" };
    let key = KeyState::new(&Secret::new(SECRET.to_vec()));
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    sign_rfc9421(&head, &covered[..4 + usize::from(digest_of.is_some())], &params, &key, &mut input, &mut signature)
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let digest = digest_of.map(|_| format!("Content-Digest: {}\r\n", text(&digest))).unwrap_or_default();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{digest}Signature-Input: {}\r\nSignature: {}\r\n{more}\r\n",
        text(&input),
        text(&signature)
    )
    .into_bytes()
}

/// A signed request with this body and its length.
pub fn signed_with(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let mut request = signed(method, target, &format!("Content-Length: {}\r\n", body.len()), Some(body));
    request.extend_from_slice(body);
    request
}

/// What a target does once it has a request.
#[derive(Debug, Clone)]
pub enum Reaction {
    /// Answers and waits for the next.
    Send(Vec<u8>),
    /// Answers and closes.
    SendAndClose(Vec<u8>),
    /// Answers after the head, without reading the body, and waits for the source to go.
    SendEarly(Vec<u8>),
    /// Closes.
    Close,
    /// Says nothing.
    Hang,
}

/// A plain answer with this body.
pub fn ok(body: &str) -> Reaction {
    Reaction::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// What a target was sent on one request.
#[derive(Debug, Clone, Default)]
pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body's framing was completed.
    pub complete: bool,
}

/// A target on loopback.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Target {
    /// Starts one; `react` is asked with the number of the request, from 0.
    pub async fn start(react: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            connections: Arc::default(),
            closed: Arc::default(),
        };
        let (shared, react) = (target.clone(), Arc::new(react));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, react) = (shared.clone(), react.clone());
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    shared.serve(stream, &*react).await;
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        target
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many of its connections have ended.
    pub async fn has_closed(&self, count: usize) {
        while self.closed.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until it has seen this many heads.
    pub async fn has_received(&self, count: usize) {
        while self.received.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }

    async fn serve(&self, mut stream: TcpStream, react: &(dyn Fn(usize) -> Reaction + Send + Sync)) {
        let mut read = Vec::new();
        loop {
            let head_end = loop {
                if let Some(at) = find(&read, b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let head = String::from_utf8(read.drain(..head_end).collect()).unwrap();
            let number = {
                let mut received = self.received.lock().unwrap();
                received.push(Received { head: head.clone(), ..Received::default() });
                received.len() - 1
            };
            let reaction = react(number);
            if let Reaction::SendEarly(bytes) = &reaction {
                stream.write_all(bytes).await.unwrap();
            }
            self.read_body(&mut stream, &mut read, &head, number).await;
            match reaction {
                Reaction::Send(bytes) if self.received()[number].complete => stream.write_all(&bytes).await.unwrap(),
                Reaction::SendAndClose(bytes) => return stream.write_all(&bytes).await.unwrap(),
                Reaction::Hang | Reaction::SendEarly(_) => {
                    let _ = stream.read_buf(&mut read).await;
                    return;
                }
                Reaction::Close | Reaction::Send(_) => return,
            }
        }
    }

    async fn read_body(&self, stream: &mut TcpStream, read: &mut Vec<u8>, head: &str, number: usize) {
        let chunked = header(head, "transfer-encoding").is_some();
        let length: usize = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        loop {
            let end = match chunked {
                true if read.starts_with(b"0\r\n") => find(read, b"\r\n\r\n").map(|at| at + 4),
                true => {
                    find(read, b"\r\n0\r\n").and_then(|at| find(&read[at + 2..], b"\r\n\r\n").map(|tail| at + tail + 6))
                }
                false => (read.len() >= length).then_some(length),
            };
            if let Some(end) = end {
                let body = read.drain(..end).collect();
                let mut received = self.received.lock().unwrap();
                received[number].body = body;
                received[number].complete = true;
                return;
            }
            if stream.read_buf(read).await.unwrap_or(0) == 0 {
                self.received.lock().unwrap()[number].body = std::mem::take(read);
                return;
            }
        }
    }
}

//! A closed loop of signed requests: every connection sends its next request when the last one was answered, or when it
//! is due (`--rate`, all connections together, latency from the planned instant). Connections are spread over the addresses. With a credential every request is
//! signed anew (RFC 9421), an uploaded body with its digest. Prints one JSON line. It finds what a request costs the
//! proxy, not what latency users see: without a rate it waits for a stalled server and so hides the stall.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool of the benches, run by compare/run.sh")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{ContentDigest, ExpectedDigest, KeyState, Rfc9421Params, sign_rfc9421};
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Read at a time; the head of an answer fits.
const READ_BYTES: usize = 128 << 10;
/// Uploaded at a time; the first piece goes out with the head.
const PIECE_BYTES: usize = 64 << 10;
static PIECE: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];
/// Latencies are counted in steps of 10 µs up to 10 s: 8 MiB for all connections together.
const STEP_MICROS: u64 = 10;
const STEPS: usize = 1_000_000;
const COVERED: &[&str] = &["@method", "@authority", "@path", "@query", "content-digest"];
const USAGE: &str = "closed_loop ADDRESS[,ADDRESS…] CONNECTIONS SECONDS PATH [--upload BYTES] [--rate PER_SECOND] [--idle] [ACCESS_KEY SECRET_KEY]";

struct Plan {
    nodes: Vec<Node>,
    path: String,
    upload_bytes: usize,
    digest: Vec<u8>,
    credential: Option<(String, KeyState)>,
    nonces: AtomicU64,
    run: u64,
    connections: u64,
    rate: Option<f64>,
    started: Instant,
    until: Instant,
}

/// Where requests go.
struct Node {
    address: SocketAddr,
    host: String,
}

struct Tally {
    good: AtomicU64,
    bad: AtomicU64,
    steps: Vec<AtomicU64>,
}

#[tokio::main]
async fn main() {
    let (plan, idle) = plan().unwrap_or_else(|| {
        eprintln!("usage: {USAGE}");
        std::process::exit(2)
    });
    let plan = Arc::new(plan);
    let tally = Arc::new(Tally {
        good: AtomicU64::new(0),
        bad: AtomicU64::new(0),
        steps: (0..STEPS).map(|_| AtomicU64::new(0)).collect(),
    });
    if idle {
        rest(&plan, &tally).await;
    } else {
        let drive = |index| tokio::spawn(drive(index, plan.clone(), tally.clone()));
        for task in (0..plan.connections).map(drive).collect::<Vec<_>>() {
            task.await.expect("a connection does not panic");
        }
    }
    tally.print(plan.started.elapsed().as_secs_f64());
}

/// Reads the arguments; `None` when they are not as [`USAGE`] says. The second is whether connections rest.
fn plan() -> Option<(Plan, bool)> {
    let (mut plain, mut upload_bytes, mut rate, mut idle) = (Vec::new(), 0, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--upload" => upload_bytes = arguments.next()?.parse().ok()?,
            "--rate" => rate = Some(arguments.next()?.parse().ok()?),
            "--idle" => idle = true,
            _ => plain.push(argument),
        }
    }
    let [addresses, connections, seconds, path, credential @ ..] = plain.as_slice() else { return None };
    let credential = match credential {
        [access_key, secret] => Some((access_key.clone(), KeyState::new(&Secret::new(secret.clone().into_bytes())))),
        [] => None,
        _ => return None,
    };
    let started = Instant::now();
    let plan = Plan {
        nodes: addresses.split(',').map(Node::parse).collect::<Option<_>>()?,
        path: path.clone(),
        upload_bytes,
        digest: digest(upload_bytes),
        credential,
        nonces: AtomicU64::new(0),
        run: u64::from(std::process::id()) << 32 | u64::from(now().subsec_nanos()),
        connections: connections.parse().ok()?,
        rate,
        started,
        until: started + Duration::from_secs_f64(seconds.parse().ok()?),
    };
    Some((plan, idle))
}

impl Node {
    fn parse(address: &str) -> Option<Self> {
        Some(Self { address: address.parse().ok()?, host: address.to_owned() })
    }
}

fn digest(bytes: usize) -> Vec<u8> {
    let (mut hash, mut left, mut text) = (Sha256::new(), bytes, Vec::new());
    while left > 0 {
        let piece = PIECE.get(..left.min(PIECE_BYTES)).unwrap_or_default();
        hash.update(piece);
        left -= piece.len();
    }
    ContentDigest::format(&ExpectedDigest::sha256(hash.finalize().into()), &mut text);
    text
}

impl Tally {
    fn print(&self, elapsed: f64) {
        let (good, bad) = (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed));
        let (median, high) = (self.quantile(0.5), self.quantile(0.99));
        println!(
            r#"{{"requests": {good}, "errors": {bad}, "seconds": {elapsed:.2}, "p50_micros": {median}, "p99_micros": {high}}}"#
        );
    }

    fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.steps.iter().map(|step| step.load(Ordering::Relaxed)).sum();
        let wanted = (total as f64 * share) as u64;
        let mut below = 0;
        for (index, step) in self.steps.iter().enumerate() {
            below += step.load(Ordering::Relaxed);
            if below > wanted {
                return index as u64 * STEP_MICROS;
            }
        }
        0
    }

    /// Counts an answer to a request that was due `since`; false when the connection is of no more use.
    fn count(&self, status: Option<u16>, since: Instant) -> bool {
        if status != Some(200) {
            self.bad.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.good.fetch_add(1, Ordering::Relaxed);
        let step = since.elapsed().as_micros() as u64 / STEP_MICROS;
        let step = usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1);
        if let Some(count) = self.steps.get(step) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}

/// One connection until the time is over; it connects again after an error, which counts.
async fn drive(index: u64, plan: Arc<Plan>, tally: Arc<Tally>) {
    let Some(node) = plan.node_of(index) else { return };
    let mut request = Vec::with_capacity(1 << 10);
    let mut answer = vec![0; READ_BYTES];
    let every = plan.rate.map(|rate| Duration::from_secs_f64(plan.connections as f64 / rate));
    let mut due =
        plan.started + every.map_or(Duration::ZERO, |every| every.mul_f64(index as f64 / plan.connections as f64));
    while Instant::now() < plan.until {
        let Some(mut stream) = node.connect().await else {
            tally.bad.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        loop {
            let since = every.map_or_else(Instant::now, |_| due);
            if since >= plan.until {
                return;
            }
            if let Some(every) = every {
                tokio::time::sleep_until(since).await;
                due += every;
            }
            plan.write(node, &mut request);
            let status = exchange(&mut stream, &plan, &request, &mut answer).await;
            if !tally.count(status, since) {
                break;
            }
        }
    }
}

/// Opens the connections one after the other, asks once on each, says `ready`, and lets them rest until the end.
async fn rest(plan: &Plan, tally: &Tally) {
    let (mut request, mut answer, mut resting) = (Vec::new(), vec![0; READ_BYTES], Vec::new());
    for index in 0..plan.connections {
        let since = Instant::now();
        let Some(node) = plan.node_of(index) else { return };
        let Some(mut stream) = node.connect().await else {
            tally.bad.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        plan.write(node, &mut request);
        let status = exchange(&mut stream, plan, &request, &mut answer).await;
        tally.count(status, since);
        resting.push(stream);
    }
    println!("ready");
    tokio::time::sleep(plan.until - plan.started).await;
}

impl Node {
    async fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        // Small requests must not wait for the acknowledgement of the last.
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }
}

impl Plan {
    /// The node to which a connection goes.
    fn node_of(&self, index: u64) -> Option<&Node> {
        let nodes = self.nodes.len() as u64;
        self.nodes.get(usize::try_from(index.checked_rem(nodes)?).ok()?)
    }

    /// The head, and the first piece of the body.
    fn write(&self, node: &Node, request: &mut Vec<u8>) {
        request.clear();
        let method = if self.upload_bytes > 0 { "POST" } else { "GET" };
        for part in [method, " ", &self.path, " HTTP/1.1\r\nhost: ", &node.host, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        if self.upload_bytes > 0 {
            let length = self.upload_bytes.to_string();
            let parts: [&[u8]; 5] =
                [b"content-length: ", length.as_bytes(), b"\r\ncontent-digest: ", &self.digest, b"\r\n"];
            parts.iter().for_each(|part| request.extend_from_slice(part));
        }
        if let Some((access_key, key)) = &self.credential {
            self.sign(method, &node.host, access_key, key, request);
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(PIECE.get(..self.upload_bytes.min(PIECE_BYTES)).unwrap_or_default());
    }

    fn sign(&self, method: &str, host: &str, access_key: &str, key: &KeyState, request: &mut Vec<u8>) {
        let fields =
            [Field { name: "host", value: host.as_bytes() }, Field { name: "content-digest", value: &self.digest }];
        let left_out = usize::from(self.upload_bytes == 0);
        let fields = fields.get(..fields.len() - left_out).unwrap_or_default();
        let covered = COVERED.get(..COVERED.len() - left_out).unwrap_or_default();
        let (path, query) = self.path.split_once('?').map_or((&*self.path, None), |(path, query)| (path, Some(query)));
        let head = RequestHead { method, scheme: Scheme::Http, authority: host, path, query, fields };
        let nonce = format!("{:x}-{:x}", self.run, self.nonces.fetch_add(1, Ordering::Relaxed));
        let created = UnixSeconds(i64::try_from(now().as_secs()).expect("the clock is before the end of time"));
        let params = Rfc9421Params { created, expires: None, nonce: &nonce, key_id: access_key, label: "sig1" };
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        sign_rfc9421(&head, covered, &params, key, &mut input, &mut signature).expect("the request can be signed");
        for part in [b"signature-input: ".as_slice(), &*input, b"\r\nsignature: ", &*signature, b"\r\n"] {
            request.extend_from_slice(part);
        }
    }
}

/// Sends one request and reads its answer, which has a `Content-Length`; `None` when the connection failed.
async fn exchange(stream: &mut TcpStream, plan: &Plan, request: &[u8], answer: &mut [u8]) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    let mut left = plan.upload_bytes.saturating_sub(PIECE_BYTES);
    while left > 0 {
        let piece = PIECE.get(..left.min(PIECE_BYTES))?;
        stream.write_all(piece).await.ok()?;
        left -= piece.len();
    }
    let mut filled = 0;
    loop {
        let read = stream.read(answer.get_mut(filled..)?).await.ok().filter(|read| *read > 0)?;
        filled += read;
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_bytes) = parsed.parse(answer.get(..filled)?).ok()? else { continue };
        let length = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
        let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
        let status = parsed.code?;
        let mut left = (head_bytes + length).checked_sub(filled)?;
        while left > 0 {
            let read = stream.read(answer).await.ok().filter(|read| *read > 0)?;
            left = left.checked_sub(read)?;
        }
        return Some(status);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

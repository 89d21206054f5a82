//! A closed loop of keep-alive connections, each sending its next request when the answer to the last has arrived.
//!
//! Usage: `closed_loop ADDRESS CONNECTIONS SECONDS PATH [ACCESS_KEY SECRET_KEY]`. With a credential every request is
//! signed anew (RFC 9421). Prints one JSON line. It finds what a request costs the proxy, not what latency users see:
//! a closed loop waits for a stalled server and so hides the stall.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool of the benches, run by compare/run.sh")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{KeyState, Rfc9421Params, sign_rfc9421};
use lgsp_shared::timestamp::UnixSeconds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer, head and body.
const ANSWER_BYTES_MAX: usize = 128 << 10;
/// Latencies are counted in steps of 10 µs up to 10 s: 8 MiB for all connections together.
const STEP_MICROS: u64 = 10;
const STEPS: usize = 1_000_000;
const COVERED: &[&str] = &["@method", "@authority", "@path", "@query"];

struct Plan {
    address: SocketAddr,
    host: String,
    path: String,
    credential: Option<(String, KeyState)>,
    nonces: AtomicU64,
    run: u64,
    until: Instant,
}

struct Tally {
    good: AtomicU64,
    bad: AtomicU64,
    steps: Vec<AtomicU64>,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "closed_loop ADDRESS CONNECTIONS SECONDS PATH [ACCESS_KEY SECRET_KEY]";
    let [address, connections, seconds, path, credential @ ..] = arguments.as_slice() else {
        eprintln!("usage: {usage}");
        std::process::exit(2)
    };
    let connections: u64 = connections.parse().expect("CONNECTIONS is a number");
    let seconds: f64 = seconds.parse().expect("SECONDS is a number");
    let credential = match credential {
        [access_key, secret] => Some((access_key.clone(), KeyState::new(&Secret::new(secret.clone().into_bytes())))),
        _ => None,
    };
    let started = Instant::now();
    let plan = Arc::new(Plan {
        address: address.parse().expect("ADDRESS is IP:PORT"),
        host: address.clone(),
        path: path.clone(),
        credential,
        nonces: AtomicU64::new(0),
        run: u64::from(std::process::id()) << 32 | u64::from(now().subsec_nanos()),
        until: started + Duration::from_secs_f64(seconds),
    });
    let tally = Arc::new(Tally {
        good: AtomicU64::new(0),
        bad: AtomicU64::new(0),
        steps: (0..STEPS).map(|_| AtomicU64::new(0)).collect(),
    });
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(drive(plan.clone(), tally.clone()))).collect();
    for task in tasks {
        task.await.expect("a connection does not panic");
    }
    let (good, bad) = (tally.good.load(Ordering::Relaxed), tally.bad.load(Ordering::Relaxed));
    let (median, high) = (tally.quantile(0.5), tally.quantile(0.99));
    let elapsed = started.elapsed().as_secs_f64();
    println!(
        r#"{{"requests": {good}, "errors": {bad}, "seconds": {elapsed:.2}, "p50_micros": {median}, "p99_micros": {high}}}"#
    );
}

impl Tally {
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
}

/// One connection until the time is over; it connects again after an error, which counts.
async fn drive(plan: Arc<Plan>, tally: Arc<Tally>) {
    let mut request = Vec::with_capacity(1 << 10);
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    while Instant::now() < plan.until {
        let Ok(mut stream) = TcpStream::connect(plan.address).await else {
            tally.bad.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Small requests must not wait for the acknowledgement of the last.
        let _ = stream.set_nodelay(true);
        while Instant::now() < plan.until {
            plan.write(&mut request);
            let sent = Instant::now();
            match exchange(&mut stream, &request, &mut answer).await {
                Some(200) => {
                    tally.good.fetch_add(1, Ordering::Relaxed);
                    let step = sent.elapsed().as_micros() as u64 / STEP_MICROS;
                    let step = usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1);
                    if let Some(count) = tally.steps.get(step) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Some(_) | None => {
                    tally.bad.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

impl Plan {
    fn write(&self, request: &mut Vec<u8>) {
        request.clear();
        for part in ["GET ", &self.path, " HTTP/1.1\r\nhost: ", &self.host, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
        if let Some((access_key, key)) = &self.credential {
            let fields = [Field { name: "host", value: self.host.as_bytes() }];
            let (path, query) =
                self.path.split_once('?').map_or((&*self.path, None), |(path, query)| (path, Some(query)));
            let head = RequestHead {
                method: "GET",
                scheme: Scheme::Http,
                authority: &self.host,
                path,
                query,
                fields: &fields,
            };
            let nonce = format!("{:x}-{:x}", self.run, self.nonces.fetch_add(1, Ordering::Relaxed));
            let created = UnixSeconds(i64::try_from(now().as_secs()).expect("the clock is before the end of time"));
            let params = Rfc9421Params { created, expires: None, nonce: &nonce, key_id: access_key, label: "sig1" };
            let (mut input, mut signature) = (Vec::new(), Vec::new());
            sign_rfc9421(&head, COVERED, &params, key, &mut input, &mut signature).expect("the request can be signed");
            for part in [b"signature-input: ".as_slice(), &*input, b"\r\nsignature: ", &*signature, b"\r\n"] {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(b"\r\n");
    }
}

/// Sends one request and reads its answer, which has a `Content-Length`; `None` when the connection failed.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> Option<u16> {
    stream.write_all(request).await.ok()?;
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
        while filled < head_bytes + length {
            let read = stream.read(answer.get_mut(filled..)?).await.ok().filter(|read| *read > 0)?;
            filled += read;
        }
        return Some(status);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

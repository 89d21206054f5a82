//! What is to be sent, where to and when.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lgsp_shared::signature::{ContentDigest, ExpectedDigest};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::signing::{Credential, Question, Signed};

pub const USAGE: &str = "closed_loop ADDRESS[,ADDRESS…] CONNECTIONS SECONDS PATH \
    [--upload BYTES | --h2 STREAMS] [--rate PER_SECOND] [--idle] [ACCESS_KEY SECRET_KEY [--cavage]]";
/// Uploaded at a time.
pub const PIECE_BYTES: usize = 64 << 10;
pub static PIECE: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];
/// Between two attempts to connect.
pub const RECONNECT: Duration = Duration::from_millis(10);

/// Everything the connections have to know.
pub struct Plan {
    pub connections: u64,
    pub streams: Option<u64>,
    pub idle: bool,
    pub path: String,
    pub upload_bytes: usize,
    pub started: Instant,
    pub until: Instant,
    pub digest: Vec<u8>,
    rate: Option<f64>,
    credential: Option<Credential>,
    nodes: Vec<Node>,
    nonces: AtomicU64,
    run: u64,
}

/// Where requests go.
pub struct Node {
    pub host: String,
    address: SocketAddr,
}

impl Plan {
    /// Reads the arguments; `None` when they are not as [`USAGE`] says.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut plain, mut upload_bytes, mut streams, mut rate) = (Vec::new(), 0, None, None);
        let (mut idle, mut cavage) = (false, false);
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--upload" => upload_bytes = arguments.next()?.parse().ok()?,
                "--h2" => streams = Some(arguments.next()?.parse().ok()?),
                "--rate" => rate = Some(arguments.next()?.parse().ok()?),
                "--idle" => idle = true,
                "--cavage" => cavage = true,
                _ => plain.push(argument),
            }
        }
        let [addresses, connections, seconds, path, credential @ ..] = plain.as_slice() else { return None };
        let credential = match credential {
            [access_key, secret] => Some(Credential::new(access_key, secret, cavage)),
            [] => None,
            _ => return None,
        };
        if streams.is_some() && (upload_bytes > 0 || idle) {
            return None;
        }
        let started = Instant::now();
        Some(Self {
            connections: connections.parse().ok()?,
            streams,
            idle,
            path: path.clone(),
            upload_bytes,
            started,
            until: started + Duration::from_secs_f64(seconds.parse().ok()?),
            digest: digest(upload_bytes),
            rate,
            credential,
            nodes: addresses.split(',').map(Node::parse).collect::<Option<_>>()?,
            nonces: AtomicU64::new(0),
            run: u64::from(std::process::id()) << 32 | u64::from(now().subsec_nanos()),
        })
    }

    /// The node to which a connection goes.
    pub fn node_of(&self, connection: u64) -> Option<&Node> {
        let nodes = self.nodes.len() as u64;
        self.nodes.get(usize::try_from(connection.checked_rem(nodes)?).ok()?)
    }

    /// The method of every request.
    pub fn method(&self) -> &'static str {
        if self.upload_bytes > 0 { "POST" } else { "GET" }
    }

    /// The fields that sign the next request to a node; none without a credential.
    pub fn sign(&self, node: &Node) -> Signed {
        let Some(credential) = &self.credential else { return Signed::new() };
        let nonce = format!("{:x}-{:x}", self.run, self.nonces.fetch_add(1, Ordering::Relaxed));
        credential.sign(&Question {
            method: self.method(),
            authority: &node.host,
            target: &self.path,
            digest: (self.upload_bytes > 0).then_some(&self.digest),
            nonce: &nonce,
            now: i64::try_from(now().as_secs()).expect("the clock is before the end of time"),
        })
    }

    /// When the requests of a lane are due: one of those that share the rate.
    pub fn pace(&self, lane: u64) -> Pace {
        let lanes = (self.connections * self.streams.unwrap_or(1)) as f64;
        let every = self.rate.map(|rate| Duration::from_secs_f64(lanes / rate));
        let first = every.map_or(Duration::ZERO, |every| every.mul_f64(lane as f64 / lanes));
        Pace { every, due: self.started + first, until: self.until }
    }
}

/// When the next request is due.
pub struct Pace {
    every: Option<Duration>,
    due: Instant,
    until: Instant,
}

impl Pace {
    /// Waits for it; `None` when there is none any more.
    pub async fn next(&mut self) -> Option<Instant> {
        let Some(every) = self.every else { return Some(Instant::now()).filter(|now| *now < self.until) };
        let due = self.due;
        if due >= self.until {
            return None;
        }
        tokio::time::sleep_until(due).await;
        self.due += every;
        Some(due)
    }
}

impl Node {
    fn parse(address: &str) -> Option<Self> {
        Some(Self { address: address.parse().ok()?, host: address.to_owned() })
    }

    pub async fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        // Small requests must not wait for the acknowledgement of the last.
        stream.set_nodelay(true).ok()?;
        Some(stream)
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

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

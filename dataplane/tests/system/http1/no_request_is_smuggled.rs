//! The requests of llhttp's suite, each signed so that nothing but its bytes can be the reason to refuse it, against a
//! real node, on every way a request can take through it. Whatever of a connection reaches the target is its first
//! request, with the body llhttp finds.

use std::collections::BTreeSet;
use std::time::Duration;

use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::node::Node;
use lgsp_testkit::program::workspace_root;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the node may take to say anything to what it may rightly take for an unfinished request.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// llhttp knows a closed list of methods, and reads chunk extensions, which are dropped here up to their CRLF. What it
/// refuses for these reasons has one meaning all the same.
const REFUSED_FOR_LESS: [&str; 3] =
    ["Invalid method for", "Expected space after method", "Invalid character in chunk extensions"];

/// The ways through the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The exchange loop.
    Loop,
    /// pingora-proxy alone.
    ProxyAlone,
    /// Handed over by the exchange loop, bytes already read included: the target speaks HTTP/2.
    Http2Target,
    /// Handed over because the request asks for another protocol.
    Upgrade,
}

struct Vector {
    title: String,
    strict: bool,
    log: String,
    bytes: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let path = workspace_root().join("../shared/vectors/http1/llhttp-requests.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: the vectors lie beside the project", path.display()));
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let vector = |vector: &Value| Vector {
        title: format!("{}: {}", vector["file"].as_str().unwrap(), vector["title"].as_str().unwrap()),
        strict: vector["meta"]["type"] == "request",
        log: vector["log"].as_str().unwrap().into(),
        bytes: unescaped(vector["http_md"].as_str().unwrap()),
    };
    all.iter().map(vector).collect()
}

/// What llhttp's own tests make of a vector's text.
fn unescaped(text: &str) -> Vec<u8> {
    let text = text.strip_suffix('\n').unwrap_or(text).replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [b'f', after @ ..]) => (0x0c, after),
            (b'\\', [b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap(), after)
            }
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

impl Vector {
    fn request_line(&self) -> Option<(String, String)> {
        let end = self.bytes.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&self.bytes[..end]).ok()?;
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    }

    fn host(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let line = text.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("host:"))?;
        Some(line[5..].trim().to_owned())
    }

    /// The bytes with a signature, a mark and a host put behind the request line.
    fn signed(&self, number: usize, client: &Client, way: Way) -> Vec<u8> {
        let Some((method, target)) = self.request_line() else { return self.bytes.clone() };
        let host = self.host();
        let client = client.clone().with_authority(host.as_deref().unwrap_or("a.example"));
        let signed = String::from_utf8(client.rfc9421(&Request::new(&method, &target))).unwrap();
        let mut lines = format!("x-vector: {number}\r\n");
        for line in signed.split("\r\n").filter(|line| line.starts_with("signature")) {
            lines.push_str(&format!("{line}\r\n"));
        }
        if host.is_none() {
            lines.push_str("host: a.example\r\n");
        }
        if way == Way::Upgrade {
            lines.push_str("connection: upgrade\r\nupgrade: websocket\r\n");
        }
        let line_end = self.bytes.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
        [&self.bytes[..line_end], lines.as_bytes(), &self.bytes[line_end..]].concat()
    }

    /// The body llhttp finds in the first request; `None` when it finds no complete first request.
    fn body(&self) -> Option<Vec<u8>> {
        let first = self.log.split_once("message complete")?.0;
        let mut body = Vec::new();
        for line in first.lines().filter(|line| line.contains("span[body]")) {
            let number = |name: &str| line.split(name).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let (start, length): (usize, usize) = (number("off="), number("len="));
            body.extend_from_slice(&self.bytes[start..start + length]);
        }
        Some(body)
    }
}

/// Sends and reads until the node closes or has nothing more to say.
async fn offer(address: std::net::SocketAddr, bytes: Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The node may have refused and closed before it took everything.
    let _ = stream.write_all(&bytes).await;
    let mut answers = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(SILENCE_MAX, stream.read_buf(&mut answers)).await {}
}

async fn try_all(way: Way) -> usize {
    let vectors = vectors();
    let target = Target::new().start().await;
    let methods: BTreeSet<String> = vectors.iter().filter_map(|vector| Some(vector.request_line()?.0)).collect();
    let methods: Vec<&String> =
        methods.iter().filter(|method| method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')).collect();
    let resources = Resources::usual(&[target.address()])
        .route("ho-tich", json!({"service": "ho-tich", "path": {"prefix": "/"}, "unsigned_payload": true}))
        .with("Permission", "mot-cua-ho-tich", |spec| spec["methods"] = json!(methods))
        .with("Service", "ho-tich", |spec| {
            spec["protocol"] = json!(if way == Way::Http2Target { "http2" } else { "http1" });
        });
    let node = Node::new(&resources);
    let node = if way == Way::ProxyAlone { node.on_proxy_face() } else { node }.start().await;
    let client = node.client(&resources, "mot-cua");

    let offers = vectors
        .iter()
        .enumerate()
        .map(|(number, vector)| tokio::spawn(offer(node.address(), vector.signed(number, &client, way))));
    for offered in offers.collect::<Vec<_>>() {
        offered.await.unwrap();
    }

    let seen = target.ledger().seen();
    for request in &seen {
        let Some(number) = request.header("x-vector") else { panic!("smuggled: {request:?}") };
        let vector = &vectors[number.parse::<usize>().unwrap()];
        let (method, target) = vector.request_line().unwrap();
        let path = target.split('?').next().unwrap();
        assert_eq!((&request.method, request.path.as_str()), (&method, path), "{way:?}: {}", vector.title);
        let http2 = request.protocol == "HTTP/2";
        assert_eq!(http2, way == Way::Http2Target, "{way:?}: {}", vector.title);
        // What follows a request for another protocol is no body.
        let comparable = way != Way::Upgrade && !REFUSED_FOR_LESS.iter().any(|reason| vector.log.contains(reason));
        if vector.strict && comparable && request.complete {
            let Some(body) = vector.body() else { panic!("{way:?}: {}: llhttp refuses it: {request:?}", vector.title) };
            let sha256: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(request.sha256, sha256, "{way:?}: {}: {request:?}", vector.title);
        }
    }
    let marks: BTreeSet<_> = seen.iter().map(|request| request.header("x-vector").unwrap()).collect();
    assert_eq!(marks.len(), seen.len(), "a connection's first request arrived twice");
    seen.len()
}

async fn nothing_else_reaches_the_target(way: Way, reached_min: usize) {
    let reached = try_all(way).await;
    assert!(reached >= reached_min, "{way:?}: only {reached} requests reached the target: the test proves too little");
}

#[tokio::test]
async fn nothing_but_the_first_request_of_a_connection_reaches_the_target() {
    nothing_else_reaches_the_target(Way::Loop, 20).await;
}

#[tokio::test]
async fn nor_through_pingora_proxy_alone() {
    nothing_else_reaches_the_target(Way::ProxyAlone, 20).await;
}

#[tokio::test]
async fn nor_when_it_is_handed_over_to_a_target_of_http2() {
    nothing_else_reaches_the_target(Way::Http2Target, 20).await;
}

#[tokio::test]
async fn nor_when_it_is_handed_over_for_an_upgrade() {
    nothing_else_reaches_the_target(Way::Upgrade, 5).await;
}

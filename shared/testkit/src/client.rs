//! A client that signs: raw HTTP/1.1 on a socket, so that a test can also send what no library would.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::id::AccessKey;
use lgsp_shared::seal::Secret;
use lgsp_shared::session::{PROOF_HEADER, TICKET_HEADER};
use lgsp_shared::signature::{AmzDate, KeyState, Rfc9421Params, SigV4Params, sign_rfc9421, sign_sigv4_header};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::session::Session;

/// No answer of a test takes longer than the longest deadline of the platform.
const ANSWER_DEADLINE: Duration = Duration::from_secs(35);

/// Bytes of an answer shown when a test fails.
const SHOWN_BYTES_MAX: usize = 512;

/// A credential as its owner holds it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who am I.
    pub access_key: AccessKey,
    /// Signs.
    pub secret: Secret,
}

/// A request before it is signed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, `host` and the signature's own apart.
    pub headers: Vec<(String, String)>,
    /// The body; sent with `content-length` when there is one.
    pub body: Vec<u8>,
}

/// Signs requests and sends each on a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    authority: String,
    identity: Identity,
    now: Option<UnixSeconds>,
    nonce: Option<String>,
    session: Option<Session>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` with a body.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn path_and_query(&self) -> (&str, Option<&str>) {
        self.target.split_once('?').map_or((self.target.as_str(), None), |(path, query)| (path, Some(query)))
    }

    fn head<'a>(&'a self, authority: &'a str, fields: &'a [Field<'a>]) -> RequestHead<'a> {
        let (path, query) = self.path_and_query();
        RequestHead { method: &self.method, scheme: Scheme::Http, authority, path, query, fields }
    }
}

impl Client {
    /// A client of the node at `address`; the address is also the `Host` it sends.
    pub fn new(address: SocketAddr, identity: Identity) -> Self {
        Self { address, authority: address.to_string(), identity, now: None, nonce: None, session: None }
    }

    /// Sends this `Host`.
    pub fn with_authority(mut self, authority: &str) -> Self {
        self.authority = authority.into();
        self
    }

    /// Sends to this address, with the `Host` of before.
    pub fn to(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Signs as if it were this instant.
    pub fn at(mut self, now: UnixSeconds) -> Self {
        self.now = Some(now);
        self
    }

    /// Uses this nonce in place of a random one.
    pub fn with_nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.into());
        self
    }

    /// Sends everything as part of this session.
    pub fn in_session(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// Signs with RFC 9421 and sends.
    pub async fn send(&self, request: &Request) -> Response {
        self.send_raw(&self.rfc9421(request)).await
    }

    /// Signs with SigV4 and sends.
    pub async fn send_sigv4(&self, request: &Request) -> Response {
        self.send_raw(&self.sigv4(request)).await
    }

    /// Sends bytes as they are and reads one answer.
    pub async fn send_raw(&self, bytes: &[u8]) -> Response {
        exchange(self.address, bytes).await
    }

    /// The bytes of a request signed with RFC 9421, with `content-digest` when there is a body.
    pub fn rfc9421(&self, request: &Request) -> Vec<u8> {
        let nonce = self.nonce.clone().unwrap_or_else(random_nonce);
        let mut headers = self.headers(request, &nonce);
        let mut covered = vec!["@method", "@authority", "@path", "@query"];
        if !request.body.is_empty() && !headers.iter().any(|(name, _)| name == "content-digest") {
            let digest = BASE64.encode(Sha256::digest(&request.body));
            headers.push(("content-digest".into(), format!("sha-256=:{digest}:")));
        }
        let own = |name: &str| name == "content-digest" || name.starts_with("lgsp-") || name.starts_with("x-amz-");
        let names: Vec<String> =
            headers.iter().map(|(name, _)| name.to_ascii_lowercase()).filter(|name| own(name)).collect();
        covered.extend(names.iter().map(String::as_str));
        let params = Rfc9421Params {
            created: self.now(),
            expires: None,
            nonce: &nonce,
            key_id: self.identity.access_key.as_str(),
            label: "sig1",
        };
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        let key = KeyState::new(&self.identity.secret);
        let signed = fields(&headers);
        sign_rfc9421(&request.head(&self.authority, &signed), &covered, &params, &key, &mut input, &mut signature)
            .expect("the request can be signed");
        headers.push(("signature-input".into(), String::from_utf8(input).expect("a signature is ASCII")));
        headers.push(("signature".into(), String::from_utf8(signature).expect("a signature is ASCII")));
        write(request, &headers)
    }

    /// The bytes of a request signed with SigV4 in the header, its payload as a signed hash.
    pub fn sigv4(&self, request: &Request) -> Vec<u8> {
        let payload: String = Sha256::digest(&request.body).iter().map(|byte| format!("{byte:02x}")).collect();
        let date = AmzDate::of(self.now()).expect("a year of four digits");
        let nonce = self.nonce.clone().unwrap_or_else(random_nonce);
        let mut headers = self.headers(request, &nonce);
        if self.session.is_some() {
            headers.push(("lgsp-nonce".into(), nonce));
        }
        headers.push(("x-amz-content-sha256".into(), payload.clone()));
        headers.push(("x-amz-date".into(), date.as_str().to_owned()));
        let own = |name: &str| {
            name == "host" || name.starts_with("lgsp-") || name.starts_with("x-amz-") || name == "content-digest"
        };
        let mut names: Vec<String> =
            headers.iter().map(|(name, _)| name.to_ascii_lowercase()).filter(|name| own(name)).collect();
        names.sort_unstable();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let params = SigV4Params {
            access_key: self.identity.access_key.as_str(),
            region: "vn",
            service: "s3",
            date,
            payload: &payload,
        };
        let mut authorization = Vec::new();
        let key = KeyState::new(&self.identity.secret);
        let signed = fields(&headers);
        sign_sigv4_header(&request.head(&self.authority, &signed), &names, &params, &key, &mut authorization)
            .expect("the request can be signed");
        headers.push(("authorization".into(), String::from_utf8(authorization).expect("a signature is ASCII")));
        write(request, &headers)
    }

    fn headers(&self, request: &Request, nonce: &str) -> Vec<(String, String)> {
        let mut headers = vec![("host".to_owned(), self.authority.clone())];
        headers.extend(request.headers.iter().cloned());
        let named = |name: &str| request.headers.iter().any(|(other, _)| other == name);
        if let Some(Session { ticket, key }) = &self.session {
            headers.push((TICKET_HEADER.to_owned(), ticket.clone()));
            if !named(PROOF_HEADER) {
                let proof = String::from_utf8(key.proof(nonce).to_vec()).expect("a proof is ASCII");
                headers.push((PROOF_HEADER.to_owned(), proof));
            }
        }
        headers
    }

    fn now(&self) -> UnixSeconds {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        self.now.unwrap_or(UnixSeconds(i64::try_from(since.as_secs()).expect("the clock is before the end of time")))
    }
}

impl Response {
    /// The first value of a header (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The `code` of a problem document; empty when the answer is none.
    pub fn code(&self) -> String {
        let is_problem = self.header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"));
        if is_problem { self.json()["code"].as_str().unwrap_or_default().to_owned() } else { String::new() }
    }
}

/// A nonce nobody has used.
pub fn random_nonce() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fields(headers: &[(String, String)]) -> Vec<Field<'_>> {
    headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect()
}

fn write(request: &Request, headers: &[(String, String)]) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    let framed = headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding");
    if !request.body.is_empty() && !framed {
        bytes.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), &request.body].concat()
}

/// Sends bytes on a new connection and reads one answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Response {
    let stream = TcpStream::connect(address).await.expect("the node listens");
    exchange_on(stream, bytes).await
}

/// The same on a connection that is open already.
pub async fn exchange_on(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> Response {
    let talk = async {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = Vec::new();
        // A refusal may come, and the connection close, before all of a large request is sent.
        let (_, response) = tokio::join!(writer.write_all(bytes), async {
            loop {
                if let Some(response) = parse(&input, false) {
                    return response;
                }
                if reader.read_buf(&mut input).await.unwrap_or(0) == 0 {
                    return parse(&input, true).unwrap_or_else(|| {
                        let begun = String::from_utf8_lossy(&input[..input.len().min(SHOWN_BYTES_MAX)]).into_owned();
                        panic!("the connection closed within the answer: {begun:?} ({} bytes)", input.len())
                    });
                }
            }
        });
        response
    };
    tokio::time::timeout(ANSWER_DEADLINE, talk).await.expect("an answer arrives in time")
}

/// One whole answer, interim ones skipped; `None` while more is needed.
fn parse(mut input: &[u8], closed: bool) -> Option<Response> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = parsed.parse(input).expect("an HTTP/1.1 answer") else {
            return None;
        };
        let status = parsed.code.expect("a status");
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: Vec<_> =
            parsed.headers.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
        input = &input[head_bytes..];
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let value = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let body = if value("transfer-encoding").is_some() {
            chunks(input)?
        } else {
            let length = value("content-length").map(|length| length.parse().expect("a length"));
            match length {
                Some(length) => input.get(..length)?.to_vec(),
                None if status == 204 || status == 304 || closed => input.to_vec(),
                None => return None,
            }
        };
        return Some(Response { status, headers, body });
    }
}

fn chunks(mut input: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((start, size)) = httparse::parse_chunk_size(input).expect("a chunk") else {
            return None;
        };
        let size = usize::try_from(size).expect("a chunk that fits in memory");
        if size == 0 {
            let rest = &input[start..];
            let ended = rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n");
            return ended.then_some(body);
        }
        body.extend_from_slice(input.get(start..start + size)?);
        input = input.get(start + size + 2..)?;
    }
}

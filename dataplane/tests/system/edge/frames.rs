//! HTTP/2 by hand: frames that no library would send, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use lgsp_testkit::client::{Client, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// How long a node may take to end a connection it does not want.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as HPACK writes one that it does not remember (RFC 7541 section 6.2.2), without Huffman coding.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A text with its length (RFC 7541 sections 5.1 and 5.2).
pub fn text(text: &str) -> Vec<u8> {
    let mut coded = Vec::new();
    match u8::try_from(text.len()) {
        Ok(short) if short < 127 => coded.push(short),
        _ => {
            coded.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                coded.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            coded.push(u8::try_from(rest).unwrap());
        }
    }
    coded.extend_from_slice(text.as_bytes());
    coded
}

/// The header block of a request without a signature.
pub fn unsigned(method: &str, path: &str) -> Vec<u8> {
    [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// The header block of a signed request; the length of its body is left open.
pub fn signed(client: &Client, request: &Request) -> Vec<u8> {
    let bytes = client.rfc9421(request);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.split("\r\n\r\n").next().unwrap().split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let host = headers.iter().find(|(name, _)| *name == "host").unwrap().1;
    let mut block: Vec<u8> = [(":method", method), (":scheme", "http"), (":authority", host), (":path", target)]
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")) {
        block.extend_from_slice(&field(name, value));
    }
    block
}

/// What the node said on a connection.
#[derive(Debug, Default, Clone)]
pub struct Said {
    /// Its settings, in order.
    pub settings: Vec<(u16, u32)>,
    /// By how much it opened the window of the connection.
    pub window: u32,
    /// Streams it reset, and why.
    pub resets: Vec<(u32, u32)>,
    /// Streams it answered, or began to.
    pub answered: Vec<u32>,
    /// Why it said goodbye, if it did.
    pub goaway: Option<u32>,
}

/// A connection on which the test writes what it wants.
pub struct Frames {
    writer: OwnedWriteHalf,
    reader: JoinHandle<Said>,
}

impl Frames {
    /// Connects, with these settings of its own.
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let (reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let reader = tokio::spawn(listen(reader));
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let start = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &settings)].concat();
        writer.write_all(&start).await.unwrap();
        Self { writer, reader }
    }

    /// Writes; false when the node has ended the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        !self.reader.is_finished() && self.writer.write_all(bytes).await.is_ok()
    }

    /// Writes `next(0)`, `next(1)` … until the node ends the connection; fails when it takes all `most` of them.
    pub async fn flood(mut self, most: u32, next: impl Fn(u32) -> Vec<u8>) -> Said {
        for number in 0..most {
            if !self.send(&next(number)).await {
                return self.ended().await;
            }
        }
        panic!("the node took all {most}; it said {:?}", self.ended().await);
    }

    /// What the node said until it ended the connection; fails when it does not.
    pub async fn ended(self) -> Said {
        let Self { writer, reader } = self;
        let said = tokio::time::timeout(END_DEADLINE, reader).await.expect("the node ends the connection").unwrap();
        drop(writer);
        said
    }
}

async fn listen(mut reader: OwnedReadHalf) -> Said {
    let mut said = Said::default();
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        let stream = number(&head[5..9]);
        match (head[3], stream) {
            (SETTINGS, _) => said
                .settings
                .extend(payload.chunks(6).map(|one| (u16::from_be_bytes([one[0], one[1]]), number(&one[2..6])))),
            (WINDOW_UPDATE, 0) => said.window += number(&payload),
            (RST_STREAM, stream) => said.resets.push((stream, number(&payload))),
            (HEADERS, stream) => said.answered.push(stream),
            (GOAWAY, _) => said.goaway = Some(number(&payload[4..8])),
            _ => {}
        }
    }
    said
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

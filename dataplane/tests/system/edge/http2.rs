//! A client that speaks HTTP/2 with prior knowledge and signs as the test kit's client does.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request as HttpRequest, Version};
use lgsp_testkit::client::{Client, Request};
use tokio::net::TcpStream;

/// One HTTP/2 connection.
pub struct Http2(SendRequest<Bytes>);

/// A stream whose body the test sends by hand.
pub struct Begun {
    response: ResponseFuture,
    stream: SendStream<Bytes>,
}

impl Begun {
    pub fn send(&mut self, piece: Bytes, last: bool) {
        self.stream.send_data(piece, last).unwrap();
    }

    pub fn reset(&mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }

    pub async fn status(self) -> Result<u16, h2::Error> {
        Ok(self.response.await?.status().as_u16())
    }
}

/// What came back on one stream.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// Whether the client declares the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Declared,
    Open,
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // The connection ends with the test, however it ends.
            let _ = connection.await;
        });
        Self(send)
    }

    /// Signs `request` and sends its head, then `body` in pieces of 4 KiB.
    pub async fn send(
        &self,
        client: &Client,
        request: &Request,
        length: Length,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let head = http2_head(&client.rfc9421(request), length);
        let mut ready = self.0.clone().ready().await?;
        let bodiless = body.is_empty() && trailers.is_none();
        let (response, mut stream) = ready.send_request(head, bodiless)?;
        if !bodiless {
            let mut pieces = body.chunks(4096).peekable();
            while let Some(piece) = pieces.next() {
                let last = pieces.peek().is_none() && trailers.is_none();
                // A refusal may reset the stream before all is sent.
                if stream.send_data(Bytes::copy_from_slice(piece), last).is_err() {
                    break;
                }
            }
            if let Some(trailers) = trailers {
                stream.send_trailers(trailers)?;
            }
        }
        let (parts, mut received) = response.await?.into_parts();
        let mut whole = Vec::new();
        while let Some(piece) = received.data().await {
            let piece = piece?;
            received.flow_control().release_capacity(piece.len())?;
            whole.extend_from_slice(&piece);
        }
        let trailers = received.trailers().await?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: whole, trailers })
    }

    /// Signs `request` and sends its head.
    pub async fn begin(&self, client: &Client, request: &Request) -> Begun {
        let head = http2_head(&client.rfc9421(request), Length::Declared);
        let (response, stream) = self.0.clone().ready().await.unwrap().send_request(head, false).unwrap();
        Begun { response, stream }
    }

    pub async fn get(&self, client: &Client, target: &str) -> Answer {
        self.send(client, &Request::get(target), Length::Open, b"", None).await.unwrap()
    }
}

impl Answer {
    pub fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The head of an HTTP/1.1 request as one of HTTP/2.
fn http2_head(bytes: &[u8], length: Length) -> HttpRequest<()> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n\r\n").next().unwrap().split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let host = headers.iter().find(|(name, _)| *name == "host").unwrap().1;
    let mut request = HttpRequest::builder().method(method).uri(format!("http://{host}{target}"));
    for (name, value) in headers {
        let left_out = name == "host" || (name == "content-length" && length == Length::Open);
        if !left_out {
            request = request.header(name, value);
        }
    }
    request.version(Version::HTTP_2).body(()).unwrap()
}

//! The target's HTTP/1.1: head, framing and keep-alive (RFC 9112). Strict: what is ambiguous closes the connection.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::body::{BodyReader, Framing};
use super::Settings;
use super::answer::{Broken, Exchange, Pair, answer};
use super::head::{Head, HeadBuilder};

mod body;

/// The largest head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;
/// Read at a time; also what an idle connection holds.
const READ_BYTES: usize = 8 << 10;
/// An answer up to this size leaves in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(stream: S, settings: Arc<Settings>) {
    let mut connection = Connection { stream, input: BytesMut::with_capacity(READ_BYTES), output: Vec::new() };
    while let Ok(Some(request)) = connection.head().await {
        let mut exchange = Http1 {
            connection: &mut connection,
            body: BodyReader::new(request.framing),
            expects_continue: request.expects_continue,
            is_head: request.head.method() == "HEAD",
            version: request.version,
            close: !request.keep_alive,
            reply: Reply::Pending,
        };
        if answer(&mut exchange, &request.head, &settings).await.is_err() || exchange.flush().await.is_err() {
            break;
        }
        if exchange.close || !exchange.body.has_ended() {
            break;
        }
    }
    // The peer may have left already.
    let _ = connection.stream.shutdown().await;
}

struct Connection<S> {
    stream: S,
    input: BytesMut,
    output: Vec<u8>,
}

struct Request {
    head: Head,
    framing: Framing,
    expects_continue: bool,
    keep_alive: bool,
    version: u8,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The next head; `None` when the peer closed between requests.
    async fn head(&mut self) -> Result<Option<Request>, Broken> {
        loop {
            if !self.input.is_empty()
                && let Some((request, bytes)) = parse(&self.input)?
            {
                let _ = self.input.split_to(bytes);
                return Ok(Some(request));
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(Broken::Framing);
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return if self.input.is_empty() { Ok(None) } else { Err(Broken::Framing) };
            }
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }
}

fn parse(input: &[u8]) -> Result<Option<(Request, usize)>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let status = parsed.parse(input).map_err(|_| Broken::Framing)?;
    let httparse::Status::Complete(bytes) = status else { return Ok(None) };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Broken::Framing);
    };
    let mut builder = HeadBuilder::new(method, target, parsed.headers.len());
    let mut keep_alive = version == 1;
    let mut expects_continue = false;
    for field in parsed.headers.iter() {
        builder.field(field.name, field.value);
        if field.name.eq_ignore_ascii_case("connection") {
            let says =
                |word: &[u8]| field.value.split(|b| *b == b',').any(|v| v.trim_ascii().eq_ignore_ascii_case(word));
            keep_alive = if version == 1 { !says(b"close") } else { says(b"keep-alive") };
        } else if field.name.eq_ignore_ascii_case("expect") {
            expects_continue = field.value.eq_ignore_ascii_case(b"100-continue");
        }
    }
    let framing = Framing::of(parsed.headers)?;
    Ok(Some((Request { head: builder.build(), framing, expects_continue, keep_alive, version }, bytes)))
}

/// How far the answer is, and how its end will be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Pending,
    Length,
    Chunked,
    UntilClose,
}

struct Http1<'c, S> {
    connection: &'c mut Connection<S>,
    body: BodyReader,
    expects_continue: bool,
    is_head: bool,
    version: u8,
    close: bool,
    reply: Reply,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Exchange for Http1<'_, S> {
    const PROTOCOL: &'static str = "HTTP/1.1";

    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.expects_continue && !self.body.has_ended() && self.reply == Reply::Pending {
            self.expects_continue = false;
            self.connection.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        loop {
            match self.body.next(&mut self.connection.input)? {
                body::Step::Data(data) => return Ok(Some(data)),
                body::Step::End => return Ok(None),
                body::Step::More => {
                    self.connection.input.reserve(WRITE_BYTES_MAX);
                    if self.connection.stream.read_buf(&mut self.connection.input).await? == 0 {
                        return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }

    async fn request_trailers(&mut self) -> Result<Vec<(String, String)>, Broken> {
        Ok(self.body.take_trailers())
    }

    async fn interim(&mut self, status: u16, headers: &[Pair<'_>]) -> Result<(), Broken> {
        write_head(&mut self.connection.output, status, headers)?;
        self.connection.output.extend_from_slice(b"\r\n");
        Ok(self.connection.send().await?)
    }

    async fn start(&mut self, status: u16, headers: &[Pair<'_>], length: Option<u64>) -> Result<(), Broken> {
        let output = &mut self.connection.output;
        write_head(output, status, headers)?;
        self.reply = match length {
            Some(_) if status == 204 => Reply::Length,
            Some(length) => {
                write!(output, "content-length: {length}\r\n")?;
                Reply::Length
            }
            None if self.version == 1 => {
                output.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Reply::Chunked
            }
            None => Reply::UntilClose,
        };
        self.close |= self.reply == Reply::UntilClose;
        if self.close {
            output.extend_from_slice(b"connection: close\r\n");
        }
        output.extend_from_slice(b"\r\n");
        Ok(())
    }

    async fn write(&mut self, data: Bytes) -> Result<(), Broken> {
        if self.is_head || data.is_empty() {
            return Ok(());
        }
        if self.reply == Reply::Chunked {
            write!(self.connection.output, "{:x}\r\n", data.len())?;
        }
        if self.connection.output.len() + data.len() > WRITE_BYTES_MAX {
            self.connection.send().await?;
            self.connection.stream.write_all(&data).await?;
        } else {
            self.connection.output.extend_from_slice(&data);
        }
        if self.reply == Reply::Chunked {
            self.connection.output.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        self.connection.send().await?;
        // Plain sockets have nothing to flush; TLS has.
        Ok(self.connection.stream.flush().await?)
    }

    async fn finish(&mut self, trailers: &[Pair<'_>]) -> Result<(), Broken> {
        if self.reply == Reply::Chunked && !self.is_head {
            self.connection.output.extend_from_slice(b"0\r\n");
            for (name, value) in trailers {
                write!(self.connection.output, "{name}: {value}\r\n")?;
            }
            self.connection.output.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn garbage(&mut self) -> Result<(), Broken> {
        self.connection.output.extend_from_slice(b"\x16\x03\x01 this is not HTTP\r\n\r\n");
        self.flush().await?;
        Err(Broken::Planned)
    }

    async fn tunnel(&mut self) -> Result<(), Broken> {
        self.interim(101, &[("connection", "upgrade"), ("upgrade", "echo")]).await?;
        self.close = true;
        loop {
            let data = self.connection.input.split();
            self.connection.stream.write_all(&data).await?;
            self.connection.stream.flush().await?;
            self.connection.input.reserve(READ_BYTES);
            if self.connection.stream.read_buf(&mut self.connection.input).await? == 0 {
                return Ok(());
            }
        }
    }
}

fn write_head(output: &mut Vec<u8>, status: u16, headers: &[Pair<'_>]) -> io::Result<()> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("Answer");
    write!(output, "HTTP/1.1 {status} {reason}\r\n")?;
    for (name, value) in headers {
        write!(output, "{name}: {value}\r\n")?;
    }
    Ok(())
}

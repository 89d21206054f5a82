//! A request body on an HTTP/1.1 connection: a length, chunks, or nothing (RFC 9112 sections 6 and 7).

use bytes::{Buf, Bytes, BytesMut};

use crate::echo::answer::Broken;

/// The longest chunk-size line, extensions included.
const SIZE_LINE_BYTES_MAX: usize = 1 << 10;
const TRAILERS_BYTES_MAX: usize = 16 << 10;
const TRAILERS_MAX: usize = 32;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Framing {
    /// Reads it from the header; anything two readers could understand differently is an error.
    pub(super) fn of(fields: &[httparse::Header<'_>]) -> Result<Self, Broken> {
        let named = |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        let mut codings = named("transfer-encoding");
        let mut lengths = named("content-length");
        match (codings.next(), lengths.next()) {
            (Some(coding), None) if codings.next().is_none() && coding.value.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            (None, Some(length)) if lengths.next().is_none() => {
                let digits =
                    std::str::from_utf8(length.value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                digits.and_then(|text| text.parse().ok()).map(Framing::Length).ok_or(Broken::Framing)
            }
            (None, None) => Ok(Framing::Length(0)),
            (Some(_), _) | (None, Some(_)) => Err(Broken::Framing),
        }
    }
}

/// What the next look at the input gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    End,
    /// More input is wanted.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Ended,
}

/// Takes a body out of a connection's input.
#[derive(Debug)]
pub(super) struct BodyReader {
    state: State,
    trailers: Vec<(String, String)>,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
        };
        Self { state, trailers: Vec::new() }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    pub(super) fn take_trailers(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.trailers)
    }

    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Step, Broken> {
        loop {
            match self.state {
                State::Ended => return Ok(Step::End),
                State::Length(_) | State::ChunkData(_) if input.is_empty() => return Ok(Step::More),
                State::Length(left) => {
                    let (data, left) = take(input, left);
                    self.state = if left == 0 { State::Ended } else { State::Length(left) };
                    return Ok(Step::Data(data));
                }
                State::ChunkData(left) => {
                    let (data, left) = take(input, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    return Ok(Step::Data(data));
                }
                State::ChunkSize => match chunk_size(input)? {
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::ChunkData(size),
                    None => return Ok(Step::More),
                },
                State::ChunkEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        input.advance(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(Broken::Framing),
                    None => return Ok(Step::More),
                },
                State::Trailers => match trailers(input)? {
                    Some(found) => {
                        self.trailers = found;
                        self.state = State::Ended;
                    }
                    None => return Ok(Step::More),
                },
            }
        }
    }
}

fn take(input: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    (input.split_to(count).freeze(), left - count as u64)
}

fn chunk_size(input: &mut BytesMut) -> Result<Option<u64>, Broken> {
    match httparse::parse_chunk_size(input) {
        Ok(httparse::Status::Complete((bytes, size))) => {
            input.advance(bytes);
            Ok(Some(size))
        }
        Ok(httparse::Status::Partial) if input.len() < SIZE_LINE_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(Broken::Framing),
    }
}

fn trailers(input: &mut BytesMut) -> Result<Option<Vec<(String, String)>>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    match httparse::parse_headers(input, &mut fields) {
        Ok(httparse::Status::Complete((bytes, fields))) => {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let found = fields.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
            input.advance(bytes);
            Ok(Some(found))
        }
        Ok(httparse::Status::Partial) if input.len() < TRAILERS_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(Broken::Framing),
    }
}

//! RFC 9112 section 6: walks through a body by whatever framing it has. Holds no bytes.

use super::chunked::{Decoder, Step};
use super::fault::Fault;
use super::framing::Framing;

/// Where in a body the next byte lies.
#[derive(Debug, Clone, Copy)]
pub enum BodyDecoder {
    /// This many bytes are left.
    Length(u64),
    /// Inside the chunked coding.
    Chunked(Decoder),
    /// Everything until the connection closes.
    UntilClose,
}

impl BodyDecoder {
    /// At the start of a body.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => BodyDecoder::Length(0),
            Framing::Length(length) => BodyDecoder::Length(length),
            Framing::Chunked => BodyDecoder::Chunked(Decoder::default()),
            Framing::UntilClose => BodyDecoder::UntilClose,
        }
    }

    /// Looks at the front of `input`; the caller takes away what the answer names before it asks again.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match self {
            BodyDecoder::Length(0) => Ok(Step::End(0)),
            BodyDecoder::Length(_) | BodyDecoder::UntilClose if input.is_empty() => Ok(Step::More),
            BodyDecoder::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= here as u64;
                Ok(Step::Content(here))
            }
            BodyDecoder::Chunked(decoder) => decoder.step(input),
            BodyDecoder::UntilClose => Ok(Step::Content(input.len())),
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self, BodyDecoder::UntilClose)
    }
}

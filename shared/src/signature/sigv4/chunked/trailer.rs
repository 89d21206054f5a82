//! The signed trailers after the last chunk.
//!
//! On the wire AWS's SDKs write `name:value CRLF`, minio-go `name:value LF CRLF`; some put an empty line before the
//! trailers, some after, some neither. All are read: empty lines and the CR of a line end carry nothing, the names are
//! those the request's signature announced, and the signature comes last.

use sha2::{Digest, Sha256};

use super::super::super::hex;
use super::ChunkError;

const SIGNATURE_NAME: &str = "x-amz-trailer-signature";
/// The most trailers one body may announce; it is read once at the end of the body.
const TRAILERS_MAX: usize = 16;

/// What `x-amz-trailer` announced.
pub(super) struct TrailerNames(Box<str>);

/// The trailers as their signature covers them.
pub(super) struct Trailers {
    pub(super) hash: [u8; 32],
    pub(super) signature: [u8; 32],
}

impl TrailerNames {
    /// Takes the value of `x-amz-trailer`.
    pub(super) fn new(announced: &str) -> Self {
        Self(announced.into())
    }

    /// Reads the tail of the body: every announced trailer once, in any order, nothing else, then the signature.
    pub(super) fn read(&self, tail: &[u8]) -> Result<Trailers, ChunkError> {
        let text = std::str::from_utf8(tail).map_err(|_| ChunkError::Trailer("they are not text"))?;
        let mut announced: Vec<&str> = self.0.split(',').map(str::trim).collect();
        if announced.len() > TRAILERS_MAX {
            return Err(ChunkError::Trailer("too many are announced"));
        }
        let mut lines =
            text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.is_empty());
        let mut hash = Sha256::new();
        while let Some(line) = lines.next() {
            let (name, value) = line.split_once(':').ok_or(ChunkError::Trailer("a line has no colon"))?;
            let value = value.trim_matches([' ', '\t']);
            if name.eq_ignore_ascii_case(SIGNATURE_NAME) {
                return match (announced.is_empty(), lines.next(), hex::decode(value.as_bytes())) {
                    (false, _, _) => Err(ChunkError::Trailer("an announced one is missing")),
                    (true, Some(_), _) => Err(ChunkError::Trailer("something follows their signature")),
                    (true, None, None) => Err(ChunkError::Trailer("their signature is not 64 hexadecimal digits")),
                    (true, None, Some(signature)) => Ok(Trailers { hash: hash.finalize().into(), signature }),
                };
            }
            let at = announced.iter().position(|wanted| wanted.eq_ignore_ascii_case(name));
            announced.swap_remove(
                at.ok_or(ChunkError::Trailer("one was not announced in `x-amz-trailer`, or comes twice"))?,
            );
            for part in [name.to_ascii_lowercase().as_str(), ":", value, "\n"] {
                hash.update(part);
            }
        }
        Err(ChunkError::Trailer("their signature is missing"))
    }
}

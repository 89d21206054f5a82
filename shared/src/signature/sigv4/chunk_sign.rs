//! Signing a body chunk by chunk.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::super::error::SignError;
use super::super::hex;
use super::super::key::KeyState;
use super::chunked::Chain;
use super::sign::SigV4Params;

/// Writes one chunk-signed body.
pub struct ChunkSigner {
    chain: Chain,
}

impl std::fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkSigner(..)")
    }
}

impl ChunkSigner {
    /// Starts from the request's own signature, as [`super::sign::sign_sigv4_header`] returned it.
    pub fn new(key: &KeyState, params: &SigV4Params<'_>, seed: [u8; 32]) -> Result<Self, SignError> {
        Ok(Self { chain: Chain::new(key, &params.scope()?, &params.date, seed) })
    }

    /// Appends `data` as one signed chunk. Empty data would end the body: use [`ChunkSigner::finish`].
    pub fn chunk(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if !data.is_empty() {
            self.header(data, out);
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the last chunk, and the trailers with their signature when there are any.
    pub fn finish(mut self, trailers: &[(&str, &str)], out: &mut Vec<u8>) {
        self.header(b"", out);
        if !trailers.is_empty() {
            let mut hash = Sha256::new();
            for (name, value) in trailers {
                for part in [name, ":", value] {
                    hash.update(part);
                    out.extend_from_slice(part.as_bytes());
                }
                hash.update("\n");
                out.extend_from_slice(b"\r\n");
            }
            let signature = self.chain.next_trailer(&hash.finalize().into());
            out.extend_from_slice(b"x-amz-trailer-signature:");
            out.extend_from_slice(&hex::encode(&signature));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let signature = self.chain.next_chunk(&Sha256::digest(data).into());
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{:x};chunk-signature=", data.len());
        out.extend_from_slice(&hex::encode(&signature));
        out.extend_from_slice(b"\r\n");
    }
}

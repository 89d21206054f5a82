//! Where canonical bytes go: into a MAC, into a hash, or, to be looked at, into a buffer.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Takes canonical bytes piece by piece, so that no canonical text has to exist as a whole.
pub(super) trait Sink {
    /// Takes the next piece.
    fn push(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Sha256 {
    fn push(&mut self, bytes: &[u8]) {
        Digest::update(self, bytes);
    }
}

impl Sink for Hmac<Sha256> {
    fn push(&mut self, bytes: &[u8]) {
        Mac::update(self, bytes);
    }
}

/// Pushes `text` in ASCII lower case, without a copy on the heap.
pub(super) fn push_lower_case(sink: &mut impl Sink, text: &[u8]) {
    let mut piece = [0; 64];
    for part in text.chunks(piece.len()) {
        if let Some(lower) = piece.get_mut(..part.len()) {
            lower.copy_from_slice(part);
            lower.make_ascii_lowercase();
            sink.push(lower);
        }
    }
}

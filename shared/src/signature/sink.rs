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

/// Bytes gathered before they are passed on: four blocks of SHA-256, more than half of a usual signature base.
const GATHERED_BYTES: usize = 256;

/// Gathers small pieces for a hash. A base is some forty pieces, and each piece handed to the hash by itself costs more
/// than copying it.
pub(super) struct Gathering<S: Sink> {
    sink: S,
    room: [u8; GATHERED_BYTES],
    used: usize,
}

impl<S: Sink> Gathering<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { sink, room: [0; GATHERED_BYTES], used: 0 }
    }

    /// Passes everything on and gives the hash back.
    pub(super) fn into_inner(mut self) -> S {
        self.pass_on();
        self.sink
    }

    fn pass_on(&mut self) {
        self.sink.push(self.room.get(..self.used).unwrap_or_default());
        self.used = 0;
    }
}

impl<S: Sink> Sink for Gathering<S> {
    fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHERED_BYTES - self.used {
            self.pass_on();
        }
        match self.room.get_mut(self.used..self.used + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            None => self.sink.push(bytes),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_arrives_whole_and_in_order_whatever_the_pieces() {
        let text: Vec<u8> = (0..2_000_u32).map(|at| at as u8).collect();
        for piece in [1, 7, 255, 256, 257, 900] {
            let mut gathering = Gathering::new(Vec::new());
            text.chunks(piece).for_each(|part| gathering.push(part));
            assert_eq!(gathering.into_inner(), text, "{piece}");
        }
        assert_eq!(Gathering::new(Vec::new()).into_inner(), b"");
    }
}

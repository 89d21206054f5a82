//! What is still to be written to a target: a head, then pieces of a body, as one gathered write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

use super::stock::Lines;

/// Slices offered to one write.
const SLICES_MAX: usize = 16;

/// A head and the pieces behind it. Written pieces are dropped at once; the head stays until the answer is there, so
/// that it can be sent again.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The head.
    pub head: Lines,
    sent: usize,
    pieces: VecDeque<Bytes>,
    body_sent: bool,
    abandoned: bool,
}

impl Outgoing {
    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.sent == self.head.len() && self.pieces.is_empty()
    }

    /// Whether any byte of it was written.
    pub fn is_begun(&self) -> bool {
        self.sent > 0
    }

    /// Whether any piece of the body was written, and so is gone.
    pub fn is_body_begun(&self) -> bool {
        self.body_sent
    }

    /// Adds a piece behind all others.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Starts over with the head, for another attempt; nothing is given up any more.
    pub fn restart(&mut self) {
        self.sent = 0;
        self.abandoned = false;
    }

    /// Whether the rest was given up.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Gives up on what is not written. Pieces that are dropped here are gone as if they had been written.
    pub fn abandon(&mut self) {
        self.abandoned = true;
        self.sent = self.head.len();
        self.body_sent |= !self.pieces.is_empty();
        self.pieces.clear();
    }

    /// Offers what is left to `write`.
    pub fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let head = self.head.get(self.sent..).unwrap_or_default();
        if self.pieces.is_empty() {
            return write(&[IoSlice::new(head)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let heads = (!head.is_empty()).then_some(head).into_iter();
        let mut count = 0;
        for (slot, part) in slices.iter_mut().zip(heads.chain(self.pieces.iter().map(|piece| &piece[..]))) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        write(slices.get(..count).unwrap_or_default())
    }

    /// Notes that `length` bytes were written.
    pub fn advance(&mut self, length: usize) {
        let of_head = length.min(self.head.len() - self.sent);
        self.sent += of_head;
        let mut left = length - of_head;
        self.body_sent |= left > 0;
        while let Some(piece) = self.pieces.front_mut() {
            if left < piece.len() {
                piece.advance(left);
                return;
            }
            left -= piece.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(out: &Outgoing) -> Vec<u8> {
        out.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect())
    }

    #[test]
    fn what_was_given_up_within_the_head_is_sent_whole_by_the_next_attempt_or_not_at_all() {
        let begun = |body: &'static [u8]| {
            let mut out = Outgoing::default();
            out.head.extend_from_slice(b"head");
            out.push(Bytes::from_static(body));
            out.advance(2);
            out.abandon();
            out
        };
        let mut bodiless = begun(b"");
        assert!(bodiless.is_abandoned() && !bodiless.is_body_begun());
        bodiless.restart();
        assert_eq!((offered(&bodiless), bodiless.is_abandoned()), (b"head".to_vec(), false));
        assert!(begun(b"body").is_body_begun(), "the body is gone, so there is no other attempt");
    }

    #[test]
    fn what_is_written_is_not_offered_again_wherever_the_write_stopped() {
        for cut in 0..=9 {
            let mut out = Outgoing::default();
            out.head.extend_from_slice(b"head");
            out.push(Bytes::from_static(b"bo"));
            out.push(Bytes::from_static(b""));
            out.push(Bytes::from_static(b"dy."));
            assert_eq!(offered(&out), b"headbody.");
            out.advance(cut);
            assert_eq!(offered(&out), &b"headbody."[cut..]);
            assert_eq!((out.is_empty(), out.is_begun(), out.is_body_begun()), (cut == 9, cut > 0, cut > 4));
        }
    }
}

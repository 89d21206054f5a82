//! Buffers borrowed from the thread while bytes are in them, so that a waiting connection holds none.
//!
//! Returned buffers are wiped as far as they were filled: nothing of a payload outlives its exchange here. Each thread
//! keeps few buffers and they are reused last in, first out, so they stay in the cache however many connections there
//! are. Cost per thread at most `HEADS_KEPT × 8 KiB + BODIES_KEPT × 64 KiB + LINES_KEPT × 4 KiB` = 1.6 MiB.

use std::cell::RefCell;

use bytes::BytesMut;

/// The size of a buffer that a head is read into; a larger head makes it grow, and then it is not kept.
pub const HEAD_BYTES: usize = 8 << 10;
/// The size of a buffer that a body flows through.
pub const BODY_BYTES: usize = 64 << 10;
/// The size of a buffer that a head is written into.
const LINES_BYTES: usize = 4 << 10;
/// The largest written head that is kept for reuse.
const LINES_BYTES_KEPT_MAX: usize = 16 << 10;

const HEADS_KEPT: usize = 64;
const BODIES_KEPT: usize = 12;
const LINES_KEPT: usize = 32;

#[derive(Default)]
struct Stock {
    heads: Vec<BytesMut>,
    bodies: Vec<BytesMut>,
    lines: Vec<Vec<u8>>,
}

thread_local! {
    static STOCK: RefCell<Stock> = RefCell::default();
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Reading a head and a small body.
    Head,
    /// Letting a body flow.
    Body,
}

impl Use {
    fn size(self) -> usize {
        match self {
            Use::Head => HEAD_BYTES,
            Use::Body => BODY_BYTES,
        }
    }

    fn shelf(self, stock: &mut Stock) -> (&mut Vec<BytesMut>, usize) {
        match self {
            Use::Head => (&mut stock.heads, HEADS_KEPT),
            Use::Body => (&mut stock.bodies, BODIES_KEPT),
        }
    }
}

/// An empty buffer to read into.
pub fn borrow(purpose: Use) -> BytesMut {
    let kept = STOCK.try_with(|stock| purpose.shelf(&mut stock.borrow_mut()).0.pop());
    kept.ok().flatten().unwrap_or_else(|| BytesMut::with_capacity(purpose.size()))
}

/// Takes a buffer back. `filled` is how many bytes were read into it since it was borrowed. One whose content is still
/// referred to elsewhere, or that has grown, is let go instead.
pub fn give_back(mut buffer: BytesMut, filled: usize) {
    // One that was borrowed to look for input that was not there is as it was: nearly every wait begins with one.
    if filled > 0 {
        buffer.clear();
        if !buffer.try_reclaim(BODY_BYTES) && !buffer.try_reclaim(HEAD_BYTES) {
            return;
        }
        buffer.resize(filled.min(buffer.capacity()), 0);
        buffer.clear();
    }
    let purpose = match buffer.capacity() {
        BODY_BYTES.. => Use::Body,
        HEAD_BYTES.. => Use::Head,
        _ => return,
    };
    if buffer.capacity() > 2 * purpose.size() {
        return;
    }
    // On a thread that is ending the buffer is freed instead.
    let _ = STOCK.try_with(|stock| {
        let mut stock = stock.borrow_mut();
        let (shelf, most) = purpose.shelf(&mut stock);
        if shelf.len() < most {
            shelf.push(buffer);
        }
    });
}

/// Lines of a head being written; goes back to the thread when dropped.
#[derive(Debug)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// No lines yet.
    pub fn new() -> Self {
        let kept = STOCK.try_with(|stock| stock.borrow_mut().lines.pop());
        Self(kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(LINES_BYTES)))
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for Lines {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl std::ops::DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut lines = std::mem::take(&mut self.0);
        if lines.capacity() > LINES_BYTES_KEPT_MAX {
            return;
        }
        lines.fill(0);
        lines.clear();
        let _ = STOCK.try_with(|stock| {
            let shelf = &mut stock.borrow_mut().lines;
            if shelf.len() < LINES_KEPT {
                shelf.push(lines);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    fn everything_in(mut buffer: BytesMut) -> Vec<u8> {
        let spare = buffer.capacity();
        // What a recycled buffer holds is visible only through its length, so look at it through a resize that keeps
        // the bytes: growing writes, therefore compare the allocation before it is grown.
        buffer.resize(spare.min(16), 1);
        buffer.to_vec()
    }

    #[test]
    fn a_returned_buffer_is_borrowed_again_and_empty() {
        let mut buffer = borrow(Use::Head);
        buffer.extend_from_slice(b"secret payload");
        let address = buffer.as_ptr();
        buffer.advance(3);
        give_back(buffer, 14);
        let again = borrow(Use::Head);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        assert_eq!(everything_in(again), vec![1; 16]);
    }

    #[test]
    fn a_buffer_still_referred_to_is_not_handed_out_again() {
        let mut buffer = borrow(Use::Head);
        buffer.extend_from_slice(b"held back");
        let held = buffer.split_to(4).freeze();
        let address = held.as_ptr();
        give_back(buffer, 9);
        assert_ne!(borrow(Use::Head).as_ptr(), address);
        assert_eq!(held, "held");
    }

    #[test]
    fn sizes_find_their_own_shelf() {
        give_back(borrow(Use::Body), 0);
        assert!(borrow(Use::Head).capacity() < BODY_BYTES);
        assert!(borrow(Use::Body).capacity() >= BODY_BYTES);
    }
}

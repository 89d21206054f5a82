//! A chunked body in any bytes: never a panic or a stall, and the same content however it is cut.
#![no_main]

use lgsp_dataplane::edge::http1::chunked::{Decoder, Step, copy_trailers};
use libfuzzer_sys::fuzz_target;

/// The content, and how many bytes of the wire were used; `None` where it is not complete or refused.
fn decode(wire: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = Decoder::default();
    let (mut content, mut start, mut end) = (Vec::new(), 0, piece.min(wire.len()));
    loop {
        let input = &wire[start..end];
        match decoder.step(input).ok()? {
            Step::Framing(length) => start += length,
            Step::Content(length) => {
                assert!(length > 0);
                content.extend_from_slice(&input[..length]);
                start += length;
            }
            Step::End(length) => {
                let mut lines = Vec::new();
                let _ = copy_trailers(&input[..length], |_| true, &mut lines);
                return Some((content, start + length));
            }
            Step::More if end == wire.len() => return None,
            Step::More => end = (end + piece).min(wire.len()),
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, wire) = input;
    let whole = decode(wire, wire.len().max(1));
    if whole.is_some() {
        assert_eq!(decode(wire, usize::from(piece).max(1)), whole);
    }
});

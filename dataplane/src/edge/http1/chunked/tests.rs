//! Chunked bodies as they should be, as they should not be, and cut anywhere.

use super::*;

/// Decodes `wire`, offering it in pieces of `piece` bytes: content, trailer section, and what was left over.
type Decoded = (Vec<u8>, Vec<u8>, usize);

fn decode(wire: &[u8], piece: usize) -> Result<Option<Decoded>, Fault> {
    let mut decoder = Decoder::default();
    let (mut content, mut start, mut end) = (Vec::new(), 0, piece.min(wire.len()));
    loop {
        let input = &wire[start..end];
        match decoder.step(input)? {
            Step::Framing(length) => start += length,
            Step::Content(length) => {
                content.extend_from_slice(&input[..length]);
                start += length;
            }
            Step::End(length) => return Ok(Some((content, input[..length].to_vec(), wire.len() - start - length))),
            Step::More if end == wire.len() => return Ok(None),
            Step::More => end = (end + piece).min(wire.len()),
        }
    }
}

#[test]
fn a_body_decodes_the_same_however_it_is_cut() {
    let wire = b"4\r\nWiki\r\n006;name=\"v\"\r\npedia \r\nB\r\nin \r\nchunks\r\n0\r\nA: b\r\n\r\nGET /";
    for piece in 1..wire.len() {
        let (content, trailers, left) = decode(wire, piece).unwrap().unwrap();
        assert_eq!(content, b"Wikipedia in \r\nchunks");
        assert_eq!((trailers.as_slice(), left), (&b"A: b\r\n\r\n"[..], 5));
    }
}

#[test]
fn a_cut_body_is_never_complete() {
    let wire = b"4\r\nWiki\r\n0\r\n\r\n";
    for length in 0..wire.len() {
        assert_eq!(decode(&wire[..length], 3), Ok(None), "{length}");
    }
}

#[test]
fn sloppy_chunks_are_refused() {
    for bad in [
        "4\nWiki\r\n0\r\n\r\n",
        "4\r\nWiki\n0\r\n\r\n",
        "4\r\nWikiX\r\n0\r\n\r\n",
        " 4\r\nWiki\r\n0\r\n\r\n",
        "4 \r\nWiki\r\n0\r\n\r\n",
        "+4\r\nWiki\r\n0\r\n\r\n",
        "0x4\r\nWiki\r\n0\r\n\r\n",
        "\r\nWiki\r\n0\r\n\r\n",
        ";a\r\nWiki\r\n0\r\n\r\n",
        "4;a\rb\r\nWiki\r\n0\r\n\r\n",
        "4;\0\r\nWiki\r\n0\r\n\r\n",
        "00000000000000004\r\nWiki\r\n0\r\n\r\n",
        "4\r\nWiki\r\n0\r\n\n",
        "4\r\nWiki\r\n0\r\nA: b\n\r\n",
        "g\r\n",
    ] {
        assert!(decode(bad.as_bytes(), 64).is_err(), "{bad:?}");
    }
}

#[test]
fn size_lines_and_trailers_are_bounded() {
    assert!(decode(format!("4;{}", "a".repeat(SIZE_LINE_BYTES_MAX)).as_bytes(), 7).is_err());
    assert!(decode(format!("0\r\nA: {}\r\n\r\n", "a".repeat(TRAILER_BYTES_MAX)).as_bytes(), 512).is_err());
}

#[test]
fn the_largest_size_does_not_overflow() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.step(b"ffffffffffffffff\r\nab"), Ok(Step::Framing(18)));
    assert_eq!(decoder.step(b"ab"), Ok(Step::Content(2)));
}

#[test]
fn trailers_that_could_rewrite_the_head_do_not_travel() {
    let mut out = Vec::new();
    copy_trailers(
        b"Checksum: 1\r\nlgsp-source: x\r\nContent-Length: 5\r\nHost: y\r\nX-Amz-A: b\r\n\r\n",
        |_| true,
        &mut out,
    )
    .unwrap();
    assert_eq!(out, b"Checksum: 1\r\n");
    assert!(copy_trailers(b"bad name: x\r\n\r\n", |_| true, &mut Vec::new()).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_stall(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256), piece in 1_usize..64,
    ) {
        let _ = decode(&bytes, piece);
    }

    #[test]
    fn what_is_encoded_decodes(
        chunks in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 1..80), 0..6),
        piece in 1_usize..64,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            write_size(&mut wire, chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let (content, _, left) = decode(&wire, piece).unwrap().unwrap();
        proptest::prop_assert_eq!(content, chunks.concat());
        proptest::prop_assert_eq!(left, 0);
    }
}

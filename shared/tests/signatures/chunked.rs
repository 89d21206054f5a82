//! Chunk-signed bodies: AWS's documented examples, and everything that must not come out of the decoder.

use bytes::Bytes;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::{
    AmzDate, BodyRule, ChunkError, ChunkSigner, ChunkVerifier, Claim, SigV4Params, sign_sigv4_header, sigv4,
};
use proptest::prelude::*;
use serde_json::Value;

use super::request::{Request, key};
use super::{read, third_party};

fn example() -> Value {
    serde_json::from_str(&read(third_party("sigv4/chunked.json"))).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The request whose canonical form a vector gives, signed with the seed it gives.
fn request_of(canonical: &str, example: &Value, seed: &str) -> Request {
    let mut lines = canonical.lines();
    let (method, path, _query) = (lines.next().unwrap(), lines.next().unwrap(), lines.next());
    let mut request = Request { method: method.to_owned(), ..Request::get(path, None) };
    request.headers.clear();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        request = request.with(name, value);
    }
    request.authority = request.value("host").unwrap();
    let (access_key, scope) = (text(example, "access_key"), text(example, "scope"));
    let signed_headers = lines.next().unwrap();
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed_headers}, Signature={seed}");
    request.with("Authorization", authorization)
}

/// Verifies the request and starts the decoder.
fn start(request: &Request, secret: &str) -> ChunkVerifier {
    request.head(|head| {
        let claim = Claim::read(head).unwrap();
        claim.verify(head, &key(secret)).unwrap();
        assert!(matches!(claim.body(), BodyRule::Chunked { .. }));
        claim.chunk_verifier(&key(secret)).unwrap()
    })
}

/// What comes out of the decoder, and its verdict.
fn decode(mut verifier: ChunkVerifier, wire: &[u8], step: usize) -> (Vec<u8>, Result<(), ChunkError>) {
    let mut out = Vec::new();
    let mut verdict = Ok(());
    for piece in wire.chunks(step) {
        verdict = verdict.and_then(|()| verifier.push(Bytes::copy_from_slice(piece), &mut out));
    }
    (out.concat(), verdict.and_then(|()| verifier.finish()))
}

/// The documented body: 66560 times `a`, in chunks of 65536 and 1024.
fn documented_wire(signatures: &Value, tail: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for (size, signature) in [65536, 1024, 0].iter().zip(signatures.as_array().unwrap()) {
        wire.extend_from_slice(format!("{size:x};chunk-signature={}\r\n", signature.as_str().unwrap()).as_bytes());
        wire.extend_from_slice(&vec![b'a'; *size]);
        if *size > 0 {
            wire.extend_from_slice(b"\r\n");
        }
    }
    wire.extend_from_slice(tail.as_bytes());
    wire
}

#[test]
fn the_documented_chunks_verify_with_both_endings() {
    let example = example();
    let request = request_of(text(&example, "canonical_request"), &example, text(&example, "seed"));
    for tail in ["\r\n", ""] {
        let wire = documented_wire(&example["chunk_signatures"], tail);
        for step in [1, 1000, wire.len()] {
            let (body, verdict) = decode(start(&request, text(&example, "secret")), &wire, step);
            assert_eq!((body.len(), verdict), (66560, Ok(())));
            assert!(body.iter().all(|byte| *byte == b'a'));
        }
    }
}

#[test]
fn the_documented_trailer_verifies_in_every_shape_and_its_misprint_does_not() {
    let example = example();
    let trailer = &example["trailer_example_s3docs"];
    let request = request_of(text(trailer, "canonical_request"), &example, text(trailer, "seed"));
    let (line, signature) = (text(trailer, "trailer_lines").trim_end(), text(trailer, "trailer_signature"));
    let verdict = |tail: &str| {
        let wire = documented_wire(&trailer["chunk_signatures"], tail);
        decode(start(&request, text(&example, "secret")), &wire, 4096).1
    };
    for tail in [
        format!("{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
        format!("{line}\r\nx-amz-trailer-signature:{signature}\r\n"),
        format!("\r\n{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
        format!("{line}\n\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
        format!("{}\r\nX-Amz-Trailer-Signature: {signature}\r\n\r\n", line.replace(':', ": ")),
    ] {
        assert_eq!(verdict(&tail), Ok(()), "{tail:?}");
    }
    let misprint = "63bddb248ad2590c92712055f51b8e78ab024eead08276b24f010b0efd74843f";
    assert_eq!(verdict(&format!("{line}\r\nx-amz-trailer-signature:{misprint}\r\n")), Err(ChunkError::Signature));
    let changed = line.replace("sOO8", "sOO9");
    assert_eq!(verdict(&format!("{changed}\r\nx-amz-trailer-signature:{signature}\r\n")), Err(ChunkError::Signature));
    for tail in [
        String::new(),
        "\r\n".to_owned(),
        format!("{line}\r\n"),
        format!("x-amz-trailer-signature:{signature}\r\n"),
        format!("{line}\r\n{line}\r\nx-amz-trailer-signature:{signature}\r\n"),
        format!("{line}\r\nx-amz-meta-a:1\r\nx-amz-trailer-signature:{signature}\r\n"),
        format!("{line}\r\nx-amz-trailer-signature:{signature}\r\nx-amz-meta-a:1\r\n"),
        format!("{line}\r\nx-amz-trailer-signature:{}\r\n", &signature[1..]),
        format!("no colon\r\nx-amz-trailer-signature:{signature}\r\n"),
        "x".repeat(5000),
    ] {
        assert!(matches!(verdict(&tail), Err(ChunkError::Trailer(_))), "{tail:?}");
    }
}

const SECRET: &str = "secret";

/// A signed request for a chunked body, its decoder, and the signer of its chunks.
fn signed(decoded_bytes: Option<usize>, trailer: bool) -> (ChunkVerifier, ChunkSigner) {
    let payload = if trailer { sigv4::STREAMING_PAYLOAD_TRAILER } else { sigv4::STREAMING_PAYLOAD };
    let date = AmzDate::parse("20261123T080000Z").unwrap();
    let params = SigV4Params { access_key: "SOURCEKEY1", region: "vn", service: "s3", date, payload };
    let mut request =
        Request::get("/v1/upload", None).with("x-amz-content-sha256", payload).with("x-amz-date", date.as_str());
    let mut names = vec!["host", "x-amz-content-sha256", "x-amz-date"];
    if let Some(bytes) = decoded_bytes {
        request = request.with("x-amz-decoded-content-length", bytes.to_string());
        names.push("x-amz-decoded-content-length");
    }
    if trailer {
        request = request.with("x-amz-trailer", "x-amz-checksum-crc32, x-amz-meta-b");
        names.push("x-amz-trailer");
    }
    let mut authorization = Vec::new();
    let seed = request.head(|head| sign_sigv4_header(head, &names, &params, &key(SECRET), &mut authorization)).unwrap();
    let request = request.with("Authorization", authorization);
    (start(&request, SECRET), ChunkSigner::new(&key(SECRET), &params, seed).unwrap())
}

fn wire(mut signer: ChunkSigner, chunks: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in chunks {
        signer.chunk(chunk, &mut wire);
    }
    signer.finish(trailers, &mut wire);
    wire
}

proptest! {
    #[test]
    fn what_is_signed_in_chunks_comes_out_whole(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9000), 0..5),
        step in 1..20_000_usize, trailer in any::<bool>(),
    ) {
        let body = chunks.concat();
        let (verifier, signer) = signed(Some(body.len()), trailer);
        let trailers: &[(&str, &str)] =
            if trailer { &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-meta-b", "")] } else { &[] };
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(decode(verifier, &wire(signer, &chunks, trailers), step), (body, Ok(())));
    }

    #[test]
    fn no_wire_makes_the_decoder_panic_or_give_out_an_unsigned_byte(
        noise in proptest::collection::vec(any::<u8>(), 0..300), header in "[0-9a-f]{0,9};?(chunk-signature=)?[0-9a-f]{0,70}(\r\n)?",
        step in 1..50_usize,
    ) {
        let (verifier, _) = signed(None, false);
        let (body, verdict) = decode(verifier, &[header.as_bytes(), &noise].concat(), step);
        prop_assert!(body.is_empty());
        prop_assert!(verdict.is_err());
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_and_its_chunk_does_not_come_out() {
    let good = wire(signed(Some(30), false).1, &[b"0123456789", b"abcdefghijklmnopqrst"], &[]);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        let (body, verdict) = decode(signed(Some(30), false).0, &bad, 7);
        assert!(verdict.is_err(), "byte {at} of {:?}", String::from_utf8_lossy(&good));
        assert!([&b""[..], b"0123456789", b"0123456789abcdefghijklmnopqrst"].contains(&&body[..]), "byte {at}");
    }
}

#[test]
fn a_cut_stretched_reordered_or_padded_body_is_refused() {
    let chunks: [&[u8]; 2] = [b"0123456789", b"abcde"];
    let announced = |bytes| {
        let (verifier, signer) = signed(bytes, false);
        (verifier, wire(signer, &chunks, &[]))
    };
    let verdict = |change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let (verifier, good) = announced(Some(15));
        decode(verifier, &change(good), 4096).1
    };
    assert_eq!(verdict(&|good| good), Ok(()));
    // The very last line end is the one both kinds of client may leave out.
    let length = announced(Some(15)).1.len();
    for end in (0..length - 2).chain([length - 1]) {
        assert_eq!(verdict(&|good| good[..end].to_vec()).unwrap_err().code(), Code::BodyIncomplete, "cut at {end}");
    }
    assert!(matches!(verdict(&|good| [&good[..], b"x"].concat()), Err(ChunkError::Framing(_))));
    assert!(matches!(verdict(&|good| [&good[..], &good].concat()), Err(ChunkError::Framing(_))));
    // The second chunk's header starts behind the first one's header, data and line end.
    let first = 1 + 17 + 64 + 2 + 10 + 2;
    let swapped = verdict(&|good| [&good[first..first + first - 5], &good[..first], &good[2 * first - 5..]].concat());
    assert_eq!(swapped, Err(ChunkError::Signature));
    for (bytes, expected) in [(None, Ok(())), (Some(14), Err(14)), (Some(16), Err(16))] {
        let (verifier, wire) = announced(bytes);
        assert_eq!(decode(verifier, &wire, 4096).1, expected.map_err(|expected| ChunkError::Length { expected }));
    }
}

#[test]
fn chunk_headers_have_one_form_and_a_bound() {
    let signature = "0".repeat(64);
    let framing = |header: String| decode(signed(None, false).0, header.as_bytes(), 1000).1.unwrap_err();
    for header in [
        format!("5\r\n{signature}"),
        format!("5;chunk-signature={signature}\n"),
        format!("5; chunk-signature={signature}\r\n"),
        format!("5;chunk-signature={signature};x=1\r\n"),
        format!("5;x=1;chunk-signature={signature}\r\n"),
        format!(";chunk-signature={signature}\r\n"),
        format!("-5;chunk-signature={signature}\r\n"),
        format!("0x5;chunk-signature={signature}\r\n"),
        format!("+5;chunk-signature={signature}\r\n"),
        format!("{};chunk-signature={signature}\r\n", "0".repeat(9)),
        format!("5;chunk-signature={}\r\n", &signature[1..]),
        "5".repeat(200),
    ] {
        assert!(matches!(framing(header.clone()), ChunkError::Framing(_)), "{header:?}");
    }
    assert_eq!(framing(format!("200001;chunk-signature={signature}\r\n")), ChunkError::TooLarge);
    assert_eq!(framing(format!("ffffffff;chunk-signature={signature}\r\n")).code(), Code::BodyTooLarge);
    assert_eq!(framing(format!("0;chunk-signature={signature}\r\n")), ChunkError::Signature);
}

#[test]
fn a_refused_body_stays_refused() {
    let (mut verifier, _) = signed(None, false);
    let mut out = Vec::new();
    assert!(verifier.push(Bytes::from_static(b"x\n"), &mut out).is_err());
    assert_eq!(verifier.push(Bytes::from_static(b"0"), &mut out), Err(ChunkError::Refused));
    assert_eq!(verifier.finish(), Err(ChunkError::Refused));
}

#[test]
fn a_chunk_keeps_at_most_twice_its_bytes_alive_however_it_arrives() {
    const READ_BUFFER_BYTES: usize = 64 << 10;
    const CHUNK_BYTES: usize = 1 << 20;
    for piece_bytes in [1_000, 4_096, 4_200, 40_000] {
        let (mut verifier, _) = signed(Some(CHUNK_BYTES), false);
        let mut out = Vec::new();
        let header = format!("{CHUNK_BYTES:x};chunk-signature={}\r\n", "0".repeat(64));
        verifier.push(Bytes::from(header.into_bytes()), &mut out).unwrap();
        let before = super::allocations::live_bytes();
        let mut sent = 0;
        while sent + piece_bytes < CHUNK_BYTES {
            // Each piece is a part of a buffer of its own, as reads leave them.
            let piece = Bytes::from(vec![b'a'; READ_BUFFER_BYTES]).slice(..piece_bytes);
            verifier.push(piece, &mut out).unwrap();
            sent += piece_bytes;
        }
        let kept = super::allocations::live_bytes() - before;
        assert!(kept <= 2 * sent as isize + 4_096, "pieces of {piece_bytes}: {sent} bytes keep {kept} alive");
        assert!(verifier.held_bytes() >= sent, "what is held is counted");
    }
}

//! A chunk-signed body in any bytes and any pieces: the decoder never panics and gives out no unsigned byte.
#![no_main]

use bytes::Bytes;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{Claim, KeyState};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u8, Vec<u8>)| {
    let (trailer, step, wire) = input;
    let authorization = concat!(
        "AWS4-HMAC-SHA256 Credential=SOURCEKEY1/20261123/vn/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;",
        "x-amz-date;x-amz-trailer, Signature=0000000000000000000000000000000000000000000000000000000000000000",
    );
    let plain = authorization.replace(";x-amz-trailer", "");
    let field = |name, value: &'static str| Field { name, value: value.as_bytes() };
    let mut fields = vec![field("x-amz-date", "20261123T080000Z")];
    if trailer {
        fields.push(field("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"));
        fields.push(field("x-amz-trailer", "x-amz-checksum-crc32"));
        fields.push(field("authorization", authorization));
    } else {
        fields.push(field("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        fields.push(Field { name: "authorization", value: plain.as_bytes() });
    }
    let head =
        RequestHead { method: "PUT", scheme: Scheme::Http, authority: "h", path: "/", query: None, fields: &fields };
    let key = KeyState::new(&Secret::new(b"no fuzzer guesses this".to_vec()));
    let Ok(claim) = Claim::read(&head) else { unreachable!("the head is well-formed") };
    let Some(mut verifier) = claim.chunk_verifier(&key) else { unreachable!("the body is chunked") };
    let mut out = Vec::new();
    for piece in wire.chunks(usize::from(step).max(1)) {
        if verifier.push(Bytes::copy_from_slice(piece), &mut out).is_err() {
            break;
        }
    }
    assert!(out.is_empty());
    assert!(verifier.finish().is_err());
});

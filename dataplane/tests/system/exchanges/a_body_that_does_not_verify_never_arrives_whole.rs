use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::signature::{AmzDate, ChunkSigner, KeyState, SigV4Params, sign_sigv4_header};
use lgsp_testkit::client::{Identity, Request, Response};
use sha2::{Digest, Sha256};

use super::*;

/// Signs a request for `body`, then sends `sent` in its place.
fn with_another_body(signed: Vec<u8>, body: &[u8], sent: &[u8]) -> Vec<u8> {
    let head = &signed[..signed.len() - body.len()];
    [head, sent].concat()
}

/// The same request with its body in chunks.
fn chunked(signed: &[u8], body: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let head = String::from_utf8(signed[..signed.len() - body.len()].to_vec()).unwrap();
    let length = format!("content-length: {}\r\n", body.len());
    let mut bytes = head.replace(&length, "transfer-encoding: chunked\r\n").into_bytes();
    for piece in pieces {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn assert_mismatch(face: Face, what: &str, response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (400, "digest-mismatch"), "{face:?} {what}");
}

#[tokio::test]
async fn a_changed_body_is_refused_and_the_target_never_sees_its_end() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for size in [1, 1_000, 300_000] {
            let body = vec![b'a'; size];
            let mut changed = body.clone();
            changed[size / 2] = b'b';
            let request = Request::post("/ho-tich/sink", body.clone());
            for (scheme, signed) in [("rfc9421", client.rfc9421(&request)), ("sigv4", client.sigv4(&request))] {
                let sent = with_another_body(signed.clone(), &body, &changed);
                assert_mismatch(face, &format!("{scheme} {size} with a length"), &client.send_raw(&sent).await);
                // A signature is good once, so each try is signed anew.
                let again = if scheme == "sigv4" {
                    client.clone().with_authority("b").sigv4(&request)
                } else {
                    client.rfc9421(&request)
                };
                let (first, second) = changed.split_at(size / 2);
                let pieces: Vec<&[u8]> = [first, second].into_iter().filter(|piece| !piece.is_empty()).collect();
                let sent = chunked(&again, &body, &pieces);
                assert_mismatch(face, &format!("{scheme} {size} in chunks"), &client.send_raw(&sent).await);
            }
        }
        assert_eq!(target.ledger().complete(), 0, "{face:?}: {:?}", target.ledger().to_json());
    }
}

#[tokio::test]
async fn an_honest_body_arrives_whole_however_it_is_framed() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for size in [1, 1_000, 300_000] {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            let request = Request::post("/ho-tich/sink", body.clone());
            let (first, second) = body.split_at(size / 2);
            let pieces: Vec<&[u8]> = [first, second].into_iter().filter(|piece| !piece.is_empty()).collect();
            let in_chunks = chunked(&client.rfc9421(&request), &body, &pieces);
            for (framing, bytes) in [("a length", client.rfc9421(&request)), ("chunks", in_chunks)] {
                let response = client.send_raw(&bytes).await;
                assert_eq!(response.status, 200, "{face:?} {size} with {framing}");
                assert_eq!(response.json()["sha256"], digest, "{face:?} {size} with {framing}");
            }
        }
        assert_eq!((target.ledger().complete(), target.ledger().incomplete()), (6, 0), "{face:?}");
    }
}

#[tokio::test]
async fn a_target_may_answer_while_it_still_reads() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for size in [100_000, 5_000_000] {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let request = Request::post("/ho-tich/echo", body.clone());
            let response = client.send(&request).await;
            assert_eq!((response.status, response.body == body), (200, true), "{face:?} {size}");
        }
        assert_eq!((target.ledger().complete(), target.ledger().incomplete()), (2, 0), "{face:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_body_that_turns_out_wrong_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let body = vec![b'a'; 400_000];
        let mut changed = body.clone();
        changed[399_999] = b'b';
        let signed = client.rfc9421(&Request::post("/ho-tich/echo", body.clone()));
        let sent = with_another_body(signed, &body, &changed);
        let stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        // The node may close before it has read everything.
        let writing = tokio::spawn(async move { writer.write_all(&sent).await });
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        let _ = writing.await.unwrap();
        assert!(answer.len() < body.len(), "{face:?}: {} bytes came back", answer.len());
        assert_eq!(target.ledger().complete(), 0, "{face:?}");
        node.record("why it was cut", |record| record["outcome"] == "digest-mismatch").await;
    }
}

/// A chunk-signed upload (SigV4) of two pieces, and where the second one's bytes are in it.
fn chunk_signed(authority: &str, identity: &Identity, pieces: [&[u8]; 2]) -> (Vec<u8>, std::ops::Range<usize>) {
    let now = lgsp_dataplane::clock::Now::read().unix;
    let date = AmzDate::of(now).unwrap();
    let payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let length = (pieces[0].len() + pieces[1].len()).to_string();
    let headers = [
        ("host", authority),
        ("x-amz-content-sha256", payload),
        ("x-amz-date", date.as_str()),
        ("x-amz-decoded-content-length", &length),
    ];
    let names = headers.map(|(name, _)| name);
    let fields = headers.map(|(name, value)| Field { name, value: value.as_bytes() });
    let head = RequestHead {
        method: "PUT",
        scheme: Scheme::Http,
        authority,
        path: "/ho-tich/sink",
        query: None,
        fields: &fields,
    };
    let (access_key, key) = (identity.access_key.as_str(), KeyState::new(&identity.secret));
    let params = SigV4Params { access_key, region: "vn", service: "s3", date, payload };
    let mut authorization = Vec::new();
    let seed = sign_sigv4_header(&head, &names, &params, &key, &mut authorization).unwrap();
    let mut signer = ChunkSigner::new(&key, &params, seed).unwrap();
    let mut body = Vec::new();
    signer.chunk(pieces[0], &mut body);
    signer.chunk(pieces[1], &mut body);
    let second = body.len() - 2 - pieces[1].len()..body.len() - 2;
    signer.finish(&[], &mut body);
    let mut bytes = b"PUT /ho-tich/sink HTTP/1.1\r\n".to_vec();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"authorization: ");
    bytes.extend_from_slice(&authorization);
    bytes.extend_from_slice(format!("\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    let before = bytes.len();
    bytes.extend_from_slice(&body);
    (bytes, before + second.start..before + second.end)
}

#[tokio::test]
async fn a_changed_chunk_is_refused_and_is_not_sent_on() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let (client, identity) = (node.client(&resources, "mot-cua"), resources.identity("mot-cua"));
        let (first, second) = (vec![b'a'; 70_000], vec![b'b'; 1_000]);
        let authority = node.address().to_string();
        let (honest, _) = chunk_signed(&authority, &identity, [&first, &second]);
        let served = client.send_raw(&honest).await;
        assert_eq!((served.status, target.last().body_bytes), (200, 71_000), "{face:?}: {served:?}");

        // Another `Host` makes another signature: the same one twice would be a replay.
        let (mut changed, place) = chunk_signed("b", &identity, [&first, &second]);
        changed[place.start] ^= 1;
        let refused = client.send_raw(&changed).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "chunk-signature-invalid"), "{face:?}");
        assert_eq!(target.ledger().complete(), 1, "{face:?}");
        assert!(target.last().body_bytes <= 71_000, "{face:?}: nothing of the changed chunk went on");
    }
}

#[tokio::test]
async fn a_body_that_nothing_vouches_for_is_refused_before_it_is_sent() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for framing in ["content-length: 3\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"] {
            let again = String::from_utf8(client.rfc9421(&Request::new("POST", "/ho-tich/sink"))).unwrap();
            let sent = again.replace("\r\n\r\n", &format!("\r\n{framing}"));
            let refused = client.send_raw(sent.as_bytes()).await;
            assert_eq!((refused.status, refused.code().as_str()), (401, "digest-missing"), "{face:?} {framing}");
        }
        assert_eq!(target.ledger().complete(), 0, "{face:?}");
    }
}

#[tokio::test]
async fn a_refused_client_that_waits_for_100_never_sends_its_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let stranger = node.client(&resources, "tu-phap");
        let body = vec![0; 1_000_000];
        let request = Request::post("/ho-tich/sink", body.clone()).header("expect", "100-continue");
        let signed = stranger.rfc9421(&request);
        let mut stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(&signed[..signed.len() - body.len()]).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403", "{face:?}");

        let client = node.client(&resources, "mot-cua");
        let signed = client.rfc9421(&request);
        let mut stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
        let (head, body) = signed.split_at(signed.len() - body.len());
        stream.write_all(head).await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100", "{face:?}");
        stream.write_all(body).await.unwrap();
        let mut rest = [0; 512];
        let mut seen = Vec::new();
        while !seen.windows(12).any(|window| window == b"HTTP/1.1 200") {
            let read = stream.read(&mut rest).await.unwrap();
            assert!(read > 0, "{face:?}: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&rest[..read]);
        }
    }
}

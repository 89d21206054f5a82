//! Memory kept alive by a body that is not verified yet: at most twice its bytes, however small its segments.
//!
//! Found with a body of 60 000 bytes sent one at a time, of which each kept a read buffer of 64 KiB.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lgsp_benches::{HOST, SECRET, access_key};
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{KeyState, Rfc9421Params, sign_rfc9421};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// What an exchange holds beside its body: its task, its head, its record.
const EXCHANGE_BYTES: isize = 64 << 10;

fn live() -> isize {
    LIVE.with(Cell::get)
}

/// The head of a signed request with this body.
fn head(path: &str, body: &[u8]) -> Vec<u8> {
    let digest = format!("sha-256=:{}:", BASE64.encode(sha2::Sha256::digest(body)));
    let length = body.len().to_string();
    let fields = [
        Field { name: "Host", value: HOST.as_bytes() },
        Field { name: "Content-Digest", value: digest.as_bytes() },
        Field { name: "Content-Length", value: length.as_bytes() },
    ];
    let head =
        RequestHead { method: "POST", scheme: Scheme::Http, authority: HOST, path, query: None, fields: &fields };
    let key_id = access_key(0);
    let params =
        Rfc9421Params { created: Now::read().unix, expires: None, nonce: "drip", key_id: &key_id, label: "sig1" };
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    let covered = ["@method", "@authority", "@path", "@query", "content-digest"];
    let key = KeyState::new(&Secret::new(SECRET.to_vec()));
    sign_rfc9421(&head, &covered, &params, &key, &mut input, &mut signature).unwrap();
    let mut lines = format!("POST {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in fields
        .iter()
        .map(|field| (field.name, field.value))
        .chain([("Signature-Input", &*input), ("Signature", &*signature)])
    {
        lines.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    lines.extend(b"\r\n");
    lines
}

/// How much more memory there is when all but the last byte has arrived, one at a time.
fn kept_by_a_dripping_body(path: &str, body_bytes: usize) -> isize {
    let records = RecordTarget::File("/dev/null".into());
    let settings = RecordSettings {
        node: "node-1".parse().unwrap(),
        target: records,
        on_full: OnFull::Refuse,
        bounds: lgsp_dataplane::record::RecordBounds::default(),
    };
    let recorder = Recorder::start(settings, Metrics::new().unwrap()).unwrap();
    let rooms = rooms(([127, 0, 0, 1], 9).into(), &recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = runtime.block_on(async {
        let (_stop, shutdown) = tokio::sync::watch::channel(false);
        let (mut here, there) = tokio::io::duplex(16 << 10);
        let served = std::pin::pin!(serve(Box::new(there), &rooms, &shutdown));
        let body = vec![b'x'; body_bytes];
        let dripping = async {
            here.write_all(&head(path, &body)).await.unwrap();
            tokio::task::yield_now().await;
            let before = live();
            for byte in body.iter().skip(1) {
                here.write_all(std::slice::from_ref(byte)).await.unwrap();
                // The node reads each byte by itself.
                tokio::task::yield_now().await;
            }
            live() - before
        };
        tokio::select! {
            biased;
            _ = served => panic!("the node waits for the last byte"),
            kept = dripping => kept,
        }
    });
    recorder.close();
    kept
}

#[test]
fn a_body_that_arrives_byte_by_byte_keeps_at_most_twice_its_bytes_alive() {
    for (path, body_bytes) in [("/v0/a", 60_000), ("/v0/a", 5_000), ("/lgsp/v1/sessions", 16_000)] {
        let kept = kept_by_a_dripping_body(path, body_bytes);
        assert!(kept <= 2 * body_bytes as isize + EXCHANGE_BYTES, "{path}: {body_bytes} bytes keep {kept} alive");
    }
}

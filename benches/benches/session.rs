//! Sessions: what it costs to open one (steps 1 and 2, the body included), what its ticket adds to a request, and what a
//! verification for a target costs (steps 4 and 5); and what it costs to say why a signature does not match. One over the time is how many a processor does in a second.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench that cannot be set up must stop"
)]

use std::future::ready;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lgsp_benches::{HOST, SECRET, SignedRequest, access_key, documents, session, snapshot};
use lgsp_dataplane::admission::{REPLAY_SLOTS_DEFAULT, ReplayWindow, admit};
use lgsp_dataplane::clock::Now;
use lgsp_dataplane::session::{RANDOM_BYTES, receive};
use lgsp_dataplane::snapshot::Snapshot;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::refusal::Language;
use lgsp_shared::seal::Secret;
use lgsp_shared::session::{SESSIONS_PATH, TicketRoom, VERIFICATIONS_PATH};
use lgsp_shared::signature::{
    AmzDate, Claim, ContentDigest, ExpectedDigest, KeyState, Rfc9421Params, SigV4Params, sign_rfc9421,
    sign_sigv4_header,
};
use serde_json::json;

/// A signed call of a system to the platform.
struct Call {
    path: &'static str,
    body: Vec<u8>,
    digest: Vec<u8>,
    input: Vec<u8>,
    signature: Vec<u8>,
}

impl Call {
    fn new(system: usize, path: &'static str, body: &serde_json::Value, now: Now) -> Self {
        let body = body.to_string().into_bytes();
        let (mut digest, mut input, mut signature) = (Vec::new(), Vec::new(), Vec::new());
        ContentDigest::format(&ExpectedDigest::of(&body), &mut digest);
        let fields = [Field { name: "content-digest", value: &digest }];
        let (nonce, key_id) = (next_nonce(), access_key(system));
        let params = Rfc9421Params { created: now.unix, expires: None, nonce: &nonce, key_id: &key_id, label: "sig1" };
        let covered = ["@method", "@authority", "@path", "@query", "content-digest"];
        let key = KeyState::new(&Secret::new(SECRET.to_vec()));
        sign_rfc9421(&head(path, &fields), &covered, &params, &key, &mut input, &mut signature).unwrap();
        Self { path, body, digest, input, signature }
    }

    fn run(&self, snapshot: &Arc<Snapshot>, replay: &ReplayWindow, now: Now) -> Vec<u8> {
        let fields = [
            Field { name: "content-length", value: b"1" },
            Field { name: "content-digest", value: &self.digest },
            Field { name: "signature-input", value: &self.input },
            Field { name: "signature", value: &self.signature },
        ];
        let mut call = receive(&head(self.path, &fields), snapshot, replay, Language::English, now).unwrap();
        let _ = call.body_rule();
        // A node on its own asks nobody, so the answer is there at once.
        let answer = pin!(call.answer(&self.body, replay, now, &[9; RANDOM_BYTES], |_, _| ready(Ok(()))));
        match answer.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.reply.unwrap().body,
            Poll::Pending => panic!("nobody has to be asked"),
        }
    }
}

fn head<'a>(path: &'a str, fields: &'a [Field<'a>]) -> RequestHead<'a> {
    RequestHead { method: "POST", scheme: Scheme::Http, authority: HOST, path, query: None, fields }
}

fn next_nonce() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn sessions(c: &mut Criterion) {
    let snapshot = Arc::new(snapshot(&documents(100, 1_000), None));
    let now = Now::read();
    let replay = ReplayWindow::new(4 * REPLAY_SLOTS_DEFAULT);
    let opened = session(&snapshot, "v7", now.unix);

    c.bench_function("session/open", |bench| {
        bench.iter_batched(
            || Call::new(0, SESSIONS_PATH, &json!({"service": "v7"}), now),
            |call| black_box(call.run(&snapshot, &replay, now)),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("session/ticket", |bench| {
        bench.iter(|| {
            let mut room = TicketRoom::default();
            black_box(snapshot.ticket_keys().open(black_box(&opened.0), &mut room).is_ok())
        });
    });
    c.bench_function("session/request-without", |bench| {
        bench.iter_batched(
            || SignedRequest::get("/v7/ho-so/123", &next_nonce(), now.unix),
            |request| {
                let fields = request.fields();
                admit(&request.head(&fields), &snapshot, &replay, now).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("session/request-with", |bench| {
        bench.iter_batched(
            || SignedRequest::get_in_session("/v7/ho-so/123", &next_nonce(), now.unix, &opened),
            |request| {
                let fields = request.fields();
                admit(&request.head(&fields), &snapshot, &replay, now).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("session/verification", |bench| {
        bench.iter_batched(
            || {
                let request = SignedRequest::get_in_session("/v7/ho-so/123", &next_nonce(), now.unix, &opened);
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let headers: Vec<_> =
                    request.fields().iter().map(|field| json!([field.name, text(field.value)])).collect();
                let received = json!({"method": "GET", "authority": HOST, "path": "/v7/ho-so/123", "headers": headers});
                Call::new(7, VERIFICATIONS_PATH, &json!({"service": "v7", "request": received}), now)
            },
            |call| {
                let verdict = call.run(&snapshot, &replay, now);
                assert!(verdict.starts_with(b"{\"verdict\":\"accepted\""));
                verdict
            },
            BatchSize::SmallInput,
        );
    });
}

/// A signature under another secret: every usual difference is tried, and none explains it.
fn doctor(c: &mut Criterion) {
    let now = Now::read().unix;
    let stranger = KeyState::new(&Secret::new(b"another secret, of another system".to_vec()));
    let request = SignedRequest::get("/v7/ho-so/123", &next_nonce(), now);
    let fields = request.fields();
    diagnosed(c, "rfc9421", &request.head(&fields), &stranger);

    let date = AmzDate::of(now).unwrap();
    let payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let mut fields = vec![
        Field { name: "host", value: HOST.as_bytes() },
        Field { name: "x-amz-content-sha256", value: payload.as_bytes() },
        Field { name: "x-amz-date", value: date.as_str().as_bytes() },
    ];
    let key_id = access_key(0);
    let params = SigV4Params { access_key: &key_id, region: "vn", service: "s3", date, payload };
    let (names, key) = (["host", "x-amz-content-sha256", "x-amz-date"], KeyState::new(&Secret::new(SECRET.to_vec())));
    let mut authorization = Vec::new();
    sign_sigv4_header(&head("/v7/ho-so/123", &fields), &names, &params, &key, &mut authorization).unwrap();
    fields.push(Field { name: "authorization", value: &authorization });
    diagnosed(c, "sigv4", &head("/v7/ho-so/123", &fields), &stranger);
}

fn diagnosed(c: &mut Criterion, scheme: &str, head: &RequestHead<'_>, key: &KeyState) {
    let claim = Claim::read(head).unwrap();
    c.bench_function(&format!("doctor/{scheme}-verify"), |bench| {
        bench.iter(|| claim.verify(black_box(head), key).is_ok())
    });
    c.bench_function(&format!("doctor/{scheme}-diagnose"), |bench| bench.iter(|| claim.diagnose(black_box(head), key)));
}

criterion_group!(benches, sessions, doctor);
criterion_main!(benches);

//! The decision and its steps. Budget: 2 µs in all; what each step takes of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot be set up must stop")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lgsp_benches::{SECRET, SignedRequest, documents, snapshot};
use lgsp_dataplane::admission::{REPLAY_SLOTS_DEFAULT, ReplayWindow, admit};
use lgsp_dataplane::clock::Now;
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{Claim, KeyState};

fn admission(c: &mut Criterion) {
    let snapshot = snapshot(&documents(100, 1_000), None);
    let now = Now::read();
    let requests: Vec<SignedRequest> =
        (0..4_096).map(|at| SignedRequest::get("/v7/ho-so/123", &format!("nonce-{at}"), now.unix)).collect();
    // Large enough that one key does not come to its share while it is measured.
    let replay = ReplayWindow::new(4 * REPLAY_SLOTS_DEFAULT);

    let mut turn = 0_usize;
    let mut next = || {
        turn = (turn + 1) % requests.len();
        &requests[turn]
    };
    c.bench_function("admission/claim", |bench| {
        bench.iter(|| {
            let request = next();
            let fields = request.fields();
            black_box(Claim::read(black_box(&request.head(&fields))).is_ok())
        });
    });
    let key = KeyState::new(&Secret::new(SECRET.to_vec()));
    c.bench_function("admission/verify", |bench| {
        let request = next();
        let fields = request.fields();
        let head = request.head(&fields);
        let claim = Claim::read(&head).unwrap();
        bench.iter(|| black_box(claim.verify(black_box(&head), &key).is_ok()));
    });
    c.bench_function("admission/route", |bench| {
        bench.iter(|| {
            let mut room = PathRoom::default();
            let path = MatchedPath::of(black_box("/v7/ho-so/123"), &mut room);
            black_box(snapshot.router().find(black_box("lgsp.vinhlong.gov.vn"), &path, "GET").is_ok())
        });
    });
    // Every request is new to a window that is new: the whole decision, success path.
    c.bench_function("admission/whole", |bench| {
        bench.iter_batched(
            || (SignedRequest::get("/v7/ho-so/123", &format!("{}", next_nonce()), now.unix), &replay),
            |(request, replay)| {
                let fields = request.fields();
                admit(&request.head(&fields), &snapshot, replay, now).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("admission/refused-replay", |bench| {
        let request = &requests[0];
        let fields = request.fields();
        let head = request.head(&fields);
        let _ = admit(&head, &snapshot, &replay, now);
        bench.iter(|| black_box(admit(black_box(&head), &snapshot, &replay, now).is_err()));
    });
}

fn next_nonce() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(1 << 40);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

criterion_group!(benches, admission);
criterion_main!(benches);

//! The digest gate over a body of 1 MiB in pieces of 64 KiB, beside the hash alone.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up must stop")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lgsp_dataplane::stream::{BodyGate, Declared, Held, HeldBudget};
use lgsp_shared::signature::{BodyRule, ExpectedDigest};
use sha2::{Digest, Sha256};

const PIECE_BYTES: usize = 64 << 10;

fn digest(c: &mut Criterion) {
    let body = vec![0x5a; 1 << 20];
    let expected = BodyRule::Digest(ExpectedDigest::sha256(Sha256::digest(&body).into()));
    let pieces: Vec<Bytes> = body.chunks(PIECE_BYTES).map(Bytes::copy_from_slice).collect();
    let (budget, key) = (Arc::new(HeldBudget::new(1 << 30)), Arc::default());
    let mut group = c.benchmark_group("digest");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("gate", |bench| {
        bench.iter(|| {
            let memory = Held::new(&budget, &key);
            let mut gate = BodyGate::new(expected, None, Declared::Bytes(body.len() as u64), u64::MAX, memory).unwrap();
            let mut out = Vec::with_capacity(pieces.len());
            for piece in &pieces {
                gate.push(piece.clone(), &mut out).unwrap();
            }
            gate.finish(&mut out).unwrap();
            black_box(out.len())
        });
    });
    group.bench_function("hash alone", |bench| bench.iter(|| black_box(Sha256::digest(black_box(&body)))));
    group.finish();
}

criterion_group!(benches, digest);
criterion_main!(benches);

//! Compiling a revision: the whole of 10 000 services and 100 000 permissions, and one change to it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use lgsp_benches::{documents, snapshot};
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::resource::Document;

fn compiling(c: &mut Criterion) {
    let all = documents(10_000, 100_000);
    let first = snapshot(&all, None);
    let mut changed = all.clone();
    if let Some(last) = changed.last_mut() {
        *last = Arc::new(Document { spec: last.spec.clone(), ..(**last).clone() });
    }
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(10);
    group.bench_function("whole", |bench| bench.iter(|| black_box(snapshot(&all, None))));
    group.bench_function("one change", |bench| bench.iter(|| black_box(snapshot(&changed, Some(&first)))));
    group.finish();
    c.bench_function("snapshot/look-up", |bench| {
        bench.iter(|| {
            let mut room = PathRoom::default();
            let path = MatchedPath::of(black_box("/v9999/a/b/c"), &mut room);
            black_box(first.router().find("lgsp.vinhlong.gov.vn", &path, "GET").is_ok())
        });
    });
}

criterion_group!(benches, compiling);
criterion_main!(benches);

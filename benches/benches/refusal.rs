//! What it costs to refuse, by kind of garbage: a wrong signature as clients send it, and the dearest that were found.
//!
//! Budget: at most ten times the ordinary refusal, whatever was sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot be set up must stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lgsp_benches::{HOST, SignedRequest, access_key, documents, snapshot};
use lgsp_dataplane::admission::{ReplayWindow, admit};
use lgsp_dataplane::clock::Now;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::signature::AmzDate;

/// A request signed with SigV4 by somebody who has no secret.
struct Forged {
    query: Option<String>,
    fields: Vec<(String, String)>,
}

impl Forged {
    fn new(key: &str, now: Now, names: usize, query: Option<String>) -> Self {
        let date = AmzDate::of(now.unix).unwrap();
        let mut fields: Vec<(String, String)> =
            (0..names).map(|at| (format!("x-{}-{at:02}", "n".repeat(198)), "a  b".repeat(20))).collect();
        let listed: String = fields.iter().map(|(name, _)| format!("{name};")).collect();
        let scope = format!("{key}/{}/vn/s3/aws4_request", &date.as_str()[..8]);
        let signed = format!("host;x-amz-date;{}", listed).trim_end_matches(';').to_owned();
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={}",
            "0123456789abcdef".repeat(4)
        );
        fields.push(("x-amz-date".into(), date.as_str().into()));
        fields.push(("authorization".into(), value));
        Self { query, fields }
    }
}

/// As many parameters as are sorted, alike but for their ends, and spelt so that they are compared slowly.
fn query() -> String {
    let parameter = |at: usize| {
        format!("{}{:03}=%e1", if at.is_multiple_of(2) { "%41".repeat(18) } else { "A".repeat(18) }, 127 - at)
    };
    (0..127).map(parameter).collect::<Vec<_>>().join("&")
}

fn refusal(c: &mut Criterion) {
    let snapshot = snapshot(&documents(100, 1_000), None);
    let (replay, now) = (ReplayWindow::new(1 << 12), Now::read());
    let ordinary = SignedRequest::get("/v7/ho-so/123", "nonce", now.unix);
    c.bench_function("refusal/rfc9421-wrong-signature", |bench| {
        let fields = ordinary.fields();
        let head = RequestHead { path: "/v7/ho-so/124", ..ordinary.head(&fields) };
        bench.iter(|| black_box(admit(black_box(&head), &snapshot, &replay, now).is_err()));
    });
    let known = access_key(0);
    for (name, key, names, query) in [
        ("sigv4-ordinary-known-key", known.as_str(), 0, None),
        ("sigv4-ordinary-unknown-key", "NOSUCHKEY", 0, None),
        ("sigv4-many-parameters-known-key", &known, 0, Some(query())),
        ("sigv4-long-names-known-key", &known, 60, None),
        ("sigv4-both-known-key", &known, 60, Some(query())),
        ("sigv4-both-unknown-key", "NOSUCHKEY", 60, Some(query())),
    ] {
        let forged = Forged::new(key, now, names, query);
        let fields: Vec<Field<'_>> =
            forged.fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        let head = RequestHead {
            method: "GET",
            scheme: Scheme::Http,
            authority: HOST,
            path: "/v7/ho-so/%20123",
            query: forged.query.as_deref(),
            fields: &fields,
        };
        c.bench_function(&format!("refusal/{name}"), |bench| {
            bench.iter(|| black_box(admit(black_box(&head), &snapshot, &replay, now).is_err()));
        });
    }
}

criterion_group!(benches, refusal);
criterion_main!(benches);

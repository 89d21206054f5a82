//! What the target was sent: counts always, the requests themselves when asked to keep or log them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Settings;
use super::head::Head;

/// One request as the target saw it. Never its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
    /// All header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Trailers of the request.
    pub trailers: Vec<(String, String)>,
    /// Bytes of body that arrived.
    pub body_bytes: u64,
    /// SHA-256 of what arrived, in hexadecimal.
    pub sha256: String,
    /// Whether all of it arrived, with valid framing.
    pub complete: bool,
    /// Whether the platform's signature was right; `None` when nothing was verified.
    pub verified: Option<bool>,
}

impl Seen {
    /// The first value of a header (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    fn to_json(&self) -> Value {
        json!({
            "protocol": self.protocol, "method": self.method, "path": self.path, "query": self.query,
            "headers": self.headers, "trailers": self.trailers, "bytes": self.body_bytes, "sha256": self.sha256,
            "complete": self.complete, "verified": self.verified,
        })
    }
}

/// The account of a target.
#[derive(Debug, Default)]
pub struct Ledger {
    complete: AtomicU64,
    incomplete: AtomicU64,
    unverified: AtomicU64,
    kept: Mutex<VecDeque<Seen>>,
    keep_max: usize,
    log: Option<Mutex<File>>,
}

impl Ledger {
    /// Keeps the last `count` requests in memory: about 1 KiB each.
    pub fn keeping(mut self, count: usize) -> Self {
        self.keep_max = count;
        self
    }

    /// Writes one JSON line per request.
    pub fn logging_to(mut self, file: File) -> Self {
        self.log = Some(Mutex::new(file));
        self
    }

    /// Requests that arrived whole.
    pub fn complete(&self) -> u64 {
        self.complete.load(Ordering::Relaxed)
    }

    /// Requests that were cut or wrongly framed.
    pub fn incomplete(&self) -> u64 {
        self.incomplete.load(Ordering::Relaxed)
    }

    /// Requests the platform had not signed, where signatures are verified.
    pub fn unverified(&self) -> u64 {
        self.unverified.load(Ordering::Relaxed)
    }

    /// The requests kept, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The counts as JSON, and the requests kept.
    pub fn to_json(&self) -> Value {
        let seen: Vec<Value> = self.seen().iter().map(Seen::to_json).collect();
        json!({
            "complete": self.complete(), "incomplete": self.incomplete(), "unverified": self.unverified(), "seen": seen,
        })
    }

    fn is_detailed(&self) -> bool {
        self.keep_max > 0 || self.log.is_some()
    }

    fn close(&self, seen: Seen) {
        if let Some(log) = &self.log {
            let line = format!("{}\n", seen.to_json());
            // A log that cannot be written must not change what the target answers.
            let _ = log.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }
        if self.keep_max > 0 {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == self.keep_max {
                kept.pop_front();
            }
            kept.push_back(seen);
        }
    }
}

/// One request being received. Closed exactly once: as complete when told so, as incomplete when dropped before.
#[derive(Debug)]
pub(super) struct Entry {
    settings: Arc<Settings>,
    counted: bool,
    complete: bool,
    detail: Option<Box<Detail>>,
    verified: Option<bool>,
    bytes: u64,
}

#[derive(Debug)]
struct Detail {
    protocol: &'static str,
    head: Head,
    hash: Sha256,
    trailers: Vec<(String, String)>,
}

impl Entry {
    pub(super) fn open(settings: &Arc<Settings>, protocol: &'static str, head: &Head, counted: bool) -> Self {
        let detail = (counted && settings.ledger.is_detailed())
            .then(|| Box::new(Detail { protocol, head: head.clone(), hash: Sha256::new(), trailers: Vec::new() }));
        Self { settings: settings.clone(), counted, complete: false, detail, verified: None, bytes: 0 }
    }

    pub(super) fn body(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        if let Some(detail) = &mut self.detail {
            detail.hash.update(data);
        }
    }

    pub(super) fn trailers(&mut self, trailers: &[(String, String)]) {
        if let Some(detail) = &mut self.detail {
            detail.trailers = trailers.to_vec();
        }
    }

    pub(super) fn verified(&mut self, verified: bool) {
        self.verified = Some(verified);
    }

    /// All of the request arrived.
    pub(super) fn complete(mut self) {
        self.complete = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let ledger = &self.settings.ledger;
        let count = if self.complete { &ledger.complete } else { &ledger.incomplete };
        count.fetch_add(1, Ordering::Relaxed);
        if self.verified == Some(false) {
            ledger.unverified.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(detail) = self.detail.take() {
            let Detail { protocol, head, hash, trailers } = *detail;
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            ledger.close(Seen {
                protocol,
                method: head.method().to_owned(),
                path: head.path().to_owned(),
                query: head.query().map(str::to_owned),
                headers: head.fields().map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect(),
                trailers,
                body_bytes: self.bytes,
                sha256: hex(&hash.finalize()),
                complete: self.complete,
                verified: self.verified,
            });
        }
    }
}

/// Bytes in hexadecimal, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

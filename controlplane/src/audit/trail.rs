//! What is known of an attempt while it is under way. It is written exactly once: in the transaction of what it changed, or
//! afterwards by the guard.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::Value;

use super::{Attempt, DONE};

/// Shared by the guard and whoever does what was asked for.
#[derive(Debug, Clone)]
pub struct Trail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at: UnixSeconds,
    source: IpAddr,
    action: String,
    noted: Mutex<Noted>,
    written: AtomicBool,
}

#[derive(Debug, Clone, Default)]
struct Noted {
    operator: String,
    bearer: String,
    target: String,
    read: bool,
}

impl Trail {
    /// Somebody at `source` attempts `action`, which is about `target` as far as the request tells.
    pub fn new(at: UnixSeconds, source: IpAddr, action: String, target: String) -> Self {
        let noted = Mutex::new(Noted { target, ..Noted::default() });
        Self(Arc::new(Inner { at, source, action, noted, written: AtomicBool::new(false) }))
    }

    /// When it began.
    pub fn at(&self) -> UnixSeconds {
        self.0.at
    }

    /// From where.
    pub fn source(&self) -> IpAddr {
        self.0.source
    }

    /// Notes who it is, and by which session or token; as far as that is proven.
    pub fn by(&self, operator: &str, bearer: &str) {
        self.note(|noted| (noted.operator, noted.bearer) = (operator.to_owned(), bearer.to_owned()));
    }

    /// Notes what it is about.
    pub fn about(&self, target: impl Into<String>) {
        let target = target.into();
        self.note(|noted| noted.target = target);
    }

    /// Notes that it is written down although it only reads.
    pub fn reads(&self) {
        self.note(|noted| noted.read = true);
    }

    /// Whether it only reads, and is written down all the same.
    pub fn is_reading(&self) -> bool {
        self.noted().read
    }

    /// The attempt as it succeeded: what there was before, and after.
    pub fn done(&self, before: &Value, after: &Value, revision: Option<Revision>) -> Attempt {
        let text = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
        Attempt { before: text(before), after: text(after), revision, ..self.attempt(DONE) }
    }

    /// The attempt with this outcome.
    pub fn attempt(&self, outcome: &str) -> Attempt {
        let Noted { operator, bearer, target, read: _ } = self.noted();
        Attempt {
            at: self.0.at,
            operator,
            bearer,
            source: self.0.source.to_string(),
            action: self.0.action.clone(),
            target,
            before: String::new(),
            after: String::new(),
            outcome: outcome.to_owned(),
            revision: None,
        }
    }

    /// Says that it is written.
    pub fn set_written(&self) {
        self.0.written.store(true, Ordering::Release);
    }

    /// Whether it is written.
    pub fn is_written(&self) -> bool {
        self.0.written.load(Ordering::Acquire)
    }

    fn noted(&self) -> Noted {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.0.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

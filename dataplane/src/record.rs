//! One record per exchange: opened on arrival, closed exactly once, whatever happens to the exchange.
//!
//! Closing hands the record to a bounded queue; one writer thread takes it from there, writes a JSON line and feeds
//! the metrics, so that neither a file nor a label look-up is ever on the request's path. A record holds identities,
//! sizes, times and the outcome: never a payload, a query string or a secret.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use lgsp_shared::id::Revision;
use lgsp_shared::refusal::{Code, Decision, DecisionId};
use lgsp_shared::signature::SignatureScheme;

use crate::admission::{Admission, Refusal, Stated};
use crate::clock::Now;
use crate::snapshot::{Credential, Grant, Route};

mod called;
mod line;
mod loss;
pub mod metrics;
mod output;
mod refusals;
mod request_id;
mod strangers;
mod unwritten;
mod writer;

pub use called::{CallKind, Called, Named, Verdict};
pub use loss::Loss;
pub use metrics::{Metrics, ProcessMetrics};
pub use output::Rotation;
pub use refusals::{KeptRefusal, REFUSALS_KEPT_MAX, REFUSALS_KEPT_SECS, RecentRefusals};
pub use request_id::RequestId;
pub use strangers::StrangerQuota;
pub use writer::{OnFull, RecordBounds, RecordSettings, RecordSink, RecordTarget, Recorder, RecorderError};

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target's response was delivered whole.
    Completed,
    /// Refused, by the node or on the target's behalf.
    Refused(Code),
    /// The response had begun when the target failed: the source saw it cut.
    TargetCut(Code),
    /// The source went away.
    ClientGone,
}

impl Outcome {
    /// The stable name: `outcome` in records, label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Refused(code) => code.label(),
            Outcome::TargetCut(_) => "target-cut",
            Outcome::ClientGone => "client-gone",
        }
    }
}

/// Which face served the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Face {
    /// Our own HTTP/1.1 loop.
    #[default]
    Http1,
    /// pingora-proxy: HTTP/2, gRPC, WebSocket.
    Proxy,
}

impl Face {
    /// Metric label and record field.
    pub fn label(self) -> &'static str {
        match self {
            Face::Http1 => "http1",
            Face::Proxy => "proxy",
        }
    }
}

/// What is known of an exchange, filled in as it goes.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// Names the exchange in the answer, at the target and here.
    pub request_id: RequestId,
    /// When it arrived.
    pub arrived: Now,
    /// Which face served it.
    pub face: Face,
    /// Who connected.
    pub client: Option<SocketAddr>,
    /// The revision it was decided by.
    pub revision: Option<Revision>,
    /// The method; unknown ones as sent, cut to 16 bytes.
    pub method: Cow<'static, str>,
    /// The path without its query, cut to [`PATH_BYTES_KEPT`].
    pub path: Box<str>,
    /// Who sent it, once proved.
    pub credential: Option<Arc<Credential>>,
    /// How it was signed, once proved.
    pub signature: Option<&'static str>,
    /// Its route, once found.
    pub route: Option<Arc<Route>>,
    /// The grant that allowed it.
    pub grant: Option<Arc<Grant>>,
    /// What the platform itself was asked, where the request was for it.
    pub called: Option<Box<Called>>,
    /// The endpoint that served it.
    pub endpoint: Option<SocketAddr>,
    /// Attempts made at the target.
    pub attempts: u8,
    /// The status sent to the source; 0 when none was.
    pub status: u16,
    /// Body bytes from the source.
    pub request_bytes: u64,
    /// Body bytes to the source.
    pub response_bytes: u64,
    /// Microseconds this node worked on it: from the head to the request sent on, and from the target's first byte to
    /// the response head sent on.
    pub own_micros: u64,
    /// Microseconds from the request sent on to the target's first byte.
    pub target_micros: u64,
    /// Microseconds from arrival to the end.
    pub total_micros: u64,
    /// Names the decision by which it was refused.
    pub decision_id: Option<DecisionId>,
    /// What is remembered of a refusal for whoever asks why.
    pub reason: Option<Box<Reason>>,
}

/// What is known of a refusal, or of an answer that was cut, beside its code.
#[derive(Debug, Clone)]
pub struct Reason {
    /// Which part it is about. In the record where it is a text of this program.
    pub detail: Option<Cow<'static, str>>,
    /// The text the node expected to be signed, where the policy allows to show it.
    pub expected: Option<Box<str>>,
    /// What the request said of itself.
    pub stated: Option<Box<Stated>>,
}

/// The names by which an answer can be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The exchange.
    pub request_id: RequestId,
    /// The decision, if it was refused.
    pub decision_id: Option<DecisionId>,
}

/// A record that is closed.
#[derive(Debug)]
pub struct Closed {
    /// What is known.
    pub exchange: Exchange,
    /// How it ended.
    pub outcome: Outcome,
}

/// Bytes of the path kept in a record.
pub const PATH_BYTES_KEPT: usize = 512;
/// Bytes of the method kept in a record.
const METHOD_BYTES_KEPT: usize = 16;

/// A record that is open; closing or dropping it sends it off exactly once.
#[derive(Debug)]
pub struct OpenRecord {
    /// What is known so far.
    pub exchange: Exchange,
    started: Instant,
    ended: Option<Instant>,
    sink: RecordSink,
    outcome: Outcome,
    elsewhere: bool,
}

impl OpenRecord {
    /// Opens a record for a request that just arrived.
    pub fn open(
        sink: &RecordSink,
        request_id: RequestId,
        face: Face,
        client: Option<SocketAddr>,
        arrived: Now,
    ) -> Self {
        Self::open_at(sink, request_id, face, client, arrived, Instant::now())
    }

    /// The same, for a caller that has just read the monotonic clock.
    pub fn open_at(
        sink: &RecordSink,
        request_id: RequestId,
        face: Face,
        client: Option<SocketAddr>,
        arrived: Now,
        started: Instant,
    ) -> Self {
        sink.metrics().exchanges_in_flight.inc();
        let exchange = Exchange { request_id, face, client, arrived, ..Exchange::default() };
        Self { exchange, started, ended: None, sink: sink.clone(), outcome: Outcome::ClientGone, elsewhere: false }
    }

    /// Notes what was asked for.
    pub fn asked(&mut self, method: &str, path: &str) {
        self.exchange.method = match known_method(method) {
            Some(known) => known.into(),
            None => cut(method, METHOD_BYTES_KEPT).to_owned().into(),
        };
        self.exchange.path = cut(path, PATH_BYTES_KEPT).into();
    }

    /// Notes what the decision found out.
    pub fn admitted(&mut self, admission: &Admission) {
        self.exchange.credential = Some(admission.credential.clone());
        self.exchange.signature = Some(admission.scheme.label());
        self.exchange.route = Some(admission.route.clone());
        self.exchange.grant = Some(admission.grant.clone());
    }

    /// Notes who sent a request that the platform itself answers.
    pub fn identified(&mut self, credential: &Arc<Credential>, scheme: SignatureScheme) {
        self.exchange.credential = Some(credential.clone());
        self.exchange.signature = Some(scheme.label());
    }

    /// Notes what the platform itself was asked and what it said; the last that is noted is recorded.
    pub fn called(&mut self, called: Called) {
        self.exchange.called = Some(Box::new(called));
    }

    /// Notes how it will end unless something else is noted later; what stands at the end is recorded.
    pub fn ends(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if let Outcome::Refused(code) = outcome {
            self.decided(code);
        }
    }

    /// Notes a refusal: who it was from as far as proved, and its status.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.exchange.status = refusal.code.status();
        self.exchange.credential = refusal.credential.clone().or(self.exchange.credential.take());
        self.exchange.route = refusal.route.clone().or(self.exchange.route.take());
        self.ends(Outcome::Refused(refusal.code));
        self.exchange.reason = Some(Box::new(Reason {
            detail: refusal.detail.clone(),
            expected: refusal.expected.clone(),
            stated: refusal.stated.clone(),
        }));
    }

    /// Notes what is known of how it ends, beside the outcome.
    pub fn because(&mut self, detail: Option<&'static str>) {
        let detail = detail.map(Cow::Borrowed);
        self.exchange.reason = Some(Box::new(Reason { detail, expected: None, stated: None }));
    }

    fn decided(&mut self, code: Code) {
        let called = self.exchange.called.as_deref();
        let decision = Decision {
            revision: self.exchange.revision,
            code,
            credential: self.exchange.credential.as_ref().map(|credential| credential.id.as_str()),
            route: self.exchange.route.as_ref().map(|route| route.id.as_str()),
            service: called.and_then(|called| called.service.as_ref()).map(|named| named.id().as_str()),
        };
        self.exchange.decision_id = Some(decision.id());
    }

    /// The names by which the answer can be asked about.
    pub fn names(&self) -> Names {
        Names { request_id: self.exchange.request_id, decision_id: self.exchange.decision_id }
    }

    /// Notes when it ended, for a caller that has just read the clock; otherwise it ends when the record is closed.
    pub fn ended_at(&mut self, at: Instant) {
        self.ended = Some(at);
    }

    /// When the request arrived.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Time since the request arrived, in microseconds.
    pub fn elapsed_micros(&self) -> u64 {
        self.micros_until(Instant::now())
    }

    /// Time from the request's arrival to `at`, in microseconds.
    pub fn micros_until(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    /// Leaves the exchange to the other face, which opens its own record for it.
    pub fn hand_over(mut self) {
        self.elsewhere = true;
    }

    /// Closes the record; dropping it does the same.
    pub fn close(self) {}
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        self.exchange.total_micros = self.micros_until(self.ended.unwrap_or_else(Instant::now));
        self.sink.metrics().exchanges_in_flight.dec();
        if self.elsewhere {
            return;
        }
        self.sink.send(Closed { exchange: std::mem::take(&mut self.exchange), outcome: self.outcome });
    }
}

/// The methods in use, which need no memory of their own: a record is freed on another thread, and that is dear.
fn known_method(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests;

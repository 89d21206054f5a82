//! From a head to a decision, without waiting: parse, look at the route, admit, and write the head for the target.
//!
//! Everything borrowed from the read buffer is used up here, so that nothing of it is held while anyone is waited for.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::head::{RequestHead, Scheme};
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::refusal::Code;
use lgsp_shared::resource::Protocol;

use super::body::BodyDecoder;
use super::connection::{Connection, Version};
use super::fault::Fault;
use super::framing::Framing;
use super::head::{self, Fields, Request};
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::platform::{self, PlatformCall};
use super::upload::Upload;
use crate::admission::{Admission, Question, Refusal, Used, admit};
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::answer::Reader;
use crate::forward::{self, IdentityBuffers};
use crate::record::OpenRecord;
use crate::session;
use crate::snapshot::{Grant, Route, Snapshot};
use crate::stream::{BodyGate, Declared, Held};

/// How long a source may pause while nothing says otherwise: its head could not be read, or there is no configuration.
const SOURCE_IDLE_UNCONFIGURED_MS: u64 = 10_000;

/// What of a request matters after its head was used.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// Whether the source wants to keep the connection.
    pub persistent: bool,
    /// Whether it was HEAD: the answer has no body.
    pub to_head: bool,
    /// Whether sending it twice does what sending it once does (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// How long its body is.
    pub framing: Framing,
    /// Whether the source waits for `100 Continue`.
    pub expects_continue: bool,
    /// How it reads refusals.
    pub reader: Reader,
    /// How long the source may pause, in milliseconds.
    pub source_idle_ms: u64,
    /// The least it must move of a body for each second it is waited for beyond one pause; 0 for no minimum.
    pub bytes_per_sec_min: u64,
}

impl Asked {
    /// The limits for one direction of the exchange.
    pub fn pace(&self) -> Pace {
        Pace::new(Duration::from_millis(self.source_idle_ms), self.bytes_per_sec_min)
    }
}

impl Default for Asked {
    /// What is known of a request whose head could not be read: its end is unknown, so the connection cannot be kept.
    fn default() -> Self {
        Self {
            version: Version::Http11,
            persistent: false,
            to_head: false,
            idempotent: false,
            framing: Framing::UntilClose,
            expects_continue: false,
            reader: Reader::UNKNOWN,
            source_idle_ms: SOURCE_IDLE_UNCONFIGURED_MS,
            bytes_per_sec_min: 0,
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "moved once, and a box would be an allocation per exchange")]
pub enum Decision {
    /// It goes to its target.
    Forward(Forward),
    /// It is refused.
    Refuse(Asked, Refusal),
    /// The platform itself answers it.
    Answer(Box<PlatformCall>),
    /// pingora-proxy serves it.
    HandOver,
}

/// An admitted request with its head written for the target.
#[derive(Debug)]
pub struct Forward {
    /// What of it matters from here on.
    pub asked: Asked,
    /// Where it goes.
    pub route: Arc<Route>,
    /// What allows it.
    pub grant: Arc<Grant>,
    /// How much time the source may take for its body.
    pub pace: Pace,
    /// What is left to be found out about its nonce.
    pub question: Option<Question>,
    /// The nonce it used up.
    pub used: Option<Used>,
    /// Its body.
    pub upload: Upload,
    /// What the target gets.
    pub out: Outgoing,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// When its head was complete.
    pub now: Now,
}

/// Buffers for what is written twice: into the head, and into what is signed.
#[derive(Default)]
struct Scratch {
    target: Vec<u8>,
    identity: IdentityBuffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Decides on the request whose complete head is `bytes`, and notes in `record` what it finds out.
pub fn decide(bytes: &[u8], arrival: Arrival, context: &Rooms, record: &mut OpenRecord) -> Decision {
    let mut fields = Fields::new();
    let request = match head::parse(bytes, arrival.scheme, &mut fields) {
        Ok(request) => request,
        Err(fault) => return Decision::Refuse(Asked::default(), fault.into()),
    };
    record.asked(request.head.method, request.head.path);
    let Some(snapshot) = context.snapshots.load() else {
        return Decision::Refuse(asked(&request, None), Code::Overloaded.into());
    };
    record.exchange.revision = Some(snapshot.revision);
    if session::is_for_platform(request.head.path) {
        return platform::receive(&request, asked(&request, Some(&snapshot)), &snapshot, arrival.now, context, record);
    }
    if request.upgrade || speaks_http2(&request.head, &snapshot) {
        return Decision::HandOver;
    }
    let asked = asked(&request, Some(&snapshot));
    if !context.records.admits() {
        return Decision::Refuse(asked, Code::RecordsUnavailable.into());
    }
    match admit(&request.head, &snapshot, &context.replay, arrival.now) {
        Ok(admission) => {
            record.admitted(&admission);
            forward(&request, asked, admission, context, record, arrival.now)
        }
        Err(refusal) => Decision::Refuse(asked, refusal),
    }
}

/// What matters of a request that is refused whatever it asks, and whose connection ends with it.
pub fn unheard(bytes: &[u8], scheme: Scheme, record: &mut OpenRecord) -> Asked {
    let mut fields = Fields::new();
    let Ok(request) = head::parse(bytes, scheme, &mut fields) else { return Asked::default() };
    record.asked(request.head.method, request.head.path);
    Asked { persistent: false, ..asked(&request, None) }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::new(fault.code).with_detail(fault.detail)
    }
}

/// Whether the route leads to a target that this face does not speak to. Asked before the decision, because a request
/// may be decided on only once: its nonce is used up by it.
fn speaks_http2(head: &RequestHead<'_>, snapshot: &Snapshot) -> bool {
    if !snapshot.leads_to_http2() {
        return false;
    }
    let mut room = PathRoom::default();
    let path = MatchedPath::of(head.path, &mut room);
    let found = snapshot.router().find(head.authority, &path, head.method);
    found.is_ok_and(|found| found.route.service.upstream.protocol == Protocol::Http2)
}

fn asked(request: &Request<'_>, snapshot: Option<&Snapshot>) -> Asked {
    let method = request.head.method;
    Asked {
        version: request.version,
        persistent: match request.version {
            Version::Http11 => !request.connection.close,
            Version::Http10 => request.connection.keep_alive && !request.connection.close,
        },
        to_head: method == "HEAD",
        idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        framing: request.framing,
        expects_continue: request.expects_continue,
        reader: Reader::of_http1(&request.head),
        source_idle_ms: snapshot.map_or(SOURCE_IDLE_UNCONFIGURED_MS, |snapshot| snapshot.defaults.body_idle_ms),
        bytes_per_sec_min: snapshot.map_or(0, |snapshot| snapshot.defaults.body_bytes_per_sec_min),
    }
}

fn forward(
    request: &Request<'_>,
    asked: Asked,
    mut admission: Admission,
    context: &Rooms,
    record: &OpenRecord,
    now: Now,
) -> Decision {
    let declared = match request.framing {
        Framing::Empty => Declared::Nothing,
        Framing::Length(length) => Declared::Bytes(length),
        Framing::Chunked | Framing::UntilClose => Declared::Unbounded,
    };
    let mut out = Outgoing::default();
    write_head(request, &admission, record, now, &mut out.head);
    let chunks = admission.chunks.take();
    let memory = Held::new(&context.held, &admission.credential.held);
    let gate = match BodyGate::new(admission.body, chunks, declared, admission.route.body_bytes_max, memory) {
        Ok(gate) => gate,
        Err(code) => {
            let refusal = Refusal::new(code).from(&admission.credential).towards(&admission.route);
            return Decision::Refuse(asked, refusal);
        }
    };
    write_framing(&gate, request.framing, &mut out.head);
    out.head.extend_from_slice(b"\r\n");
    let upload = Upload::new(BodyDecoder::new(request.framing), gate);
    let Admission { route, grant, question, used, .. } = admission;
    Decision::Forward(Forward { asked, route, grant, pace: asked.pace(), question, used, upload, out })
}

fn write_head(request: &Request<'_>, admission: &Admission, record: &OpenRecord, now: Now, out: &mut Vec<u8>) {
    let Request { head, connection, .. } = request;
    SCRATCH.with_borrow_mut(|Scratch { target, identity }| {
        target.clear();
        forward::append_target(head, admission, target);
        for part in [head.method.as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: "] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(forward::authority(head, admission).as_bytes());
        out.extend_from_slice(b"\r\nvia: 1.1 lgsp\r\n");
        copy_fields(head, connection, admission, out);
        // What was appended is ASCII: the parser let nothing else pass, and rewrites are validated.
        let target = std::str::from_utf8(target).unwrap_or("/");
        forward::append_identity(head, admission, target, record.exchange.request_id, now, identity, out);
    });
}

fn copy_fields(head: &RequestHead<'_>, connection: &Connection<'_>, admission: &Admission, out: &mut Vec<u8>) {
    for field in head.fields {
        if !forward::passes_to_target(field.name, admission.scheme, &admission.route)
            || connection.nominates(field.name)
        {
            continue;
        }
        let aws_chunked = admission.chunks.is_some();
        if aws_chunked && forward::describes_aws_chunked(field.name) {
            continue;
        }
        let unframed =
            (field.is("content-encoding") && aws_chunked).then(|| field.text().and_then(forward::without_aws_chunked));
        let value = match &unframed {
            None => field.value,
            Some(Some(rest)) => rest.as_bytes(),
            Some(None) => continue,
        };
        for part in [field.name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

fn write_framing(gate: &BodyGate, received: Framing, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let written = match gate.released_length() {
        // `Content-Length: 0` is passed on: some methods are expected to say so (RFC 9110 section 8.6).
        Declared::Nothing if received == Framing::Length(0) => write!(out, "content-length: 0\r\n"),
        Declared::Nothing => Ok(()),
        Declared::Bytes(length) => write!(out, "content-length: {length}\r\n"),
        Declared::Unbounded => write!(out, "transfer-encoding: chunked\r\n"),
    };
    // Writing to a vector cannot fail.
    written.unwrap_or_default();
}

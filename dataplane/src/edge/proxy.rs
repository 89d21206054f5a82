//! The second face: pingora-proxy for HTTP/2, gRPC, WebSocket and whatever the exchange loop hands over.
//!
//! Pingora moves the bytes; every decision is made in the rooms both faces share. The phases below are in the order in
//! which Pingora calls them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, Session, http_proxy};

use self::decide::{Decided, Decision};
use self::exchange::{ProxyExchange, Reached, Stage};
use self::watch::{Stage as Awaiting, Watch};
use super::cause::{Cause, OUT_OF_DESCRIPTORS};
use super::{Faces, Rooms, peer};
use crate::clock::{MonotonicMillis, Now};
use crate::edge::answer::Reader;
use crate::forward;
use crate::record::{Face, OpenRecord, Outcome, RequestId};
use crate::stream::Declared;
use lgsp_shared::refusal::{Code, Step};

mod arrival;
mod decide;
mod exchange;
mod failure;
mod forwarded;
mod platform;
mod respond;
mod target_socket;
mod watch;

/// Bytes one HTTP/2 stream may have on the way to us; Pingora's own default is 8 MiB.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes all streams of one HTTP/2 connection may have on the way to us: what one connection can cost in memory.
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// Bytes of a response waiting in one HTTP/2 stream for its source.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// pingora-proxy over the rooms, each exchange under its watch.
pub struct ProxyFace {
    proxy: Arc<HttpProxy<Phases>>,
    rooms: Arc<Rooms>,
}

impl std::fmt::Debug for ProxyFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyFace").finish_non_exhaustive()
    }
}

impl ProxyFace {
    /// The face over `rooms`. With [`Faces::Both`], HTTP/1.1 comes one exchange per connection.
    pub fn new(rooms: Arc<Rooms>, server: &Arc<ServerConf>, faces: Faces) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(rooms.limits.keep_alive_idle);
        // Bounds on header list and streams come from the default; without them a small HPACK block becomes a large
        // header list.
        let mut http2 = default_h2_options();
        http2.initial_window_size(STREAM_WINDOW_BYTES);
        http2.initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        http2.max_send_buffer_size(SEND_BUFFER_BYTES);
        let mut proxy = http_proxy(server, Phases { rooms: rooms.clone(), faces });
        proxy.server_options = Some(options);
        proxy.h2_options = Some(http2);
        Self { proxy: Arc::new(proxy), rooms }
    }
}

#[async_trait]
impl HttpServerApp for ProxyFace {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // On HTTP/1.1 the wait for the head is part of this; on HTTP/2 the head is here already.
        let head = self.rooms.limits.keep_alive_idle + self.rooms.limits.header_deadline;
        watch::watched(head, self.proxy.process_new_http(session, shutdown)).await.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        HttpServerApp::server_options(&*self.proxy)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// What this face does in each of Pingora's phases.
#[derive(Debug)]
struct Phases {
    rooms: Arc<Rooms>,
    faces: Faces,
}

impl Phases {
    /// Whether the exchange's nonce was used at no other node.
    async fn first_use(&self, exchange: &mut ProxyExchange) -> std::result::Result<(), Code> {
        let Some(admitted) = exchange.admitted() else { return Ok(()) };
        let Some(question) = admitted.admission.question else { return Ok(()) };
        let unreachable = admitted.admission.route.owner_unreachable;
        self.rooms.first_use(question, unreachable).await
    }
}

/// An error that carries nothing: why is in the exchange. Its source decides what Pingora does with the connections.
fn stop(source: ErrorSource) -> Box<Error> {
    let mut error = Error::explain(ErrorType::InternalError, "refused");
    error.set_retry(false);
    match source {
        ErrorSource::Downstream => error.into_down(),
        ErrorSource::Upstream => error.into_up(),
        ErrorSource::Internal | ErrorSource::Unset => error.into_in(),
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = ProxyExchange;

    fn new_ctx(&self) -> ProxyExchange {
        let record = OpenRecord::open(&self.rooms.records, RequestId::new(), Face::Proxy, None, Now::read());
        ProxyExchange { record, watch: Watch::current(), reader: Reader::UNKNOWN, stage: Stage::Arriving }
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // None: the default would add a compressor, which changes bodies.
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut ProxyExchange) -> Result<bool> {
        exchange.record.exchange.client = session.client_addr().and_then(|address| address.as_inet()).copied();
        if self.faces == Faces::Both {
            // The exchange loop serves what comes next; handing over once per exchange keeps it strict.
            session.set_keepalive(None);
        }
        match decide::decide(session, &self.rooms, exchange) {
            Ok(Decision::Forward(decided)) => {
                if let Err(code) = self.first_use(exchange).await {
                    respond::refuse(session, exchange, &code.into()).await;
                    return Ok(true);
                }
                invite(session, &decided).await?;
                Ok(false)
            }
            Ok(Decision::Answer(decided, call)) => {
                invite(session, &decided).await?;
                call.serve(session, &self.rooms, exchange, decided.source_idle).await;
                Ok(true)
            }
            Err(refusal) => {
                respond::refuse(session, exchange, &refusal).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, exchange: &mut ProxyExchange) -> Result<Box<HttpPeer>> {
        let Some(admitted) = exchange.admitted() else { return Err(stop(ErrorSource::Internal)) };
        let leased = admitted.lease(MonotonicMillis::now()).map(|lease| lease.address());
        let address = leased.map_err(|code| {
            admitted.no_endpoint(code);
            stop(ErrorSource::Upstream)
        })?;
        let permitted = self.rooms.targets.permit(address).map_err(|barred| {
            tracing::warn!(%address, %barred, "the target may not be connected to");
            admitted.cause = Some(Cause::new(Code::TargetUnreachable, peer::BARRED));
            stop(ErrorSource::Upstream)
        })?;
        let peer = peer::proxied(&admitted.admission.route.service.upstream, permitted).map_err(|_| {
            admitted.cause = Some(Cause::new(Code::TargetTls, peer::UNUSABLE_TLS));
            stop(ErrorSource::Upstream)
        })?;
        exchange.record.exchange.endpoint = Some(address);
        exchange.record.exchange.attempts = exchange.record.exchange.attempts.saturating_add(1);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut ProxyExchange,
        error: Box<Error>,
    ) -> Box<Error> {
        let found = failure::cause(&error);
        let code = match found.code {
            code @ (Code::TargetTls | Code::TargetProtocol) => code,
            _ => Code::TargetUnreachable,
        };
        retry_or_stop(exchange, error, Cause { code, ..found }, Reached::Nothing)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        socket: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut ProxyExchange,
    ) -> Result<()> {
        if socket >= self.rooms.descriptor_ceiling
            && let Some(admitted) = exchange.admitted()
        {
            admitted.cause = Some(OUT_OF_DESCRIPTORS);
            return Err(stop(ErrorSource::Internal));
        }
        exchange.watch.connected(socket);
        if let Some(admitted) = exchange.admitted() {
            admitted.reached = true;
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut ProxyExchange,
    ) -> Result<()> {
        let Some(admitted) = exchange.admitted() else { return Err(stop(ErrorSource::Internal)) };
        let body = admitted.released_length();
        admitted.forwarded.apply(request, &admitted.admission, body)?;
        exchange.request_sent();
        let bodiless = body == Declared::Nothing || session.as_mut().is_body_empty();
        exchange.watch.enter(if bodiless { Awaiting::Answer } else { Awaiting::Body });
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut ProxyExchange,
    ) -> Result<()> {
        let bytes = body.as_ref().map_or(0, Bytes::len) as u64;
        exchange.record.exchange.request_bytes += bytes;
        exchange.watch.received(exchange.record.exchange.request_bytes);
        if session.was_upgraded() {
            exchange.watch.enter(Awaiting::Upgraded);
            return Ok(());
        }
        // An empty piece is no progress. HTTP/2 allows a source to send some; today the library keeps them to itself.
        if bytes > 0 || end_of_stream {
            exchange.watch.progress(if end_of_stream { Awaiting::Answer } else { Awaiting::Body });
        }
        let Some(admitted) = exchange.admitted() else { return Err(stop(ErrorSource::Internal)) };
        *body = admitted.take_body(body.take(), end_of_stream).map_err(|code| {
            admitted.cause = Some(code.into());
            // As the source's fault, so that Pingora resets the stream to the target at once.
            stop(ErrorSource::Downstream)
        })?;
        if end_of_stream {
            exchange.request_sent();
        }
        Ok(())
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut ProxyExchange,
        reused: bool,
    ) -> Box<Error> {
        exchange.watch.disconnected();
        let stale = reused && matches!(error.retry, RetryType::ReusedOnly);
        let cut = exchange.watch.cut_because();
        if let (true, None, Some(admitted)) = (stale, cut, exchange.admitted())
            && session.response_written().is_none()
            && admitted.may_reconnect()
        {
            error.set_retry(true);
            return error;
        }
        let cause = cut.map_or_else(|| failure::cause(&error), watch::overdue);
        let over = cut.is_some() || session.response_written().is_some();
        retry_or_stop(exchange, error, cause, if over { Reached::End } else { Reached::Target })
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut ProxyExchange,
    ) -> Result<()> {
        if response.status.is_informational() && response.status.as_u16() != 101 {
            return Ok(());
        }
        exchange.answer_begun();
        if response.status.as_u16() == 101 {
            exchange.watch.enter(Awaiting::Upgraded);
        }
        respond::clean(response, exchange.record.exchange.request_id)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut ProxyExchange,
    ) -> Result<Option<Duration>> {
        exchange.record.exchange.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        let upgraded = session.was_upgraded();
        exchange.watch.progress(if upgraded { Awaiting::Upgraded } else { Awaiting::Response });
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut http::HeaderMap,
        _exchange: &mut ProxyExchange,
    ) -> Result<Option<Bytes>> {
        let names: Vec<http::HeaderName> = trailers.keys().cloned().collect();
        names.iter().filter(|name| !forward::passes_to_source(name.as_str())).for_each(|name| {
            trailers.remove(name);
        });
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut ProxyExchange) -> FailToProxy {
        let cut = exchange.watch.cut_because().map(watch::overdue);
        let cause = exchange.admitted().and_then(|admitted| admitted.cause).or(cut);
        let known = cause.unwrap_or_else(|| failure::cause(error));
        let code = known.code;
        if let Some(admitted) = exchange.admitted().filter(|admitted| !admitted.reached && code.step() == Step::Target)
        {
            self.rooms.nothing_reached(admitted.admission.used);
        }
        if session.response_written().is_some_and(|response| !response.status.is_informational()) {
            let gone = cause.is_none() && error.esource() == &ErrorSource::Downstream;
            exchange.record.ends(match failure::blame(code) {
                _ if gone => Outcome::ClientGone,
                Some(_) => Outcome::TargetCut(code),
                None => Outcome::Refused(code),
            });
            if !gone {
                exchange.record.because(known.detail);
            }
        } else if cause.is_none() && failure::source_is_gone(error) {
            exchange.record.ends(Outcome::ClientGone);
        } else {
            respond::refuse(session, exchange, &known.into()).await;
        }
        FailToProxy { error_code: code.status(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut ProxyExchange) {
        exchange.watch.ended();
        tracing::debug!(request_id = %exchange.record.exchange.request_id, error = error.map(tracing::field::display), "exchange ended");
        // What the node answered itself is recorded as what it was, in whatever form its caller read it.
        if !matches!(exchange.stage, Stage::Answered)
            && let Some(response) = session.response_written()
        {
            exchange.record.exchange.status = response.status.as_u16();
        }
        let status = exchange.record.exchange.status;
        if let Stage::Admitted(admitted) = &mut exchange.stage
            && error.is_none()
        {
            let failing = matches!(status, 502..=504).then_some(crate::upstream::Failure::Status);
            admitted.attempt_ended(failing, MonotonicMillis::now());
            exchange.record.ends(Outcome::Completed);
        }
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &ProxyExchange, _error: &Error) -> bool {
        // What happened is in the record.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &ProxyExchange,
        _error: &Error,
        _context: pingora_proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Sets the source's deadlines, and asks it for its body if it waits to be asked: only now, so that a caller that is
/// refused never sends it.
async fn invite(session: &mut Session, decided: &Decided) -> Result<()> {
    session.set_read_timeout(Some(decided.source_idle));
    session.set_write_timeout(Some(decided.source_idle));
    if decided.expects_continue {
        session.write_continue_response().await?;
    }
    Ok(())
}

/// Notes a failed attempt, and makes another or ends the exchange with `cause`.
fn retry_or_stop(exchange: &mut ProxyExchange, mut error: Box<Error>, cause: Cause, reached: Reached) -> Box<Error> {
    error.set_retry(false);
    let Some(admitted) = exchange.admitted() else { return error };
    let cause = admitted.cause.unwrap_or(cause);
    admitted.attempt_failed(cause, MonotonicMillis::now());
    // After a deadline there is no time left for another attempt.
    let worth_it = failure::blame(cause.code).is_some() && cause.code != Code::TargetTimeout;
    if worth_it && admitted.may_retry(reached) {
        error.set_retry(true);
    } else if !failure::source_is_gone(&error) {
        admitted.cause = Some(cause);
    }
    error
}

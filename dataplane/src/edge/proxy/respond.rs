//! Responses on this face: the node's own refusals, and the target's with what is not the target's to say taken out.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::exchange::{ProxyExchange, Stage};
use crate::admission::Refusal;
use crate::edge::answer::{Answer, answer};
use crate::forward;
use crate::record::RequestId;

/// Headers about the connection that Pingora reads and writes itself.
const FRAMING: [HeaderName; 4] =
    [http::header::CONNECTION, http::header::TRANSFER_ENCODING, http::header::UPGRADE, http::header::TRAILER];

/// Answers with a refusal and ends the connection, whose unread body nobody wants; an HTTP/2 connection stays.
pub async fn refuse(session: &mut Session, exchange: &mut ProxyExchange, refusal: &Refusal) {
    exchange.record.refused(refusal);
    session.set_keepalive(None);
    let answer = answer(refusal, exchange.record.names(), exchange.reader);
    tell(session, exchange, answer).await;
}

/// Writes an answer of the node's own.
pub async fn tell(session: &mut Session, exchange: &mut ProxyExchange, answer: Answer) {
    exchange.record.exchange.own_micros = exchange.record.elapsed_micros();
    exchange.stage = Stage::Answered;
    // An answer without a body ends with its head: gRPC clients read a status only there.
    let to_head = session.req_header().method == http::Method::HEAD || answer.body.is_empty();
    let body_bytes = answer.body.len() as u64;
    match write(session, answer, to_head).await {
        Ok(()) => exchange.record.exchange.response_bytes = if to_head { 0 } else { body_bytes },
        // Nobody is there to read it; the refusal stands in the record.
        Err(error) => tracing::debug!(%error, "a refusal was not delivered"),
    }
}

async fn write(session: &mut Session, answer: Answer, to_head: bool) -> Result<()> {
    let mut header = ResponseHeader::build(answer.status, Some(answer.headers.len() + 1))?;
    for (name, value) in answer.headers {
        header.insert_header(name, value)?;
    }
    header.insert_header(CONTENT_LENGTH, answer.body.len())?;
    session.write_response_header(Box::new(header), to_head).await?;
    if to_head {
        return Ok(());
    }
    session.write_response_body(Some(Bytes::from(answer.body)), true).await
}

/// Takes out of the target's response what it may not say, and names the exchange.
pub fn clean(response: &mut ResponseHeader, request_id: RequestId) -> Result<()> {
    let stays = |name: &HeaderName| forward::passes_to_source(name.as_str()) || FRAMING.contains(name);
    let gone: Vec<HeaderName> = response.headers.keys().filter(|name| !stays(name)).cloned().collect();
    for name in gone {
        response.remove_header(&name);
    }
    let mut id = HeaderValue::from_bytes(&request_id.to_ascii()).or_err(ErrorType::InternalError, "request id")?;
    // No other response has it: HTTP/2 then does not drop a header that others share to remember it (RFC 7541 section 7.1.3).
    id.set_sensitive(true);
    response.insert_header("lgsp-request-id", id)
}

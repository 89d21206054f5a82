//! A record as one JSON line.

use serde::Serialize;

use super::Closed;

#[derive(Serialize)]
struct Line<'a> {
    time_unix: i64,
    node: &'a str,
    request_id: String,
    outcome: &'static str,
    status: u16,
    method: &'a str,
    path: &'a str,
    source: Option<&'a str>,
    agency: Option<&'a str>,
    access_key: Option<&'a str>,
    signature: Option<&'static str>,
    service: Option<&'a str>,
    route: Option<&'a str>,
    permission: Option<&'a str>,
    endpoint: Option<std::net::SocketAddr>,
    client: Option<std::net::IpAddr>,
    face: &'static str,
    attempts: u8,
    request_bytes: u64,
    response_bytes: u64,
    own_micros: u64,
    target_micros: u64,
    total_micros: u64,
    revision: Option<u64>,
}

/// Appends the record and a line feed.
pub fn append(closed: &Closed, node: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Closed { exchange, outcome } = closed;
    let credential = exchange.credential.as_deref();
    let route = exchange.route.as_deref();
    let line = Line {
        time_unix: exchange.arrived.unix.0,
        node,
        request_id: exchange.request_id.to_string(),
        outcome: outcome.label(),
        status: exchange.status,
        method: &exchange.method,
        path: &exchange.path,
        source: credential.map(|credential| credential.system.id.as_str()),
        agency: credential.map(|credential| credential.system.agency_code.as_str()),
        access_key: credential.map(|credential| credential.access_key.as_str()),
        signature: exchange.signature,
        service: route.map(|route| route.service.id.as_str()),
        route: route.map(|route| route.id.as_str()),
        permission: exchange.grant.as_deref().map(|grant| grant.id.as_str()),
        endpoint: exchange.endpoint,
        client: exchange.client.map(|client| client.ip()),
        face: exchange.face.label(),
        attempts: exchange.attempts,
        request_bytes: exchange.request_bytes,
        response_bytes: exchange.response_bytes,
        own_micros: exchange.own_micros,
        target_micros: exchange.target_micros,
        total_micros: exchange.total_micros,
        revision: exchange.revision.map(|revision| revision.0),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

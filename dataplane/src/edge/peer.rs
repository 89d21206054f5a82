//! A service's endpoint as Pingora's connectors want it: permitted, with deadlines, certificates always verified. Every
//! connection to a target is opened with a peer made here: exchanges of both faces, and health checks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::resource::Protocol;
use pingora_core::ErrorType;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::upstream::{Permitted, Upstream};

/// What is wrong with TLS settings that cannot be used.
pub const UNUSABLE_TLS: &str = "the service's `tls` has no server name, or its `ca_pem` holds no readable certificate";
/// An address that no exchange may be connected to.
pub const BARRED: &str = "the node's settings, or the nature of the address, forbid connecting to the endpoint";
/// A connection that took too long.
pub const CONNECT_LATE: &str = "the connection was not made within the service's `connect_ms`";

/// The TLS settings of a service cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{UNUSABLE_TLS}")]
pub struct UnusableTls;

/// A peer that speaks HTTP/1.1.
pub fn http1(upstream: &Upstream, address: Permitted) -> Result<HttpPeer, UnusableTls> {
    peer(upstream, address, ALPN::H1)
}

/// Longer than any read deadline of a service: pingora-proxy counts its own from when the request head was sent, which
/// would cut long uploads, so the watch of each exchange keeps those deadlines and this one only has to exist.
const READ_BACKSTOP: Duration = Duration::from_secs(3_600);

/// Exchanges at a time on one HTTP/2 connection to a target: one that is overdue is cut with its connection.
const STREAMS_PER_CONNECTION: usize = 1;

/// A peer for pingora-proxy, in the service's protocol.
pub fn proxied(upstream: &Upstream, address: Permitted) -> Result<HttpPeer, UnusableTls> {
    let alpn = match upstream.protocol {
        Protocol::Http1 => ALPN::H1,
        Protocol::Http2 => ALPN::H2,
    };
    let mut peer = peer(upstream, address, alpn)?;
    peer.options.read_timeout = Some(READ_BACKSTOP);
    peer.options.max_h2_streams = STREAMS_PER_CONNECTION;
    // Pingora's pool does not look at authorities: without this, a connection verified for one service would be used
    // for another that trusts someone else.
    peer.group_key = upstream.tls_fingerprint;
    Ok(peer)
}

fn peer(upstream: &Upstream, address: Permitted, alpn: ALPN) -> Result<HttpPeer, UnusableTls> {
    let server_name = upstream.tls.as_ref().map(|tls| tls.server_name.clone());
    if server_name.as_ref().is_some_and(String::is_empty) {
        // Pingora takes an empty name for "do not verify".
        return Err(UnusableTls);
    }
    let mut peer = HttpPeer::new(address.address(), server_name.is_some(), server_name.unwrap_or_default());
    let connect = Duration::from_millis(upstream.deadlines.connect_ms);
    let idle = Duration::from_millis(upstream.deadlines.idle_ms);
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    peer.options.read_timeout = Some(Duration::from_millis(upstream.deadlines.first_byte_ms));
    peer.options.write_timeout = Some(idle);
    peer.options.idle_timeout = Some(idle);
    peer.options.alpn = alpn;
    if let Some(pem) = upstream.tls.as_ref().and_then(|tls| tls.ca_pem.as_deref()) {
        peer.options.ca = Some(authorities(pem)?);
    }
    Ok(peer)
}

/// Parsed authorities kept per thread; a few KiB each.
const AUTHORITIES_MAX: usize = 64;

thread_local! {
    static AUTHORITIES: RefCell<HashMap<Box<str>, Arc<CaType>>> = RefCell::default();
}

/// The authorities of a PEM text, parsed once per thread.
fn authorities(pem: &str) -> Result<Arc<CaType>, UnusableTls> {
    AUTHORITIES.with_borrow_mut(|known| {
        if let Some(authorities) = known.get(pem) {
            return Ok(authorities.clone());
        }
        let parsed = parse_authorities(pem)?;
        if known.len() >= AUTHORITIES_MAX {
            known.clear();
        }
        known.insert(pem.into(), parsed.clone());
        Ok(parsed)
    })
}

fn parse_authorities(pem: &str) -> Result<Arc<CaType>, UnusableTls> {
    let mut authorities = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = certificate.map_err(|_| UnusableTls)?.to_vec();
        // Pingora's own way to make one panics on bad bytes.
        let parsed =
            WrappedX509::try_new(der, |der| X509Certificate::from_der(der).map(|(_, certificate)| certificate));
        authorities.push(parsed.map_err(|_| UnusableTls)?);
    }
    if authorities.is_empty() { Err(UnusableTls) } else { Ok(authorities.into()) }
}

/// Whether a connection failed in its TLS handshake rather than below it.
pub fn is_tls_failure(error: &pingora_core::Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::TLSHandshakeFailure
            | ErrorType::InvalidCert
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::HandshakeError
    )
}

/// What an error of Pingora's says of the target, in words of ours: its own may quote what the target sent.
pub fn reason(error: &pingora_core::Error) -> &'static str {
    if let Some(reason) = certificate_reason(error) {
        return reason;
    }
    match error.etype() {
        ErrorType::ConnectTimedout => CONNECT_LATE,
        ErrorType::ConnectRefused => "the target's machine refused the connection: nothing listens at that port",
        ErrorType::ConnectNoRoute => "there is no route to the target's address",
        ErrorType::BindError | ErrorType::SocketError => "the node could not make a socket for the connection",
        ErrorType::ConnectError => "the connection could not be made",
        ErrorType::TLSHandshakeTimedout => "the TLS handshake took too long",
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => "the TLS handshake failed",
        ErrorType::InvalidCert => "the target's certificate is not valid",
        ErrorType::ReadTimedout => "the target sent nothing for as long as the service allows",
        ErrorType::WriteTimedout => "the target took nothing for as long as the service allows",
        ErrorType::InvalidHTTPHeader => "the answer's head is malformed",
        ErrorType::InvalidH2 | ErrorType::H2Error => "the target broke the rules of HTTP/2",
        ErrorType::H2Downgrade => "the target does not speak HTTP/2, which the service asks for",
        ErrorType::ReadError => "the connection broke while the answer was read",
        ErrorType::WriteError => "the connection broke while the request was sent",
        ErrorType::ConnectionClosed => "the target closed the connection",
        // Pingora's list of error types is open.
        _ => "the connection to the target failed",
    }
}

/// What rustls found wrong with the target's certificate, if that is why.
fn certificate_reason(error: &pingora_core::Error) -> Option<&'static str> {
    let mut cause = std::error::Error::source(error)?;
    for _ in 0..CAUSES_MAX {
        let found = cause.downcast_ref::<rustls::Error>();
        // `io::Error` keeps what it wraps from `source`.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let wrapped = wrapped.and_then(|error| error.downcast_ref::<rustls::Error>());
        if let Some(error) = found.or(wrapped) {
            return of_rustls(error);
        }
        cause = cause.source()?;
    }
    None
}

/// Errors within errors that are looked through.
const CAUSES_MAX: usize = 8;

fn of_rustls(error: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError as Wrong;
    let rustls::Error::InvalidCertificate(wrong) = error else { return None };
    Some(match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "the target's certificate has expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "the target's certificate is not valid yet",
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "the target's certificate is not for the service's `server_name`"
        }
        Wrong::UnknownIssuer => "no authority that the service trusts has signed the target's certificate",
        Wrong::Revoked => "the target's certificate is revoked",
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => "the target's certificate is not for servers",
        // The list of rustls is open.
        _ => "the target's certificate is not valid",
    })
}

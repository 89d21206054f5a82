//! Connections to endpoints: an idle one of the pool, or a new one.

use std::time::Duration;

use lgsp_shared::refusal::Code;
use pingora_core::protocols::Stream;
use tokio::time::Instant;

use super::pool::PoolKey;
use crate::edge::Rooms;
use crate::edge::cause::{Cause, OUT_OF_DESCRIPTORS};
use crate::edge::peer;
use crate::upstream::{Failure, Lease};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoConnection {
    /// What the endpoint is blamed for, if it is.
    pub failure: Option<Failure>,
    /// What the caller is told.
    pub cause: Cause,
}

impl NoConnection {
    fn blaming(failure: Failure, code: Code, detail: &'static str) -> Self {
        Self { failure: Some(failure), cause: Cause::new(code, detail) }
    }
}

/// What makes connections to this endpoint interchangeable.
pub fn key(lease: &Lease) -> PoolKey {
    PoolKey { address: lease.address(), tls: lease.upstream().tls_fingerprint }
}

/// Opens a new connection, within the service's connect deadline and before the answer is due.
pub async fn open(context: &Rooms, lease: &Lease, answer_by: Instant) -> Result<Stream, NoConnection> {
    let upstream = lease.upstream();
    let permitted = context.targets.permit(lease.address()).map_err(|barred| {
        tracing::warn!(address = %lease.address(), %barred, "the target may not be connected to");
        NoConnection::blaming(Failure::Connect, Code::TargetUnreachable, peer::BARRED)
    })?;
    let peer = peer::http1(upstream, permitted)
        .map_err(|_| NoConnection::blaming(Failure::Tls, Code::TargetTls, peer::UNUSABLE_TLS))?;
    let deadline = answer_by.min(Instant::now() + Duration::from_millis(upstream.deadlines.connect_ms));
    let connected = tokio::time::timeout_at(deadline, context.connector.new_stream(&peer)).await;
    match connected {
        // With a descriptor of the reserve nobody is asked; the endpoint is not to blame.
        Ok(Ok(stream)) if stream.id() >= context.descriptor_ceiling => {
            Err(NoConnection { failure: None, cause: OUT_OF_DESCRIPTORS })
        }
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::debug!(address = %lease.address(), %error, "no connection to the target");
            let detail = peer::reason(&error);
            Err(if peer::is_tls_failure(&error) {
                NoConnection::blaming(Failure::Tls, Code::TargetTls, detail)
            } else {
                NoConnection::blaming(Failure::Connect, Code::TargetUnreachable, detail)
            })
        }
        Err(_) => Err(NoConnection::blaming(Failure::Connect, Code::TargetUnreachable, peer::CONNECT_LATE)),
    }
}

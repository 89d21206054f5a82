//! Connections to endpoints: an idle one of the pool, or a new one.

use std::time::Duration;

use lgsp_shared::refusal::Code;
use pingora_core::protocols::Stream;
use tokio::time::Instant;

use super::pool::PoolKey;
use crate::edge::Rooms;
use crate::edge::peer;
use crate::upstream::{Failure, Lease};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoConnection {
    /// What the endpoint is blamed for, if it is.
    pub failure: Option<Failure>,
    /// What the caller is told.
    pub code: Code,
}

/// What makes connections to this endpoint interchangeable.
pub fn key(lease: &Lease) -> PoolKey {
    PoolKey { address: lease.address(), tls: lease.upstream().tls_fingerprint }
}

/// Opens a new connection, within the service's connect deadline and before the answer is due.
pub async fn open(context: &Rooms, lease: &Lease, answer_by: Instant) -> Result<Stream, NoConnection> {
    let upstream = lease.upstream();
    let unreachable = NoConnection { failure: Some(Failure::Connect), code: Code::TargetUnreachable };
    let permitted = context.targets.permit(lease.address()).map_err(|barred| {
        tracing::warn!(address = %lease.address(), %barred, "the target may not be connected to");
        unreachable
    })?;
    let peer =
        peer::http1(upstream, permitted).map_err(|_| NoConnection { failure: Some(Failure::Tls), code: Code::TargetTls })?;
    let deadline = answer_by.min(Instant::now() + Duration::from_millis(upstream.deadlines.connect_ms));
    let connected = tokio::time::timeout_at(deadline, context.connector.new_stream(&peer)).await;
    match connected {
        // With a descriptor of the reserve nobody is asked; the endpoint is not to blame.
        Ok(Ok(stream)) if stream.id() >= context.descriptor_ceiling => {
            Err(NoConnection { failure: None, code: Code::Overloaded })
        }
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::debug!(address = %lease.address(), %error, "no connection to the target");
            Err(if peer::is_tls_failure(&error) {
                NoConnection { failure: Some(Failure::Tls), code: Code::TargetTls }
            } else {
                unreachable
            })
        }
        Err(_) => Err(unreachable),
    }
}

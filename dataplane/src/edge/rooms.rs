//! The rooms both faces work with: made once by `runtime`, shared by every connection.

use std::os::fd::RawFd;
use std::sync::Arc;

use lgsp_shared::refusal::Code;
use lgsp_shared::resource::OwnerUnreachable;
use pingora_core::connectors::TransportConnector;

use super::Limits;
use super::http1::pool::Pool;
use crate::admission::{Question, ReplayWindow, Used};
use crate::clock::Now;
use crate::once::Once;
use crate::record::RecordSink;
use crate::snapshot::SnapshotStore;
use crate::stream::HeldBudget;
use crate::upstream::Targets;

/// What an exchange needs besides its connection.
pub struct Rooms {
    /// Where the current snapshot is; loaded once per request.
    pub snapshots: Arc<SnapshotStore>,
    /// Signatures and nonces seen lately.
    pub replay: Arc<ReplayWindow>,
    /// Who is asked whether a request was taken elsewhere or before.
    pub once: Arc<Once>,
    /// The memory for bytes of bodies that are not verified yet.
    pub held: Arc<HeldBudget>,
    /// Where records go.
    pub records: RecordSink,
    /// Where this node may connect.
    pub targets: Arc<Targets>,
    /// Opens connections to targets for the HTTP/1.1 loop.
    pub connector: TransportConnector,
    /// The HTTP/1.1 loop's idle connections to targets; to be swept every few seconds.
    pub pool: Pool,
    /// Limits and deadlines towards sources.
    pub limits: Limits,
    /// The first descriptor that no connection may keep: it and those above are for configuration, files and the admin
    /// listener.
    pub descriptor_ceiling: RawFd,
}

impl Rooms {
    /// Whether a request was taken nowhere else and not before; asked after the decision and before anything is forwarded.
    ///
    /// # Errors
    /// The code to refuse with.
    pub async fn first_use(&self, question: Question, unreachable: OwnerUnreachable) -> Result<(), Code> {
        self.once.first_use(&question, unreachable).await
    }

    /// Notes that nothing of a request reached a target, so that a source that signs without a nonce may send it again
    /// within the same second, as SDKs do.
    pub fn nothing_reached(&self, used: Option<Used>) {
        if let Some(used) = used.filter(Used::is_by_signature) {
            self.replay.forget(&used, Now::read().unix);
        }
    }
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("limits", &self.limits).finish_non_exhaustive()
    }
}

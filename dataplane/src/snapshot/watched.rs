//! A permission that is tried: what is counted for it, which outlives revisions.

use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::id::PermissionId;
use lgsp_shared::resource::PermissionMode;

/// See the module.
#[derive(Debug)]
pub struct Watched {
    /// The permission.
    pub permission: PermissionId,
    /// How it is tried; with another mode counting begins anew.
    pub mode: PermissionMode,
    requests: AtomicU64,
}

impl Watched {
    /// Nothing counted yet.
    pub fn new(permission: PermissionId, mode: PermissionMode) -> Self {
        Self { permission, mode, requests: AtomicU64::new(0) }
    }

    /// Counts one request.
    pub fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

//! Security notices, shown wherever a node is looked at until their cause is removed: in the log at the start
//! and again and again, in the node's status, on its admin listener.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Shutdown;

/// How often the log repeats them.
const REPEAT_EVERY: Duration = Duration::from_secs(10 * 60);

/// See the module.
#[derive(Debug, Default)]
pub struct Notices {
    fixed: Vec<String>,
    put_back: OnceLock<String>,
    unmarked_serves: AtomicBool,
}

impl Notices {
    /// With what the settings alone tell.
    pub fn new(fixed: Vec<String>) -> Self {
        Self { fixed, ..Self::default() }
    }

    /// Everything to be shown now.
    pub fn list(&self) -> Vec<String> {
        let unmarked = self.unmarked_serves.load(Ordering::Relaxed).then(|| {
            "the configuration that serves carries no proof of origin: upgrade the control plane, then remove \
             `source.accept_unmarked`"
                .to_owned()
        });
        self.fixed.iter().chain(self.put_back.get()).cloned().chain(unmarked).collect()
    }

    /// Says that this process found an older copy than the one it had left.
    pub(super) fn found_put_back(&self, what: String) {
        // The first one is said for as long as the process runs.
        let _ = self.put_back.set(what);
    }

    /// Says whether the configuration that serves is unmarked.
    pub(super) fn set_unmarked(&self, unmarked: bool) {
        self.unmarked_serves.store(unmarked, Ordering::Relaxed);
    }
}

/// Repeats the notices in the log until asked to end.
pub(super) async fn repeat(notices: std::sync::Arc<Notices>, mut shutdown: Shutdown) {
    loop {
        for notice in notices.list() {
            tracing::warn!(notice, "security notice");
        }
        tokio::select! {
            () = tokio::time::sleep(REPEAT_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

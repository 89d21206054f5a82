//! The key-encryption keys a node holds: replaced whole when its key file changes, without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lgsp_shared::seal::SealKeys;
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub struct Keyring {
    keys: ArcSwap<SealKeys>,
    changed: watch::Sender<()>,
}

impl Keyring {
    /// Holds these keys.
    pub fn new(keys: impl Into<SealKeys>) -> Arc<Self> {
        Arc::new(Self { keys: ArcSwap::from_pointee(keys.into()), changed: watch::Sender::new(()) })
    }

    /// The keys held now.
    pub fn load(&self) -> Arc<SealKeys> {
        self.keys.load_full()
    }

    /// Holds other keys from now on; what could not be opened is tried again.
    pub fn replace(&self, keys: SealKeys) {
        self.keys.store(Arc::new(keys));
        self.changed.send_replace(());
    }

    /// Told at each replacement.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

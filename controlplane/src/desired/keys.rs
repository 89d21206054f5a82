//! The key-encryption keys this process holds, as they are now: the key file may change while it runs.

use lgsp_shared::seal::{SealKey, SealKeys};
use tokio::sync::watch;

/// Where to find the keys; cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys(watch::Receiver<SealKeys>);

impl Keys {
    /// The keys held now.
    pub fn load(&self) -> SealKeys {
        self.0.borrow().clone()
    }
}

impl From<watch::Receiver<SealKeys>> for Keys {
    fn from(keys: watch::Receiver<SealKeys>) -> Self {
        Self(keys)
    }
}

impl From<SealKeys> for Keys {
    /// Keys that do not change.
    fn from(keys: SealKeys) -> Self {
        Self(watch::Sender::new(keys).subscribe())
    }
}

impl From<SealKey> for Keys {
    /// One key that does not change.
    fn from(key: SealKey) -> Self {
        SealKeys::from(key).into()
    }
}

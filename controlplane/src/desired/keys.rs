//! The key-encryption keys this process holds, as they are now: the key file may change while it runs.

use std::fmt;
use std::sync::Arc;

use lgsp_shared::seal::{SealKey, SealKeys};
use tokio::sync::watch;

/// Re-reads the keys from their file; returns the reason when that fails.
type Reread = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Where to find the keys; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    held: watch::Receiver<SealKeys>,
    reread: Option<Reread>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.held.borrow().ids()).finish()
    }
}

impl Keys {
    /// Keys that `reread` brings up to date on demand.
    pub fn new(
        held: watch::Receiver<SealKeys>,
        reread: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { held, reread: Some(Arc::new(reread)) }
    }

    /// The keys held now.
    pub fn load(&self) -> SealKeys {
        self.held.borrow().clone()
    }

    /// The keys as they are kept now, for what must not be done under those of a moment ago.
    pub fn reload(&self) -> Result<SealKeys, String> {
        if let Some(reread) = &self.reread {
            reread()?;
        }
        Ok(self.load())
    }
}

impl From<SealKeys> for Keys {
    /// Keys that do not change.
    fn from(keys: SealKeys) -> Self {
        Self { held: watch::Sender::new(keys).subscribe(), reread: None }
    }
}

impl From<SealKey> for Keys {
    /// One key that does not change.
    fn from(key: SealKey) -> Self {
        SealKeys::from(key).into()
    }
}

//! Whether the node is stopping: one switch, thrown once, that readiness and both faces look at.

use tokio::sync::watch;

/// The switch. Cloning gives another handle to the same one.
#[derive(Debug, Clone)]
pub struct Drain(watch::Sender<bool>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Drain {
    /// Starts draining; doing it again changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the node is draining: not ready, and closing connections after the exchange in flight.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Turns true when draining starts.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

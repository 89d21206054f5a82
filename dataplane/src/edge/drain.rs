//! Whether the node is stopping: one switch, thrown once, that readiness, the admin listener and both faces look at.

use tokio::sync::watch;

/// The switch. Cloning gives another handle to the same one.
#[derive(Debug, Clone)]
pub struct Drain {
    draining: watch::Sender<bool>,
    replaced: watch::Sender<bool>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { draining: watch::Sender::new(false), replaced: watch::Sender::new(false) }
    }
}

impl Drain {
    /// Starts draining because the node was told to end; doing it again changes nothing.
    pub fn begin(&self) {
        self.draining.send_replace(true);
    }

    /// Starts draining because a successor has the sockets; changes nothing when the node is draining already.
    pub fn begin_replaced(&self) {
        if !self.draining.send_replace(true) {
            self.replaced.send_replace(true);
        }
    }

    /// Whether the node is draining: not ready, and closing connections after the exchange in flight.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Turns true when a successor has taken over.
    pub fn watch_replaced(&self) -> watch::Receiver<bool> {
        self.replaced.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_told_to_end_is_not_replaced_by_what_follows() {
        let drain = Drain::default();
        drain.begin();
        drain.begin_replaced();
        assert!(drain.is_draining() && !*drain.watch_replaced().borrow());
        let drain = Drain::default();
        drain.begin_replaced();
        assert!(drain.is_draining() && *drain.watch_replaced().borrow());
    }
}

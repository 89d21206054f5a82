//! The service that gives this node's memory of nonces to a successor, and removes what it leaves on disk.

use std::path::PathBuf;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::{BackgroundService, GenBackgroundService, background_service};

use super::settings::Settings;
use crate::edge::Rooms;
use crate::once::HandOver;

/// Waits for a successor.
#[derive(Debug)]
pub struct Giving(HandOver);

/// The service that waits for a successor. It goes on while the node drains, because what it takes then is asked.
pub(super) fn giving(settings: &Settings, rooms: &Rooms) -> GenBackgroundService<Giving> {
    let successor = rooms.once.successor.clone();
    background_service("hand-over", Giving(HandOver::new(socket(settings), successor, rooms.replay.clone())))
}

/// The private socket of this process.
pub(super) fn socket(settings: &Settings) -> PathBuf {
    HandOver::path(&settings.state_dir, std::process::id())
}

#[async_trait]
impl BackgroundService for Giving {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let stop = async {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        self.0.run(stop).await;
    }
}

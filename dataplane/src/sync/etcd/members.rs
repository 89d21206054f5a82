//! The list of nodes: read every second, told when it changed. While etcd is away the last list stands.
//!
//! Read and not watched: the list is small, a second is soon enough, and a read cannot miss an event.

use std::convert::Infallible;
use std::time::Duration;

use etcd_client::GetOptions;
use lgsp_shared::keyspace::{MEMBER_PREFIX, read_member};
use tokio::sync::watch;

use super::super::backoff::{Backoff, random};
use super::super::{Nodes, Shutdown};
use super::{EtcdSettings, Failure, answered, connect};

/// Between two reads.
const LOOK: Duration = Duration::from_secs(1);
/// The most nodes of one cluster; what is beyond them is not asked.
const NODES_MAX: i64 = 128;

/// Reads until asked to end.
pub(in super::super) async fn members(settings: EtcdSettings, nodes: watch::Sender<Nodes>, mut shutdown: Shutdown) {
    let mut backoff = Backoff::new(settings.timing.backoff);
    loop {
        let Err(failure) = tokio::select! {
            ended = read(&settings, &nodes, &mut backoff) => ended,
            () = shutdown.requested() => return,
        };
        if let Failure::Denied(_) = failure {
            backoff.slow_down();
        }
        let pause = backoff.wait(random());
        tracing::debug!(reason = %failure, pause_ms = pause.as_millis(), "list of nodes: trying again after a pause");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return,
        }
    }
}

async fn read(
    settings: &EtcdSettings,
    nodes: &watch::Sender<Nodes>,
    backoff: &mut Backoff,
) -> Result<Infallible, Failure> {
    let mut client = connect(settings).await?;
    loop {
        let options = GetOptions::new().with_prefix().with_limit(NODES_MAX);
        let answer = answered(&settings.timing, client.get(MEMBER_PREFIX, Some(options))).await?;
        backoff.reset();
        // What a node says of itself is hostile input: what cannot be read is not a node.
        let found: Vec<_> = answer.kvs().iter().filter_map(|kv| read_member(kv.key(), kv.value())).collect();
        nodes.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&found);
            *known = Some(found);
            changed
        });
        tokio::time::sleep(LOOK).await;
    }
}

//! Builds the rooms an exchange walks through.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use pingora_core::connectors::TransportConnector;

use super::cluster::{self, Joined};
use super::settings::{self, Settings};
use super::state::Addresses;
use super::{StartError, etcd_places};
use crate::admission::{REPLAY_SLOTS_DEFAULT, ReplayWindow};
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::http1::pool::Pool;
use crate::once::{Marks, Once};
use crate::record::{Metrics, OnFull, RecordSettings, RecordTarget, Recorder};
use crate::snapshot::SnapshotStore;
use crate::stream::HeldBudget;
use crate::upstream::Targets;

/// The rooms, and what has to be closed at the end.
#[derive(Debug)]
pub(super) struct Built {
    /// What both faces work with.
    pub rooms: Arc<Rooms>,
    /// Writes the last records when it is closed.
    pub recorder: Recorder,
    /// This node's part in a cluster.
    pub joined: Option<Arc<Joined>>,
}

/// Builds them. The listening sockets are bound by now, so that nothing can have been taken by another process since,
/// unless this one is to take over from it.
pub(super) fn build(
    settings: &Settings,
    addresses: &Addresses,
    upgrade: bool,
    descriptor_ceiling: RawFd,
) -> Result<Built, StartError> {
    let recorder = Recorder::start(record_settings(settings), Metrics::new()?)?;
    let joined = cluster::join(settings, recorder.sink().metrics())?.map(Arc::new);
    let replay = match joined {
        Some(_) => ReplayWindow::shared(REPLAY_SLOTS_DEFAULT),
        None => ReplayWindow::new(REPLAY_SLOTS_DEFAULT),
    };
    let now = Now::read().unix;
    let (marks, ahead) = Marks::open(&settings.state_dir, now)?;
    match upgrade {
        true => replay.span().wait(ahead),
        false => replay.span().begin(now, ahead),
    }
    let once = Once {
        cluster: joined.as_ref().map(|joined| joined.cluster.clone()),
        marks: Some(Arc::new(marks)),
        successor: Arc::default(),
    };
    let targets = Targets::new(settings.targets.clone(), listeners(settings, addresses, joined.as_deref()));
    targets.set_etcd(etcd_places::known(settings));
    let rooms = Arc::new(Rooms {
        snapshots: Arc::new(SnapshotStore::default()),
        replay: Arc::new(replay),
        once: Arc::new(once),
        held: Arc::new(HeldBudget::new(settings.limits.unverified_bytes_max)),
        records: recorder.sink().clone(),
        targets: Arc::new(targets),
        connector: TransportConnector::new(None),
        pool: Pool::default(),
        limits: settings.limits.clone(),
        descriptor_ceiling,
    });
    Ok(Built { rooms, recorder, joined })
}

/// Everything this node listens on, and where others are told to find it.
fn listeners(settings: &Settings, addresses: &Addresses, joined: Option<&Joined>) -> Vec<SocketAddr> {
    let Addresses { listeners, admin } = addresses;
    let cluster = joined.into_iter().flat_map(|joined| [joined.listening, joined.membership.internal.address]);
    listeners.iter().copied().chain([*admin]).chain(settings.admin_advertise).chain(cluster).collect()
}

fn record_settings(settings: &Settings) -> RecordSettings {
    let settings::Records { to, on_full, bounds } = &settings.records;
    RecordSettings {
        node: settings.node.clone(),
        target: match to {
            settings::RecordSink::File(path) => RecordTarget::File(path.clone()),
            settings::RecordSink::Stdout => RecordTarget::Stdout,
        },
        on_full: match on_full {
            settings::OnFull::Refuse => OnFull::Refuse,
            settings::OnFull::Serve => OnFull::Serve,
        },
        bounds: *bounds,
    }
}

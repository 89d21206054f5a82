//! Configuration arrives: etcd watch or bundle file → documents → compile → publish → status.
//!
//! Guarantees: no half of a revision ever serves; whatever happens to the source, the last good snapshot serves on; a
//! node restarts from its sealed copy while the source is away. Nothing here is on the path of a request.
//!
//! [`start`] it with [`ApplyToSnapshot`]; the [`SyncHandle`] owns its tasks and shows its [`SyncHealth`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lgsp_shared::id::{NodeId, Revision};
use lgsp_shared::keyspace::{Head, Internal, NodeStatus};
use tokio::sync::watch;
use tokio::task::JoinSet;

mod apply;
mod assembly;
mod backoff;
mod bundle;
mod etcd;
mod health;
mod keeper;
mod keyring;
mod last_good;
mod notices;
mod origin;
mod rejection;
mod sealed_file;
mod seen;

pub use apply::{Apply, ApplyToSnapshot, Prepared};
pub use backoff::BackoffBounds;
pub use etcd::{EtcdSettings, EtcdTiming};
pub use health::{Clock, Identity, Report, SyncCounters, SyncHealth};
pub use keyring::Keyring;
pub use last_good::{FILE_NAME as LAST_GOOD_FILE_NAME, LastGoodError, SEEN_FILE_NAME};
pub use notices::Notices;
pub use rejection::{CONFIGURATION_BYTES_MAX, REMOVAL_ALWAYS_ALLOWED, Rejection};

use health::{Reporter, count};
use keeper::{Keeper, Taken};
use last_good::{LastGoodFile, Restored, write_copies};
use origin::OriginCheck;
use rejection::Offer;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An etcd cluster.
    Etcd(Box<EtcdSettings>),
    /// A bundle file, replaced atomically.
    Bundle(PathBuf),
}

/// What the room needs to know.
#[derive(Debug, Clone)]
pub struct SyncSettings {
    /// Who reports.
    pub identity: Identity,
    /// Where the configuration comes from.
    pub source: Source,
    /// Where the last good copy is kept; must exist and be private to this node.
    pub state_dir: PathBuf,
    /// Whether configuration without a proof of origin is taken: only while a control plane that does not mark yet
    /// publishes. What is marked falsely is refused all the same.
    pub accept_unmarked: bool,
    /// Security notices about this node.
    pub notices: Arc<Notices>,
    /// What other nodes are told, and where what they say goes; `None` for a node on its own. Only with etcd.
    pub cluster: Option<Membership>,
}

/// The nodes and where they are reached; `None` until the first list was read.
pub type Nodes = Option<Vec<(NodeId, Internal)>>;

/// A node's part in a cluster.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Where this node is reached.
    pub internal: Internal,
    /// Where the list of nodes goes whenever it changes.
    pub nodes: watch::Sender<Nodes>,
}

/// The room at work. Dropping it ends its tasks; [`SyncHandle::stop`] ends them in order.
#[derive(Debug)]
pub struct SyncHandle {
    health: Arc<SyncHealth>,
    shutdown: watch::Sender<bool>,
    source: JoinSet<()>,
    copies: JoinSet<()>,
    last_good: watch::Sender<Option<Arc<last_good::LastGood>>>,
}

/// Starts the room. When this returns, the last good copy, if there is a usable one, serves already.
pub async fn start(settings: SyncSettings, apply: Arc<dyn Apply>, keys: Arc<Keyring>, clock: Clock) -> SyncHandle {
    let SyncSettings { identity, source, state_dir, accept_unmarked, notices, cluster } = settings;
    let (reporter, report) = Reporter::new(clock.clone());
    let label = match source {
        Source::Etcd(_) => "etcd",
        Source::Bundle(_) => "bundle",
    };
    let health = Arc::new(SyncHealth::new(label, report));
    let (last_good, copies) = watch::channel(None);
    let applied = apply.clone();
    let keeper = Keeper::new(apply, reporter, health.clone(), last_good.clone(), notices.clone());
    let keeper = SharedKeeper::new(keeper);
    let file = LastGoodFile::new(&state_dir, &identity.node, keys.clone(), accept_unmarked);
    let origins = OriginCheck::new(keys.clone(), accept_unmarked);
    restore(&keeper, &file, &health, &notices).await;

    let (shutdown, requested) = watch::channel(false);
    let shutdown_of = || Shutdown(requested.clone());
    let mut copying = JoinSet::new();
    copying.spawn(write_copies(file, copies, health.clone(), shutdown_of()));
    let internal = cluster.as_ref().map(|cluster| cluster.internal);
    let mut following = JoinSet::new();
    following.spawn(notices::repeat(notices.clone(), shutdown_of()));
    let health_of = health.clone();
    let context =
        Context { identity, keeper, health: health_of, clock, keys, apply: applied, internal, origins, notices };
    match source {
        Source::Etcd(settings) => {
            let settings = *settings;
            let (told, heard, stop) = (settings.clone(), context.clone(), shutdown_of());
            let report = move || etcd::report(told.clone(), heard.clone(), stop.clone());
            following.spawn(keep_running("reporting to etcd", report, shutdown_of()));
            if let Some(Membership { nodes, .. }) = cluster {
                let (told, stop) = (settings.clone(), shutdown_of());
                let members = move || etcd::members(told.clone(), nodes.clone(), stop.clone());
                following.spawn(keep_running("following the nodes", members, shutdown_of()));
            }
            let stop = shutdown_of();
            let follow = move || etcd::follow(settings.clone(), context.clone(), stop.clone());
            following.spawn(keep_running("following etcd", follow, shutdown_of()));
        }
        Source::Bundle(path) => {
            let (told, heard, stop) = (path.clone(), context.clone(), shutdown_of());
            let report = move || bundle::report(told.clone(), heard.clone(), stop.clone());
            following.spawn(keep_running("reporting beside the bundle", report, shutdown_of()));
            let stop = shutdown_of();
            let follow = move || bundle::follow(path.clone(), context.clone(), stop.clone());
            following.spawn(keep_running("following the bundle", follow, shutdown_of()));
        }
    }
    SyncHandle { health, shutdown, source: following, copies: copying, last_good }
}

impl SyncHandle {
    /// What others may know.
    pub fn health(&self) -> Arc<SyncHealth> {
        self.health.clone()
    }

    /// Ends all tasks in order: the source first, then the last copy is written.
    pub async fn stop(mut self) {
        self.shutdown.send_replace(true);
        while self.source.join_next().await.is_some() {}
        while self.copies.join_next().await.is_some() {}
        drop(self.last_good);
    }
}

/// After a task ended by a defect, so that one in a hot path does not become a loop.
const DEFECT_PAUSE: Duration = Duration::from_secs(5);

/// Runs a task to its end, and again should a defect end it: a node must not stop following its configuration unnoticed.
async fn keep_running<T>(name: &'static str, task: impl Fn() -> T, mut shutdown: Shutdown)
where
    T: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut running = JoinSet::new();
        running.spawn(task());
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(task = name, %error, "a defect ended this task; it starts again after a pause");
            }
            Some(_) | None => return,
        }
        tokio::select! {
            () = tokio::time::sleep(DEFECT_PAUSE) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// What the tasks of a source share.
#[derive(Clone)]
struct Context {
    identity: Identity,
    keeper: SharedKeeper,
    health: Arc<SyncHealth>,
    clock: Clock,
    internal: Option<Internal>,
    keys: Arc<Keyring>,
    apply: Arc<dyn Apply>,
    origins: OriginCheck,
    notices: Arc<Notices>,
}

/// How often it is looked whether there is a use of a credential to report.
const USAGE_EVERY: Duration = Duration::from_secs(5);

impl Context {
    /// The node's status as of now.
    fn status(&self, report: &Report) -> NodeStatus {
        let Identity { node, version, admin } = self.identity.clone();
        let Report { state, desired, active, hash, errors, errors_total, since } = report.clone();
        NodeStatus {
            node,
            state,
            desired,
            active,
            hash,
            errors,
            errors_total,
            since,
            reported_at: (self.clock)(),
            version,
            admin,
            key_ids: self.keys.load().ids(),
            shadow: self.apply.shadow(),
            notices: self.notices.list(),
        }
    }
}

async fn restore(keeper: &SharedKeeper, file: &LastGoodFile, health: &SyncHealth, notices: &Notices) {
    let (reader, path) = (file.clone(), file.path().display().to_string());
    let Restored { copy, seen, discarded } = match tokio::task::spawn_blocking(move || reader.load()).await {
        Ok(restored) => restored,
        Err(error) => {
            tracing::error!(path, %error, "reading the last good copy ended unexpectedly");
            return;
        }
    };
    for error in discarded {
        count(&health.counters().last_good_discarded);
        tracing::error!(path, %error, "the last good copy is unusable and ignored; the source will replace it");
        if let LastGoodError::PutBack(_) = error {
            notices.found_put_back(format!("the last good copy was not used: {error}"));
        }
    }
    keeper.with(move |keeper| keeper.remember(seen)).await;
    if let Some(copy) = copy {
        let revision = copy.revision.0;
        keeper.with(move |keeper| keeper.restore(copy)).await;
        tracing::info!(revision, path, "the last good configuration serves until the source answers");
    }
}

/// The keeper, called where blocking is allowed.
#[derive(Clone)]
struct SharedKeeper(Arc<Mutex<Keeper>>);

impl SharedKeeper {
    fn new(keeper: Keeper) -> Self {
        Self(Arc::new(Mutex::new(keeper)))
    }

    /// Calls the keeper on a blocking thread; `None` when that thread was lost at shutdown.
    async fn with<T: Send + 'static>(&self, call: impl FnOnce(&mut Keeper) -> T + Send + 'static) -> Option<T> {
        let keeper = self.0.clone();
        let called = tokio::task::spawn_blocking(move || {
            // A poisoned keeper is as good as before: what serves is replaced in one step, at the end.
            call(&mut keeper.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match called.await {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                tracing::error!(%error, "taking a configuration ended unexpectedly; the former one serves on");
                None
            }
        }
    }

    /// Takes an offer and says so in the log.
    async fn take(&self, offer: Offer) {
        let (revision, documents) = (offer.revision.0, offer.documents.len());
        match self.with(move |keeper| keeper.take(offer)).await {
            Some(Taken::Serves) => tracing::info!(revision, documents, "configuration serves"),
            Some(Taken::Unchanged) => tracing::debug!(revision, "configuration offered again, nothing new"),
            Some(Taken::Rejected { rejection, news: true }) => {
                tracing::error!(revision, reason = %rejection, "configuration rejected; what served before serves on");
            }
            Some(Taken::Rejected { news: false, .. }) | None => {}
        }
    }

    /// Reports that what is desired was refused, and says so in the log.
    async fn reject(&self, desired: Option<Revision>, rejection: Rejection) {
        let told = rejection.clone();
        if self.with(move |keeper| keeper.reject(desired, &told)).await == Some(true) {
            tracing::error!(reason = %rejection, "configuration rejected; what served before serves on");
        }
    }
}

impl SharedKeeper {
    /// Reports a head whose documents are not to be had, unless the revision it names serves already.
    async fn reject_unless_it_serves(&self, head: &Head, rejection: Rejection) {
        let (revision, hash) = (head.revision, head.hash.clone());
        if self.with(move |keeper| keeper.serves(revision, &hash)).await != Some(true) {
            self.reject(Some(revision), rejection).await;
        }
    }
}

/// A request to end, seen by every loop of the room.
#[derive(Clone)]
struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Returns when the room shall end: asked to, or its owner is gone.
    async fn requested(&mut self) {
        let _ = self.0.wait_for(|requested| *requested).await;
    }
}

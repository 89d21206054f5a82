//! Configuration from etcd: list at a pinned revision, watch from the next one, list again when in doubt.
//!
//! Guarantees: documents become a revision only when the head names them and their hash is the head's; a silent or
//! half-open connection is noticed by a watchdog; failures are waited out with growing, spread pauses.

use std::time::Duration;

use etcd_client::{Client, ResponseHeader};
use lgsp_etcd::Access;

use super::assembly::Assembly;
use super::backoff::{Backoff, BackoffBounds, random};
use super::health::count;
use super::keeper::Keeper;
use super::rejection::Rejection;
use super::{Context, Shutdown};

mod failure;
mod list;
mod members;
mod report;
mod watch;

use failure::Failure;
pub(super) use members::members;
pub(super) use report::report;

/// Where etcd is and how to speak to it.
#[derive(Debug, Clone)]
pub struct EtcdSettings {
    /// Its members, TLS and login.
    pub access: Access,
    /// Intervals and deadlines.
    pub timing: EtcdTiming,
}

/// Intervals and deadlines towards etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdTiming {
    /// How often the watch is asked for progress; etcd's own interval is ten minutes, too long to notice anything.
    pub progress_every: Duration,
    /// How long any answer may take, progress included.
    pub reply_deadline: Duration,
    /// Pauses after failures.
    pub backoff: BackoffBounds,
    /// How long a node that died without a word is still listed.
    pub lease: Duration,
}

impl Default for EtcdTiming {
    fn default() -> Self {
        Self {
            progress_every: Duration::from_secs(3),
            reply_deadline: Duration::from_secs(5),
            backoff: BackoffBounds { min: Duration::from_millis(100), max: Duration::from_secs(15) },
            lease: Duration::from_secs(15),
        }
    }
}

/// etcd refuses clients that ping more often than every 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// The largest message taken: one page of a list or one fragment of a watch. gRPC's own default, 4 MiB, would stop a
/// larger configuration from ever loading. At most one such message is in memory at a time.
const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// Opens a client with the login and certificates as they are now. Connections are made when first used.
async fn connect(settings: &EtcdSettings) -> Result<Client, Failure> {
    let options = settings
        .access
        .options()?
        .with_connect_timeout(settings.timing.reply_deadline)
        .with_keep_alive(KEEP_ALIVE_EVERY, settings.timing.reply_deadline)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    answered(&settings.timing, Client::connect(settings.access.endpoints(), Some(options))).await
}

/// The answer, or a failure when there is none in time.
async fn answered<T>(
    timing: &EtcdTiming,
    asked: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timing.reply_deadline, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Silent(timing.reply_deadline)),
    }
}

/// How far this node has read the store's history.
#[derive(Debug)]
struct Position {
    cluster: u64,
    /// The newest store revision any answer has shown.
    newest: i64,
    /// Watch from here. The revision of the last event itself, because its transaction may have come in fragments
    /// and a fragment does not say whether another follows. Not advanced by progress answers: etcd before 3.4.25 and
    /// 3.5.8 could send them ahead of events (etcd#15220).
    watch_from: i64,
    assembly: Assembly,
}

impl Position {
    /// Checks that an answer continues the history this position belongs to. Only the first answer of a stream tells
    /// whether the store went back: within a stream, events and progress may overtake each other.
    fn check(&mut self, header: Option<&ResponseHeader>, first: bool) -> Result<(), Failure> {
        let Some(header) = header else { return Ok(()) };
        if header.cluster_id() != self.cluster {
            return Err(Failure::AnotherCluster);
        }
        if first && header.revision() < self.newest {
            return Err(Failure::WentBackwards { from: self.newest, to: header.revision() });
        }
        self.newest = self.newest.max(header.revision());
        Ok(())
    }
}

/// Follows etcd until asked to end.
pub(super) async fn follow(settings: EtcdSettings, context: Context, mut shutdown: Shutdown) {
    let mut follower = Follower { backoff: Backoff::new(settings.timing.backoff), settings, context, position: None };
    let mut keys = follower.context.keys.changes();
    loop {
        let failure = tokio::select! {
            failure = follower.session() => failure,
            Ok(()) = keys.changed() => {
                // Listed again, because what could not be opened was not kept.
                follower.context.keeper.with(Keeper::try_again).await;
                follower.position = None;
                continue;
            }
            () = shutdown.requested() => return,
        };
        let pause = follower.after(&failure).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return,
        }
    }
}

struct Follower {
    settings: EtcdSettings,
    context: Context,
    backoff: Backoff,
    position: Option<Position>,
}

impl Follower {
    /// One connection: from where the last one ended, or from a list. Ends only with a failure.
    async fn session(&mut self) -> Failure {
        match Box::pin(self.try_session()).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn try_session(&mut self) -> Result<std::convert::Infallible, Failure> {
        let mut client = connect(&self.settings).await?;
        let mut position = match self.position.take() {
            Some(position) => position,
            None => self.list(&mut client).await?,
        };
        let ended = self.watch(&mut client, &mut position).await;
        if let Err(failure) = &ended
            && !failure.calls_for_a_list()
        {
            self.position = Some(position);
        }
        ended
    }

    /// Notes a failure and says how long to pause.
    async fn after(&mut self, failure: &Failure) -> Duration {
        count(&self.context.health.counters().source_failures);
        if let Failure::Silent(_) = failure {
            count(&self.context.health.counters().watchdog_expiries);
        }
        if let Failure::Denied(_) | Failure::TooLarge = failure {
            self.backoff.slow_down();
        }
        if let Failure::TooLarge = failure {
            self.context.keeper.reject(None, Rejection::TooLarge).await;
        }
        self.context.health.set_connected(false);
        let pause = self.backoff.wait(random());
        let list = self.position.is_none();
        tracing::warn!(reason = %failure, pause_ms = pause.as_millis(), list, "etcd: trying again after a pause");
        pause
    }

    fn progressed(&mut self) {
        self.backoff.reset();
        self.context.health.progressed((self.context.clock)());
    }
}

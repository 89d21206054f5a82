//! The current revision goes to etcd or to a bundle file: at least once, in order, and again at every start.
//!
//! A revision exists when the database holds it; publishing follows and is tried again for ever, with jittered
//! back-off. Revision 0 is never published: a control plane that starts with an empty database must not empty nodes.
//!
//! What is published is marked ([`lgsp_shared::seal::origin`]), and compared with what stands there: nothing that was
//! written once is believed to be there still. What somebody changed, added or removed is put right within seconds, and
//! said to have been. What another database published is never written over unasked.
//!
//! Of several control planes at one etcd one leads and publishes ([`leadership`]); the others watch what it publishes
//! and take over when it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::Head;
use lgsp_shared::seal::origin::Lineage;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::audit::{REPAIR_ACTION, Trail};
use crate::desired::{Desired, Whole};
use crate::store::Published;

pub mod bundle;
mod difference;
mod error;
pub mod etcd;
mod leadership;
mod origin;
mod succession;

pub use error::PublishError;
use origin::{Flags, Found, Marker, Verdict};

/// The first wait after a failure; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two attempts: what an operator waits at most once etcd is back.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a leader looks at what is published, and a follower whether there is a leader.
const LEAD_EVERY: Duration = Duration::from_secs(1);
/// How often a follower looks at what the leader has published, for whoever waits for a revision.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Repairs are in the audit at most this often; all are counted and logged.
const REPAIR_AUDITED_EVERY: Duration = Duration::from_secs(60);

/// Where revisions go.
#[derive(Debug)]
pub enum Sink {
    /// A file.
    Bundle(Box<bundle::BundleSink>),
    /// etcd.
    Etcd(Box<etcd::EtcdSink>),
}

impl Sink {
    async fn look(&mut self, doubt: bool) -> Result<Look, PublishError> {
        match self {
            Self::Bundle(sink) => sink.look(doubt).await,
            Self::Etcd(sink) => sink.look(doubt).await,
        }
    }

    async fn write(
        &mut self,
        whole: &Arc<Whole>,
        marker: &Marker,
        flags: Flags,
        look: &Look,
    ) -> Result<Wrote, PublishError> {
        match self {
            Self::Bundle(sink) => sink.write(whole, marker, flags, look).await,
            Self::Etcd(sink) => sink.write(whole, marker, flags, look).await,
        }
    }
}

/// What is published now.
#[derive(Debug)]
pub struct Look {
    found: Found,
    /// What this process wrote, when it is known to be there still, every document of it.
    in_place: Option<(Arc<Whole>, Head)>,
    /// Whether no other control plane can have written since this one did.
    led: bool,
    /// The head's modification revision in etcd.
    modified: i64,
}

/// What came of publishing.
#[derive(Debug)]
pub struct Wrote {
    written: bool,
    repair: Option<Repair>,
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The first keys that were not as they should have been.
    keys: Vec<String>,
    /// How many there were.
    total: usize,
}

/// What this process does among the control planes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Role {
    /// It does not know yet, or not any more: etcd does not answer.
    #[default]
    Seeking,
    /// It publishes.
    Leading,
    /// It waits until the leader is gone.
    Following {
        /// The leader's name.
        leader: String,
    },
}

/// Who publishes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// This process.
    Mine,
    /// Another one.
    Other {
        /// Its name.
        leader: String,
        /// What it has published.
        published: Option<Head>,
    },
}

impl Role {
    /// The role as text.
    pub fn label(&self) -> &'static str {
        match self {
            Role::Seeking => "seeking",
            Role::Leading => "leading",
            Role::Following { .. } => "following",
        }
    }
}

/// How publishing stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Who publishes.
    pub role: Role,
    /// What is published, as far as this process knows.
    pub published: Option<(Revision, ContentHash)>,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<String>,
    /// Whether the published head is not this database's: somebody must act.
    pub foreign: bool,
    /// How often the published configuration was repaired since the start.
    pub repairs: u64,
    /// The last repair, and when it happened.
    pub last_repair: Option<String>,
}

/// What publishing is asked to do beyond following the revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// The revision it is about; it means nothing for any other.
    pub revision: Revision,
    /// What is permitted.
    pub permits: Permits,
}

/// What has to be asked for, because it is more often an accident than meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permits {
    /// A lower revision than the published one.
    pub older: bool,
    /// Removing a large part of what nodes hold.
    pub large_removal: bool,
}

/// The task that publishes.
#[derive(Debug)]
pub struct Publisher {
    sink: Sink,
    desired: Arc<Desired>,
    /// Demands of operators.
    demands: watch::Receiver<Demand>,
    /// Changes whenever a node refuses what is published.
    doubts: watch::Receiver<u64>,
    status: watch::Sender<Status>,
    /// Where time comes from.
    now: fn() -> UnixSeconds,
    /// What was demanded and is not done yet.
    pending: Option<Demand>,
    /// Whether the published configuration is listed again.
    doubt: bool,
    /// The line of this database, as it was when the database last answered.
    lineage: Option<Lineage>,
    repair_audited: Option<Instant>,
}

/// What one round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// The current revision is published.
    Done,
    /// Another process publishes.
    Followed,
    /// It has to be tried again.
    Failed,
}

impl Publisher {
    /// Publishes to `sink` what is desired.
    pub fn new(
        sink: Sink,
        desired: Arc<Desired>,
        demands: watch::Receiver<Demand>,
        doubts: watch::Receiver<u64>,
        status: watch::Sender<Status>,
        now: fn() -> UnixSeconds,
    ) -> Self {
        let (pending, doubt, lineage, repair_audited) = (None, false, None, None);
        Self { sink, desired, demands, doubts, status, now, pending, doubt, lineage, repair_audited }
    }

    /// Publishes until `stop`; a revision being written is finished first, and a successor can lead at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wholes = self.desired.follow();
        let mut wait = RETRY_WAIT_MIN;
        while !*stop.borrow() {
            // What changes from here on comes in the next round, at once.
            wholes.mark_unchanged();
            if self.demands.has_changed().unwrap_or(false) {
                self.pending = Some(*self.demands.borrow_and_update());
            }
            if self.doubts.has_changed().unwrap_or(false) {
                self.doubts.mark_unchanged();
                self.doubt = true;
            }
            let round = self.round().await;
            let pause = match round {
                Round::Done => LEAD_EVERY,
                Round::Followed => jittered(FOLLOW_EVERY),
                Round::Failed => jittered(wait),
            };
            wait = if round == Round::Failed { (wait * 2).min(RETRY_WAIT_MAX) } else { RETRY_WAIT_MIN };
            tokio::select! {
                changed = wholes.changed() => if changed.is_err() { break },
                changed = self.demands.changed() => match changed {
                    // It is taken at the top of the next round.
                    Ok(()) => self.demands.mark_changed(),
                    Err(_) => break,
                },
                Ok(()) = self.doubts.changed() => self.doubts.mark_changed(),
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Sink::Etcd(sink) = &mut self.sink {
            sink.give_up().await;
        }
    }

    /// Leads or follows; as leader compares what is published with the current revision, and publishes where they differ.
    async fn round(&mut self) -> Round {
        let lead = match &mut self.sink {
            Sink::Bundle(_) => Ok(Lead::Mine),
            Sink::Etcd(sink) => sink.lead().await,
        };
        match lead {
            Ok(Lead::Mine) => {
                if self.status.borrow().role != Role::Leading && !self.starts_to_lead().await {
                    return Round::Failed;
                }
                match self.publish().await {
                    Ok(()) => Round::Done,
                    Err(error @ PublishError::Lost) => self.failed(&error, Role::Seeking),
                    Err(error) => self.failed(&error, Role::Leading),
                }
            }
            Ok(Lead::Other { leader, published }) => {
                // It is for the leader to do; the API has told so.
                self.pending = None;
                self.follows(leader, published).await
            }
            Err(error) => self.failed(&error, Role::Seeking),
        }
    }

    /// A new leader publishes what the database holds now, not what this process knew of it.
    async fn starts_to_lead(&mut self) -> bool {
        if let Err(error) = self.desired.refresh().await {
            tracing::error!(%error, "the current revision cannot be read, so it cannot be published");
            return false;
        }
        tracing::info!("this control plane publishes");
        let whole = self.desired.current();
        self.status.send_modify(|status| {
            status.role = Role::Leading;
            // What another database's control plane has published is not this one's revision.
            status.published.take_if(|(revision, hash)| *revision == whole.revision() && hash != whole.hash());
        });
        true
    }

    async fn publish(&mut self) -> Result<(), PublishError> {
        let whole = self.desired.current();
        if whole.revision() == Revision(0) {
            return Ok(());
        }
        let mut marker = Marker { keys: self.desired.keys().load(), lineage: self.lineage().await? };
        let demand = self.pending.unwrap_or_default();
        let permits = if demand.revision == whole.revision() { demand.permits } else { Permits::default() };
        let look = self.sink.look(self.doubt || self.pending.is_some()).await?;
        if look.in_place.as_ref().is_some_and(|(_, head)| marker.is_current(head, &whole)) && self.pending.is_none() {
            self.is_published(&whole, false);
            return Ok(());
        }
        let store = self.desired.store();
        let judged = match look.in_place {
            Some(_) => Ok(Verdict::Replaceable),
            None => origin::judge(&look.found, look.led, &marker.keys, store, &whole).await,
        };
        let (whole, verdict) = match (judged, &look.found) {
            (Err(error), Found::Head(head)) if error.is_foreign() && permits.older => {
                let (whole, lineage) = succession::succeed(&self.desired, head, &marker, (self.now)()).await?;
                (marker.lineage, self.lineage) = (lineage.clone(), Some(lineage));
                (whole, Verdict::Replaceable)
            }
            (judged, _) => (whole, judged?),
        };
        let flags = Flags { large_removal: permits.large_removal, older: permits.older };
        let Wrote { written, repair } = self.sink.write(&whole, &marker, flags, &look).await?;
        (self.pending, self.doubt) = (None, false);
        self.is_published(&whole, written);
        self.was_repaired(verdict, repair).await;
        Ok(())
    }

    /// The line of this database. While the database does not answer, the one it had: what is published can still be put
    /// right then.
    async fn lineage(&mut self) -> Result<Lineage, PublishError> {
        match self.desired.store().own_lineage().await {
            Ok(lineage) => {
                self.lineage = Some(lineage.clone());
                Ok(lineage)
            }
            Err(error) => self.lineage.clone().ok_or(PublishError::Database(error)),
        }
    }

    fn is_published(&self, whole: &Whole, written: bool) {
        if written {
            tracing::info!(revision = whole.revision().0, hash = whole.hash().as_str(), "revision published");
        }
        let published = Some((whole.revision(), whole.hash().clone()));
        self.status.send_if_modified(|status| {
            let (role, failures, error, foreign) = (Role::Leading, 0, None, false);
            let next = Status { role, published, failures, error, foreign, ..status.clone() };
            let differs = *status != next;
            *status = next;
            differs
        });
    }

    /// Tells, wherever somebody looks, that what was published was not as this process had left it.
    async fn was_repaired(&mut self, verdict: Verdict, repair: Option<Repair>) {
        let what = match (verdict, repair) {
            (Verdict::Replaceable, None) => return,
            (Verdict::Replaceable, Some(Repair { keys, total })) => {
                format!("{total} keys were changed, added or removed by somebody: {}", keys.join(", "))
            }
            (Verdict::Forged(why), _) => format!("the published head was not this platform's: {why}"),
        };
        tracing::error!(what, "the published configuration was changed outside the control plane and repaired");
        let at = (self.now)();
        self.status.send_modify(|status| {
            status.repairs = status.repairs.saturating_add(1);
            status.last_repair = Some(format!("{at}: {what}"));
        });
        if self.repair_audited.is_some_and(|last| last.elapsed() < REPAIR_AUDITED_EVERY) {
            return;
        }
        self.repair_audited = Some(Instant::now());
        let local = std::net::Ipv4Addr::LOCALHOST.into();
        let trail = Trail::new(at, local, REPAIR_ACTION.to_owned(), "published configuration".to_owned());
        if let Err(error) = self.desired.store().record(trail.done(&Value::Null, &json!({"what": what}), None)).await {
            tracing::warn!(%error, "the repair is not in the audit: the database does not answer");
        }
    }

    async fn follows(&mut self, leader: String, published: Option<Head>) -> Round {
        let error = match &published {
            Some(head) if self.is_foreign(head).await => {
                Some(PublishError::Foreign { leader: leader.clone(), revision: head.revision }.to_string())
            }
            Some(_) | None => None,
        };
        let published = published.map(|head| (head.revision, head.hash));
        let (role, foreign) = (Role::Following { leader }, error.is_some());
        self.status.send_if_modified(|before| {
            let status = Status { role, published, failures: 0, error, foreign, ..before.clone() };
            if before.role != status.role || before.error != status.error {
                let error = status.error.as_deref();
                tracing::info!(role = ?status.role, error, "another control plane publishes; this one is ready to");
            }
            let differs = *before != status;
            *before = status;
            differs
        });
        Round::Followed
    }

    /// Whether the leader publishes what this database does not know. What it has not heard of yet it cannot tell.
    async fn is_foreign(&self, head: &Head) -> bool {
        let whole = self.desired.current();
        if head.revision > whole.revision() || (head.revision == whole.revision() && head.hash == *whole.hash()) {
            return false;
        }
        let lineage = head.origin.as_ref().map(|origin| &origin.lineage);
        let published = Published { lineage, revision: head.revision, hash: &head.hash };
        matches!(self.desired.store().knows(published).await, Ok(false))
    }

    fn failed(&self, error: &PublishError, role: Role) -> Round {
        let text = with_causes(error);
        tracing::error!(revision = self.desired.current().revision().0, error = text, "revision not published yet");
        self.status.send_modify(|status| {
            status.role = role;
            status.failures += 1;
            status.error = Some(text);
            status.foreign = error.is_foreign();
        });
        Round::Failed
    }
}

/// Whether nodes would refuse the removal of so many documents unless it is announced. It was allowed when the revision
/// was made, or happened in steps; announcing earlier than nodes ask for it does no harm.
fn is_large_removal(removed: usize, of: usize) -> bool {
    removed > 0 && removed.saturating_mul(2) >= of
}

/// Half to all of `wait`, so that several control planes and nodes do not come back at one instant.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the wait is the longest, which is also right.
    let share = if getrandom::fill(&mut random).is_ok() { u16::from_be_bytes(random) } else { u16::MAX };
    wait / 2 + wait.mul_f64(f64::from(share) / f64::from(u16::MAX) / 2.0)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

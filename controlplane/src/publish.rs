//! The current revision goes to etcd or to a bundle file: at least once, in order, and again at every start.
//!
//! A revision exists when the database holds it; publishing follows and is tried again for ever, with jittered
//! back-off. Revision 0 is never published: a control plane that starts with an empty database must not empty nodes.
//!
//! Of several control planes at one etcd one leads and publishes ([`leadership`]); the others watch what it publishes
//! and take over when it is gone.

use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use tokio::sync::watch;

use crate::desired::{Desired, Whole};

pub mod bundle;
pub mod etcd;
mod leadership;

/// The first wait after a failure; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two attempts: what an operator waits at most once etcd is back.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a leader renews its lead, and a follower looks whether there is one: three times in a lease's life.
const LEAD_EVERY: Duration = Duration::from_secs(1);
/// How often a follower looks at what the leader has published, for whoever waits for a revision.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Where revisions go.
#[derive(Debug)]
pub enum Sink {
    /// A file.
    Bundle(bundle::BundleSink),
    /// etcd.
    Etcd(Box<etcd::EtcdSink>),
}

/// Why a revision is not published. All but [`PublishError::Older`] pass by themselves.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file cannot be written.
    #[error("cannot write the bundle `{path}`; check that its directory exists and has room")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// etcd does not do what it was asked.
    #[error("etcd does not answer as it should ({0}); check that it runs and that its endpoints are right")]
    Etcd(String),
    /// A certificate, key or password that was good at the start is not any more.
    #[error(transparent)]
    Unusable(#[from] lgsp_etcd::UnusableFile),
    /// The lead was taken over, or could not be kept.
    #[error("the lead among control planes was lost; it is sought again")]
    Lost,
    /// The leader has another database.
    #[error(
        "revision {revision} is published by `{leader}` with other content: that control plane has another database; \
         stop one of them, or give each its own etcd"
    )]
    Foreign {
        /// Who publishes.
        leader: String,
        /// Which revision.
        revision: Revision,
    },
    /// The place holds a later revision.
    #[error(
        "revision {found} is published, and this database is only at {current}: it was restored from an older backup, or \
         another control plane publishes here; to go back on purpose use `lgspctl publish --allow-older`"
    )]
    Older {
        /// What is published.
        found: Revision,
        /// What would be.
        current: Revision,
    },
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
        published: Option<(Revision, ContentHash)>,
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
    /// Where to.
    pub sink: Sink,
    /// The revisions.
    pub desired: Arc<Desired>,
    /// Demands of operators.
    pub demands: watch::Receiver<Demand>,
    /// How it stands.
    pub status: watch::Sender<Status>,
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
    /// Publishes until `stop`; a revision being written is finished first, and a successor can lead at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wholes = self.desired.follow();
        let (mut wait, mut done) = (RETRY_WAIT_MIN, None);
        while !*stop.borrow() {
            // What changes from here on comes in the next round, at once.
            wholes.mark_unchanged();
            let demand = *self.demands.borrow_and_update();
            let round = self.round(demand, &mut done).await;
            let pause = match round {
                Round::Done => LEAD_EVERY,
                Round::Followed => jittered(FOLLOW_EVERY),
                Round::Failed => jittered(wait),
            };
            wait = if round == Round::Failed { (wait * 2).min(RETRY_WAIT_MAX) } else { RETRY_WAIT_MIN };
            tokio::select! {
                changed = wholes.changed() => if changed.is_err() { break },
                changed = self.demands.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Sink::Etcd(sink) = &mut self.sink {
            sink.give_up().await;
        }
    }

    /// Leads or follows, and publishes the current revision when leading and it was not `done` before.
    async fn round(&mut self, demand: Demand, done: &mut Option<(Arc<Whole>, Demand)>) -> Round {
        let lead = match &mut self.sink {
            Sink::Bundle(_) => Ok(Lead::Mine),
            Sink::Etcd(sink) => sink.lead().await,
        };
        match lead {
            Ok(Lead::Mine) => {
                if self.status.borrow().role != Role::Leading && !self.starts_to_lead().await {
                    return Round::Failed;
                }
                let whole = self.desired.current();
                if done.as_ref().is_some_and(|(same, asked)| Arc::ptr_eq(same, &whole) && *asked == demand) {
                    return Round::Done;
                }
                let round = self.publish(&whole, demand).await;
                *done = (round == Round::Done).then_some((whole, demand));
                round
            }
            Ok(Lead::Other { leader, published }) => {
                *done = None;
                self.follows(leader, published)
            }
            Err(error) => {
                *done = None;
                self.failed(&error, Role::Seeking)
            }
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

    async fn publish(&mut self, whole: &Arc<Whole>, demand: Demand) -> Round {
        if whole.revision() == Revision(0) {
            return Round::Done;
        }
        let permits = if demand.revision == whole.revision() { demand.permits } else { Permits::default() };
        let result = match &mut self.sink {
            Sink::Bundle(sink) => sink.publish(whole, permits).await,
            Sink::Etcd(sink) => sink.publish(whole, permits).await,
        };
        match result {
            Ok(()) => {
                tracing::info!(revision = whole.revision().0, hash = whole.hash().as_str(), "revision published");
                let published = Some((whole.revision(), whole.hash().clone()));
                self.status.send_replace(Status { role: Role::Leading, published, failures: 0, error: None });
                Round::Done
            }
            Err(error @ PublishError::Lost) => self.failed(&error, Role::Seeking),
            Err(error) => self.failed(&error, Role::Leading),
        }
    }

    fn follows(&self, leader: String, published: Option<(Revision, ContentHash)>) -> Round {
        let whole = self.desired.current();
        let foreign =
            published.as_ref().filter(|(revision, hash)| *revision == whole.revision() && hash != whole.hash());
        let error = foreign.map(|(revision, _)| PublishError::Foreign { leader: leader.clone(), revision: *revision });
        let error = error.map(|error| error.to_string());
        let status = Status { role: Role::Following { leader }, published, failures: 0, error };
        self.status.send_if_modified(|before| {
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

    fn failed(&self, error: &PublishError, role: Role) -> Round {
        let text = with_causes(error);
        tracing::error!(revision = self.desired.current().revision().0, error = text, "revision not published yet");
        self.status.send_modify(|status| {
            status.role = role;
            status.failures += 1;
            status.error = Some(text);
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

//! The current revision goes to etcd or to a bundle file: at least once, in order, and again at every start.
//!
//! A revision exists when the database holds it; publishing follows and is tried again for ever, with jittered
//! back-off. Revision 0 is never published: a control plane that starts with an empty database must not empty nodes.

use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use tokio::sync::watch;

use crate::desired::Whole;

pub mod bundle;
pub mod etcd;

/// The first wait after a failure; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two attempts: what an operator waits at most once etcd is back.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

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
    /// Another control plane is publishing.
    #[error("another control plane is publishing to this etcd; only one may")]
    Taken,
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

/// How publishing stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
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
    pub wholes: watch::Receiver<Arc<Whole>>,
    /// Demands of operators.
    pub demands: watch::Receiver<Demand>,
    /// How it stands.
    pub status: watch::Sender<Status>,
}

impl Publisher {
    /// Publishes until `stop`; a revision being written is finished first.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wait = RETRY_WAIT_MIN;
        while !*stop.borrow() {
            let whole = self.wholes.borrow_and_update().clone();
            let demand = *self.demands.borrow_and_update();
            let done = self.attempt(&whole, demand).await;
            if done {
                wait = RETRY_WAIT_MIN;
            }
            let pause = async {
                if done {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(jittered(wait)).await;
            };
            tokio::select! {
                changed = self.wholes.changed() => if changed.is_err() { return },
                changed = self.demands.changed() => if changed.is_err() { return },
                () = pause => wait = (wait * 2).min(RETRY_WAIT_MAX),
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn attempt(&mut self, whole: &Whole, demand: Demand) -> bool {
        if whole.revision() == Revision(0) {
            return true;
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
                self.status.send_replace(Status { published, failures: 0, error: None });
                true
            }
            Err(error) => {
                let text = with_causes(&error);
                tracing::error!(revision = whole.revision().0, error = text, "revision not published yet");
                self.status.send_modify(|status| {
                    status.failures += 1;
                    status.error = Some(text);
                });
                false
            }
        }
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

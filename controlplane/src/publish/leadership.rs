//! Which of several control planes publishes: the one whose name is in etcd under a lease that it keeps alive.
//!
//! Every transaction of the leader compares the key's creation, so a leader that was paused for longer than its lease
//! cannot write into its successor's revision.

use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn, TxnOp};

use super::PublishError;

/// Holds the leader's name; outside the prefix that nodes watch.
const LEADER_KEY: &str = "/lgsp/v1/publisher";
/// How long a successor waits at most when the leader is killed.
const LEASE_SECS: i64 = 5;
/// A lease older than this is renewed: three attempts fit into its life.
const RENEWED_AFTER: Duration = Duration::from_millis(1_200);
/// An answer that takes longer is none.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// The longest name shown; whoever can write to etcd wrote it.
const NAME_CHARS_MAX: usize = 100;

/// The right to publish, while its lease lives.
pub struct Leadership {
    created: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
    renewed: Instant,
}

/// Whose turn it is.
pub enum Turn {
    /// This process leads.
    Mine(Box<Leadership>),
    /// The process of this name leads.
    Other(String),
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leadership").field("created", &self.created).finish_non_exhaustive()
    }
}

impl Leadership {
    /// Takes the lead as `name` unless somebody has it.
    pub async fn seek(client: &mut Client, name: &str) -> Result<Turn, PublishError> {
        if let Some(leader) = leader(client).await? {
            return Ok(Turn::Other(leader));
        }
        let lease = client.lease_grant(LEASE_SECS, None).await?.id();
        let granted = Instant::now();
        let put = TxnOp::put(LEADER_KEY, name, Some(PutOptions::new().with_lease(lease)));
        let free = Compare::create_revision(LEADER_KEY, CompareOp::Equal, 0);
        let response = client.txn(Txn::new().when([free]).and_then([put])).await?;
        if !response.succeeded() {
            client.lease_revoke(lease).await?;
            return Ok(Turn::Other(leader(client).await?.unwrap_or_default()));
        }
        let created = response.header().map_or(0, |header| header.revision());
        let (keeper, answers) = client.lease_keep_alive(lease).await?;
        Ok(Turn::Mine(Box::new(Self { created, keeper, answers, renewed: granted })))
    }

    /// Renews the lease when it is time; an error means that the lead is lost.
    pub async fn keep(&mut self) -> Result<(), PublishError> {
        if self.renewed.elapsed() < RENEWED_AFTER {
            return Ok(());
        }
        let asked = Instant::now();
        let answer = async {
            self.keeper.keep_alive().await?;
            self.answers.message().await
        };
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(Some(lease))) if lease.ttl() > 0 => {
                self.renewed = asked;
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_)) | Err(_) => Err(PublishError::Lost),
        }
    }

    /// What every transaction compares.
    pub fn is_mine(&self) -> Compare {
        Compare::create_revision(LEADER_KEY, CompareOp::Equal, self.created)
    }

    /// Lets a successor take the lead at once.
    pub async fn give_up(self, client: &mut Client) {
        // A lease that cannot be given back ends by itself.
        if let Err(error) = client.lease_revoke(self.keeper.id()).await {
            tracing::debug!(%error, "the leader's lease is left to expire");
        }
    }
}

async fn leader(client: &mut Client) -> Result<Option<String>, PublishError> {
    let response = client.get(LEADER_KEY, None).await?;
    let name = |entry: &etcd_client::KeyValue| {
        String::from_utf8_lossy(entry.value()).chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect()
    };
    Ok(response.kvs().first().map(name))
}

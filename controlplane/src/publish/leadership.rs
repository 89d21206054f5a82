//! Which of several control planes publishes: the one whose name is in etcd under a lease that it keeps alive.
//!
//! A task of its own renews the lease, so that a publication may take as long as it takes: nothing it waits for delays the
//! renewal. Every transaction of the leader compares the key's creation, so a leader that was paused for longer than its
//! lease cannot write into its successor's revision.

use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::PublishError;

/// Holds the leader's name; outside the prefix that nodes watch.
const LEADER_KEY: &str = "/lgsp/v1/publisher";
/// How long a successor waits at most when the leader is killed.
const LEASE_SECS: i64 = 5;
const LEASE: Duration = Duration::from_secs(5);
/// How often the lease is renewed: four attempts fit into its life.
const RENEW_EVERY: Duration = Duration::from_millis(1_200);
/// An answer that takes longer is none.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// The longest name shown; whoever can write to etcd wrote it.
const NAME_CHARS_MAX: usize = 100;

/// The right to publish, while its lease lives.
pub struct Leadership {
    created: i64,
    lease: i64,
    /// When the last renewal that succeeded was asked for; absent once etcd says that the lease has ended.
    renewed: watch::Receiver<Option<Instant>>,
    /// Renews until this is dropped.
    _renewal: JoinSet<()>,
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
        let granted = Instant::now();
        let lease = client.lease_grant(LEASE_SECS, None).await?.id();
        let put = TxnOp::put(LEADER_KEY, name, Some(PutOptions::new().with_lease(lease)));
        let free = Compare::create_revision(LEADER_KEY, CompareOp::Equal, 0);
        let response = client.txn(Txn::new().when([free]).and_then([put])).await?;
        if !response.succeeded() {
            client.lease_revoke(lease).await?;
            return Ok(Turn::Other(leader(client).await?.unwrap_or_default()));
        }
        let created = response.header().map_or(0, |header| header.revision());
        let (told, renewed) = watch::channel(Some(granted));
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(client.clone(), lease, told));
        Ok(Turn::Mine(Box::new(Self { created, lease, renewed, _renewal: renewal })))
    }

    /// Whether the lease lives, as far as this process knows; an error means that the lead is lost.
    pub fn is_held(&self) -> Result<(), PublishError> {
        if lives(*self.renewed.borrow()) { Ok(()) } else { Err(PublishError::Lost) }
    }

    /// What every transaction compares.
    pub fn is_mine(&self) -> Compare {
        Compare::create_revision(LEADER_KEY, CompareOp::Equal, self.created)
    }

    /// Lets a successor take the lead at once.
    pub async fn give_up(self, client: &mut Client) {
        // A lease that cannot be given back ends by itself.
        if let Err(error) = client.lease_revoke(self.lease).await {
            tracing::debug!(%error, "the leader's lease is left to expire");
        }
    }
}

fn lives(renewed: Option<Instant>) -> bool {
    renewed.is_some_and(|renewed| renewed.elapsed() < LEASE)
}

/// Renews the lease for as long as it lives. A stream that fails is opened again: one lost answer does not lose the lead.
async fn renew(mut client: Client, lease: i64, renewed: watch::Sender<Option<Instant>>) {
    while lives(*renewed.borrow()) {
        if let Err(error) = renew_on_one_stream(&mut client, lease, &renewed).await {
            tracing::debug!(%error, "the leader's lease was not renewed; it is tried again");
        }
        tokio::time::sleep(RENEW_EVERY / 4).await;
    }
}

async fn renew_on_one_stream(
    client: &mut Client,
    lease: i64,
    renewed: &watch::Sender<Option<Instant>>,
) -> Result<(), PublishError> {
    let opened = tokio::time::timeout(ANSWER_WAIT, client.lease_keep_alive(lease)).await;
    let (mut keeper, mut answers) = opened.map_err(|_| PublishError::Lost)??;
    loop {
        let asked = Instant::now();
        let answer = async {
            keeper.keep_alive().await?;
            answers.message().await
        };
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(Some(lease))) if lease.ttl() > 0 => {
                renewed.send_replace(Some(asked));
            }
            Ok(Ok(Some(_))) => {
                renewed.send_replace(None);
                return Err(PublishError::Lost);
            }
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(None)) | Err(_) => return Err(PublishError::Lost),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn leader(client: &mut Client) -> Result<Option<String>, PublishError> {
    let response = client.get(LEADER_KEY, None).await?;
    let name = |entry: &etcd_client::KeyValue| {
        String::from_utf8_lossy(entry.value()).chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect()
    };
    Ok(response.kvs().first().map(name))
}

#[cfg(test)]
mod tests {
    use lgsp_testkit::etcd::Etcd;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn the_lease_is_renewed_whatever_the_leader_does_and_its_end_is_noticed_at_once() {
        let etcd = Etcd::start().await.unwrap();
        let mut client = etcd.client().await.unwrap();
        let Turn::Mine(mut lead) = Leadership::seek(&mut client, "one").await.unwrap() else { panic!("nobody leads") };
        for _ in 0..2 {
            tokio::time::timeout(DEADLINE, lead.renewed.changed()).await.expect("it is renewed").unwrap();
            lead.is_held().unwrap();
        }
        let Turn::Other(leader) = Leadership::seek(&mut client, "two").await.unwrap() else { panic!("one leads") };
        assert_eq!(leader, "one");
        client.lease_revoke(lead.lease).await.unwrap();
        let ended = async {
            while lead.is_held().is_ok() {
                lead.renewed.changed().await.unwrap()
            }
        };
        tokio::time::timeout(DEADLINE, ended).await.expect("its end is noticed");
    }
}

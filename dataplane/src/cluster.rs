//! Several nodes, one memory: a nonce is good once in the whole cluster.
//!
//! Every nonce has one owner, chosen from the live nodes by rendezvous hashing; a node that is not the owner asks it, over
//! a mutually authenticated connection, after its own decision and before anything is forwarded. With one node, or when
//! this node is the owner, nobody is asked. What happens when the owner cannot be reached in time is the route's policy.
//!
//! **When nodes come and go.** For as long as a request could have been accepted under an earlier list of nodes, its owner
//! in that list is asked too, if it is still there. If it is gone, what it remembered is lost: requests signed before this
//! was noticed get the policy for unreachable owners, so that `refuse` lets none of them through twice. The same holds
//! for lists that were forgotten because they changed too often, and for everything signed before this process began: it
//! does not know the lists of before, and what it owned then is lost.
//!
//! A request signed by a clock more than [`CLOCK_SLACK_SECS`] ahead is asked of every node, so that it is remembered
//! wherever it may be sent once the owner is gone. What remains is such a request after every node that knew it was
//! restarted and sent to another than the one that took it (that one has a mark of it on disk). And of copies that reach
//! several nodes at one moment while lists change, none may pass: each of the owners may have taken its own first.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lgsp_shared::id::NodeId;
use lgsp_shared::keyspace::Internal;
use lgsp_shared::refusal::Code;
use lgsp_shared::resource::OwnerUnreachable;
use lgsp_shared::timestamp::UnixSeconds;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::admission::{NonceQuestion, Seen};
use crate::clock::Now;
use crate::record::Metrics;

mod answer;
mod members;
mod peer;
mod tls;
mod wire;

pub use answer::{Answering, answer};
pub use members::CLOCK_SLACK_SECS;
use members::{Member, Owners, Views};
use peer::Ask;
pub use tls::{ClusterTls, TlsError};
pub use wire::{answer_byte, read_answer};

/// Questions waiting for one peer's connection; beyond them the peer counts as unreachable. About 100 bytes each.
const WAITING_MAX: usize = 4_096;

/// What a cluster is made of besides its members.
#[derive(Debug)]
pub struct ClusterSettings {
    /// This node.
    pub node: NodeId,
    /// Tells this process from an earlier one of the same name, whose memory is gone.
    pub incarnation: u64,
    /// How long an owner may take to answer.
    pub ask_deadline: Duration,
    /// Certificates of this node and what its peers' must be signed by.
    pub tls: ClusterTls,
}

/// What is doubtful of a request before anyone is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubt {
    /// It may have been taken here before this process began.
    pub unknown: bool,
    /// Its source's clock is so far ahead that every node has to remember it.
    pub everyone: bool,
}

/// The nodes as this one knows them, and the connections to them.
pub struct Cluster {
    settings: ClusterSettings,
    views: ArcSwap<Views>,
    counts: Counts,
}

/// How questions ended.
struct Counts {
    first: IntCounter,
    again: IntCounter,
    refused: IntCounter,
    accepted: IntCounter,
    nodes: IntGauge,
    connections: IntGauge,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("node", &self.settings.node).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster of which only this node is known. Until [`Self::follow`] has heard of the others, no owner is known and
    /// the policy for unreachable ones applies.
    pub fn new(settings: ClusterSettings, metrics: &Metrics) -> Arc<Self> {
        let count = |outcome| metrics.replay_questions.with_label_values(&[outcome]);
        let counts = Counts {
            first: count("first"),
            again: count("again"),
            refused: count("unreachable-refused"),
            accepted: count("unreachable-accepted"),
            nodes: metrics.cluster_nodes.clone(),
            connections: metrics.cluster_connections.clone(),
        };
        Arc::new(Self { settings, views: ArcSwap::from_pointee(Views::unknown()), counts })
    }

    /// Whether the nonce in question was seen nowhere else. Returns at once when no other node has to be asked.
    ///
    /// # Errors
    /// The code to refuse with.
    pub async fn first_use(
        &self,
        question: &NonceQuestion,
        doubt: Doubt,
        unreachable: OwnerUnreachable,
    ) -> Result<(), Code> {
        let (mut answers, mut missing) = self.ask(question, doubt.everyone);
        if answers.is_empty() && !missing && !doubt.unknown {
            return Ok(());
        }
        let deadline = Instant::now() + self.settings.ask_deadline;
        for answer in &mut answers {
            match timeout_at(deadline, answer).await {
                Ok(Ok(Seen::First)) => {}
                Ok(Ok(Seen::Again)) => {
                    self.counts.again.inc();
                    return Err(Code::Replayed);
                }
                Ok(Ok(Seen::NoRoom | Seen::OverShare)) => return Err(Code::ReplayWindowFull),
                Ok(Err(_)) | Err(_) => missing = true,
            }
        }
        match (missing || doubt.unknown, unreachable) {
            (false, _) => self.counts.first.inc(),
            (true, OwnerUnreachable::AcceptLocal) => self.counts.accepted.inc(),
            (true, OwnerUnreachable::Refuse) => {
                self.counts.refused.inc();
                return Err(if missing { Code::ReplayOwnerUnreachable } else { Code::ReplayUnknown });
            }
        }
        Ok(())
    }

    /// Puts the question to every owner elsewhere, or to every node. The second value is whether one of them cannot be
    /// asked.
    fn ask(&self, question: &NonceQuestion, everyone: bool) -> (Vec<oneshot::Receiver<Seen>>, bool) {
        let views = self.views.load();
        let Owners { elsewhere, mut missing } = views.owners(question, everyone);
        let mut answers = Vec::with_capacity(elsewhere.len());
        for owner in elsewhere {
            let (reply, answer) = oneshot::channel();
            let asked = owner.asks().is_some_and(|asks| asks.try_send(Ask { question: *question, reply }).is_ok());
            missing |= !asked;
            answers.push(answer);
        }
        (answers, missing)
    }

    /// Takes a new list of nodes, and keeps a connection to each of them. Tasks end when their node is forgotten.
    pub fn follow(&self, nodes: &[(NodeId, Internal)], now: UnixSeconds, peers: &mut tokio::task::JoinSet<()>) {
        while peers.try_join_next().is_some() {}
        let before = self.views.load_full();
        let mut member = |(node, internal): &(NodeId, Internal)| {
            if let Some(known) = before.known(node, internal.incarnation) {
                return known;
            }
            if *node == self.settings.node {
                return Arc::new(Member::new(node.clone(), internal.incarnation, None));
            }
            let (asks, asked) = mpsc::channel(WAITING_MAX);
            let target = peer::Target { node: node.clone(), internal: *internal };
            let (tls, connections) = (self.settings.tls.clone(), self.counts.connections.clone());
            peers.spawn(peer::keep_asking(target, tls, connections, asked));
            Arc::new(Member::new(node.clone(), internal.incarnation, Some(asks)))
        };
        // This node is one of them whatever the list says: its own entry may not have arrived yet.
        let others = nodes.iter().filter(|(node, _)| *node != self.settings.node);
        let me = (
            self.settings.node.clone(),
            Internal { address: ([0, 0, 0, 0], 0).into(), incarnation: self.settings.incarnation },
        );
        let members = others.chain(std::iter::once(&me)).map(&mut member).collect();
        if let Some(views) = before.replaced_by(members, &self.settings.node, now) {
            tracing::info!(nodes = views.count(), "the list of nodes changed");
            self.counts.nodes.set(i64::try_from(views.count()).unwrap_or(i64::MAX));
            self.views.store(Arc::new(views));
        }
    }

    /// The tasks of this cluster: follows `nodes` until it is dropped or `stop` ends.
    pub async fn run(
        &self,
        mut nodes: tokio::sync::watch::Receiver<Option<Vec<(NodeId, Internal)>>>,
        stop: impl Future<Output = ()>,
    ) {
        let mut peers = tokio::task::JoinSet::new();
        let follow = async {
            loop {
                let known = nodes.borrow_and_update().clone();
                if let Some(known) = known {
                    self.follow(&known, Now::read().unix, &mut peers);
                }
                if nodes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = stop => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! How far a revision has come: whether it is published, and which of the nodes that report serve it.
//!
//! Every operator may ask, because every operator may want to know that what was taken away is refused everywhere.
//! Names of nodes are for those who may see nodes; the others get numbers.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::Path;
use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::NodeStatus;
use lgsp_shared::resource::ResourceKey;
use serde::Serialize;
use utoipa::ToSchema;

use super::Rooms;
use super::body::revision;
use super::needs::Needs;
use super::problem::{Problem, ProblemBody};
use super::revisions::find;
use crate::operator::{Right, right};
use crate::rollout::Standing;
use crate::runtime::now;

/// Where a revision has arrived.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Arrival {
    /// Its number.
    revision: u64,
    /// Whether it, or a later one, is published.
    published: bool,
    /// Why the last attempt to publish failed; only for those who may see nodes.
    error: Option<String>,
    /// How many nodes report.
    nodes: usize,
    /// How many of these serve it, or a later revision of this database.
    serving: usize,
    /// How many of those that serve it could not use all of it.
    degraded: usize,
    /// How many have refused it.
    rejected: usize,
    /// How many nodes no longer report. One that still runs may serve an earlier revision.
    silent: usize,
    /// Nodes that report and do not serve it, and nodes that no longer report; only for those who may see nodes.
    missing: Vec<MissingNode>,
    /// `Kind/name` of documents that a node which serves it could not use: it may go on with what it had before.
    unusable: BTreeSet<String>,
}

/// A node that is not known to serve the revision.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingNode {
    /// Its name.
    node: String,
    /// `pending`, `rejected` or `stale`, against the current revision.
    state: &'static str,
    /// The revision it serves, or served when it last reported.
    active: Option<u64>,
}

/// Whether a revision is published, and how many nodes serve it or a later one.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/arrival", params(("revision" = u64, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "How far it has come", body = Arrival),
        (status = 404, description = "There is no such revision", body = ProblemBody),
        (status = 503, description = "The nodes' reports cannot be read", body = ProblemBody),
    )
)]
pub async fn arrival(needs: Needs<right::Look>, Path(number): Path<String>) -> Result<Json<Arrival>, Problem> {
    let number = find(&needs, revision(&number)?).await?.number;
    let named = needs.operator().may(Right::Watch);
    let status = needs.published.borrow().clone();
    let mut arrival = Arrival {
        revision: number.0,
        published: status.published.is_some_and(|(published, _)| published >= number),
        error: status.error.filter(|_| named),
        ..Arrival::default()
    };
    let current = needs.desired.current();
    let reports = needs.rollout.nodes(&current, now()).await?;
    let hashes = hashes(&needs, number, &reports).await?;
    let sight = needs.sight(&current);
    let is_seen = |document: &str| {
        let seen = |key| current.get(&key).is_some_and(|document| sight.sees(document));
        sight.is_whole() || ResourceKey::parse(document).is_some_and(seen)
    };
    for (node, standing) in &reports {
        let serves = match standing {
            Standing::Synced | Standing::Degraded => current.revision() >= number,
            Standing::Pending | Standing::Rejected | Standing::Stale => false,
        } || node.active.is_some_and(|active| hashes.get(&active) == node.hash.as_ref());
        arrival.count(node, *standing, serves, named);
        if serves && *standing == Standing::Degraded {
            let documents = node.errors.iter().map(|error| error.document.as_str());
            arrival.unusable.extend(documents.filter(|document| is_seen(document)).map(str::to_owned));
        }
    }
    Ok(Json(arrival))
}

/// The hashes of the revisions from `number` on that nodes say they serve: a node may be a step behind the current
/// revision, and a number alone does not say that it serves a revision of this database.
async fn hashes(
    rooms: &Rooms,
    number: Revision,
    reports: &[(NodeStatus, Standing)],
) -> Result<BTreeMap<Revision, ContentHash>, Problem> {
    let mut hashes = BTreeMap::new();
    for active in reports.iter().filter_map(|(node, _)| node.active).filter(|active| *active >= number) {
        if !hashes.contains_key(&active)
            && let Some(row) = rooms.desired.store().revision(active).await?
        {
            hashes.insert(active, row.hash);
        }
    }
    Ok(hashes)
}

impl Arrival {
    fn count(&mut self, node: &NodeStatus, standing: Standing, serves: bool, named: bool) {
        match standing {
            Standing::Stale => self.silent += 1,
            Standing::Synced | Standing::Degraded | Standing::Pending | Standing::Rejected => {
                self.nodes += 1;
                self.serving += usize::from(serves);
                self.degraded += usize::from(serves && standing == Standing::Degraded);
                self.rejected += usize::from(!serves && standing == Standing::Rejected);
            }
        }
        if named && (!serves || standing == Standing::Stale) {
            let active = node.active.map(|active| active.0);
            self.missing.push(MissingNode { node: node.node.to_string(), state: standing.label(), active });
        }
    }
}

#[cfg(test)]
mod tests {
    use lgsp_shared::keyspace::NodeState;
    use lgsp_shared::timestamp::UnixSeconds;

    use super::*;

    fn node(name: &str, active: Option<u64>) -> NodeStatus {
        NodeStatus {
            node: name.parse().unwrap(),
            state: NodeState::Applied,
            desired: None,
            active: active.map(Revision),
            hash: None,
            errors: Vec::new(),
            errors_total: 0,
            since: UnixSeconds(1),
            reported_at: UnixSeconds(1),
            version: "0.1.0".into(),
            admin: None,
            key_ids: Vec::new(),
            shadow: Vec::new(),
            notices: Vec::new(),
        }
    }

    #[test]
    fn nodes_are_counted_for_everybody_and_named_for_those_who_may_see_them() {
        let mut arrival = Arrival::default();
        for named in [false, true] {
            arrival = Arrival::default();
            arrival.count(&node("serves", Some(7)), Standing::Synced, true, named);
            arrival.count(&node("lacks", Some(7)), Standing::Degraded, true, named);
            arrival.count(&node("late", Some(6)), Standing::Pending, false, named);
            arrival.count(&node("refuses", Some(6)), Standing::Rejected, false, named);
            arrival.count(&node("gone", Some(6)), Standing::Stale, false, named);
            let counts = (arrival.nodes, arrival.serving, arrival.degraded, arrival.rejected, arrival.silent);
            assert_eq!(counts, (4, 2, 1, 1, 1));
            assert_eq!(arrival.missing.len(), if named { 3 } else { 0 });
        }
        let named: Vec<_> = arrival.missing.iter().map(|one| (one.node.as_str(), one.state, one.active)).collect();
        let expected = [("late", "pending", Some(6)), ("refuses", "rejected", Some(6)), ("gone", "stale", Some(6))];
        assert_eq!(named, expected);
    }
}

//! Where the current revision is: publishing, and the nodes.

use axum::Json;
use lgsp_shared::keyspace::{NodeStatus, ShadowCount, StatusError};
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rooms;
use super::body::Body;
use super::needs::Needs;
use super::problem::{Code, Finding, Problem, ProblemBody};
use crate::operator::right;
use crate::publish::{Demand, Permits, Role, Status};
use crate::rollout::Standing;
use crate::runtime::now;

/// The nodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeList {
    /// The current revision.
    revision: u64,
    /// Its hash.
    hash: String,
    /// By name.
    nodes: Vec<NodeBody>,
}

/// One node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeBody {
    /// Its name.
    node: String,
    /// `synced`, `degraded`, `pending`, `rejected` or `stale`, against the current revision.
    state: &'static str,
    /// The revision it serves.
    active: Option<u64>,
    /// The revision it was told to serve.
    desired: Option<u64>,
    /// The hash of the revision it serves.
    hash: Option<String>,
    /// What it could not use; the first of them.
    errors: Vec<Finding>,
    /// How many there are in all.
    errors_total: u64,
    /// When its state last changed.
    since: String,
    /// How many seconds ago that was, by this control plane's clock.
    age_secs: u64,
    /// When it last reported.
    reported_at: String,
    /// Its software version.
    version: String,
    /// Where its admin listener is, if others may ask it there.
    admin: Option<String>,
    /// The names of the key-encryption keys it holds, the sealing one first.
    key_ids: Vec<String>,
    /// What was counted for permissions that are tried.
    shadow: Vec<ShadowBody>,
    /// Security notices, such as configuration accepted without a proof of origin.
    notices: Vec<String>,
}

/// What one node counted for a permission that is tried.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShadowBody {
    /// The permission.
    permission: String,
    /// `shadow` or `retiring`.
    mode: String,
    /// Requests since the node started, or since the permission has this mode.
    requests: u64,
}

impl From<ShadowCount> for ShadowBody {
    fn from(ShadowCount { permission, mode, requests }: ShadowCount) -> Self {
        Self { permission: permission.to_string(), mode, requests }
    }
}

impl NodeBody {
    fn new((status, standing): (NodeStatus, Standing), now: UnixSeconds) -> Self {
        let NodeStatus {
            node,
            state: _,
            desired,
            active,
            hash,
            errors,
            errors_total,
            since,
            reported_at,
            version,
            admin,
            key_ids,
            shadow,
            notices,
        } = status;
        let finding = |StatusError { document, path, message }| Finding { document, path, message };
        Self {
            node: node.to_string(),
            state: standing.label(),
            active: active.map(|revision| revision.0),
            desired: desired.map(|revision| revision.0),
            hash: hash.map(|hash| hash.to_string()),
            errors: errors.into_iter().map(finding).collect(),
            errors_total,
            since: since.to_string(),
            age_secs: u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0),
            reported_at: reported_at.to_string(),
            version,
            admin: admin.map(|address| address.to_string()),
            key_ids: key_ids.iter().map(ToString::to_string).collect(),
            shadow: shadow.into_iter().map(ShadowBody::from).collect(),
            notices,
        }
    }
}

/// What every node serves, against what it should.
#[utoipa::path(
    get, path = "/v1/nodes", security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "All nodes that report", body = NodeList),
        (status = 503, description = "The reports cannot be read", body = ProblemBody),
    )
)]
pub async fn nodes(needs: Needs<right::Watch>) -> Result<Json<NodeList>, Problem> {
    let whole = needs.desired.current();
    let now = now();
    let nodes = needs.rollout.nodes(&whole, now).await?;
    let nodes = nodes.into_iter().map(|node| NodeBody::new(node, now)).collect();
    Ok(Json(NodeList { revision: whole.revision().0, hash: whole.hash().to_string(), nodes }))
}

/// How publishing stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishBody {
    /// The current revision.
    current: u64,
    /// What this control plane does among those at one etcd: `leading` (it publishes), `following`, or `seeking`.
    role: &'static str,
    /// Who publishes, when it is another one.
    leader: Option<String>,
    /// The revision that is published, as far as this process knows.
    published: Option<u64>,
    /// Its hash.
    hash: Option<String>,
    /// Attempts that failed since the last success.
    failures: u64,
    /// Why the last one failed.
    error: Option<String>,
    /// Whether the published configuration does not belong to this database; nothing is published until an operator decides.
    foreign: bool,
    /// How often the published configuration was changed outside the control plane and repaired, since this process started.
    repairs: u64,
    /// The last repair.
    last_repair: Option<String>,
    /// Security notices about this control plane.
    notices: Vec<String>,
}

/// Whether the current revision is published.
#[utoipa::path(
    get, path = "/v1/publish", security(("operator_token" = ["watch"])),
    responses((status = 200, description = "How publishing stands", body = PublishBody))
)]
pub async fn publish_status(needs: Needs<right::Watch>) -> Json<PublishBody> {
    Json(status(&needs))
}

fn status(rooms: &Rooms) -> PublishBody {
    let Status { role, published, failures, error, foreign, repairs, last_repair } = rooms.published.borrow().clone();
    let (published, hash) = published.map(|(revision, hash)| (revision.0, hash.to_string())).unzip();
    let (role, leader) = match role {
        Role::Following { ref leader } => (role.label(), Some(leader.clone())),
        Role::Leading | Role::Seeking => (role.label(), None),
    };
    PublishBody {
        current: rooms.desired.current().revision().0,
        role,
        leader,
        published,
        hash,
        failures,
        error,
        foreign,
        repairs,
        last_repair,
        notices: rooms.notices.clone(),
    }
}

/// What is permitted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishDemand {
    /// Take the place of what another database, or a later time of this one, has published: after a restore from a backup.
    /// The current content becomes a revision of a higher number.
    #[serde(default)]
    allow_older: bool,
    /// Tell nodes that removing a large part is meant: for nodes that missed the revision which did it.
    #[serde(default)]
    allow_large_removal: bool,
}

/// Publishes the current revision now, with what is permitted; look at `GET /v1/publish` for the outcome.
#[utoipa::path(
    post, path = "/v1/publish", request_body = PublishDemand, security(("operator_token" = ["publish"])),
    responses(
        (status = 202, description = "Asked for", body = PublishBody),
        (status = 409, description = "Another control plane publishes", body = ProblemBody),
    )
)]
pub async fn publish_again(
    needs: Needs<right::Publish>,
    Body(body): Body<PublishDemand>,
) -> Result<(axum::http::StatusCode, Json<PublishBody>), Problem> {
    if let Role::Following { leader } = &needs.published.borrow().role {
        let detail = format!("this control plane follows; `{leader}` publishes");
        return Err(Problem::new(Code::NotNow, detail, "Ask that one: `lgspctl --server …`."));
    }
    let PublishDemand { allow_older, allow_large_removal } = body;
    let permits = Permits { older: allow_older, large_removal: allow_large_removal };
    needs.trail().about(format!("allow_older: {allow_older}, allow_large_removal: {allow_large_removal}"));
    needs.demands.send_replace(Demand { revision: needs.desired.current().revision(), permits });
    Ok((axum::http::StatusCode::ACCEPTED, Json(status(&needs))))
}

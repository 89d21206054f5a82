//! Sealing everything anew, so that an older key-encryption key can go.

use axum::Json;
use lgsp_shared::seal::NONCE_BYTES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::changes::ChangeResult;
use super::needs::Needs;
use super::problem::{Code, Problem, ProblemBody};
use crate::desired::{ChangeError, Mode, Whole, reseal as anew};
use crate::operator::right;
use crate::rollout::Standing;
use crate::runtime::now;

/// Under which circumstances.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResealBody {
    /// Also while a node does not hold the key, or does not report: it goes on with the secrets it has.
    #[serde(default)]
    force: bool,
    /// Why, for the history.
    #[serde(default)]
    message: String,
}

/// The outcome of resealing.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResealResult {
    /// The change.
    #[serde(flatten)]
    change: ChangeResult,
    /// The name of the key that everything is sealed under now.
    key: String,
    /// Second factors that were resealed.
    factors: usize,
}

/// Seals every secret under the first key of the key file: credentials as a new revision, and second factors. Refused while a node lacks that key.
#[utoipa::path(
    post, path = "/v1/reseal", request_body = ResealBody, security(("operator_token" = ["reseal"])),
    responses(
        (status = 200, description = "Done, or nothing to do", body = ResealResult),
        (status = 409, description = "A node does not hold the key yet", body = ProblemBody),
        (status = 503, description = "The nodes' reports cannot be read", body = ProblemBody),
    )
)]
pub async fn reseal(needs: Needs<right::Reseal>, Body(body): Body<ResealBody>) -> Result<Json<ResealResult>, Problem> {
    let ResealBody { force, message } = body;
    // As the file is now: what follows a `key use` must not go on under the key before it.
    let keys = needs.desired.keys().reload().map_err(|detail| {
        Problem::new(Code::NotNow, detail, "Put the key file right, then reseal again; nothing was changed.")
    })?;
    let first = keys.sealing().id();
    if !force {
        let nodes = needs.rollout.nodes(&needs.desired.current(), now()).await?;
        let lacking: Vec<String> = nodes
            .iter()
            .filter(|(status, standing)| *standing != Standing::Stale && !status.key_ids.contains(&first))
            .map(|(status, _)| format!("`{}`", status.node))
            .collect();
        if !lacking.is_empty() {
            let detail =
                format!("key {first} is not on {}: what is sealed under it would not open there", lacking.join(", "));
            let next =
                "Give them the key file; `lgspctl nodes` shows which keys each holds. `--force` goes on without them.";
            return Err(Problem::new(Code::NotNow, detail, next));
        }
    }
    let factors = needs.accounts.reseal_factors().await?;
    tracing::info!(key = %first, factors, "second factors are sealed under the first key");
    let message = if message.is_empty() { format!("reseal under key {first}") } else { message };
    let make = move |whole: &Whole, _: &_| anew::change(whole, &keys, random_nonce);
    let outcome = needs.desired.edit(Mode::Commit, needs.audit(&message)?, make).await?;
    let change = needs.result(outcome, Mode::Commit);
    Ok(Json(ResealResult { change, key: first.to_string(), factors }))
}

fn random_nonce() -> Result<[u8; NONCE_BYTES], ChangeError> {
    let mut nonce = [0; NONCE_BYTES];
    let no_random = |error| ChangeError::NotNow(format!("the operating system gives no random bytes ({error})"));
    getrandom::fill(&mut nonce).map_err(no_random)?;
    Ok(nonce)
}

//! Why a request was, or would be, refused: asked of every node that reports.

use axum::Json;
use lgsp_shared::explain::{Explanation, Question};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::needs::Needs;
use super::problem::{Problem, ProblemBody};
use crate::inquiry::{self, Answers, Inquiry};
use crate::operator::right;
use crate::runtime::now;

/// What is asked: exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainBody {
    /// Why this request was refused; nodes remember refusals for 15 minutes.
    #[serde(default)]
    request_id: Option<String>,
    /// Whether a request would be refused: `as` (`{system}` or `{access_key}`), `method`, `path`, `host`, `service`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    question: Option<Question>,
}

/// What nodes answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// One per node that can tell.
    #[schema(value_type = Vec<Object>)]
    explanations: Vec<Explanation>,
    /// Nodes that remember nothing of the request.
    without: Vec<String>,
    /// Nodes that could not be asked.
    not_asked: Vec<NotAsked>,
}

/// A node that could not be asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotAsked {
    /// Its name.
    node: String,
    /// Why.
    why: String,
}

/// Asks every node that reports why a request was, or would be, refused.
#[utoipa::path(
    post, path = "/v1/explain", request_body = ExplainBody, security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "What nodes answered", body = ExplainAnswer),
        (status = 400, description = "Not exactly one of the two", body = ProblemBody),
        (status = 503, description = "The nodes' reports cannot be read", body = ProblemBody),
    )
)]
pub async fn explain(
    needs: Needs<right::Watch>,
    Body(body): Body<ExplainBody>,
) -> Result<Json<ExplainAnswer>, Problem> {
    let inquiry = match (body.request_id, body.question) {
        (Some(request_id), None) => Inquiry::Was { request_id: checked(request_id)? },
        (None, Some(question)) => Inquiry::Would(question),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::malformed("ask with `request_id`, or with `question`, and not with both"));
        }
    };
    let nodes = needs.rollout.nodes(&needs.desired.current(), now()).await?;
    let answers = inquiry::ask(nodes, &inquiry, needs.desired.keys(), now()).await;
    let Answers { explanations, without, not_asked } = answers;
    Ok(Json(ExplainAnswer {
        explanations,
        without: without.iter().map(ToString::to_string).collect(),
        not_asked: not_asked.into_iter().map(|(node, why)| NotAsked { node: node.to_string(), why }).collect(),
    }))
}

/// A request id becomes part of a path: nothing but its digits may.
fn checked(request_id: String) -> Result<String, Problem> {
    const DIGITS: usize = 32;
    let is_id = request_id.len() == DIGITS && request_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let malformed = || Problem::malformed("a request id is 32 hexadecimal digits, as in the refusal");
    if is_id { Ok(request_id) } else { Err(malformed()) }
}

//! Reorganisations: tried, carried out, scheduled, listed, called off.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use lgsp_shared::resource::Kind;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::Rooms;
use crate::api::body::{Body, Query, next, segment};
use crate::api::changes::ChangeResult;
use crate::api::needs::Needs;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::calendar;
use crate::desired::reorganise::{Binding, Touch, bindings, moves, touches};
use crate::desired::{Change, Edit, Mode, Whole};
use crate::operator::right;
use crate::registry::application::Decision;
use crate::registry::reorganisation::{
    AHEAD_SECS_MAX, ALIAS_SECS_DEFAULT, ALIAS_SECS_MAX, Operation, Reorganisation, State as Standing,
};
use crate::runtime::now;
use crate::store::registry::binding::Bound;
use crate::store::registry::reorganisation::REORGANISATIONS_PAGE_MAX;

/// Reorganisations on one page when nothing else is said.
const PAGE_DEFAULT: u32 = 50;

/// What shall happen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReorganisationAsked {
    /// `{"kind": "rename", "code": …, "to": {"code": …, "title": …}}`,
    /// `{"kind": "split", "code": …, "into": [{"code": …, "title": …}], "systems": {"name": "code"}}`,
    /// `{"kind": "merge", "codes": […], "into": {"code": …, "title": …}}` or `{"kind": "dissolve", "code": …}`.
    #[schema(value_type = Object)]
    operation: Operation,
    /// From when on, in RFC 3339; at once when absent or past.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    effective: Option<UnixSeconds>,
    /// Until when old codes resolve; 180 days from then on when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    alias_until: Option<UnixSeconds>,
    /// Why, for the history.
    #[serde(default)]
    reason: String,
    /// The number of the official letter.
    #[serde(default)]
    letter: String,
    /// Only tell what would happen, as things stand now.
    #[serde(default)]
    dry_run: bool,
}

/// A reorganisation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReorganisationBody {
    /// Its number; 0 when it was only tried.
    number: u64,
    /// `scheduled`, `applied`, `cancelled`, `failed` or `held`.
    state: &'static str,
    /// What happens.
    #[schema(value_type = Object)]
    operation: Operation,
    /// From when on.
    effective: String,
    /// Until when old codes resolve.
    alias_until: String,
    /// Why.
    reason: String,
    /// In which official letter.
    letter: String,
    /// Who asked.
    by: String,
    /// When it was asked.
    created_at: String,
    /// The revision that carried it out, when it changed the configuration.
    revision: Option<u64>,
    /// Why it failed or is held.
    error: Option<String>,
}

impl From<Reorganisation> for ReorganisationBody {
    fn from(one: Reorganisation) -> Self {
        let Reorganisation { number, state, operation, effective, alias_until, decision, .. } = one;
        Self {
            number,
            state: state.label(),
            operation,
            effective: effective.to_string(),
            alias_until: alias_until.to_string(),
            reason: decision.reason().to_owned(),
            letter: decision.letter().to_owned(),
            by: one.author,
            created_at: one.created_at.to_string(),
            revision: one.revision.map(|revision| revision.0),
            error: one.error,
        }
    }
}

/// What a reorganisation did or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReorganisationAnswer {
    /// The reorganisation.
    reorganisation: ReorganisationBody,
    /// Every agency, system, key, service, route and permission it touches, as things stand now.
    touches: Vec<TouchBody>,
    /// Every operator, token and notice bound to an agency that it touches, and every code that was another agency's.
    bound: Vec<BoundBody>,
    /// What it does to the configuration, as things stand now.
    change: ChangeResult,
}

/// One document a reorganisation touches.
#[derive(Debug, Serialize, ToSchema)]
pub struct TouchBody {
    /// `Kind/name`.
    document: String,
    /// `added`, `changed`, `removed`, `disabled`, `withdrawn`, `unreachable`, `stays`, `stays-valid` or `stays-disabled`.
    effect: &'static str,
}

/// What is bound to an agency that a reorganisation touches.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoundBody {
    /// `Operator/name`, `Token/id`, `Notice/number` or `Code/code`.
    what: String,
    /// `moved`: bound to another agency; `ended`: disabled, revoked, called off; `given-again`: the code ended before, and
    /// what was handed in under it stays with the agency that had it.
    effect: &'static str,
    /// `Agency/name` it is bound to from then on.
    to: Option<String>,
}

/// What of operators, tokens, notices and codes changes hands.
async fn bound(
    rooms: &Rooms,
    before: &Whole,
    operation: &Operation,
    edits: &[Edit],
) -> Result<Vec<BoundBody>, Problem> {
    let store = rooms.desired.store();
    let mut found = Vec::new();
    for Binding { from, to } in bindings(before, operation, &change_of(edits))? {
        let effect = if to.is_some() { "moved" } else { "ended" };
        let to = to.map(|to| format!("{}/{to}", Kind::Agency));
        let Bound { operators, tokens, notices } = store.bound_to(&from, now()).await?;
        let operators = operators.into_iter().map(|name| format!("Operator/{name}"));
        let tokens = tokens.into_iter().map(|id| format!("Token/{id}"));
        let notices = notices.into_iter().map(|number| format!("Notice/{number}"));
        let all = operators.chain(tokens).chain(notices);
        found.extend(all.map(|what| BoundBody { what, effect, to: to.clone() }));
    }
    for successor in operation.to() {
        if store.agency(&successor.code).await?.is_some_and(|agency| agency.ended.is_some()) {
            found.push(BoundBody { what: format!("Code/{}", successor.code), effect: "given-again", to: None });
        }
    }
    Ok(found)
}

/// The change that led to these edits.
fn change_of(edits: &[Edit]) -> Change {
    let puts = edits.iter().filter_map(|edit| edit.after.as_ref()).map(|entry| entry.document().clone()).collect();
    let deletes = edits.iter().filter(|edit| edit.after.is_none()).map(|edit| edit.key.clone()).collect();
    Change { puts, deletes, ..Change::default() }
}

/// Renames, splits, merges or dissolves agencies: at once, on a day to come, or only to see what it would do.
#[utoipa::path(
    post, path = "/v1/reorganisations", request_body = ReorganisationAsked,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "What it would do", body = ReorganisationAnswer),
        (status = 201, description = "It was carried out, or is scheduled", body = ReorganisationAnswer),
        (status = 400, description = "It cannot be meant", body = ProblemBody),
        (status = 404, description = "An agency is not in the directory", body = ProblemBody),
        (status = 409, description = "An agency ended, or is in the way", body = ProblemBody),
        (status = 422, description = "Refused, with every error", body = ProblemBody),
    )
)]
pub async fn ask(
    needs: Needs<right::Register>,
    Body(asked): Body<ReorganisationAsked>,
) -> Result<(StatusCode, Json<ReorganisationAnswer>), Problem> {
    let dry_run = asked.dry_run;
    let mut one = checked(asked, needs.operator().name(), needs.trail().at())?;
    let dry = if dry_run { "dry run: " } else { "" };
    needs.trail().about(format!("{dry}{}", calendar::message(&one)));
    one.number = needs.desired.store().next_reorganisation().await?;
    let before = needs.desired.current();
    // Tried as if its day had come, also where it has not.
    let trial = Reorganisation { state: Standing::Applied, ..one.clone() };
    let tried = calendar::carry_out(&needs.desired, &trial, Mode::DryRun, needs.trail().clone()).await?;
    let bound = bound(&needs, &before, &one.operation, &tried.edits).await?;
    let touches = touches(&before, &moves(&before, &one.operation)?, &tried.edits);
    let touches = touches.into_iter().map(|Touch { document, effect }| TouchBody { document, effect: effect.label() });
    let touches = touches.collect();
    let (outcome, mode) = match (dry_run, one.state) {
        (true, _) => {
            one.number = 0;
            let change = needs.result(tried, Mode::DryRun);
            return Ok((
                StatusCode::OK,
                Json(ReorganisationAnswer { reorganisation: one.into(), touches, bound, change }),
            ));
        }
        (false, Standing::Applied) => {
            let outcome = calendar::carry_out(&needs.desired, &one, Mode::Commit, needs.trail().clone()).await?;
            (outcome, Mode::Commit)
        }
        (false, _) => {
            needs.desired.store().schedule_reorganisation(&one, needs.trail()).await?;
            (tried, Mode::DryRun)
        }
    };
    let (change, reorganisation) = (needs.result(outcome, mode), find(&needs, &one.number.to_string()).await?);
    let reorganisation = reorganisation.into();
    Ok((StatusCode::CREATED, Json(ReorganisationAnswer { reorganisation, touches, bound, change })))
}

fn checked(asked: ReorganisationAsked, author: &str, now: UnixSeconds) -> Result<Reorganisation, Problem> {
    let ReorganisationAsked { operation, effective, alias_until, reason, letter, dry_run: _ } = asked;
    let malformed = |detail: String| Problem::malformed(detail);
    let operation = operation.checked().map_err(|error| malformed(error.to_string()))?;
    let decision = Decision::new(&reason, &letter).map_err(|error| malformed(error.to_string()))?;
    let effective = effective.map_or(now, |effective| effective.max(now));
    if effective.0.saturating_sub(now.0) > AHEAD_SECS_MAX {
        return Err(malformed(format!("`effective` of {effective} is more than two years ahead")));
    }
    let alias_until = alias_until.unwrap_or(UnixSeconds(effective.0.saturating_add(ALIAS_SECS_DEFAULT)));
    if alias_until < effective || alias_until.0.saturating_sub(effective.0) > ALIAS_SECS_MAX {
        return Err(malformed("`alias_until` is before `effective`, or more than ten years after it".to_owned()));
    }
    Ok(Reorganisation {
        number: 0,
        state: if effective > now { Standing::Scheduled } else { Standing::Applied },
        operation,
        effective,
        alias_until,
        decision,
        author: author.to_owned(),
        created_at: now,
        revision: None,
        error: None,
    })
}

/// Which reorganisations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReorganisationQuery {
    /// Only below this number.
    before: Option<u64>,
    /// At most so many; 200 at most, 50 when absent.
    limit: Option<u32>,
}

/// One page of reorganisations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReorganisationList {
    /// Newest first.
    reorganisations: Vec<ReorganisationBody>,
    /// Give it as `before` for the next page; absent on the last.
    next: Option<u64>,
}

/// Reorganisations, newest first.
#[utoipa::path(
    get, path = "/v1/reorganisations", params(ReorganisationQuery),
    security(("operator_token" = ["watch"])),
    responses((status = 200, description = "One page", body = ReorganisationList))
)]
pub async fn list(
    needs: Needs<right::Watch>,
    Query(query): Query<ReorganisationQuery>,
) -> Result<Json<ReorganisationList>, Problem> {
    let ReorganisationQuery { before, limit } = query;
    let limit = limit.unwrap_or(PAGE_DEFAULT).min(REORGANISATIONS_PAGE_MAX);
    let found = needs.desired.store().reorganisations(before, limit).await?;
    let next = next(found.last().map(|last| last.number), found.len(), limit);
    Ok(Json(ReorganisationList { reorganisations: found.into_iter().map(ReorganisationBody::from).collect(), next }))
}

/// One reorganisation.
#[utoipa::path(
    get, path = "/v1/reorganisations/{number}", params(("number" = u64, Path)),
    security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "The reorganisation", body = ReorganisationBody),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn one(needs: Needs<right::Watch>, Path(number): Path<String>) -> Result<Json<ReorganisationBody>, Problem> {
    Ok(Json(find(&needs, &number).await?.into()))
}

/// Schedules a reorganisation that is held again, in the name of who asks.
#[utoipa::path(
    post, path = "/v1/reorganisations/{number}/resume", params(("number" = u64, Path)),
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is scheduled again, and carried out at once when its day has come", body = ReorganisationBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is not held", body = ProblemBody),
    )
)]
pub async fn resume(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
) -> Result<Json<ReorganisationBody>, Problem> {
    let one = find(&needs, &number).await?;
    needs.trail().about(format!("reorganisation {}", one.number));
    let store = needs.desired.store();
    if !store.resume_reorganisation(one.number, needs.operator().name(), needs.trail()).await? {
        let detail = format!("reorganisation {} is {}, not held", one.number, one.state.label());
        return Err(Problem::new(Code::NotNow, detail, "`lgspctl agency reorganisations` lists them."));
    }
    Ok(Json(find(&needs, &number).await?.into()))
}

/// Calls a scheduled or held reorganisation off.
#[utoipa::path(
    post, path = "/v1/reorganisations/{number}/cancel", params(("number" = u64, Path)),
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It will not happen", body = ReorganisationBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is no longer scheduled", body = ProblemBody),
    )
)]
pub async fn cancel(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
) -> Result<Json<ReorganisationBody>, Problem> {
    let one = find(&needs, &number).await?;
    needs.trail().about(format!("reorganisation {}", one.number));
    if !needs.desired.store().end_reorganisation(one.number, Standing::Cancelled, None, needs.trail()).await? {
        let detail = format!("reorganisation {} is {} already", one.number, one.state.label());
        return Err(Problem::new(Code::NotNow, detail, "What was carried out is undone by another reorganisation."));
    }
    Ok(Json(find(&needs, &number).await?.into()))
}

async fn find(rooms: &Rooms, number: &str) -> Result<Reorganisation, Problem> {
    let number: u64 = segment(number, "reorganisation")?;
    let found = rooms.desired.store().reorganisation(number).await?;
    found.ok_or_else(|| Problem::not_found(&format!("reorganisation `{number}`")))
}

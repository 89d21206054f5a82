//! Systems and services: searched like agencies, and the approval without which a system has no keys.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use axum::Json;
use axum::extract::Path;
use lgsp_shared::id::{ResourceName, SystemId};
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::applications::Decided;
use super::authorised;
use crate::api::body::{Body, Query, parameter, segment};
use crate::api::changes::ChangeResult;
use crate::api::needs::Needs;
use crate::api::problem::{Problem, ProblemBody};
use crate::desired::{Whole, connection};
use crate::operator::right;
use crate::registry::application::{Action, State as ApplicationState, Step};
use crate::registry::fold::{self, fold};
use crate::store::registry::application::Applications;
use crate::store::registry::approval::Approval;

/// Entries on one page when nothing else is said.
const PAGE_DEFAULT: usize = 20;
/// The most entries on one page.
const PAGE_MAX: usize = 200;

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ParticipantQuery {
    /// Words of name or title, with or without accents; every word has to be there.
    #[serde(default)]
    q: String,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many; 200 at most, 20 when absent.
    limit: Option<usize>,
}

/// A system or a service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Participant {
    /// Its name.
    name: String,
    /// Its full name.
    title: String,
    /// The agency of a system, or the system of a service.
    owner: String,
}

/// One page of systems or services, in the order of their names.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParticipantPage {
    /// This page.
    entries: Vec<Participant>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

fn page(
    needs: &Needs<right::Look>,
    kind: Kind,
    owner: &str,
    query: ParticipantQuery,
) -> Result<ParticipantPage, Problem> {
    let whole = needs.desired.current();
    let sight = needs.sight(&whole);
    let ParticipantQuery { q, after, limit } = query;
    let query = fold::Query::parse(&q).map_err(|error| Problem::malformed(error.to_string()))?;
    let after: Option<ResourceName> = after.map(|after| parameter("after", &after)).transpose()?;
    let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let after = after.map(|name| ResourceKey { kind, name });
    let text = |document: &Document, field: &str| {
        document.spec.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let fits = |document: &Document| {
        let folded = fold(&format!("{} {}", document.name, text(document, "title")));
        query.words().all(|word| folded.contains(word))
    };
    let of_kind = whole.entries().from(|key| match &after {
        Some(after) => key.cmp(after),
        None => key.kind.cmp(&kind).then(Ordering::Greater),
    });
    let of_kind = of_kind.filter(|(key, _)| Some(*key) != after.as_ref());
    let documents = of_kind.take_while(|(key, _)| key.kind == kind).map(|(_, entry)| entry.document());
    let mut found: Vec<Participant> = documents
        .filter(|document| sight.sees(document) && fits(document))
        .take(limit + 1)
        .map(|document| Participant {
            name: document.name.clone(),
            title: text(document, "title"),
            owner: text(document, owner),
        })
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.name.clone());
    Ok(ParticipantPage { entries: found, next })
}

/// Searches systems without regard to accents and case.
#[utoipa::path(
    get, path = "/v1/systems", params(ParticipantQuery),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "One page", body = ParticipantPage),
        (status = 400, description = "The query is not understood", body = ProblemBody),
    )
)]
pub async fn systems(
    needs: Needs<right::Look>,
    Query(query): Query<ParticipantQuery>,
) -> Result<Json<ParticipantPage>, Problem> {
    page(&needs, Kind::System, "agency", query).map(Json)
}

/// Searches services without regard to accents and case.
#[utoipa::path(
    get, path = "/v1/services", params(ParticipantQuery),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "One page", body = ParticipantPage),
        (status = 400, description = "The query is not understood", body = ProblemBody),
    )
)]
pub async fn services(
    needs: Needs<right::Look>,
    Query(query): Query<ParticipantQuery>,
) -> Result<Json<ParticipantPage>, Problem> {
    page(&needs, Kind::Service, "system", query).map(Json)
}

/// Whether a system may have keys, and on whose word.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalBody {
    /// The system.
    system: String,
    /// Whether keys may be made for it.
    approved: bool,
    /// The application it was approved by; absent when it was approved directly.
    application: Option<u64>,
    /// Who approved it.
    by: Option<String>,
    /// When.
    at: Option<String>,
    /// Why.
    reason: Option<String>,
    /// In which official letter.
    letter: Option<String>,
    /// Who withdrew the approval, when it was.
    withdrawn_by: Option<String>,
    /// When.
    withdrawn_at: Option<String>,
    /// Why.
    withdrawn_reason: Option<String>,
}

impl ApprovalBody {
    fn new(system: &SystemId, approved: bool, approval: Option<Approval>) -> Self {
        let withdrawn = approval.as_ref().and_then(|approval| approval.withdrawn.clone());
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            system: system.to_string(),
            approved,
            application: approval.as_ref().and_then(|approval| approval.application),
            by: approval.as_ref().map(|approval| approval.actor.clone()),
            at: approval.as_ref().map(|approval| approval.at.to_string()),
            reason: approval.as_ref().and_then(|approval| filled(&approval.reason)),
            letter: approval.as_ref().and_then(|approval| filled(&approval.letter)),
            withdrawn_by: withdrawn.as_ref().map(|withdrawn| withdrawn.actor.clone()),
            withdrawn_at: withdrawn.as_ref().map(|withdrawn| withdrawn.at.to_string()),
            withdrawn_reason: withdrawn.as_ref().and_then(|withdrawn| filled(&withdrawn.reason)),
        }
    }
}

/// Whether a system may have keys.
#[utoipa::path(
    get, path = "/v1/systems/{system}/approval", params(("system" = String, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "Its approval, or that there is none", body = ApprovalBody),
        (status = 404, description = "There is no such system and never was", body = ProblemBody),
    )
)]
pub async fn approval(needs: Needs<right::Look>, Path(system): Path<String>) -> Result<Json<ApprovalBody>, Problem> {
    let system: SystemId = segment(&system, "system")?;
    let approval = needs.desired.store().approval(&system).await?;
    let whole = needs.desired.current();
    let document = whole.get(&connection::key(Kind::System, system.as_str())?);
    let exists = document.is_some();
    let seen = document.map_or(needs.operator().agency().is_none(), |document| needs.sight(&whole).sees(document));
    if !seen || (!exists && approval.is_none()) {
        return Err(Problem::not_found(&format!("system `{system}`")));
    }
    let approved = exists && needs.desired.rule().allows(approval.as_ref());
    Ok(Json(ApprovalBody::new(&system, approved, approval)))
}

/// Allows keys for a system whose document was applied, without an application.
#[utoipa::path(
    post, path = "/v1/systems/{system}/approve", params(("system" = String, Path)), request_body = Decided,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "Keys may be issued", body = ApprovalBody),
        (status = 400, description = "Reason or letter is missing", body = ProblemBody),
        (status = 404, description = "There is no such system", body = ProblemBody),
    )
)]
pub async fn approve(
    needs: Needs<right::Register>,
    Path(system): Path<String>,
    Body(decided): Body<Decided>,
) -> Result<Json<ApprovalBody>, Problem> {
    let system: SystemId = segment(&system, "system")?;
    let step = Step::decided(Action::Approve, needs.operator().name(), needs.trail().at(), &decided.decision()?);
    let audit = authorised(&needs, &format!("system approve {system}"))?;
    needs.trail().about(format!("System/{system}, letter {}", step.letter));
    let approved = system.clone();
    let make = move |whole: &Whole, _: &_| connection::approve_system(whole, &approved, &step);
    needs.desired.carry_out(decided.mode(), audit, make).await?;
    let approval = needs.desired.store().approval(&system).await?;
    Ok(Json(ApprovalBody::new(&system, needs.desired.rule().allows(approval.as_ref()), approval)))
}

/// Ends a system's connection at once: its keys are disabled, its permissions and those to its services withdrawn.
#[utoipa::path(
    post, path = "/v1/systems/{system}/cancel", params(("system" = String, Path)), request_body = Decided,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is disconnected", body = ChangeResult),
        (status = 400, description = "Reason or letter is missing", body = ProblemBody),
        (status = 404, description = "There is no such system", body = ProblemBody),
    )
)]
pub async fn cancel(
    needs: Needs<right::Register>,
    Path(system): Path<String>,
    Body(decided): Body<Decided>,
) -> Result<Json<ChangeResult>, Problem> {
    let system: SystemId = segment(&system, "system")?;
    if needs.desired.current().get(&connection::key(Kind::System, system.as_str())?).is_none() {
        return Err(Problem::not_found(&format!("system `{system}`")));
    }
    needs.trail().about(format!("System/{system}, letter {}", decided.decision()?.letter()));
    end(&needs, &system, None, &decided).await.map(Json)
}

/// Ends the connection of a system, and with it every application that led to it; refused when the one it is asked for by
/// was ended meanwhile.
pub async fn end(
    needs: &Needs<right::Register>,
    system: &SystemId,
    asked_by: Option<u64>,
    decided: &Decided,
) -> Result<ChangeResult, Problem> {
    let (decision, mode) = (decided.decision()?, decided.mode());
    let which = Applications {
        state: Some(ApplicationState::Approved),
        system: Some(system.clone()),
        limit: crate::store::registry::application::APPLICATIONS_PAGE_MAX,
        ..Applications::default()
    };
    let led_to_it = needs.desired.store().applications(&which).await?;
    let numbers: BTreeSet<u64> = led_to_it.iter().map(|one| one.number).chain(asked_by).collect();
    let applications: Vec<_> = numbers.into_iter().map(|number| (number, ApplicationState::Approved)).collect();
    let step = Step::decided(Action::Cancel, needs.operator().name(), needs.trail().at(), &decision);
    let audit = authorised(needs, &format!("connection of {system} cancelled: {}", decision.reason()))?;
    let system = system.clone();
    let make = move |whole: &Whole, _: &_| connection::cancel(whole, &system, &applications, &step);
    let outcome = needs.desired.carry_out(mode, audit, make).await?;
    Ok(needs.result(outcome, mode))
}

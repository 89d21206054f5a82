//! Applications for connection: handed in, reviewed, approved or refused, cancelled; every step with who and when.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, ServiceId, SystemId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::party::{party, party_of};
use super::{Reach, authorised, participants};
use crate::api::Rooms;
use crate::api::body::{Body, Query, next, parameter, segment};
use crate::api::changes::ChangeResult;
use crate::api::needs::Needs;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::desired::connection;
use crate::desired::{ChangeError, Mode, Whole};
use crate::operator::right;
use crate::registry::application::{
    Action, Application, Decision, NotAllowed, Request, State as ApplicationState, Step, Submission, Wanted,
};
use crate::registry::contact::{self, Contact};
use crate::store::registry::Write;
use crate::store::registry::application::{APPLICATIONS_PAGE_MAX, Applications, contacts_of};

/// Applications on one page when nothing else is said.
const PAGE_DEFAULT: u32 = 50;

/// What an agency asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    /// The agency's identification code.
    #[schema(value_type = String)]
    agency: AgencyCode,
    /// The name its document shall have; made of its title when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agency_name: Option<AgencyId>,
    /// The name of the system to connect.
    #[schema(value_type = String)]
    system: SystemId,
    /// The system's full name.
    system_title: String,
    /// What for, and on which legal ground.
    purpose: String,
    /// Which services it wants to use; none for a system that only offers services.
    #[serde(default)]
    services: Vec<WantedBody>,
    /// Who answers for the system.
    #[serde(default)]
    contacts: Vec<Contact>,
    /// The number of the agency's official letter.
    letter: String,
}

/// One service that is wanted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedBody {
    /// The service's name.
    #[schema(value_type = String)]
    service: ServiceId,
    /// Methods, in upper case.
    methods: Vec<String>,
    /// Path prefixes; `/` for all.
    paths: Vec<String>,
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Why, for the agency and the history.
    #[serde(default)]
    reason: String,
    /// The number of the official letter.
    #[serde(default)]
    letter: String,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

impl Decided {
    /// The decision, when reason and letter are there.
    pub fn decision(&self) -> Result<Decision, Problem> {
        Decision::new(&self.reason, &self.letter).map_err(|error| Problem::malformed(error.to_string()))
    }

    /// Whether it takes effect.
    pub fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Commit }
    }
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApplicationBody {
    /// Its number.
    number: u64,
    /// `submitted`, `reviewing`, `approved`, `refused`, `withdrawn` or `cancelled`.
    state: &'static str,
    /// The agency's identification code.
    agency: String,
    /// The system's name.
    system: String,
    /// The system's full name.
    system_title: String,
    /// What for.
    purpose: String,
    /// Which services it wants to use.
    services: Vec<WantedBody>,
    /// The number of the agency's official letter.
    letter: String,
    /// When it was handed in.
    submitted_at: String,
    /// Who answers for the system; only when one application is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact>,
    /// What was done to it, in order; only when one application is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepBody>,
}

/// One step of an application.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepBody {
    /// `submit`, `review`, `approve`, `refuse` or `cancel`.
    action: &'static str,
    /// Who did it.
    by: String,
    /// When.
    at: String,
    /// Why.
    reason: String,
    /// The number of the official letter.
    letter: String,
    /// The revision that carried it out, when it changed the configuration.
    revision: Option<u64>,
}

impl From<Application> for ApplicationBody {
    fn from(Application { number, state, request, submitted_at, agency: _ }: Application) -> Self {
        let Request { agency, agency_name: _, system, system_title, purpose, services, letter } = request;
        let wanted = |Wanted { service, methods, paths }: Wanted| WantedBody { service, methods, paths };
        Self {
            number,
            state: state.label(),
            agency: agency.into(),
            system: system.into(),
            system_title,
            purpose,
            services: services.into_iter().map(wanted).collect(),
            letter,
            submitted_at: submitted_at.to_string(),
            contacts: Vec::new(),
            steps: Vec::new(),
        }
    }
}

impl From<Step> for StepBody {
    fn from(Step { action, actor, at, reason, letter, revision }: Step) -> Self {
        let revision = revision.map(|revision| revision.0);
        Self { action: action.label(), by: actor, at: at.to_string(), reason, letter, revision }
    }
}

/// Which applications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApplicationQuery {
    /// Only in this state.
    state: Option<String>,
    /// Only for this system.
    system: Option<String>,
    /// Only of the agency with this code.
    agency: Option<String>,
    /// Only below this number.
    before: Option<u64>,
    /// At most so many; 200 at most, 50 when absent.
    limit: Option<u32>,
}

/// One page of applications.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApplicationList {
    /// Newest first.
    applications: Vec<ApplicationBody>,
    /// Give it as `before` for the next page; absent on the last.
    next: Option<u64>,
}

/// Applications, newest first.
#[utoipa::path(
    get, path = "/v1/applications", params(ApplicationQuery),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "One page", body = ApplicationList),
        (status = 400, description = "The query is not understood", body = ProblemBody),
    )
)]
pub async fn list(
    needs: Needs<right::Look>,
    Query(query): Query<ApplicationQuery>,
) -> Result<Json<ApplicationList>, Problem> {
    let ApplicationQuery { state, system, agency, before, limit } = query;
    let asked = match agency.map(|code| parameter::<AgencyCode>("agency", &code)).transpose()? {
        Some(code) => match needs.desired.store().agency(&code).await? {
            Some(agency) => Some(agency.identity),
            None => return Ok(Json(ApplicationList { applications: Vec::new(), next: None })),
        },
        None => None,
    };
    let agency = match Reach::of(&needs).await? {
        Reach::Everywhere => asked,
        Reach::Agency(own) if asked.is_none_or(|asked| asked == own) => Some(own),
        Reach::Agency(_) | Reach::Nowhere => {
            return Ok(Json(ApplicationList { applications: Vec::new(), next: None }));
        }
    };
    let state = state.map(|text| {
        let known = ApplicationState::ALL.map(ApplicationState::label).join("`, `");
        let wrong = || Problem::malformed(format!("`{text}` is not a state; use one of `{known}`"));
        ApplicationState::parse(&text).ok_or_else(wrong)
    });
    let which = Applications {
        state: state.transpose()?,
        system: system.map(|system| parameter("system", &system)).transpose()?,
        agency,
        before,
        limit: limit.unwrap_or(PAGE_DEFAULT),
    };
    let found = needs.desired.store().applications(&which).await?;
    let next = next(found.last().map(|last| last.number), found.len(), which.limit.min(APPLICATIONS_PAGE_MAX));
    Ok(Json(ApplicationList { applications: found.into_iter().map(ApplicationBody::from).collect(), next }))
}

/// One application with its contacts and its history.
#[utoipa::path(
    get, path = "/v1/applications/{number}", params(("number" = u64, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "The application", body = ApplicationBody),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn one(needs: Needs<right::Look>, Path(number): Path<String>) -> Result<Json<ApplicationBody>, Problem> {
    let application = find(&needs, &number).await?;
    if !Reach::of(&needs).await?.holds(application.agency) {
        return Err(unknown_application(application.number));
    }
    shown(&needs, application.number).await.map(Json)
}

/// Hands an application in. What approving it would do is tried at once, so that nothing impossible is reviewed.
#[utoipa::path(
    post, path = "/v1/applications", request_body = SubmitBody,
    security(("operator_token" = ["register"])),
    responses(
        (status = 201, description = "It was handed in", body = ApplicationBody),
        (status = 400, description = "It is not complete", body = ProblemBody),
        (status = 404, description = "The agency is not in the directory", body = ProblemBody),
        (status = 409, description = "Another application for the system is open", body = ProblemBody),
        (status = 422, description = "It asks for what does not exist", body = ProblemBody),
    )
)]
pub async fn submit(
    needs: Needs<right::Register>,
    Body(body): Body<SubmitBody>,
) -> Result<(StatusCode, Json<ApplicationBody>), Problem> {
    let SubmitBody { agency, agency_name, system, system_title, purpose, services, contacts, letter } = body;
    needs.trail().about(format!("System/{system}, letter {letter}"));
    let party = party(&needs, &agency).await?;
    let wanted = |WantedBody { service, methods, paths }| Wanted { service, methods, paths };
    let services = services.into_iter().map(wanted).collect();
    let request = Request { agency: party.code.clone(), agency_name, system, system_title, purpose, services, letter };
    let request = request.checked().map_err(|error| Problem::malformed(error.to_string()))?;
    contact::check(&contacts).map_err(|error| Problem::malformed(error.to_string()))?;

    let trial = Application {
        number: 0,
        state: ApplicationState::Reviewing,
        request,
        submitted_at: needs.trail().at(),
        agency: None,
    };
    let submission = Submission { request: trial.request.clone(), contacts };
    let step = Step::new(Action::Approve, needs.operator().name(), needs.trail().at());
    let make = move |whole: &Whole, _: &_| Ok(connection::approve(whole, &trial, &party, &step)?.change.into());
    needs.desired.carry_out(Mode::DryRun, authorised(&needs, "application tried")?, make).await?;

    let step = Step {
        letter: submission.request.letter.clone(),
        ..Step::new(Action::Submit, needs.operator().name(), needs.trail().at())
    };
    let number = needs.desired.store().submit_application(&submission, &step, needs.trail()).await?;
    Ok((StatusCode::CREATED, Json(shown(&needs, number).await?)))
}

/// Starts examining an application.
#[utoipa::path(
    post, path = "/v1/applications/{number}/review", params(("number" = u64, Path)),
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is being examined", body = ApplicationBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is not in a state for that", body = ProblemBody),
    )
)]
pub async fn review(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
) -> Result<Json<ApplicationBody>, Problem> {
    let application = find(&needs, &number).await?;
    needs.trail().about(about(&application, None));
    let step = Step::new(Action::Review, needs.operator().name(), needs.trail().at());
    take(&needs, &application, step).await?;
    shown(&needs, application.number).await.map(Json)
}

/// What an approval or a cancellation did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Granted {
    /// The application as it stands now.
    application: ApplicationBody,
    /// What it did to the configuration.
    change: ChangeResult,
}

/// Approves an application: its system and its permissions are made in one revision, and keys may be issued.
#[utoipa::path(
    post, path = "/v1/applications/{number}/approve", params(("number" = u64, Path)), request_body = Decided,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is approved, or what approving would do", body = Granted),
        (status = 400, description = "Reason or letter is missing", body = ProblemBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is not in a state for that", body = ProblemBody),
        (status = 422, description = "The configuration would not be valid", body = ProblemBody),
    )
)]
pub async fn approve(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
    Body(decided): Body<Decided>,
) -> Result<Json<Granted>, Problem> {
    let (application, decision, mode) = (find(&needs, &number).await?, decided.decision()?, decided.mode());
    needs.trail().about(about(&application, Some(&decision)));
    application.state.after(Action::Approve)?;
    let step = decided_step(&needs, Action::Approve, &decision);
    let audit = authorised(&needs, &format!("application {} approved, letter {}", application.number, step.letter))?;
    let outcome = loop {
        let party = party_of(&needs, &application).await?;
        let make = {
            let (application, party, step) = (application.clone(), party.clone(), step.clone());
            move |whole: &Whole, _: &_| connection::approve(whole, &application, &party, &step)
        };
        match needs.desired.carry_out(mode, audit.clone(), make).await {
            // Its agency was reorganised in between: it is approved for what came after.
            Err(ChangeError::NotNow(_)) if party_of(&needs, &application).await? != party => {}
            outcome => break outcome?,
        }
    };
    let application = shown(&needs, application.number).await?;
    Ok(Json(Granted { application, change: needs.result(outcome, mode) }))
}

/// Refuses an application.
#[utoipa::path(
    post, path = "/v1/applications/{number}/refuse", params(("number" = u64, Path)), request_body = Decided,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is refused", body = ApplicationBody),
        (status = 400, description = "Reason or letter is missing", body = ProblemBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is not in a state for that", body = ProblemBody),
    )
)]
pub async fn refuse(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
    Body(decided): Body<Decided>,
) -> Result<Json<ApplicationBody>, Problem> {
    let (application, decision) = (find(&needs, &number).await?, decided.decision()?);
    needs.trail().about(about(&application, Some(&decision)));
    if decided.mode() == Mode::DryRun {
        application.state.after(Action::Refuse)?;
        return Ok(Json(application.into()));
    }
    take(&needs, &application, decided_step(&needs, Action::Refuse, &decision)).await?;
    shown(&needs, application.number).await.map(Json)
}

/// Takes an open application back; of an approved one, ends the connection at once.
#[utoipa::path(
    post, path = "/v1/applications/{number}/cancel", params(("number" = u64, Path)), request_body = Decided,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is cancelled", body = Granted),
        (status = 400, description = "Reason or letter is missing", body = ProblemBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It is not in a state for that", body = ProblemBody),
    )
)]
pub async fn cancel(
    needs: Needs<right::Register>,
    Path(number): Path<String>,
    Body(decided): Body<Decided>,
) -> Result<Json<Granted>, Problem> {
    let (application, decision, mode) = (find(&needs, &number).await?, decided.decision()?, decided.mode());
    let (number, system) = (application.number, application.request.system.clone());
    needs.trail().about(about(&application, Some(&decision)));
    let change = match application.state.after(Action::Cancel)? {
        ApplicationState::Cancelled => participants::end(&needs, &system, Some(number), &decided).await?,
        _ => {
            if mode == Mode::Commit {
                take(&needs, &application, decided_step(&needs, Action::Cancel, &decision)).await?;
            }
            ChangeResult::none(&needs.desired.current())
        }
    };
    Ok(Json(Granted { application: shown(&needs, number).await?, change }))
}

/// A decision as a step, taken now by whoever asks.
fn decided_step(needs: &Needs<right::Register>, action: Action, decision: &Decision) -> Step {
    Step::decided(action, needs.operator().name(), needs.trail().at(), decision)
}

/// What a step is about, for the audit.
fn about(application: &Application, decision: Option<&Decision>) -> String {
    let letter = decision.map_or_else(String::new, |decision| format!(", letter {}", decision.letter()));
    format!("application {} of System/{}{letter}", application.number, application.request.system)
}

async fn find(rooms: &Rooms, number: &str) -> Result<Application, Problem> {
    let number: u64 = segment(number, "application")?;
    let found = rooms.desired.store().application(number).await?;
    found.ok_or_else(|| unknown_application(number))
}

pub(super) fn unknown_application(number: u64) -> Problem {
    Problem::not_found(&format!("application `{number}`; `lgspctl application list` shows them"))
}

async fn shown(rooms: &Rooms, number: u64) -> Result<ApplicationBody, Problem> {
    let store = rooms.desired.store();
    let application = find(rooms, &number.to_string()).await?;
    let steps = store.application_steps(number).await?.into_iter().map(StepBody::from).collect();
    let contacts = store.contacts(&contacts_of(number)).await?;
    Ok(ApplicationBody { steps, contacts, ..application.into() })
}

async fn take(needs: &Needs<right::Register>, application: &Application, step: Step) -> Result<(), Problem> {
    application.state.after(step.action)?;
    let write = Write::Step { application: application.number, from: application.state, step };
    Ok(needs.desired.store().write(&[write], needs.trail()).await?)
}

impl From<NotAllowed> for Problem {
    fn from(error: NotAllowed) -> Self {
        Self::new(Code::NotNow, error.to_string(), "`lgspctl application show` tells how it stands.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_an_application() {
        let text = include_str!("../../../../config/examples/application.yaml");
        let value: serde_json::Value = lgsp_shared::yaml::one(text).unwrap();
        let body: SubmitBody = serde_json::from_value(value).unwrap();
        assert_eq!((body.services.len(), contact::check(&body.contacts)), (1, Ok(())));
    }
}

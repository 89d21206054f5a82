//! The directory of agencies: searched by page, imported by batch, never listed whole.

use axum::Json;
use axum::extract::Path;
use lgsp_shared::agency_code::AgencyCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::body::{Body, Query, segment};
use crate::api::needs::Needs;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::operator::right;
use crate::registry::directory::{self, Agency, Cursor, IMPORT_BATCH_MAX};
use crate::registry::fold;
use crate::registry::reorganisation::Succession;
use crate::runtime::now;
use crate::store::registry::Write;
use crate::store::registry::agency::{Ended, Imported, Search};

/// Agencies on one page when nothing else is said.
const PAGE_DEFAULT: u32 = 20;

/// An agency of the directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgencyBody {
    /// Its identification code.
    code: String,
    /// Its full name.
    title: String,
    /// `Agency/<document>` in the configuration; only agencies with systems have one.
    document: Option<String>,
    /// Since when it is in the directory.
    since: String,
    /// When it ceased to be.
    ended: Option<String>,
}

impl From<Agency> for AgencyBody {
    fn from(Agency { identity: _, code, title, document, since, ended }: Agency) -> Self {
        Self {
            code: code.into(),
            title,
            document: document.map(String::from),
            since: since.to_string(),
            ended: ended.map(|at| at.to_string()),
        }
    }
}

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words of the name or parts of the code, with or without accents; every word has to be there.
    #[serde(default)]
    q: String,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many; 200 at most, 20 when absent.
    limit: Option<u32>,
    /// Also those that ceased to be.
    #[serde(default)]
    ended: bool,
}

/// One page of agencies: names that start with the query first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgencyPage {
    /// In the order of names.
    agencies: Vec<AgencyBody>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Searches the directory without regard to accents and case.
#[utoipa::path(
    get, path = "/v1/agencies", params(SearchQuery),
    security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "One page", body = AgencyPage),
        (status = 400, description = "The query is not understood", body = ProblemBody),
    )
)]
pub async fn search(needs: Needs<right::Watch>, Query(query): Query<SearchQuery>) -> Result<Json<AgencyPage>, Problem> {
    let SearchQuery { q, after, limit, ended } = query;
    let after = after.as_deref().map(|text| {
        Cursor::parse(text).ok_or_else(|| Problem::malformed(format!("`after={text}` is not the `next` of a page")))
    });
    let search = Search {
        query: fold::Query::parse(&q).map_err(|error| Problem::malformed(error.to_string()))?,
        after: after.transpose()?,
        limit: limit.unwrap_or(PAGE_DEFAULT),
        ended: if ended { Ended::Included } else { Ended::LeftOut },
    };
    let (agencies, next) = needs.desired.store().search_agencies(&search).await?;
    let agencies = agencies.into_iter().map(AgencyBody::from).collect();
    Ok(Json(AgencyPage { agencies, next: next.map(|cursor| cursor.to_string()) }))
}

/// Where a code leads.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgencyAnswer {
    /// The code that was asked for.
    asked: String,
    /// Whether it is an old code that still leads to its successors.
    alias: bool,
    /// Until when it does.
    alias_until: Option<String>,
    /// The agency, or its successors.
    agencies: Vec<AgencyBody>,
}

/// The agency with this code; an old code leads to the successors for as long as its alias window is open.
#[utoipa::path(
    get, path = "/v1/agencies/{code}", params(("code" = String, Path)),
    security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "The agency or its successors", body = AgencyAnswer),
        (status = 404, description = "There is none, or it ended and its code no longer resolves", body = ProblemBody),
    )
)]
pub async fn one(needs: Needs<right::Watch>, Path(code): Path<String>) -> Result<Json<AgencyAnswer>, Problem> {
    let code: AgencyCode = segment(&code, "agency")?;
    let found = needs.desired.store().resolve_agency(&code).await?;
    let found = found.ok_or_else(|| unknown(&code))?;
    if !found.resolves_at(now()) {
        let next = format!("`lgspctl agency history {code}` tells what became of it.");
        return Err(Problem::new(Code::NotFound, format!("agency `{code}` ceased to be"), next));
    }
    Ok(Json(AgencyAnswer {
        asked: code.to_string(),
        alias: found.asked.ended.is_some(),
        alias_until: found.alias_until.map(|until| until.to_string()),
        agencies: found.current.into_iter().map(AgencyBody::from).collect(),
    }))
}

/// No agency has or had the code.
pub fn unknown(code: &AgencyCode) -> Problem {
    let next = "Search with `lgspctl agency search`, or add it with `lgspctl agency add`.";
    Problem::new(Code::NotFound, format!("there is no agency `{code}` in the directory"), next)
}

/// An agency to keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgencyPut {
    /// Its full name.
    title: String,
}

/// Adds an agency to the directory, or corrects its name there. Codes change by reorganisation only.
#[utoipa::path(
    put, path = "/v1/agencies/{code}", params(("code" = String, Path)), request_body = AgencyPut,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is in the directory", body = AgencyBody),
        (status = 400, description = "The name is not usable", body = ProblemBody),
        (status = 409, description = "It ended", body = ProblemBody),
    )
)]
pub async fn put(
    needs: Needs<right::Register>,
    Path(code): Path<String>,
    Body(AgencyPut { title }): Body<AgencyPut>,
) -> Result<Json<AgencyBody>, Problem> {
    let code: AgencyCode = code.parse().map_err(|error| Problem::malformed(format!("{error}")))?;
    let title = directory::title(&title).map_err(|error| Problem::malformed(error.to_string()))?;
    let store = needs.desired.store();
    needs.trail().about(format!("agency {code}"));
    let write = Write::Agency { code: code.clone(), title, since: needs.trail().at() };
    store.write(&[write], needs.trail()).await?;
    let kept = store.agency(&code).await?.ok_or_else(|| unknown(&code))?;
    Ok(Json(kept.into()))
}

/// A batch of a directory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportBody {
    /// At most 1000.
    agencies: Vec<ImportEntry>,
}

/// One line of a directory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportEntry {
    /// Its identification code, in either grammar.
    code: String,
    /// Its full name.
    title: String,
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportResult {
    /// New agencies.
    added: usize,
    /// Agencies with another name.
    updated: usize,
    /// Agencies that were there just so.
    unchanged: usize,
    /// What was left out, and why; everything else was taken.
    errors: Vec<ImportError>,
}

/// One entry that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportError {
    /// Its place in the batch, from 0.
    at: usize,
    /// What is wrong with it.
    message: String,
}

/// Takes a batch of agencies into the directory: good entries are taken, bad ones are named.
#[utoipa::path(
    post, path = "/v1/agencies/import", request_body = ImportBody,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "What was taken and what was not", body = ImportResult),
        (status = 400, description = "The batch is too large", body = ProblemBody),
    )
)]
pub async fn import(
    needs: Needs<right::Register>,
    Body(ImportBody { agencies }): Body<ImportBody>,
) -> Result<Json<ImportResult>, Problem> {
    if agencies.len() > IMPORT_BATCH_MAX {
        let detail = format!("{} agencies are more than {IMPORT_BATCH_MAX} in one batch", agencies.len());
        return Err(Problem::malformed(detail));
    }
    let (mut good, mut errors) = (Vec::with_capacity(agencies.len()), Vec::new());
    let mut seen = std::collections::HashSet::new();
    for (at, ImportEntry { code, title }) in agencies.into_iter().enumerate() {
        match entry(&code, &title) {
            Ok((code, _)) if !seen.insert(code.clone()) => {
                errors.push(ImportError { at, message: format!("`{code}` is in the batch twice") });
            }
            Ok(entry) => good.push(entry),
            Err(message) => errors.push(ImportError { at, message }),
        }
    }
    needs.trail().about(format!("{} agencies", good.len()));
    let Imported { added, updated, unchanged } = needs.desired.store().import_agencies(&good, needs.trail()).await?;
    Ok(Json(ImportResult { added, updated, unchanged, errors }))
}

fn entry(code: &str, title: &str) -> Result<(AgencyCode, String), String> {
    let code = code.trim().parse().map_err(|error| format!("{error}"))?;
    Ok((code, directory::title(title).map_err(|error| error.to_string())?))
}

/// What became of a code and what it came from.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgencyHistory {
    /// The agency that has or had the code.
    agency: AgencyBody,
    /// The agencies that exist now in its place.
    current: Vec<AgencyBody>,
    /// Every reorganisation before and after, in the order of time.
    links: Vec<LinkBody>,
}

/// One old code and what came after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkBody {
    /// `rename`, `split`, `merge` or `dissolve`.
    operation: String,
    /// The code before.
    from: String,
    /// The code after; absent when it was dissolved.
    to: Option<String>,
    /// When.
    at: String,
    /// Until when the old code resolves.
    alias_until: String,
    /// The number of the reorganisation.
    reorganisation: u64,
}

impl From<Succession> for LinkBody {
    fn from(link: Succession) -> Self {
        let Succession { old, new, operation, reorganisation, at, alias_until } = link;
        let (at, alias_until) = (at.to_string(), alias_until.to_string());
        Self { operation, from: old.into(), to: new.map(String::from), at, alias_until, reorganisation }
    }
}

/// The history of a code: any former code leads to its successors, however long ago it ended.
#[utoipa::path(
    get, path = "/v1/agencies/{code}/history", params(("code" = String, Path)),
    security(("operator_token" = ["watch"])),
    responses(
        (status = 200, description = "Its history", body = AgencyHistory),
        (status = 404, description = "It was never known", body = ProblemBody),
    )
)]
pub async fn history(needs: Needs<right::Watch>, Path(code): Path<String>) -> Result<Json<AgencyHistory>, Problem> {
    let code: AgencyCode = segment(&code, "agency")?;
    let store = needs.desired.store();
    let found = store.resolve_agency(&code).await?.ok_or_else(|| unknown(&code))?;
    let links = store.lineage(&code).await?;
    Ok(Json(AgencyHistory {
        agency: found.asked.into(),
        current: found.current.into_iter().map(AgencyBody::from).collect(),
        links: links.into_iter().map(LinkBody::from).collect(),
    }))
}

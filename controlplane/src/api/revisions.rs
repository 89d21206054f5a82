//! History: every revision, what it changed, and the way back.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lgsp_shared::id::Revision;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::body::{Body, Query, revision};
use super::changes::{ChangeResult, audit};
use super::documents::{DocumentPage, PageQuery, page};
use super::problem::{Problem, ProblemBody};
use crate::desired::rollback::{self, Credentials};
use crate::desired::{Mode, Whole};
use crate::operator::Operator;
use crate::store::{ChangeRow, RevisionRow, StoreError};

/// Revisions on one page when nothing else is said.
const PAGE_DEFAULT: u32 = 50;

/// A revision.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevisionBody {
    /// Its number.
    revision: u64,
    /// The revision it was made from.
    base: u64,
    /// The hash of all its documents.
    hash: String,
    /// How many documents it has.
    documents: u64,
    /// Who made it.
    author: String,
    /// Why.
    message: String,
    /// When, in RFC 3339.
    created_at: String,
    /// What it changed; only when one revision is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<RevisionChange>>,
}

/// One document a revision changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevisionChange {
    /// `Kind/name`.
    document: String,
    /// The new `spec`; absent when it was removed.
    #[schema(value_type = Option<Object>)]
    spec: Option<serde_json::Value>,
}

impl From<RevisionRow> for RevisionBody {
    fn from(row: RevisionRow) -> Self {
        let RevisionRow { number, base, hash, documents, author, message, created_at } = row;
        let (revision, base, hash) = (number.0, base.0, hash.to_string());
        let created_at = created_at.to_string();
        Self { revision, base, hash, documents, author, message, created_at, changes: None }
    }
}

/// Which revisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only below this number.
    before: Option<u64>,
    /// At most so many; 500 at most.
    limit: Option<u32>,
}

/// One page of history.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// The current revision.
    current: u64,
    /// Newest first.
    revisions: Vec<RevisionBody>,
}

/// The revisions, newest first.
#[utoipa::path(
    get, path = "/v1/revisions", params(HistoryQuery),
    responses((status = 200, description = "One page", body = History))
)]
pub async fn history(State(app): State<App>, Query(query): Query<HistoryQuery>) -> Result<Json<History>, Problem> {
    let HistoryQuery { before, limit } = query;
    let rows = app.desired.store().history(before.map(Revision), limit.unwrap_or(PAGE_DEFAULT)).await?;
    let current = app.desired.current().revision().0;
    Ok(Json(History { current, revisions: rows.into_iter().map(RevisionBody::from).collect() }))
}

/// One revision and what it changed.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}", params(("revision" = u64, Path)),
    responses(
        (status = 200, description = "The revision", body = RevisionBody),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn one(State(app): State<App>, Path(number): Path<String>) -> Result<Json<RevisionBody>, Problem> {
    let row = find(&app, revision(&number)?).await?;
    let rows = app.desired.store().changes(row.number).await?;
    let changes = rows.into_iter().map(change).collect::<Result<_, _>>()?;
    Ok(Json(RevisionBody { changes: Some(changes), ..row.into() }))
}

fn change(ChangeRow { kind, name, content }: ChangeRow) -> Result<RevisionChange, Problem> {
    let damaged = |_| StoreError::Damaged { what: "document" };
    let spec = content.map(|content| serde_json::from_str(&content.spec).map_err(damaged)).transpose()?;
    Ok(RevisionChange { document: format!("{kind}/{name}"), spec })
}

/// All documents of one revision.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/documents", params(("revision" = u64, Path), PageQuery),
    responses(
        (status = 200, description = "One page", body = DocumentPage),
        (status = 404, description = "There is no such revision", body = ProblemBody),
    )
)]
pub async fn documents(
    State(app): State<App>,
    Path(number): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<DocumentPage>, Problem> {
    page(&load(&app, revision(&number)?).await?, query).map(Json)
}

/// What to bring back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// Why, for the history.
    #[serde(default)]
    message: String,
    /// Also bring credentials back as they were: keys issued since are gone, keys disabled since work again.
    #[serde(default)]
    restore_credentials: bool,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
    /// Removing more than half of all documents is meant.
    #[serde(default)]
    allow_large_removal: bool,
}

/// Makes a new revision with the content of an old one. Credentials stay as they are now unless asked for.
#[utoipa::path(
    post, path = "/v1/revisions/{revision}/rollback", params(("revision" = u64, Path)), request_body = RollbackBody,
    responses(
        (status = 200, description = "Done, or what would be done", body = ChangeResult),
        (status = 404, description = "There is no such revision", body = ProblemBody),
        (status = 422, description = "Refused, with every error", body = ProblemBody),
    )
)]
pub async fn rollback(
    State(app): State<App>,
    Extension(operator): Extension<Operator>,
    Path(number): Path<String>,
    Body(body): Body<RollbackBody>,
) -> Result<Json<ChangeResult>, Problem> {
    let RollbackBody { message, restore_credentials, dry_run, allow_large_removal } = body;
    let old = load(&app, revision(&number)?).await?;
    let message = if message.is_empty() { format!("rollback to revision {number}") } else { message };
    let credentials = if restore_credentials { Credentials::Restore } else { Credentials::Keep };
    let mode = if dry_run { Mode::DryRun } else { Mode::Commit };
    let old: Vec<_> = old.documents().cloned().collect();
    let make = move |current: &Whole, _: &_| {
        let mut change = rollback::to(current, &old, credentials);
        change.allow_large_removal = allow_large_removal;
        Ok(change)
    };
    let outcome = app.desired.edit(mode, audit(&operator, &message)?, make).await?;
    Ok(Json(ChangeResult::new(outcome, mode)))
}

async fn find(app: &App, number: Revision) -> Result<RevisionRow, Problem> {
    let row = app.desired.store().revision(number).await?;
    row.ok_or_else(|| Problem::not_found(&format!("revision `{number}`; `lgspctl history` lists all of them")))
}

async fn load(app: &App, number: Revision) -> Result<Whole, Problem> {
    let number = find(app, number).await?.number;
    let documents = app.desired.store().documents(number).await?;
    Ok(Whole::new(number, documents).ok_or(StoreError::Damaged { what: "document name" })?)
}

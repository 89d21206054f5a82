//! History: every revision, what it changed, and the way back.

use axum::Json;
use axum::extract::Path;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Rooms;
use super::body::{Body, DocumentBody, Query, next, revision};
use super::changes::ChangeResult;
use super::documents::{DocumentPage, PageQuery};
use super::needs::Needs;
use super::problem::{Problem, ProblemBody};
use crate::desired::rollback::{self, Credentials};
use crate::desired::sight::Sight;
use crate::desired::{Mode, Whole};
use crate::operator::right;
use crate::store::registry::concern::Concern;
use crate::store::{ChangeRow, Content, HISTORY_PAGE_MAX, PAST_PAGE_MAX, RevisionRow, StoreError};

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
    /// How many documents it has; not for those who are bound to an agency.
    documents: Option<u64>,
    /// Who made it; empty where it changed what is not seen too.
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
        Self { revision, base, hash, documents: Some(documents), author, message, created_at, changes: None }
    }
}

impl RevisionBody {
    /// What those may know of it who do not see all of it: why, and by whom, only where it changed nothing else.
    fn narrowed(mut self, nothing_else: bool) -> Self {
        self.documents = None;
        if !nothing_else {
            self.message.clear();
            self.author.clear();
        }
        self
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
    /// Give it as `before` for the next page; absent on the last.
    next: Option<u64>,
}

/// The revisions, newest first; an operator bound to an agency is shown those that concerned it when they were made.
#[utoipa::path(
    get, path = "/v1/revisions", params(HistoryQuery), security(("operator_token" = ["look"])),
    responses((status = 200, description = "One page", body = History))
)]
pub async fn history(
    needs: Needs<right::Look>,
    Query(HistoryQuery { before, limit }): Query<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    let (before, limit) = (before.map(Revision), limit.unwrap_or(PAGE_DEFAULT).clamp(1, HISTORY_PAGE_MAX));
    let (store, current) = (needs.desired.store(), needs.desired.current().revision());
    let revisions: Vec<RevisionBody> = match needs.operator().agency() {
        None => store.history(before, limit).await?.into_iter().map(RevisionBody::from).collect(),
        Some(agency) => match store.identity_of(agency).await? {
            Some(identity) => {
                store.concerning(identity, before, limit).await?.into_iter().map(RevisionBody::from).collect()
            }
            None => Vec::new(),
        },
    };
    let next = next(revisions.last().map(|body| body.revision), revisions.len(), limit);
    Ok(Json(History { current: current.0, revisions, next }))
}

impl From<Concern> for RevisionBody {
    fn from(Concern { revision, alone }: Concern) -> Self {
        Self::from(revision).narrowed(alone)
    }
}

/// One revision and what it changed.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}", params(("revision" = u64, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "The revision", body = RevisionBody),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn one(needs: Needs<right::Look>, Path(number): Path<String>) -> Result<Json<RevisionBody>, Problem> {
    let row = find(&needs, revision(&number)?).await?;
    let number = row.number;
    let rows = needs.desired.store().changes(number).await?;
    let (sight, all) = (sight_at(&needs, number).await?, rows.len());
    let changes = rows.into_iter().map(|row| change(row, &sight)).filter_map(Result::transpose);
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() && !sight.is_whole() {
        return Err(no_such_revision(number));
    }
    let body = RevisionBody::from(row);
    let body = if sight.is_whole() { body } else { body.narrowed(changes.len() == all) };
    Ok(Json(RevisionBody { changes: Some(changes), ..body }))
}

/// A change as far as it is seen. What was removed concerns no agency any more.
fn change(ChangeRow { kind, name, content }: ChangeRow, sight: &Sight) -> Result<Option<RevisionChange>, Problem> {
    let document = format!("{kind}/{name}");
    let Some(Content { spec, .. }) = content else {
        return Ok(sight.is_whole().then_some(RevisionChange { document, spec: None }));
    };
    let spec = serde_json::from_str(&spec).map_err(|_| StoreError::Damaged { what: "document" })?;
    let shown = sight.show(&Document { kind, name, spec });
    Ok(shown.map(|shown| RevisionChange { document, spec: Some(shown.spec) }))
}

/// What whoever asks sees of a revision, by what belonged to whom in that revision. Costs its systems and services for
/// those who are bound to an agency, and nothing for the others.
async fn sight_at<R>(needs: &Needs<R>, number: Revision) -> Result<Sight, Problem> {
    let mut owners = Vec::new();
    if needs.operator().agency().is_some() {
        for kind in [Kind::System, Kind::Service] {
            let mut after = String::new();
            loop {
                let page = needs.desired.store().documents_of(number, kind, &after, PAST_PAGE_MAX).await?;
                let Some(last) = page.last() else { break };
                last.name.clone_into(&mut after);
                owners.extend(page);
            }
        }
    }
    let owners = Whole::new(number, owners).ok_or(StoreError::Damaged { what: "document name" })?;
    Ok(needs.sight(&owners))
}

/// One document of one revision.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/documents/{kind}/{name}",
    params(("revision" = u64, Path), ("kind" = String, Path), ("name" = String, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "The document", body = DocumentBody),
        (status = 404, description = "There is no such revision, or it has none", body = ProblemBody),
    )
)]
pub async fn document(
    needs: Needs<right::Look>,
    Path((number, kind, name)): Path<(String, String, String)>,
) -> Result<Json<DocumentBody>, Problem> {
    let number = find(&needs, revision(&number)?).await?.number;
    let written = format!("{kind}/{name}");
    let missing = || Problem::not_found(&format!("`{written}` in revision {number}"));
    let key = ResourceKey::parse(&written).ok_or_else(missing)?;
    let document = needs.desired.store().document_at(number, &key).await?.ok_or_else(missing)?;
    let shown = sight_at(&needs, number).await?.show(&document);
    shown.map(|document| Json(document.into())).ok_or_else(missing)
}

/// All documents of one revision.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/documents", params(("revision" = u64, Path), PageQuery),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "One page", body = DocumentPage),
        (status = 404, description = "There is no such revision", body = ProblemBody),
    )
)]
pub async fn documents(
    needs: Needs<right::Look>,
    Path(number): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<DocumentPage>, Problem> {
    let row = find(&needs, revision(&number)?).await?;
    let (sight, at) = (sight_at(&needs, row.number).await?, query.place()?);
    let mut found = Vec::new();
    for kind in at.kinds() {
        let mut after = at.after_in(kind).to_owned();
        // One more than the page holds tells whether there is another page.
        while found.len() <= at.limit() {
            let wanted = if sight.is_whole() { at.limit() + 1 - found.len() } else { PAST_PAGE_MAX };
            let read = needs.desired.store().documents_of(row.number, kind, &after, wanted).await?;
            let Some(last) = read.last() else { break };
            last.name.clone_into(&mut after);
            found.extend(read.iter().filter_map(|document| sight.show(document)));
        }
    }
    let total = sight.is_whole().then(|| usize::try_from(row.documents).unwrap_or(usize::MAX));
    Ok(Json(DocumentPage::of_past(row, total, found, at.limit())))
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

/// Makes a new revision with the content of an old one. Credentials stay as they are now unless asked for. Takes a role
/// that may change each kind that differs.
#[utoipa::path(
    post, path = "/v1/revisions/{revision}/rollback", params(("revision" = u64, Path)), request_body = RollbackBody,
    security(("operator_token" = ["change"])),
    responses(
        (status = 200, description = "Done, or what would be done", body = ChangeResult),
        (status = 404, description = "There is no such revision", body = ProblemBody),
        (status = 422, description = "Refused, with every error", body = ProblemBody),
    )
)]
pub async fn rollback(
    needs: Needs<right::Change>,
    Path(number): Path<String>,
    Body(body): Body<RollbackBody>,
) -> Result<Json<ChangeResult>, Problem> {
    let RollbackBody { message, restore_credentials, dry_run, allow_large_removal } = body;
    let old = load(&needs, revision(&number)?).await?;
    let sight = needs.sight(&old);
    let message = if message.is_empty() { format!("rollback to revision {number}") } else { message };
    let credentials = if restore_credentials { Credentials::Restore } else { Credentials::Keep };
    let mode = if dry_run { Mode::DryRun } else { Mode::Commit };
    let old: Vec<_> = old.documents().filter(|document| sight.sees(document)).cloned().collect();
    let make = move |current: &Whole, _: &_| {
        let mut change = rollback::to(current, &old, credentials);
        change.allow_large_removal = allow_large_removal;
        Ok(change)
    };
    let outcome = needs.desired.edit(mode, needs.audit(&message)?, make).await?;
    Ok(Json(needs.result(outcome, mode)))
}

/// The revision, or the refusal that there is none.
pub(super) async fn find(rooms: &Rooms, number: Revision) -> Result<RevisionRow, Problem> {
    let row = rooms.desired.store().revision(number).await?;
    row.ok_or_else(|| no_such_revision(number))
}

fn no_such_revision(number: Revision) -> Problem {
    Problem::not_found(&format!("revision `{number}`; `lgspctl history` lists all of them"))
}

async fn load(rooms: &Rooms, number: Revision) -> Result<Whole, Problem> {
    let number = find(rooms, number).await?.number;
    let documents = rooms.desired.store().documents(number).await?;
    Ok(Whole::new(number, documents).ok_or(StoreError::Damaged { what: "document name" })?)
}

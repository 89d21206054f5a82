//! Changes: puts and deletes against a base.

use std::sync::Arc;

use axum::Json;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::{Document, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CHANGE_DOCUMENTS_MAX;
use super::body::{Body, DocumentBody, at_most};
use super::needs::Needs;
use super::problem::{FINDINGS_MAX, Finding, Problem, ProblemBody};
use crate::desired::sight::Sight;
use crate::desired::{Change, Edit, Entry, Mode, Outcome, Whole, credential};
use crate::operator::right;

/// Documents that the audit's entry of a change names as its target.
const TARGETS_MAX: usize = 10;

/// A set of puts and deletes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The revision the change was made against; a conflict when it is no longer current. Without it the change is made
    /// to whatever is current.
    #[serde(default)]
    base: Option<u64>,
    /// Documents to add or replace; 200,000 at most.
    #[serde(default, deserialize_with = "at_most::<CHANGE_DOCUMENTS_MAX, _, _>")]
    puts: Vec<DocumentBody>,
    /// `Kind/name` of documents to remove; nothing is removed that is not named. 200,000 at most.
    #[serde(default, deserialize_with = "at_most::<CHANGE_DOCUMENTS_MAX, _, _>")]
    deletes: Vec<String>,
    /// Why, for the history.
    #[serde(default)]
    message: String,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
    /// Removing more than half of all documents is meant.
    #[serde(default)]
    allow_large_removal: bool,
}

/// What a change did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeResult {
    /// The revision after it; the current one when nothing changed.
    pub revision: u64,
    /// The hash of all documents.
    pub hash: String,
    /// Whether a new revision was made.
    pub created: bool,
    /// What changed, or would.
    pub edits: Vec<EditBody>,
    /// What is probably not meant; the first 1000.
    pub warnings: Vec<Finding>,
}

/// One document before and after.
#[derive(Debug, Serialize, ToSchema)]
pub struct EditBody {
    /// `Kind/name`.
    document: String,
    /// Absent when it is added.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// Absent when it is removed.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

impl ChangeResult {
    /// Tells an outcome to who sees this much: sealed secrets are not shown to who may not see them.
    pub fn new(Outcome { whole, edits, warnings }: Outcome, mode: Mode, sight: &Sight) -> Self {
        Self {
            revision: whole.revision().0,
            hash: whole.hash().to_string(),
            created: mode == Mode::Commit && !edits.is_empty(),
            edits: edits.iter().map(|edit| EditBody::new(edit, sight)).collect(),
            warnings: warnings.into_iter().take(FINDINGS_MAX).map(Finding::from).collect(),
        }
    }

    /// Tells that the configuration stays as it is.
    pub fn none(whole: &Whole) -> Self {
        let (revision, hash) = (whole.revision().0, whole.hash().to_string());
        Self { revision, hash, created: false, edits: Vec::new(), warnings: Vec::new() }
    }
}

impl EditBody {
    fn new(Edit { key, before, after }: &Edit, sight: &Sight) -> Self {
        let spec = |entry: &Arc<Entry>| sight.without_secrets(entry.document().clone()).spec;
        Self { document: key.to_string(), before: before.as_ref().map(spec), after: after.as_ref().map(spec) }
    }
}

/// Applies a change to the whole, validates the whole, and makes a revision or refuses with every error. Takes a role
/// that may change each kind the change touches; a dry run does too, so that it tells what would really happen. A
/// credential without `secret`, as those read it who may not change it, keeps the secret it has.
#[utoipa::path(
    post, path = "/v1/changes", request_body = ChangeBody, security(("operator_token" = ["change"])),
    responses(
        (status = 200, description = "Done, or what would be done", body = ChangeResult),
        (status = 409, description = "The base is stale", body = ProblemBody),
        (status = 422, description = "Refused, with every error", body = ProblemBody),
    )
)]
pub async fn apply(needs: Needs<right::Change>, Body(body): Body<ChangeBody>) -> Result<Json<ChangeResult>, Problem> {
    let ChangeBody { base, puts, deletes, message, dry_run, allow_large_removal } = body;
    let deletes = deletes.iter().map(|key| {
        let malformed = || Problem::malformed(format!("`{key}` in `deletes` is not `Kind/name`"));
        ResourceKey::parse(key).ok_or_else(malformed)
    });
    let change = Change {
        base: base.map(Revision),
        deletes: deletes.collect::<Result<_, _>>()?,
        puts: puts.into_iter().map(Document::from).collect(),
        allow_large_removal,
    };
    let hidden = change.puts.iter().any(credential::lacks_secret);
    let mode = if dry_run { Mode::DryRun } else { Mode::Commit };
    needs.trail().about(target(&change, mode));
    let make = move |whole: &Whole, _: &_| {
        let mut change = change.clone();
        if hidden {
            change.puts.iter_mut().for_each(|put| credential::keep_secret(whole, put));
        }
        Ok(change)
    };
    let outcome = needs.desired.edit(mode, needs.audit(&message)?, make).await?;
    Ok(Json(needs.result(outcome, mode)))
}

/// What a change is about, for the audit: the first of what it names, also where it is refused.
fn target(change: &Change, mode: Mode) -> String {
    let puts = change.puts.iter().map(Document::label);
    let named: Vec<String> = puts.chain(change.deletes.iter().map(ToString::to_string)).take(TARGETS_MAX).collect();
    let (all, names) = (change.puts.len() + change.deletes.len(), named.join(" "));
    let dry = if mode == Mode::DryRun { "dry run: " } else { "" };
    if all > named.len() { format!("{dry}{names} and {} more", all - named.len()) } else { format!("{dry}{names}") }
}

//! The documents of the current revision, by page: nothing loads everything at once.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::Path;
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{DocumentBody, Query};
use super::needs::Needs;
use super::problem::{Problem, ProblemBody};
use crate::desired::Whole;
use crate::desired::sight::Sight;
use crate::operator::right;
use crate::store::RevisionRow;

/// The most documents on one page; about 1 KiB each.
const PAGE_MAX: usize = 1_000;

/// Which documents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Only of this kind.
    kind: Option<String>,
    /// Only after this `Kind/name`: `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 at most.
    limit: Option<usize>,
}

/// One page of documents.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentPage {
    /// The revision they are of.
    revision: u64,
    /// The hash of all documents of the revision.
    hash: String,
    /// How many documents of the revision are seen; absent where counting them would cost the whole of an old revision.
    total: Option<usize>,
    /// This page, in the order of kind and name.
    documents: Vec<DocumentBody>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Where a page begins, and how long it is.
#[derive(Debug)]
pub struct Place {
    kind: Option<Kind>,
    after: Option<ResourceKey>,
    limit: usize,
}

impl PageQuery {
    /// Reads the query.
    pub fn place(self) -> Result<Place, Problem> {
        let Self { kind, after, limit } = self;
        let kind = kind.map(|kind| parse_kind(&kind)).transpose()?;
        let malformed = |after: &String| Problem::malformed(format!("`after={after}` is not `Kind/name`"));
        let after =
            after.as_ref().map(|after| ResourceKey::parse(after).ok_or_else(|| malformed(after))).transpose()?;
        Ok(Place { kind, after, limit: limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX) })
    }
}

impl Place {
    /// The kinds the page may hold, in their order.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let from = self.after.as_ref().map(|after| after.kind);
        let wanted = self.kind;
        Kind::ALL.into_iter().filter(move |kind| wanted.is_none_or(|wanted| wanted == *kind) && from <= Some(*kind))
    }

    /// The name after which the page goes on in this kind.
    pub fn after_in(&self, kind: Kind) -> &str {
        self.after.as_ref().filter(|after| after.kind == kind).map_or("", |after| after.name.as_str())
    }

    /// Documents on the page.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl DocumentPage {
    /// A page of an old revision: `found` holds one document more than `limit` where another page follows.
    pub fn of_past(row: RevisionRow, total: Option<usize>, mut found: Vec<Document>, limit: usize) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(Document::label);
        let documents = found.into_iter().map(DocumentBody::from).collect();
        Self { revision: row.number.0, hash: row.hash.to_string(), total, documents, next }
    }
}

/// Cuts one page out of what is seen of a revision.
pub fn page(whole: &Whole, sight: &Sight, query: PageQuery) -> Result<DocumentPage, Problem> {
    let Place { kind, after, limit } = query.place()?;
    let comes_later = |key: &ResourceKey| after.as_ref().is_none_or(|after| key > after);
    let mut rest = whole
        .entries()
        .from(|key| if comes_later(key) { Ordering::Greater } else { Ordering::Less })
        .filter(|(key, entry)| kind.is_none_or(|kind| key.kind == kind) && sight.sees(entry.document()));
    let found: Vec<_> = rest.by_ref().take(limit).collect();
    let next = if rest.next().is_some() { found.last().map(|(key, _)| key.to_string()) } else { None };
    Ok(DocumentPage {
        revision: whole.revision().0,
        hash: whole.hash().to_string(),
        total: Some(if sight.is_whole() { whole.len() } else { sight.restrict(whole).len() }),
        documents: found.into_iter().filter_map(|(_, entry)| sight.show(entry.document())).map(Into::into).collect(),
        next,
    })
}

fn parse_kind(kind: &str) -> Result<Kind, Problem> {
    Kind::parse(kind).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::as_str).join("`, `");
        Problem::malformed(format!("`{kind}` is not a kind; use one of `{known}`"))
    })
}

/// The documents of the current revision.
#[utoipa::path(
    get, path = "/v1/documents", params(PageQuery), security(("operator_token" = ["look"])),
    responses((status = 200, description = "One page", body = DocumentPage))
)]
pub async fn list(needs: Needs<right::Look>, Query(query): Query<PageQuery>) -> Result<Json<DocumentPage>, Problem> {
    let whole = needs.desired.current();
    page(&whole, &needs.sight(&whole), query).map(Json)
}

/// One document of the current revision.
#[utoipa::path(
    get, path = "/v1/documents/{kind}/{name}",
    params(("kind" = String, Path), ("name" = String, Path)), security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "The document", body = DocumentBody),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn one(
    needs: Needs<right::Look>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<DocumentBody>, Problem> {
    let written = format!("{kind}/{name}");
    let whole = needs.desired.current();
    let found = ResourceKey::parse(&written).and_then(|key| needs.sight(&whole).show(whole.get(&key)?));
    found
        .map(|document| Json(document.into()))
        .ok_or_else(|| Problem::not_found(&format!("`{written}` in revision {}", whole.revision())))
}

//! The directory of agencies. Search by prefix reads one index in its order and stops when the page is full, and so does
//! SQLite where words are looked for within names; PostgreSQL then reads the table.

use std::collections::{HashMap, HashSet};

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{Document, Resource};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::super::built::Built;
use super::super::{Dialect, Store, StoreError, placeholders};
use super::identity;
use crate::audit::Trail;
use crate::registry::directory::{Agency, Cursor, Identity, PAGE_MAX, Rank, searchable};
use crate::registry::fold::Query;

/// Greater than every letter of a folded name: the end of what starts with a prefix.
const LAST: char = '\u{10ffff}';

/// Keeps PostgreSQL from looking for words along the index: where a page does not fill soon and the table was not vacuumed
/// since it was written, as after every import, that reads the table in random order and takes twice as long.
const APART: &str = " OFFSET 0";

/// What to search.
#[derive(Debug, Clone)]
pub struct Search {
    /// The words; none finds everything.
    pub query: Query,
    /// Where to go on.
    pub after: Option<Cursor>,
    /// At most so many; [`PAGE_MAX`] at most.
    pub limit: u32,
    /// What about agencies that ceased to be.
    pub ended: Ended,
}

/// Whether agencies that ceased to be are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// They are not.
    LeftOut,
    /// They are.
    Included,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// New agencies.
    pub added: usize,
    /// Agencies with another name.
    pub updated: usize,
    /// Agencies that were there just so.
    pub unchanged: usize,
}

impl Store {
    /// One agency.
    pub async fn agency(&self, code: &AgencyCode) -> Result<Option<Agency>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM agency WHERE code = $1").bind(code.as_str()).fetch_optional(self.pool()).await?;
        row.as_ref().map(agency).transpose()
    }

    /// One page: names that start with the query first, then all others that hold its words; each in the order of names.
    pub async fn search_agencies(&self, search: &Search) -> Result<(Vec<Agency>, Option<Cursor>), StoreError> {
        let limit = search.limit.clamp(1, PAGE_MAX);
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<(Rank, Agency)> = Vec::new();
        let ranks: &[Rank] = match &search.after {
            Some(Cursor { rank: Rank::Within, .. }) => &[Rank::Within],
            // Without words everything starts with the query.
            _ if search.query.whole().is_empty() => &[Rank::Prefix],
            Some(Cursor { rank: Rank::Prefix, .. }) | None => &[Rank::Prefix, Rank::Within],
        };
        for rank in ranks {
            let after = search.after.as_ref().filter(|cursor| cursor.rank == *rank).map(|cursor| &cursor.code);
            let missing = wanted.saturating_sub(found.len()).saturating_add(1);
            let page = self.ranked(search, *rank, after, missing).await?;
            found.extend(page.into_iter().map(|agency| (*rank, agency)));
            if found.len() > wanted {
                break;
            }
        }
        let more = found.len() > wanted;
        found.truncate(wanted);
        let next = found.last().filter(|_| more).map(|(rank, last)| Cursor { rank: *rank, code: last.code.clone() });
        Ok((found.into_iter().map(|(_, agency)| agency).collect(), next))
    }

    async fn ranked(
        &self,
        search: &Search,
        rank: Rank,
        after: Option<&AgencyCode>,
        limit: usize,
    ) -> Result<Vec<Agency>, StoreError> {
        // Names and codes are enough to find a page; only its agencies are looked up.
        let mut sql = Built::new(
            "SELECT a.code, a.title, a.document, a.since, a.ended, a.identity FROM (SELECT folded, code FROM (\
             SELECT folded, code FROM agency WHERE ",
        );
        sql.push(match search.ended {
            Ended::LeftOut => "ended IS NULL",
            Ended::Included => "0 = 0",
        });
        let whole = search.query.whole();
        match rank {
            Rank::Prefix if whole.is_empty() => {}
            Rank::Prefix => {
                sql.push(" AND folded >= ").text(whole).push(" AND folded < ").text(format!("{whole}{LAST}"));
            }
            Rank::Within => {
                let mut words: Vec<&str> = search.query.words().collect();
                // Longer words are rarer: most agencies are passed over after one comparison.
                words.sort_by_key(|word| std::cmp::Reverse(word.len()));
                for word in words {
                    // Nothing of what LIKE treats specially survives folding.
                    sql.push(" AND folded LIKE ").text(format!("%{word}%"));
                }
                sql.push(" AND NOT (folded >= ").text(whole).push(" AND folded < ").text(format!("{whole}{LAST}"));
                sql.push(")");
            }
        }
        if let Some(code) = after {
            sql.push(" AND (folded, code) > (SELECT folded, code FROM agency WHERE code = ")
                .text(code.as_str())
                .push(")");
        }
        if rank == Rank::Within && self.dialect() == Dialect::Postgres {
            sql.push(APART);
        }
        sql.push(") hit ORDER BY folded, code LIMIT ").number(i64::try_from(limit).unwrap_or(i64::MAX));
        sql.push(") page JOIN agency a ON a.code = page.code ORDER BY page.folded, page.code");
        let rows = sql.query().fetch_all(self.pool()).await?;
        rows.iter().map(agency).collect()
    }

    /// Notes the agencies that have documents: those of a database from before there was a directory. One that ended is
    /// left as it is.
    pub async fn adopt_documents(&self, documents: impl Iterator<Item = &Document>) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT document FROM agency WHERE document IS NOT NULL").fetch_all(self.pool()).await?;
        let known: HashSet<String> = rows.iter().map(|row| row.try_get("document")).collect::<Result<_, _>>()?;
        for document in documents.filter(|document| !known.contains(&document.name)) {
            let Ok(Resource::Agency(name, spec)) = document.read().map(|read| read.resource) else { continue };
            let mut transaction = self.begin().await?;
            match put_document(&mut transaction, &name, &spec.code, &spec.title, UnixSeconds(0)).await {
                Ok(()) => transaction.commit().await?,
                Err(StoreError::Ended { code: _ } | StoreError::Taken { what: _ }) => transaction.rollback().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds agencies, and gives those that are there the names in the list. An agency that ended stays ended.
    pub async fn import_agencies(&self, batch: &[(AgencyCode, String)], trail: &Trail) -> Result<Imported, StoreError> {
        let mut transaction = self.begin().await?;
        let known = titles(&mut transaction, batch).await?;
        let mut imported = Imported::default();
        let mut changed = Vec::new();
        for (code, title) in batch {
            match known.get(code.as_str()) {
                Some(same) if same == title => imported.unchanged += 1,
                Some(_) => {
                    imported.updated += 1;
                    changed.push((code, title));
                }
                None => {
                    imported.added += 1;
                    changed.push((code, title));
                }
            }
        }
        insert(&mut transaction, &changed, trail.at()).await?;
        let Imported { added, updated, unchanged } = imported;
        let after = json!({"added": added, "updated": updated, "unchanged": unchanged});
        super::finish(transaction, trail, &after).await?;
        Ok(imported)
    }
}

async fn titles(
    connection: &mut AnyConnection,
    batch: &[(AgencyCode, String)],
) -> Result<HashMap<String, String>, StoreError> {
    if batch.is_empty() {
        return Ok(HashMap::new());
    }
    let codes: Vec<String> = (1..=batch.len()).map(|at| format!("${at}")).collect();
    let sql = format!("SELECT code, title FROM agency WHERE code IN ({})", codes.join(", "));
    let query = batch.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (code, _)| query.bind(code.as_str()));
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get("code")?, row.try_get("title")?))).collect()
}

async fn insert(
    connection: &mut AnyConnection,
    agencies: &[(&AgencyCode, &String)],
    now: UnixSeconds,
) -> Result<(), StoreError> {
    if agencies.is_empty() {
        return Ok(());
    }
    // One for each, also where the agency is there and keeps its own: numbers are not scarce.
    let first = identity::draw(connection, agencies.len()).await?;
    let sql = format!(
        "INSERT INTO agency (code, title, folded, since, identity) VALUES {} \
         ON CONFLICT (code) DO UPDATE SET title = excluded.title, folded = excluded.folded",
        placeholders(agencies.len(), 5)
    );
    let query = (first.0..).zip(agencies).fold(sqlx::query(AssertSqlSafe(sql)), |query, (number, (code, title))| {
        query.bind(code.as_str()).bind(title.as_str()).bind(searchable(code, title)).bind(now.0).bind(number)
    });
    query.execute(connection).await?;
    Ok(())
}

/// Keeps an agency, or corrects its name; refused when it ended.
pub(super) async fn put(
    connection: &mut AnyConnection,
    code: &AgencyCode,
    title: &str,
    since: UnixSeconds,
) -> Result<(), StoreError> {
    match find(connection, code).await? {
        Some(Agency { ended: Some(_), .. }) => Err(StoreError::Ended { code: code.clone() }),
        Some(_) => rename(connection, code, title).await,
        None => add(connection, code, title, since).await.map(drop),
    }
}

/// Keeps the successor of a reorganisation. A code that ended is another agency's from now on.
pub(super) async fn succeed(
    connection: &mut AnyConnection,
    code: &AgencyCode,
    title: &str,
    since: UnixSeconds,
) -> Result<(), StoreError> {
    match find(connection, code).await? {
        Some(Agency { ended: Some(_), .. }) => {
            let identity = identity::draw(connection, 1).await?;
            give(connection, code, identity, None, since).await?;
            rename(connection, code, title).await
        }
        Some(_) => rename(connection, code, title).await,
        None => add(connection, code, title, since).await.map(drop),
    }
}

/// Gives an agency another code, under which it stays who it is.
pub(super) async fn recode(
    connection: &mut AnyConnection,
    from: &AgencyCode,
    to: &AgencyCode,
    title: &str,
    at: UnixSeconds,
) -> Result<(), StoreError> {
    let gone = |code: &AgencyCode| StoreError::Moved { what: format!("agency `{code}` ended, or was never there") };
    let Some(agency @ Agency { ended: None, .. }) = find(connection, from).await? else { return Err(gone(from)) };
    match find(connection, to).await? {
        Some(Agency { ended: None, .. }) => {
            return Err(StoreError::Moved { what: format!("agency `{to}` exists") });
        }
        Some(_) => {}
        None => drop(add(connection, to, title, at).await?),
    }
    end(connection, from, at).await?;
    if let Some(document) = &agency.document {
        remove_document(connection, document).await?;
    }
    give(connection, to, agency.identity, agency.document.as_ref(), at).await?;
    rename(connection, to, title).await
}

async fn find(connection: &mut AnyConnection, code: &AgencyCode) -> Result<Option<Agency>, StoreError> {
    let row = sqlx::query("SELECT * FROM agency WHERE code = $1").bind(code.as_str());
    row.fetch_optional(connection).await?.as_ref().map(agency).transpose()
}

async fn add(
    connection: &mut AnyConnection,
    code: &AgencyCode,
    title: &str,
    since: UnixSeconds,
) -> Result<Identity, StoreError> {
    let identity = identity::draw(connection, 1).await?;
    sqlx::query("INSERT INTO agency (code, title, folded, since, identity) VALUES ($1, $2, $3, $4, $5)")
        .bind(code.as_str())
        .bind(title)
        .bind(searchable(code, title))
        .bind(since.0)
        .bind(identity.0)
        .execute(connection)
        .await?;
    Ok(identity)
}

async fn rename(connection: &mut AnyConnection, code: &AgencyCode, title: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE agency SET title = $1, folded = $2 WHERE code = $3")
        .bind(title)
        .bind(searchable(code, title))
        .bind(code.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// A code is this agency's from now on.
async fn give(
    connection: &mut AnyConnection,
    code: &AgencyCode,
    identity: Identity,
    document: Option<&AgencyId>,
    since: UnixSeconds,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE agency SET identity = $1, document = $2, since = $3, ended = NULL WHERE code = $4")
        .bind(identity.0)
        .bind(document.map(AgencyId::as_str))
        .bind(since.0)
        .bind(code.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes which agency a document is of; the document's name of it is the directory's. An agency has one document, and the
/// name of a document stays its agency's.
pub(super) async fn put_document(
    connection: &mut AnyConnection,
    document: &AgencyId,
    code: &AgencyCode,
    title: &str,
    since: UnixSeconds,
) -> Result<(), StoreError> {
    let identity = match find(connection, code).await? {
        Some(Agency { ended: Some(_), .. }) => return Err(StoreError::Ended { code: code.clone() }),
        Some(Agency { document: Some(other), .. }) if other != *document => {
            let what = format!(
                "agency `{code}` has the document `Agency/{other}` already, and an agency has one document; change \
                 that one, or correct the code of `Agency/{document}`"
            );
            return Err(StoreError::Taken { what });
        }
        Some(Agency { identity, .. }) => {
            rename(connection, code, title).await?;
            identity
        }
        None => add(connection, code, title, since).await?,
    };
    identity::name_agency(connection, document, identity, code).await?;
    remove_document(connection, document).await?;
    sqlx::query("UPDATE agency SET document = $1 WHERE code = $2")
        .bind(document.as_str())
        .bind(code.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a document was removed.
pub(super) async fn remove_document(connection: &mut AnyConnection, document: &AgencyId) -> Result<(), StoreError> {
    sqlx::query("UPDATE agency SET document = NULL WHERE document = $1")
        .bind(document.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that an agency ended; one that had is not touched.
pub(super) async fn end(connection: &mut AnyConnection, code: &AgencyCode, at: UnixSeconds) -> Result<(), StoreError> {
    let ended = sqlx::query("UPDATE agency SET ended = $1 WHERE code = $2 AND ended IS NULL")
        .bind(at.0)
        .bind(code.as_str())
        .execute(connection)
        .await?;
    if ended.rows_affected() == 0 {
        return Err(StoreError::Moved { what: format!("agency `{code}` ended, or was never there") });
    }
    Ok(())
}

/// An agency as its row has it.
pub(super) fn agency(row: &AnyRow) -> Result<Agency, StoreError> {
    let damaged = |_| StoreError::Damaged { what: "agency" };
    let document: Option<String> = row.try_get("document")?;
    Ok(Agency {
        identity: Identity(row.try_get::<Option<i64>, _>("identity")?.unwrap_or_default()),
        code: row.try_get::<String, _>("code")?.parse().map_err(damaged)?,
        title: row.try_get("title")?,
        document: document.map(|name| name.parse()).transpose().map_err(damaged)?,
        since: UnixSeconds(row.try_get("since")?),
        ended: row.try_get::<Option<i64>, _>("ended")?.map(UnixSeconds),
    })
}

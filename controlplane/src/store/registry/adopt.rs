//! A database from before identities learns whose its names, codes, papers and revisions are, once, from its own history.
//!
//! The history is gone through in the order of time. A code that two agencies have had is told apart by when: what was handed
//! in under it before it ended stays with the agency that had it then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use super::super::revision::change_row;
use super::super::{ChangeRow, Store, StoreError};
use super::contact::contacts_of;
use super::identity;
use crate::registry::concern::{Owners, concerned};
use crate::registry::directory::Identity;
use crate::registry::reorganisation::Operation;

impl Store {
    /// Gives names, papers and revisions their identities, unless that was done.
    pub async fn adopt_identities(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let adopted: i64 = sqlx::query_scalar("SELECT adopted FROM identity_last").fetch_one(&mut *transaction).await?;
        if adopted != 0 {
            return Ok(());
        }
        let mut past = Past::load(&mut transaction).await?;
        past.live(&mut transaction).await?;
        past.write(&mut transaction).await?;
        sqlx::query("UPDATE identity_last SET adopted = 1").execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// A reorganisation that was carried out.
struct Turn {
    operation: Operation,
    at: i64,
    revision: Option<i64>,
}

/// An application before it has an identity.
struct Paper {
    number: i64,
    code: String,
    system: String,
    at: i64,
    identity: Option<Identity>,
}

/// Who has a code.
#[derive(Clone, Copy)]
struct Holder {
    identity: Identity,
    ended: bool,
}

/// A name as it is left by the history so far.
struct Name {
    agency: Identity,
    parent: Option<String>,
    ended: Option<i64>,
}

/// What is known at one instant of the history.
#[derive(Default)]
struct Past {
    holders: HashMap<String, Holder>,
    turns: Vec<Turn>,
    papers: Vec<Paper>,
    /// Codes whose holder is another one than before.
    given: BTreeSet<String>,
    /// Codes that two agencies have had, and which of them came first.
    first: HashMap<String, Identity>,
    documents: HashMap<ResourceKey, Document>,
    /// How many changes of which revision concern which agency.
    concerns: Vec<(Identity, i64, i64)>,
    names: BTreeMap<(Kind, String), Name>,
}

impl Owners for Past {
    fn agency_of(&self, system: &str) -> Option<&str> {
        self.field(Kind::System, system, "agency")
    }

    fn system_of(&self, service: &str) -> Option<&str> {
        self.field(Kind::Service, service, "system")
    }
}

impl Past {
    async fn load(connection: &mut AnyConnection) -> Result<Self, StoreError> {
        let mut past = Self::default();
        for row in sqlx::query("SELECT code, identity FROM agency").fetch_all(&mut *connection).await? {
            let identity = Identity(row.try_get("identity")?);
            past.holders.insert(row.try_get("code")?, Holder { identity, ended: false });
        }
        let sql = "SELECT o.operation, o.effective, o.revision, r.created_at FROM reorganisation o \
                   LEFT JOIN revision r ON r.number = o.revision WHERE o.state = 'applied' \
                   ORDER BY COALESCE(r.created_at, o.effective), o.number";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await? {
            let operation: String = row.try_get("operation")?;
            let made: Option<i64> = row.try_get("created_at")?;
            past.turns.push(Turn {
                operation: serde_json::from_str(&operation)
                    .map_err(|_| StoreError::Damaged { what: "reorganisation" })?,
                at: made.map_or_else(|| row.try_get("effective"), Ok)?,
                revision: row.try_get("revision")?,
            });
        }
        let sql = "SELECT number, agency, system, submitted_at FROM application ORDER BY submitted_at, number";
        for row in sqlx::query(sql).fetch_all(connection).await? {
            past.papers.push(Paper {
                number: row.try_get("number")?,
                code: row.try_get("agency")?,
                system: row.try_get("system")?,
                at: row.try_get("submitted_at")?,
                identity: None,
            });
        }
        Ok(past)
    }

    /// Goes through the history.
    async fn live(&mut self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT number, created_at FROM revision ORDER BY number").fetch_all(&mut *connection);
        let mut turns = std::mem::take(&mut self.turns).into_iter().peekable();
        for row in rows.await? {
            let (number, at): (i64, i64) = (row.try_get("number")?, row.try_get("created_at")?);
            let due = |turn: &Turn| turn.revision.map_or(turn.at <= at, |revision| revision <= number);
            while let Some(turn) = turns.next_if(due) {
                self.turn(connection, &turn).await?;
            }
            let changes = changes_of(connection, number).await?;
            self.revise(number, changes, at);
        }
        for turn in turns {
            self.turn(connection, &turn).await?;
        }
        self.file(i64::MAX);
        Ok(())
    }

    /// A reorganisation: codes change hands, and papers with them.
    async fn turn(&mut self, connection: &mut AnyConnection, turn: &Turn) -> Result<(), StoreError> {
        self.file(turn.at);
        let Turn { operation, at: _, revision: _ } = turn;
        if let Operation::Rename { code, to } = operation
            && to.code != *code
        {
            let holder = self.holder(connection, code).await?;
            self.give(&to.code, holder.identity);
            self.holders.insert(code.as_str().to_owned(), Holder { ended: true, ..holder });
            return Ok(());
        }
        for successor in operation.to() {
            let holder = self.holder(connection, &successor.code).await?;
            if holder.ended {
                let fresh = identity::draw(connection, 1).await?;
                self.give(&successor.code, fresh);
            }
        }
        match operation {
            Operation::Merge { codes, into } => {
                let to = self.holder(connection, &into.code).await?.identity;
                for code in codes {
                    let from = self.holder(connection, code).await?.identity;
                    self.hand_over(from, to, None);
                }
            }
            Operation::Split { code, into: _, systems } => {
                let from = self.holder(connection, code).await?.identity;
                for (system, code) in systems {
                    let to = self.holder(connection, code).await?.identity;
                    self.hand_over(from, to, Some(system.as_str()));
                }
            }
            Operation::Rename { .. } | Operation::Dissolve { .. } => {}
        }
        for code in operation.ending() {
            if let Some(holder) = self.holders.get_mut(code.as_str()) {
                holder.ended = true;
            }
        }
        Ok(())
    }

    /// A code is this agency's from now on.
    fn give(&mut self, code: &AgencyCode, identity: Identity) {
        let code = code.as_str().to_owned();
        self.given.insert(code.clone());
        let before = self.holders.insert(code.clone(), Holder { identity, ended: false });
        if let Some(before) = before.filter(|before| before.ended && before.identity != identity) {
            self.first.entry(code).or_insert(before.identity);
        }
    }

    async fn holder(&mut self, connection: &mut AnyConnection, code: &AgencyCode) -> Result<Holder, StoreError> {
        if let Some(holder) = self.holders.get(code.as_str()) {
            return Ok(*holder);
        }
        let holder = Holder { identity: identity::draw(connection, 1).await?, ended: false };
        self.holders.insert(code.as_str().to_owned(), holder);
        Ok(holder)
    }

    /// What was handed in up to an instant belongs to whom had the code then.
    fn file(&mut self, until: i64) {
        for paper in self.papers.iter_mut().filter(|paper| paper.identity.is_none() && paper.at <= until) {
            paper.identity = self.holders.get(&paper.code).map(|holder| holder.identity);
        }
    }

    fn hand_over(&mut self, from: Identity, to: Identity, system: Option<&str>) {
        let is_it = |name: &str| system.is_none_or(|system| system == name);
        for paper in self.papers.iter_mut().filter(|paper| paper.identity == Some(from) && is_it(&paper.system)) {
            paper.identity = Some(to);
        }
        for ((kind, name), held) in &mut self.names {
            if *kind == Kind::System && held.agency == from && is_it(name) {
                held.agency = to;
            }
        }
    }

    /// A revision: what it changes, and how many of its changes concern which agency.
    fn revise(&mut self, number: i64, changes: Vec<ChangeRow>, at: i64) {
        let keyed = changes.into_iter().filter_map(|ChangeRow { kind, name, content }| {
            let key = ResourceKey { kind: Kind::parse(&kind)?, name: name.parse().ok()? };
            let spec: Option<Value> = content.and_then(|content| serde_json::from_str(&content.spec).ok());
            Some((key, spec.map(|spec| Document { kind, name, spec })))
        });
        let changes: Vec<(ResourceKey, Option<Document>)> = keyed.collect();
        let mut concerns: Vec<BTreeSet<AgencyId>> = changes
            .iter()
            .map(|(key, _)| self.documents.get(key).map(|before| concerned(before, self)).unwrap_or_default())
            .collect();
        for (key, after) in &changes {
            match after {
                Some(document) => drop(self.documents.insert(key.clone(), document.clone())),
                None => drop(self.documents.remove(key)),
            }
        }
        for (agencies, (_, after)) in concerns.iter_mut().zip(&changes) {
            agencies.extend(after.iter().flat_map(|after| concerned(after, self)));
        }
        for (key, after) in &changes {
            self.name(key, after.as_ref(), at);
        }
        let mut counts: BTreeMap<Identity, i64> = BTreeMap::new();
        for agency in concerns.into_iter().flatten() {
            if let Some(name) = self.names.get(&(Kind::Agency, agency.to_string())) {
                *counts.entry(name.agency).or_default() += 1;
            }
        }
        self.concerns.extend(counts.into_iter().map(|(agency, changes)| (agency, number, changes)));
    }

    fn name(&mut self, key: &ResourceKey, after: Option<&Document>, at: i64) {
        if !matches!(key.kind, Kind::Agency | Kind::System | Kind::Service) {
            return;
        }
        let entry = (key.kind, key.name.as_str().to_owned());
        let Some(document) = after else {
            if let Some(name) = self.names.get_mut(&entry) {
                name.ended = Some(at);
            }
            return;
        };
        let field = |name: &str| document.spec.get(name).and_then(Value::as_str).unwrap_or_default();
        let (agency, parent) = match key.kind {
            Kind::Agency => (self.holders.get(field("code")).map(|holder| holder.identity), None),
            Kind::System => {
                let agency = self.names.get(&(Kind::Agency, field("agency").to_owned()));
                (agency.map(|agency| agency.agency), None)
            }
            _ => (None, Some(field("system").to_owned())),
        };
        let agency = agency.unwrap_or(Identity(0));
        if let Some(before) = self.names.get(&entry)
            && key.kind == Kind::Agency
            && before.agency != agency
        {
            tracing::warn!(document = %key, "the name was another agency's before: check its operators");
        }
        self.names.insert(entry, Name { agency, parent, ended: None });
    }

    fn field(&self, kind: Kind, name: &str, field: &str) -> Option<&str> {
        let key = ResourceKey { kind, name: name.parse().ok()? };
        self.documents.get(&key)?.spec.get(field)?.as_str()
    }

    async fn write(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        for code in &self.given {
            let Some(holder) = self.holders.get(code) else { continue };
            let update = sqlx::query("UPDATE agency SET identity = $1 WHERE code = $2");
            update.bind(holder.identity.0).bind(code).execute(&mut *connection).await?;
        }
        for ((kind, name), Name { agency, parent, ended }) in &self.names {
            let insert = "INSERT INTO document_name (kind, name, agency, parent, ended) VALUES ($1, $2, $3, $4, $5) \
                          ON CONFLICT (kind, name) DO UPDATE SET agency = excluded.agency, ended = excluded.ended";
            let insert = sqlx::query(insert).bind(kind.as_str()).bind(name).bind(agency.0);
            insert.bind(parent.as_deref()).bind(*ended).execute(&mut *connection).await?;
        }
        for Paper { number, identity, .. } in &self.papers {
            let update = sqlx::query("UPDATE application SET identity = $1 WHERE number = $2");
            update.bind(identity.map(|identity| identity.0)).bind(number).execute(&mut *connection).await?;
        }
        for (agency, revision, changes) in &self.concerns {
            let insert = "INSERT INTO revision_concern (agency, revision, changes) VALUES ($1, $2, $3)";
            let insert = sqlx::query(insert).bind(agency.0).bind(revision).bind(changes);
            insert.execute(&mut *connection).await?;
        }
        self.move_contacts(connection).await
    }

    /// Contacts follow the agency; those of a code that two agencies have had stay with the first of them.
    async fn move_contacts(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT DISTINCT subject FROM contact WHERE subject LIKE 'Agency/%'");
        let rows = rows.fetch_all(&mut *connection).await?;
        let mut subjects: Vec<(bool, Identity, String)> = Vec::new();
        for row in rows {
            let subject: String = row.try_get("subject")?;
            let code = subject.trim_start_matches("Agency/");
            let Some(holder) = self.holders.get(code) else { continue };
            let identity = self.first.get(code).copied().unwrap_or(holder.identity);
            subjects.push((holder.ended, identity, subject));
        }
        // Where an agency has contacts under several codes, those of the code it has now count.
        subjects.sort();
        for (_, identity, subject) in subjects {
            let update = "UPDATE contact SET subject = $1 WHERE subject = $2 \
                          AND NOT EXISTS (SELECT 1 FROM contact WHERE subject = $1)";
            let update = sqlx::query(update).bind(contacts_of(identity)).bind(&subject);
            update.execute(&mut *connection).await?;
            sqlx::query("DELETE FROM contact WHERE subject = $1").bind(&subject).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

async fn changes_of(connection: &mut AnyConnection, number: i64) -> Result<Vec<ChangeRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.kind, c.name, t.hash, t.spec FROM revision_change c LEFT JOIN content t ON t.hash = c.content \
         WHERE c.revision = $1",
    );
    let rows = rows.bind(number).fetch_all(connection).await?;
    // Kinds in the order in which they refer to each other, as they are read everywhere else.
    let mut changes = rows.iter().map(change_row).collect::<Result<Vec<_>, _>>()?;
    changes.sort_by_key(|change| Kind::parse(&change.kind));
    Ok(changes)
}

#[cfg(test)]
mod tests;

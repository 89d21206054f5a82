//! The desired state: a change is applied to the whole, the whole is validated, and revision N+1 is made or refused
//! with every problem. Knows neither HTTP nor etcd.
//!
//! One change is made at a time; the database refuses a revision whose base is no longer current, so nothing is lost
//! even when another process writes too. What others make is taken over by [`follow_database`], and before every change.
//! Whoever publishes follows [`Desired::follow`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::id::{Revision, SystemId};
use lgsp_shared::resource::Document;
use lgsp_shared::seal::origin::Lineage;
use lgsp_shared::seal::{SealKey, SealKeys};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_shared::validate::Problem;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::audit::Trail;
use crate::store::registry::{Rule, Write};
use crate::store::{ChangeRow, Content, NewLine, RevisionRow, Store, StoreError, Writer};

pub mod authority;
pub mod bounds;
pub mod change;
pub mod connection;
pub mod credential;
pub mod deed;
mod keys;
pub mod ownership;
pub mod reorganise;
pub mod reseal;
pub mod rollback;
mod shadow;
pub mod sight;
pub mod whole;

pub use authority::Authority;
pub use bounds::Bounds;
pub use change::{Change, Edit, Proposal};
pub use deed::Deed;
pub use keys::Keys;
use ownership::Door;
pub use whole::{Entry, Whole};

/// Changed documents that the audit's entry of a revision names; about 100 bytes each.
const AUDITED_DOCUMENTS_MAX: usize = 100;
/// How often a change is computed again because another process made a revision in between. After that it is computed
/// while no other process can write, which holds them up for as long as that takes.
const ATTEMPTS_BESIDE_OTHERS: u32 = 3;
/// How often the database is asked whether another process made a revision; one indexed look-up.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same while it does not answer.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// More revisions behind than this, everything is loaded instead of the changes.
const BEHIND_MAX: u64 = 1_000;

/// Who makes a change, when, and why.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The operator's name.
    pub author: String,
    /// In the operator's words; may be empty.
    pub message: String,
    /// Now.
    pub at: UnixSeconds,
    /// What the author may change.
    pub authority: Authority,
    /// What becomes the audit's entry, in the transaction that makes the revision.
    pub trail: Trail,
}

/// Whether a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A new revision is made.
    Commit,
    /// Only what would happen is told.
    DryRun,
}

/// What a change did, or would do.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The whole after it.
    pub whole: Arc<Whole>,
    /// What it changed; empty when everything was so already, and then there is no new revision.
    pub edits: Vec<Edit>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The whole would not be valid.
    #[error("the configuration is refused: {} problem{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Refused(Vec<Problem>),
    /// The base is no longer current.
    #[error("the change was made against revision {base}, but {current} is current")]
    Stale {
        /// The base given.
        base: Revision,
        /// The current revision.
        current: Revision,
    },
    /// It removes a large part without saying so.
    #[error("the change removes {removed} of {of} documents")]
    LargeRemoval {
        /// How many documents it removes.
        removed: usize,
        /// How many there are.
        of: usize,
    },
    /// More is published than may be.
    #[error("{what} would have {bytes} bytes, and {bytes_max} are allowed")]
    TooLarge {
        /// Whose documents.
        what: String,
        /// How many bytes they would have as published.
        bytes: u64,
        /// How many they may have.
        bytes_max: u64,
    },
    /// The author may not change this.
    #[error("you may not change {what}")]
    Forbidden {
        /// Kinds, or a document beyond the author's agency.
        what: String,
    },
    /// What it is about does not exist.
    #[error("there is no {what}")]
    NotFound {
        /// What is missing, in backticks.
        what: String,
    },
    /// A key for a system that was never approved, or whose connection was cancelled.
    #[error("`System/{system}` is not approved, so no key is made for it")]
    NotApproved {
        /// The system.
        system: SystemId,
    },
    /// What it is about does not allow it now.
    #[error("{0}")]
    NotNow(String),
    /// A secret could not be sealed.
    #[error("the secret cannot be sealed")]
    Seal(#[from] lgsp_shared::seal::SealError),
    /// The database failed.
    #[error("the revision cannot be stored")]
    Store(#[source] StoreError),
    /// This process is stopping, or a computation was lost.
    #[error("the change was interrupted")]
    Interrupted,
}

/// Keeps the desired state.
#[derive(Debug)]
pub struct Desired {
    store: Store,
    keys: Keys,
    current: watch::Sender<Arc<Whole>>,
    rule: Rule,
    bounds: Bounds,
    /// One writer at a time: later changes are computed on what earlier ones made, instead of being tried again.
    writer: Semaphore,
}

impl Desired {
    /// Loads the current revision. Keys are made only for systems that were approved.
    pub async fn load(store: Store, keys: impl Into<Keys>) -> Result<Self, StoreError> {
        let whole = load_current(&store).await?;
        store.adopt_documents(whole.documents()).await?;
        store.adopt_identities().await?;
        let (current, keys) = (watch::Sender::new(Arc::new(whole)), keys.into());
        Ok(Self { store, keys, current, rule: Rule::Approved, bounds: Bounds::default(), writer: Semaphore::new(1) })
    }

    /// The same, with another rule about keys.
    pub fn under(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// The same, with other bounds of what is published.
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// When keys may be made for a system.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The current revision.
    pub fn current(&self) -> Arc<Whole> {
        self.current.borrow().clone()
    }

    /// The current revision and every later one; slow followers see only the latest.
    pub fn follow(&self) -> watch::Receiver<Arc<Whole>> {
        self.current.subscribe()
    }

    /// The key-encryption keys held here.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The database, for reading history.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the change, or tells what it would do.
    pub async fn apply(&self, change: Change, mode: Mode, audit: Audit) -> Result<Outcome, ChangeError> {
        self.edit(mode, audit, move |_, _| Ok(change.clone())).await
    }

    /// Makes the change that `make` derives from the current whole, of which it is given what the author sees; `make`
    /// runs again when another process was faster.
    pub async fn edit(
        &self,
        mode: Mode,
        audit: Audit,
        make: impl Fn(&Whole, &SealKey) -> Result<Change, ChangeError> + Send + Sync + 'static,
    ) -> Result<Outcome, ChangeError> {
        self.carry_out(mode, audit, move |whole, key| make(whole, key).map(Deed::from)).await
    }

    /// Makes the change that `make` derives from the current whole, and writes what `make` wants beside it: all of it
    /// or nothing, also when the configuration stays as it is.
    pub async fn carry_out(
        &self,
        mode: Mode,
        audit: Audit,
        make: impl Fn(&Whole, &SealKey) -> Result<Deed, ChangeError> + Send + Sync + 'static,
    ) -> Result<Outcome, ChangeError> {
        let make = Arc::new(make);
        let _turn = self.writer.acquire().await.map_err(|_| ChangeError::Interrupted)?;
        for attempt in 0..=ATTEMPTS_BESIDE_OTHERS {
            let last = attempt == ATTEMPTS_BESIDE_OTHERS;
            let alone = if last { Some(self.store.alone().await.map_err(told)?) } else { None };
            self.take_over().await.map_err(ChangeError::Store)?;
            let (whole, keys, make) = (self.current(), self.keys.load(), make.clone());
            let (authority, bounds) = (audit.authority.clone(), self.bounds);
            // Validating tens of thousands of documents takes a while: not on the threads that answer others.
            let proposal = tokio::task::spawn_blocking(move || propose(&whole, &keys, (&authority, bounds), &*make));
            let (Proposal { whole, edits, warnings }, mut writes) =
                proposal.await.map_err(|_| ChangeError::Interrupted)??;
            writes.extend(deed::consequences(&whole, &edits, self.rule, audit.at));
            writes.extend(deed::concerns(&self.current(), &whole, &edits));
            let outcome = Outcome { whole: Arc::new(whole), edits, warnings };
            if mode == Mode::DryRun {
                self.store.try_write(&writes).await.map_err(told)?;
                return Ok(outcome);
            }
            match self.commit(alone, &outcome, &writes, &audit).await {
                Ok(()) => return Ok(outcome),
                Err(StoreError::Stale { .. }) => {}
                Err(error) => return Err(told(error)),
            }
        }
        Err(ChangeError::Interrupted)
    }

    /// Makes the current content the revision `number`, the first of a new line that begins after the instant `after`.
    pub async fn begin_line(
        &self,
        number: Revision,
        after: Option<UnixSeconds>,
        trail: &Trail,
        before: &Value,
    ) -> Result<(Arc<Whole>, Lineage), StoreError> {
        // A closed semaphore would be this process's end.
        let _turn = self.writer.acquire().await;
        self.take_over().await?;
        let whole = self.current().renumbered(number);
        let row = RevisionRow {
            number,
            base: self.current().revision(),
            hash: whole.hash().clone(),
            documents: u64::try_from(whole.len()).unwrap_or(u64::MAX),
            author: "lgsp-controlplane".to_owned(),
            message: "takes the place of what another line of revisions published".to_owned(),
            created_at: trail.at(),
        };
        let line = NewLine { at: trail.at(), after, why: "publish --allow-older" };
        let attempt = trail.done(before, &json!({"revision": number}), Some(number));
        let lineage = self.store.begin_line(&row, line, attempt).await?;
        let whole = Arc::new(whole);
        self.current.send_replace(whole.clone());
        Ok((whole, lineage))
    }

    /// Takes over what other processes have made since.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        // A closed semaphore would be this process's end.
        let _turn = self.writer.acquire().await;
        self.take_over().await
    }

    /// As [`Self::refresh`], in the writer's turn: only who has it replaces the current revision.
    async fn take_over(&self) -> Result<(), StoreError> {
        let Some(head) = self.store.head().await? else { return Ok(()) };
        let current = self.current();
        if head.number == current.revision() && head.hash == *current.hash() {
            return Ok(());
        }
        let whole = match catch_up(&self.store, current, &head).await? {
            Some(whole) => whole,
            None => load_current(&self.store).await?,
        };
        tracing::info!(revision = whole.revision().0, "another process made a revision");
        self.current.send_replace(Arc::new(whole));
        Ok(())
    }

    async fn commit(
        &self,
        alone: Option<Writer>,
        outcome: &Outcome,
        writes: &[Write],
        audit: &Audit,
    ) -> Result<(), StoreError> {
        if outcome.edits.is_empty() {
            // What is written beside no revision depends on none.
            if let Some(alone) = alone {
                alone.release().await?;
            }
            return if writes.is_empty() { Ok(()) } else { self.store.write(writes, &audit.trail).await };
        }
        let Audit { author, message, at, authority: _, trail } = audit.clone();
        let whole = &outcome.whole;
        let base = self.current.borrow().revision();
        let documents = u64::try_from(whole.len()).unwrap_or(u64::MAX);
        let (number, hash) = (whole.revision(), whole.hash().clone());
        let row = RevisionRow { number, base, hash, documents, author, message, created_at: at };
        let changes: Vec<ChangeRow> = outcome.edits.iter().map(change_row).collect();
        let before = json!({"revision": base, "hash": self.current.borrow().hash().as_str()});
        let after = json!({
            "revision": number, "hash": row.hash.as_str(), "changed": changes.len(), "documents": named(&outcome.edits),
        });
        self.store.commit(alone, &row, &changes, writes, trail.done(&before, &after, Some(number))).await?;
        trail.set_written();
        tracing::info!(revision = number.0, author = row.author, changes = changes.len(), "revision made");
        self.current.send_replace(whole.clone());
        Ok(())
    }
}

fn propose(
    whole: &Whole,
    keys: &SealKeys,
    (authority, bounds): (&Authority, Bounds),
    make: &dyn Fn(&Whole, &SealKey) -> Result<Deed, ChangeError>,
) -> Result<(Proposal, Vec<Write>), ChangeError> {
    let (sight, key) = (authority.sight(whole), keys.sealing());
    let deed = if sight.is_whole() { make(whole, key)? } else { make(&sight.restrict(whole), key)? };
    let Deed { change, writes, door } = deed;
    let change = if door == Door::Hand { ownership::carried(whole, change) } else { change };
    authority.check(whole, &change, door)?;
    let mut proposal =
        change::propose(whole, &change, keys).map_err(|error| authority.narrow(whole, &change, error))?;
    bounds.check(whole, &proposal.whole)?;
    proposal.warnings.extend(shadow::warnings(&proposal.whole, &proposal.edits, sight.is_whole()));
    proposal.warnings = authority.narrowed(whole, &change, proposal.warnings);
    Ok((proposal, writes))
}

/// What the database insisted on, as the operator reads it.
fn told(error: StoreError) -> ChangeError {
    match error {
        StoreError::NotApproved { system } => ChangeError::NotApproved { system },
        StoreError::Moved { what } | StoreError::Taken { what } => ChangeError::NotNow(what),
        StoreError::Cancelled { system } => ChangeError::NotNow(format!(
            "the connection of `System/{system}` was cancelled, so nothing is granted to it or to others at its services; \
             leave those permissions out, or approve the system again with `lgspctl system approve`"
        )),
        StoreError::Ended { code } => ChangeError::NotNow(format!(
            "agency `{code}` ended, and a document still has its code; `lgspctl agency history {code}` tells what \
             became of it"
        )),
        other => ChangeError::Store(other),
    }
}

/// Takes over what other processes make, until `stop`.
pub async fn follow_database(desired: Arc<Desired>, mut stop: watch::Receiver<bool>) {
    let mut answers = true;
    loop {
        let pause = if answers { LOOK_EVERY } else { LOOK_AGAIN_AFTER };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        match desired.refresh().await {
            Ok(()) => answers = true,
            Err(error) if answers => {
                answers = false;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "the database does not answer; it is asked again every second");
            }
            Err(_) => {}
        }
    }
}

/// The whole of `head`, from `current` and the changes since; none when it does not come out as it should.
async fn catch_up(store: &Store, current: Arc<Whole>, head: &RevisionRow) -> Result<Option<Whole>, StoreError> {
    let (from, upto) = (current.revision(), head.number);
    if upto.0 <= from.0 || upto.0 - from.0 > BEHIND_MAX {
        return Ok(None);
    }
    let changes = store.changes_between(from, upto).await?;
    let whole = tokio::task::spawn_blocking(move || after(&current, upto, changes)).await;
    let whole = whole.map_err(|_| StoreError::Damaged { what: "revision" })??;
    Ok((*whole.hash() == head.hash).then_some(whole))
}

/// The revision `upto`, from `current` and what changed since.
fn after(current: &Whole, upto: Revision, changes: Vec<(Revision, ChangeRow)>) -> Result<Whole, StoreError> {
    let mut changed = BTreeMap::new();
    for (_, ChangeRow { kind, name, content }) in changes {
        let spec = content.map(|content| serde_json::from_str(&content.spec)).transpose();
        let spec = spec.map_err(|_| StoreError::Damaged { what: "document" })?;
        let removed = spec.is_none();
        let document = Document { kind, name, spec: spec.unwrap_or_default() };
        let key = document.key().map_err(|_| StoreError::Damaged { what: "document name" })?;
        changed.insert(key, (!removed).then_some(document));
    }
    let mut entries = current.entries().clone();
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for (key, document) in changed {
        if let Some(document) = document {
            entries.insert(key, Arc::new(Entry::new(document.clone())));
            puts.push(document);
        } else if entries.remove(&key).is_some() {
            deletes.push(key);
        }
    }
    // Whoever made the change has validated it; another version may judge otherwise, and then all of it is looked at again.
    let index = current.index().is_some().then(|| change::check(current, &puts, &deletes));
    let index = index.and_then(|(report, index)| report.accepts().then_some(index));
    Ok(Whole::of(upto, entries, index).indexed())
}

async fn load_current(store: &Store) -> Result<Whole, StoreError> {
    let Some(row) = store.head().await? else { return Ok(Whole::empty()) };
    let whole = Whole::new(row.number, store.documents(row.number).await?)
        .ok_or(StoreError::Damaged { what: "document name" })?;
    if *whole.hash() != row.hash {
        return Err(StoreError::Damaged { what: "revision: its content does not match its hash" });
    }
    // Validating a hundred thousand documents takes a second: not on the threads that answer others.
    tokio::task::spawn_blocking(|| whole.indexed()).await.map_err(|_| StoreError::Damaged { what: "revision" })
}

/// The first of the changed documents; all of them, and what they hold, are in the revision, whose hash covers them.
fn named(edits: &[Edit]) -> Vec<String> {
    edits.iter().take(AUDITED_DOCUMENTS_MAX).map(|edit| edit.key.to_string()).collect()
}

fn change_row(edit: &Edit) -> ChangeRow {
    let content = edit.after.as_ref().map(|entry| Content { hash: entry.hash_text(), spec: entry.spec_text() });
    ChangeRow { kind: edit.key.kind.to_string(), name: edit.key.name.to_string(), content }
}

#[cfg(test)]
mod tests;

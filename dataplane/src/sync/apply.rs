//! What the room does with a complete revision: turn it into something that serves.
//!
//! A trait, so that the rules of this room can be tried without compiling anything.

use std::sync::Arc;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{AccessKey, Revision};
use lgsp_shared::keyspace::{STATUS_SHADOW_MAX, ShadowCount};
use lgsp_shared::timestamp::UnixSeconds;

use super::keyring::Keyring;
use crate::snapshot::{Compiled, DocumentProblem, Documents, SnapshotSource, SnapshotStore, compile};
use crate::upstream::Targets;

/// A revision that is ready to serve.
pub struct Prepared {
    /// Documents that did not take effect, or not entirely.
    pub problems: Vec<DocumentProblem>,
    /// Makes it serve.
    pub publish: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// Compiles documents and publishes the outcome. May block for as long as compiling takes.
pub trait Apply: Send + Sync + 'static {
    /// Makes a revision ready. Never fails as a whole. A document that is the same allocation as last time did not change.
    fn prepare(&self, revision: Revision, hash: &ContentHash, documents: &Documents) -> Prepared;

    /// What was counted for permissions that are tried, by name.
    fn shadow(&self) -> Vec<ShadowCount> {
        Vec::new()
    }

    /// When the credentials that serve were last used on this node; those that were.
    fn last_used(&self) -> Vec<(AccessKey, UnixSeconds)> {
        Vec::new()
    }
}

/// The real one: compiles a snapshot and publishes it whole.
#[derive(Debug)]
pub struct ApplyToSnapshot {
    store: Arc<SnapshotStore>,
    keys: Arc<Keyring>,
    targets: Arc<Targets>,
}

impl ApplyToSnapshot {
    /// Publishes to `store`; secrets open under the keys held when a revision comes, and services have the endpoints that
    /// `targets` permits.
    pub fn new(store: Arc<SnapshotStore>, keys: Arc<Keyring>, targets: Arc<Targets>) -> Self {
        Self { store, keys, targets }
    }
}

impl Apply for ApplyToSnapshot {
    fn prepare(&self, revision: Revision, hash: &ContentHash, documents: &Documents) -> Prepared {
        let source = SnapshotSource { revision, hash: hash.clone(), documents: documents.clone() };
        let (keys, previous) = (self.keys.load(), self.store.load());
        let Compiled { snapshot, problems } = compile(&source, &keys, &self.targets, previous.as_deref());
        let (store, snapshot) = (self.store.clone(), Arc::new(snapshot));
        Prepared { problems, publish: Box::new(move || store.publish(snapshot)) }
    }

    fn shadow(&self) -> Vec<ShadowCount> {
        let Some(snapshot) = self.store.load() else { return Vec::new() };
        let counts = snapshot.watched().into_iter().take(STATUS_SHADOW_MAX).map(|watched| ShadowCount {
            permission: watched.permission.clone(),
            mode: watched.mode.label().to_owned(),
            requests: watched.requests(),
        });
        counts.collect()
    }

    fn last_used(&self) -> Vec<(AccessKey, UnixSeconds)> {
        let Some(snapshot) = self.store.load() else { return Vec::new() };
        let used = snapshot
            .credentials()
            .filter_map(|credential| Some((credential.access_key.clone(), credential.used.get()?)));
        used.collect()
    }
}

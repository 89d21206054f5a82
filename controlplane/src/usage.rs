//! When each credential was last used, on whatever node: reports folded to the latest, kept at a bounded rate.
//!
//! Reports are hostile input: only keys that exist count, and nothing is later than now.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lgsp_shared::id::AccessKey;
use lgsp_shared::resource::{Document, Kind};
use lgsp_shared::timestamp::UnixSeconds;
use tokio::sync::watch;

use crate::desired::Whole;
use crate::rollout::Rollout;
use crate::store::{Store, StoreError};

/// How often reports are read when nobody asks.
const READ_EVERY: Duration = Duration::from_secs(30);
/// Reports are not read more often than this however many ask.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// What changed is written to the database at most this often, and at the end.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// See the module. About 100 bytes per credential.
#[derive(Debug)]
pub struct Usage {
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: BTreeMap<AccessKey, UnixSeconds>,
    changed: HashSet<AccessKey>,
    read_at: Option<Instant>,
}

impl Usage {
    /// Starts with what was kept.
    pub async fn load(store: Store) -> Result<Self, StoreError> {
        let used = store.credential_uses().await?;
        Ok(Self { store, state: Mutex::new(State { used, ..State::default() }) })
    }

    /// When this key was last used, as far as nodes have reported.
    pub fn last(&self, key: &AccessKey) -> Option<UnixSeconds> {
        self.state().used.get(key).copied()
    }

    /// Takes in what nodes report now, unless that was done a moment ago.
    pub async fn refresh(&self, rollout: &Rollout, whole: &Whole, now: UnixSeconds) {
        let due = |state: &mut State| {
            let due = state.read_at.is_none_or(|at| at.elapsed() >= READ_PAUSE);
            state.read_at = if due { Some(Instant::now()) } else { state.read_at };
            due
        };
        if !due(&mut self.state()) {
            return;
        }
        match rollout.usage().await {
            Ok(reported) => self.fold(reported, whole, now),
            Err(error) => tracing::debug!(%error, "when credentials were last used cannot be read now"),
        }
    }

    fn fold(&self, reported: Vec<(AccessKey, i64)>, whole: &Whole, now: UnixSeconds) {
        let known: HashSet<&str> = whole.of_kind(Kind::Credential).filter_map(access_key).collect();
        let mut state = self.state();
        for (key, at) in reported.into_iter().filter(|(key, at)| *at > 0 && known.contains(key.as_str())) {
            let at = UnixSeconds(at.min(now.0));
            if state.used.get(&key).is_none_or(|known| *known < at) {
                state.used.insert(key.clone(), at);
                state.changed.insert(key);
            }
        }
    }

    /// Follows the reports until `stop`.
    pub async fn run(
        &self,
        rollout: &Rollout,
        wholes: watch::Receiver<std::sync::Arc<Whole>>,
        now: fn() -> UnixSeconds,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut kept = Instant::now();
        loop {
            let whole = wholes.borrow().clone();
            self.refresh(rollout, &whole, now()).await;
            if kept.elapsed() >= KEEP_EVERY {
                self.keep().await;
                kept = Instant::now();
            }
            tokio::select! {
                () = tokio::time::sleep(READ_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.keep().await;
    }

    async fn keep(&self) {
        let changed: Vec<(AccessKey, UnixSeconds)> = {
            let mut state = self.state();
            let keys = std::mem::take(&mut state.changed);
            keys.into_iter().filter_map(|key| state.used.get(&key).map(|at| (key.clone(), *at))).collect()
        };
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.store.keep_credential_uses(&changed).await {
            tracing::warn!(%error, "when credentials were last used could not be kept; it is tried again");
            self.state().changed.extend(changed.into_iter().map(|(key, _)| key));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What is in there is a memory of reports: as good after a panic as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn access_key(document: &Document) -> Option<&str> {
    (document.kind == Kind::Credential.as_str()).then(|| document.spec.get("access_key")?.as_str()).flatten()
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use serde_json::json;

    use super::*;

    fn key(text: &str) -> AccessKey {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_latest_use_on_any_node_counts_and_is_kept_and_hostile_reports_count_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let usage = Usage::load(Store::open(&path).await.unwrap()).await.unwrap();
        let document = |name: &str, key: &str| Document {
            kind: "Credential".into(),
            name: name.into(),
            spec: json!({"access_key": key}),
        };
        let whole = Whole::new(Revision(1), vec![document("a", "AAAAAAAA"), document("b", "BBBBBBBB")]).unwrap();
        let reported = |at: &[(&str, i64)]| at.iter().map(|(text, at)| (key(text), *at)).collect();
        usage.fold(reported(&[("AAAAAAAA", 50), ("NOBODYS1", 50)]), &whole, UnixSeconds(100));
        usage.fold(
            reported(&[("AAAAAAAA", 40), ("BBBBBBBB", 4_000_000_000), ("AAAAAAAA", -1)]),
            &whole,
            UnixSeconds(100),
        );
        let last =
            |usage: &Usage| ["AAAAAAAA", "BBBBBBBB", "NOBODYS1"].map(|text| usage.last(&key(text)).map(|at| at.0));
        assert_eq!(last(&usage), [Some(50), Some(100), None]);
        usage.keep().await;
        let again = Usage::load(Store::open(&path).await.unwrap()).await.unwrap();
        assert_eq!(last(&again), [Some(50), Some(100), None]);
    }
}

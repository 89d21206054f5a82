//! Whether this process runs, and whether it can do its work.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::needs::Open;
use super::problem::{Code, Problem, ProblemBody};
use crate::publish::Status;
use crate::store::Store;

/// A write to the database is tried at most this often, however many ask.
const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// A write that takes longer has failed as far as readiness goes.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// Whether the database takes changes, as it was found last.
#[derive(Debug, Default)]
pub struct Writing(Mutex<Option<(Instant, Result<(), String>)>>);

impl Writing {
    /// Why no change can be written now, if so. Those who ask at one time share one attempt.
    async fn probe(&self, store: &Store) -> Result<(), String> {
        let mut last = self.0.lock().await;
        if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < PROBE_PAUSE) {
            return found.clone();
        }
        let found = match tokio::time::timeout(PROBE_WAIT, store.probe_writing()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)),
            Err(_) => Err(format!("another program holds it, or its disk is slow: no write within {PROBE_WAIT:?}")),
        };
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", security(()), responses((status = 200, description = "It runs", body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the database takes a change: a write is tried, at most every two seconds. The second line tells whether this
/// control plane publishes (`leading`), is ready to (`following`), or cannot know (`seeking`); further lines begin with
/// `alarm:` and say what somebody must look at.
#[utoipa::path(
    get, path = "/readyz", security(()),
    responses(
        (status = 200, description = "It can take changes", body = String),
        (status = 503, description = "It cannot", body = ProblemBody),
    )
)]
pub async fn readyz(open: Open) -> Result<String, Problem> {
    if let Err(cause) = open.writing.probe(open.desired.store()).await {
        // Anybody may ask; the cause is for who reads the log.
        tracing::error!(cause, "the database takes no change");
        let next = "Check that its disk has room and that no other program holds it; the log names the cause.";
        return Err(Problem::new(Code::Unavailable, "the database takes no change now", next));
    }
    let Status { role, foreign, last_repair, .. } = open.published.borrow().clone();
    let mut text = format!("ok\n{}\n", role.label());
    if foreign {
        text.push_str(
            "alarm: the published configuration does not belong to this database; `lgspctl nodes` shows more\n",
        );
    }
    if last_repair.is_some() {
        text.push_str(
            "alarm: the published configuration was changed outside the control plane and repaired; `lgspctl nodes` shows more\n",
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_takes_no_change_is_told_from_one_that_only_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let store = Store::open(&path).await.unwrap();
        assert_eq!(Writing::default().probe(&store).await, Ok(()));
        let writing = Writing::default();
        let held = store.overwrite().await.unwrap();
        let refused = writing.probe(&store).await.unwrap_err();
        assert!(refused.contains("another program holds it"), "{refused}");
        drop(held);
        assert_eq!(writing.probe(&store).await, Err(refused), "not tried again at once");
        assert_eq!(Writing::default().probe(&store).await, Ok(()));
    }
}

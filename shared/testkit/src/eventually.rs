//! The one way for a test to wait: until something holds, or fail with what did not.

use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics with `what` when it does not within `deadline`.
pub async fn eventually(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(deadline, what, async || condition().await.then_some(())).await;
}

/// Waits until `value` yields something, and returns it; panics with `what` when it does not within `deadline`.
pub async fn eventually_some<T>(deadline: Duration, what: &str, mut value: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Ok(Some(found)) = tokio::time::timeout_at(end, value()).await {
            return found;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

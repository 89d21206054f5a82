//! Whether this process runs, and whether it can do its work.

use super::needs::Open;
use super::problem::{Problem, ProblemBody};

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", security(()), responses((status = 200, description = "It runs", body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the database answers: the real path of every change. The second line tells whether this control plane
/// publishes (`leading`), is ready to (`following`), or cannot know (`seeking`).
#[utoipa::path(
    get, path = "/readyz", security(()),
    responses(
        (status = 200, description = "It can take changes", body = String),
        (status = 503, description = "It cannot", body = ProblemBody),
    )
)]
pub async fn readyz(open: Open) -> Result<&'static str, Problem> {
    open.desired.store().ping().await.map_err(Problem::of_store_to_strangers)?;
    Ok("ok\n")
}

//! Vectors against the signatures: third-party ones from `../shared/vectors` beside the project, and our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod allocations;
mod aws_c_auth;
mod chunked;
mod own_vectors;
mod request;
mod rfc9421;
mod round_trip;
mod structured_fields;

use std::path::PathBuf;

/// A file among the third-party vectors. They are data beside the project; without them the tests fail, not pass.
fn third_party(path: &str) -> PathBuf {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(path);
    assert!(
        full.exists(),
        "`{}` is absent: put the third-party vectors at `../shared/vectors` beside the project",
        full.display()
    );
    full
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

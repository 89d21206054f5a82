//! The data plane as a whole: every module is a guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod configuration;
mod edge;
mod exchanges;
mod http1;
mod real_clients_are_accepted;
mod sessions;

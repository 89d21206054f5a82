//! What tests stand on: children that die with the test, fake targets, certificates, a signing client, real etcd and
//! PostgreSQL.
//!
//! What is absent, and why: nothing here skips a test when something is missing, because a suite that skips quietly
//! proves nothing (`make test` installs what it takes); nothing sleeps to wait ([`eventually`] polls a condition up to a
//! deadline); no port is fixed. This crate is never part of a program that ships.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod certificate;
pub mod child;
pub mod client;
pub mod etcd;
pub mod eventually;
pub mod foreign;
pub mod node;
pub mod oidc;
pub mod port;
pub mod postgres;
pub mod program;
pub mod python;
pub mod resources;
pub mod session;
pub mod target;

pub use tempfile::TempDir;

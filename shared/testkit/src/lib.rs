//! What tests of every package share. Never part of what ships; panics are its way of failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod etcd;
pub mod eventually;

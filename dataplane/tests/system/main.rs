//! The data plane as a whole: every module is a guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod a_nonce_is_good_once_in_the_whole_cluster;
mod a_request_is_executed_once_whatever_restarts;
mod an_sdk_that_retries_a_write_is_served;
mod configuration;
mod edge;
mod exchanges;
mod http1;
mod real_clients_are_accepted;
mod sessions;

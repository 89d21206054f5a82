//! The load tool as a whole: the real program against targets whose limits are known, and against a real node. Every
//! module is a guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "system/bench.rs"]
mod bench;

#[path = "system/a_known_limit_is_found.rs"]
mod a_known_limit_is_found;
#[path = "system/a_node_elsewhere_tells_what_it_takes.rs"]
mod a_node_elsewhere_tells_what_it_takes;
#[path = "system/a_regression_is_told_from_noise.rs"]
mod a_regression_is_told_from_noise;
#[path = "system/a_result_that_is_none_shows_no_number.rs"]
mod a_result_that_is_none_shows_no_number;
#[path = "system/a_stall_cannot_hide.rs"]
mod a_stall_cannot_hide;
#[path = "system/compliance_is_proved_not_assumed.rs"]
mod compliance_is_proved_not_assumed;
#[path = "system/each_step_is_told_apart.rs"]
mod each_step_is_told_apart;
#[path = "system/every_request_is_counted_as_what_it_was.rs"]
mod every_request_is_counted_as_what_it_was;
#[path = "system/mistakes_are_told_before_anything_is_sent.rs"]
mod mistakes_are_told_before_anything_is_sent;
#[path = "system/results_can_be_handed_in.rs"]
mod results_can_be_handed_in;
#[path = "system/several_generators_make_one_result.rs"]
mod several_generators_make_one_result;

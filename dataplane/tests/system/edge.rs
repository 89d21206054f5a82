//! Sockets, certificates, the life of a node, and what goes through pingora-proxy.

use lgsp_testkit::target::Target;

mod a_bad_start_says_what_is_wrong;
mod a_stopping_node_finishes_what_it_began;
mod an_overdue_exchange_hurts_no_neighbour;
mod bodies_are_verified_on_every_protocol;
mod certificates_change_without_a_restart;
mod connections_leave_descriptors_for_everything_else;
mod frames;
pub mod http2;
mod http2_abuse_ends_with_its_connection;
mod no_core_dump_holds_the_memory;
mod no_request_is_lost_in_an_upgrade;
mod no_target_keeps_a_caller_waiting;
mod one_address_cannot_take_every_connection;
mod sighup_reopens_and_never_ends_a_node;
mod trailers_and_upgrades_pass_after_admission;
mod whoever_finds_no_room_is_told_so;

/// How long anything here may take; generous, because the machine may be busy.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// A target that keeps what it sees.
pub async fn target() -> Target {
    Target::new().start().await
}

//! The real server and the real command line, as processes, in a temporary directory. One binary; the files below are
//! named by what they hold the programs to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "system/platform.rs"]
mod platform;

#[path = "system/a_backup_brings_everything_back.rs"]
mod a_backup_brings_everything_back;
#[path = "system/a_cancelled_system_is_refused_at_once.rs"]
mod a_cancelled_system_is_refused_at_once;
#[path = "system/a_dry_run_changes_nothing.rs"]
mod a_dry_run_changes_nothing;
#[path = "system/a_first_token_is_its_owners_alone.rs"]
mod a_first_token_is_its_owners_alone;
#[path = "system/a_key_encryption_key_is_replaced_without_a_pause.rs"]
mod a_key_encryption_key_is_replaced_without_a_pause;
#[path = "system/a_key_that_nobody_uses_is_seen.rs"]
mod a_key_that_nobody_uses_is_seen;
#[path = "system/a_merged_agency_resolves_by_its_old_code.rs"]
mod a_merged_agency_resolves_by_its_old_code;
#[path = "system/a_notice_is_read_by_those_it_is_for.rs"]
mod a_notice_is_read_by_those_it_is_for;
#[path = "system/a_refused_change_changes_nothing.rs"]
mod a_refused_change_changes_nothing;
#[path = "system/a_reorganisation_moves_what_the_dry_run_said.rs"]
mod a_reorganisation_moves_what_the_dry_run_said;
#[path = "system/a_revoked_key_is_refused_on_every_node.rs"]
mod a_revoked_key_is_refused_on_every_node;
#[path = "system/agencies_are_found_without_accents.rs"]
mod agencies_are_found_without_accents;
#[path = "system/an_agency_sees_nothing_beyond_it.rs"]
mod an_agency_sees_nothing_beyond_it;
#[path = "system/an_apply_can_wait_for_every_node.rs"]
mod an_apply_can_wait_for_every_node;
#[path = "system/contacts_are_kept_from_nodes.rs"]
mod contacts_are_kept_from_nodes;
#[path = "system/every_refusal_can_be_explained.rs"]
mod every_refusal_can_be_explained;
#[path = "system/fleet.rs"]
mod fleet;
#[path = "system/no_key_exists_before_approval.rs"]
mod no_key_exists_before_approval;
#[path = "system/no_update_is_lost.rs"]
mod no_update_is_lost;
#[path = "system/nothing_is_lost.rs"]
mod nothing_is_lost;
#[path = "system/nothing_is_removed_without_prune.rs"]
mod nothing_is_removed_without_prune;
#[path = "system/nothing_that_others_wrote_steers_a_terminal.rs"]
mod nothing_that_others_wrote_steers_a_terminal;
#[path = "system/one_of_several_control_planes_publishes.rs"]
mod one_of_several_control_planes_publishes;
#[path = "system/only_known_identities_log_in.rs"]
mod only_known_identities_log_in;
#[path = "system/operators_do_what_they_are_trusted_with.rs"]
mod operators_do_what_they_are_trusted_with;
#[path = "system/pair.rs"]
mod pair;
#[path = "system/registry.rs"]
mod registry;
#[path = "system/revisions_reach_etcd_whole.rs"]
mod revisions_reach_etcd_whole;
#[path = "system/revisions_reach_the_bundle.rs"]
mod revisions_reach_the_bundle;
#[path = "system/secrets_are_shown_once.rs"]
mod secrets_are_shown_once;
#[path = "system/strangers_learn_nothing.rs"]
mod strangers_learn_nothing;
#[path = "system/the_api_does_what_its_description_says.rs"]
mod the_api_does_what_its_description_says;
#[path = "system/the_audit_shows_what_was_done_to_it.rs"]
mod the_audit_shows_what_was_done_to_it;
#[path = "system/the_command_line_serves_people_and_programs.rs"]
mod the_command_line_serves_people_and_programs;
#[path = "system/two_control_planes_decide_once.rs"]
mod two_control_planes_decide_once;
#[path = "system/what_a_token_made_ends_with_it.rs"]
mod what_a_token_made_ends_with_it;
#[path = "system/what_an_agency_had_is_no_other_agency_s.rs"]
mod what_an_agency_had_is_no_other_agency_s;
#[path = "system/what_is_published_is_what_the_database_made.rs"]
mod what_is_published_is_what_the_database_made;
#[path = "system/what_the_platform_owns_no_agency_writes.rs"]
mod what_the_platform_owns_no_agency_writes;
#[path = "system/what_was_acknowledged_survives_every_kill.rs"]
mod what_was_acknowledged_survives_every_kill;
#[path = "system/what_was_taken_away_is_refused_when_the_command_ends.rs"]
mod what_was_taken_away_is_refused_when_the_command_ends;

//! What an exchange guarantees, on both faces: a real node, real targets, signed requests.

use lgsp_testkit::node::{Node, NodeBuilder};
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;

mod a_body_that_does_not_verify_never_arrives_whole;
mod a_failing_target_is_answered_for_in_time;
mod a_flood_nobody_signed_fills_no_disk;
mod a_revoked_key_stops_working;
mod a_slow_source_leaves_room_for_others;
mod a_target_can_prove_who_is_calling;
mod a_target_must_prove_who_it_is;
mod a_thousand_connections_see_no_failure_while_revisions_change;
mod a_wrong_signature_is_explained;
mod an_answer_ends_when_its_last_byte_came;
mod an_exchange_that_never_pauses_ends_in_time;
mod every_refusal_says_why;
mod no_hop_takes_away_what_decides;
mod nothing_of_a_payload_is_kept;
mod platform_and_target_read_a_request_alike;
mod unhealthy_endpoints_get_no_exchanges;
mod unverified_bodies_share_a_bounded_memory;
mod what_was_wrong_with_a_target_is_recorded;

/// Which code carries HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Http1,
    Proxy,
}

const FACES: [Face; 2] = [Face::Http1, Face::Proxy];

impl Face {
    fn node(self, resources: &Resources) -> NodeBuilder {
        match self {
            Face::Http1 => Node::new(resources),
            Face::Proxy => Node::new(resources).on_proxy_face(),
        }
    }
}

/// A target, the usual resources in front of it, and a node.
async fn usual(face: Face) -> (Target, Resources, Node) {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = face.node(&resources).start().await;
    (target, resources, node)
}

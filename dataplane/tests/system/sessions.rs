//! The six steps of A12 on both faces: a session is opened, used, verified, and ends with the right it stands on.

use lgsp_testkit::client::{Client, Response};
use lgsp_testkit::node::{Node, NodeBuilder};
use lgsp_testkit::resources::Resources;
use lgsp_testkit::session::{Session, open_session};
use lgsp_testkit::target::Target;
use serde_json::json;

mod a_call_is_recorded_with_what_was_asked_and_said;
mod a_direct_call_is_verified_for_its_target_alone;
mod a_request_of_a_session_is_checked_whole;
mod a_session_ends_with_the_right_it_stands_on;
mod a_session_opens_only_where_there_is_a_right;
mod clients_of_every_language_walk_all_six_steps;

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

/// A source `mot-cua`, another source `y-te` with the same rights, two services of two targets, and routes that demand a
/// session.
struct Stand {
    face: Face,
    target: Target,
    resources: Resources,
    node: Node,
}

async fn stand(face: Face) -> Stand {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()])
        .system("y-te")
        .system("dat-dai")
        .service("dat-dai", "dat-dai", &[target.address()])
        .route("dat-dai", json!({"service": "dat-dai", "path": {"prefix": "/dat-dai"}, "rewrite": {"prefix": "/"}}))
        .permission("mot-cua", "dat-dai")
        .permission("y-te", "ho-tich")
        .with("Route", "ho-tich", |spec| spec["require"] = json!({"session": true}));
    let node = face.node(&resources).start().await;
    Stand { face, target, resources, node }
}

impl Stand {
    fn client(&self, system: &str) -> Client {
        self.node.client(&self.resources, system)
    }

    /// A client of `system` in a session with `service`.
    async fn in_session(&self, system: &str, service: &str) -> (Client, Session) {
        let client = self.client(system);
        let session = Session::of(&client.send(&open_session(service)).await);
        (client.in_session(&session), session)
    }

    fn assert_refused(&self, answer: &Response, status: u16, code: &str) {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{:?}: {answer:?}", self.face);
    }
}

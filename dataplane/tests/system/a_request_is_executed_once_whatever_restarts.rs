//! A node is ended, killed or replaced: what it took is never executed again, and what is signed afterwards is served at once.

use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::child::Signal;
use lgsp_testkit::client::{Client, Request, Response};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::{NODE_DEADLINE, Node};
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;

/// How far the clock of a source is ahead.
const AHEAD_SECS: i64 = 120;

/// Requests as they were sent, to be sent once more.
struct Taken {
    requests: Vec<Vec<u8>>,
}

fn now() -> UnixSeconds {
    lgsp_dataplane::clock::Now::read().unix
}

fn ahead(client: &Client, secs: i64) -> Vec<u8> {
    client.clone().at(UnixSeconds(now().0 + secs)).rfc9421(&Request::post("/ho-tich/sink", "ahead"))
}

impl Taken {
    /// One of each kind, each served once.
    async fn by(client: &Client, early: &Client) -> Self {
        let requests = vec![
            client.rfc9421(&Request::post("/ho-tich/sink", "a birth")),
            client.rfc9421(&Request::get("/ho-tich/bytes/1")),
            client.sigv4(&Request::new("DELETE", "/ho-tich/bytes/1")),
            ahead(early, AHEAD_SECS),
        ];
        for request in &requests {
            assert_eq!(client.send_raw(request).await.status, 200);
        }
        Self { requests }
    }

    async fn again(&self, client: &Client) -> Vec<Response> {
        let mut answers = Vec::new();
        for request in &self.requests {
            answers.push(client.send_raw(request).await);
        }
        answers
    }
}

/// A target, and two sources of it: `mot-cua`, and `xa` whose clock is ahead.
async fn two_sources() -> (Target, Resources) {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]).system("xa").permission("xa", "ho-tich");
    (target, resources)
}

async fn a_node_that_begins_again(how: Signal) {
    let (target, resources) = two_sources().await;
    let mut node = Node::new(&resources).start().await;
    let (client, early) = (node.client(&resources, "mot-cua"), node.client(&resources, "xa"));
    let taken = Taken::by(&client, &early).await;
    let never_sent = client.rfc9421(&Request::post("/ho-tich/sink", "signed before, sent after"));
    node.restart_by(how).await;
    // Signatures name the host: the old one, though the port may be another.
    let (client, early) = (client.to(node.address()), early.to(node.address()));
    for answer in taken.again(&client).await {
        assert_eq!((answer.status, answer.code().as_str()), (503, "replay-unknown"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let answer = client.send_raw(&never_sent).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "replay-unknown"), "the node cannot know");
    assert_eq!(target.ledger().complete(), 4, "each was executed once");

    assert_eq!(client.send(&Request::post("/ho-tich/sink", "a birth")).await.status, 200, "signed again");
    assert_eq!(client.send_sigv4(&Request::new("DELETE", "/ho-tich/bytes/1")).await.status, 200);
    assert_eq!(early.send_raw(&ahead(&early, AHEAD_SECS + 1)).await.status, 200, "later than what was taken");
    assert_eq!(early.send_raw(&ahead(&early, AHEAD_SECS / 2)).await.code(), "replay-unknown");
}

#[tokio::test]
async fn a_node_that_was_ended_takes_nothing_twice() {
    a_node_that_begins_again(Signal::Terminate).await;
}

#[tokio::test]
async fn a_node_that_was_killed_takes_nothing_twice() {
    a_node_that_begins_again(Signal::Kill).await;
}

#[tokio::test]
async fn a_successor_knows_all_that_its_predecessor_took_and_nothing_has_to_be_signed_again() {
    for proxy_face in [false, true] {
        let (target, resources) = two_sources().await;
        let builder = Node::new(&resources);
        let node = if proxy_face { builder.on_proxy_face() } else { builder }.start().await;
        let (client, early) = (node.client(&resources, "mot-cua"), node.client(&resources, "xa"));
        let taken = Taken::by(&client, &early).await;
        let before = target.ledger().complete();
        let in_flight = client.rfc9421(&Request::post("/ho-tich/sink", "signed before, sent after"));
        let first = node.successor("the first successor");
        let (status, node) = ended(node).await;
        assert!(status, "the predecessor ended well");
        serves(&client).await;
        let codes = |answers: Vec<Response>| answers.iter().map(Response::code).collect::<Vec<_>>();
        let replayed = ["replayed", "replayed", "signature-repeated", "replayed"];
        assert_eq!(codes(taken.again(&client).await), replayed, "{proxy_face}: executed {before}");
        assert_eq!(client.send_raw(&in_flight).await.status, 200);
        // And once more: what was taken over is handed on.
        let mut first = first;
        let second = node.successor("the second successor");
        let first = tokio::task::spawn_blocking(move || first.wait(NODE_DEADLINE)).await.unwrap();
        assert!(first.success());
        serves(&client).await;
        assert_eq!(codes(taken.again(&client).await), replayed);
        assert_eq!(client.send_raw(&in_flight).await.code(), "replayed");
        let sockets = std::fs::read_dir(node.directory().join("state")).unwrap();
        let left = sockets.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".sock"));
        assert!(left.count() <= 2, "who ended has removed its socket");
        drop(second);
    }
}

async fn ended(mut node: Node) -> (bool, Node) {
    tokio::task::spawn_blocking(move || (node.child.wait(NODE_DEADLINE).success(), node)).await.unwrap()
}

async fn serves(client: &Client) {
    eventually(Duration::from_secs(20), "the successor serves", async || {
        client.send(&Request::get("/ho-tich/bytes/1")).await.status == 200
    })
    .await;
}

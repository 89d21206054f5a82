//! Three real nodes on one real etcd: what one has seen, none of them takes again.

use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::certificate::Authority;
use lgsp_testkit::child::Signal;
use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::session::{Session, open_session, verification};
use lgsp_testkit::target::Target;
use serde_json::{Value, json};

use crate::configuration::Publisher;

/// How long the nodes may take to find each other, or to notice that one is gone: a lease is 15 s.
const DEADLINE: Duration = Duration::from_secs(60);
/// Nonces tried where each third belongs to another node: that none belongs to one of them is less likely than 1 in 10^6.
const NONCES: usize = 40;

struct Province {
    _etcd: Etcd,
    target: Target,
    resources: Resources,
    authority: Authority,
    etcd_endpoint: String,
    nodes: Vec<Node>,
}

async fn province(nodes: usize, route: Value) -> Province {
    let (etcd, target) = (Etcd::start().await.unwrap(), Target::new().start().await);
    let resources = Resources::usual(&[target.address()])
        .with("Route", "ho-tich", |spec| spec.as_object_mut().unwrap().extend(route.as_object().unwrap().clone()));
    Publisher::new(&etcd).await.publish(1, &resources.documents()).await;
    let etcd_endpoint = etcd.endpoint();
    let authority = Authority::new("LGSP nodes");
    let mut province = Province { _etcd: etcd, target, resources, authority, etcd_endpoint, nodes: Vec::new() };
    for _ in 0..nodes {
        province.join().await;
    }
    province.know_each_other(nodes).await;
    province
}

impl Province {
    /// Starts one more node.
    async fn join(&mut self) {
        let name = format!("node-{}", self.nodes.len() + 1);
        let node = Node::new(&self.resources);
        let files = self.authority.issue(&[&name]).write(node.directory(), "node");
        let authority = node.directory().join("authority.pem");
        std::fs::write(&authority, self.authority.pem()).unwrap();
        let endpoint = format!("http://{}", self.etcd_endpoint);
        let node = node.with(|settings| {
            settings["node"] = json!(name);
            settings["source"] = json!({"etcd": {"endpoints": [endpoint]}});
            settings["cluster"] = json!({
                "listen": "127.0.0.1:0", "certificate": files.cert, "key": files.key, "authority": authority,
                // Generous, because the machine may be busy; what is tried here is the answer, not its speed.
                "ask_deadline_ms": 1_000,
            });
        });
        self.nodes.push(node.start().await);
    }

    /// Waits until every node knows this many, and has a connection to each of the others.
    async fn know_each_other(&self, count: usize) {
        for node in self.nodes.iter().take(count) {
            eventually(DEADLINE, "the nodes know each other", async || {
                metric(node, "lgsp_cluster_nodes").await == count as u64
                    && metric(node, "lgsp_cluster_connections").await == count as u64 - 1
            })
            .await;
        }
    }

    fn client(&self, node: usize) -> Client {
        self.nodes[node].client(&self.resources, "mot-cua")
    }

    /// Sends these bytes to a node.
    async fn send(&self, node: usize, bytes: &[u8]) -> (u16, String) {
        let answer = self.client(node).send_raw(bytes).await;
        (answer.status, answer.code())
    }
}

async fn metric(node: &Node, name: &str) -> u64 {
    let text = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

const REPLAYED: (u16, &str) = (401, "replayed");

fn is(answer: &(u16, String), wanted: (u16, &str)) -> bool {
    (answer.0, answer.1.as_str()) == wanted
}

#[tokio::test]
async fn a_request_that_one_node_took_is_refused_by_every_other() {
    let province = province(3, json!({})).await;
    for at in 0..NONCES {
        let bytes = province.client(0).rfc9421(&Request::get("/ho-tich/bytes/1"));
        let first = at % 3;
        assert!(is(&province.send(first, &bytes).await, (200, "")), "{at}");
        for node in 0..3 {
            let answer = province.send(node, &bytes).await;
            assert!(is(&answer, REPLAYED), "{at}: node {node} after node {first}: {answer:?}");
        }
    }
    assert_eq!(province.target.ledger().complete(), NONCES as u64);
    let mut passed = 0;
    for at in 0..NONCES {
        let bytes = province.client(0).sigv4(&Request::post("/ho-tich/sink", format!("{at}")));
        let answers = tokio::join!(province.send(0, &bytes), province.send(1, &bytes), province.send(2, &bytes));
        let answers = [answers.0, answers.1, answers.2];
        // None may pass: the nodes have only just found each other, so former owners are asked too, and each of them may
        // have taken its own copy first. Two may never.
        let taken = answers.iter().filter(|answer| answer.0 == 200).count();
        assert!(taken <= 1, "at the same time: {answers:?}");
        let repeated = (503, "signature-repeated");
        assert!(answers.iter().all(|answer| answer.0 == 200 || is(answer, repeated)), "{answers:?}");
        passed += taken as u64;
    }
    assert_eq!(province.target.ledger().complete(), NONCES as u64 + passed);
}

#[tokio::test]
async fn sessions_and_verdicts_are_once_only_in_the_whole_cluster_too() {
    let province = province(2, json!({})).await;
    let client = province.client(0);
    let ask = client.rfc9421(&open_session("ho-tich"));
    let opened = client.send_raw(&ask).await;
    let session = Session::of(&opened);
    assert!(is(&province.send(1, &ask).await, REPLAYED));
    for at in 0..NONCES {
        let received = client.clone().in_session(&session).rfc9421(&Request::get("/khai-sinh/1"));
        let about = verification("ho-tich", &received);
        let target = |node: usize| province.nodes[node].client(&province.resources, "tu-phap");
        assert_eq!(target(at % 2).send(&about).await.json()["verdict"], "accepted");
        let again = target((at + 1) % 2).send(&about).await.json();
        assert_eq!((&again["verdict"], &again["code"]), (&json!("refused"), &json!("replayed")), "{again}");
    }
}

#[tokio::test]
async fn a_node_that_joins_does_not_take_what_was_taken_before_it_came() {
    let mut province = province(2, json!({})).await;
    let client = province.client(0);
    let taken: Vec<_> = (0..NONCES).map(|_| client.rfc9421(&Request::get("/ho-tich/bytes/1"))).collect();
    for (at, bytes) in taken.iter().enumerate() {
        assert!(is(&province.send(at % 2, bytes).await, (200, "")));
    }
    province.join().await;
    province.know_each_other(3).await;
    for bytes in &taken {
        let answer = province.send(2, bytes).await;
        assert!(is(&answer, REPLAYED), "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_dead_owner_knew_is_refused_and_signing_anew_helps() {
    let province = province(3, json!({})).await;
    // After the nodes began, and before the end of one of them is noticed.
    let signed_before = UnixSeconds(lgsp_dataplane::clock::Now::read().unix.0);
    province.nodes[2].child.signal(Signal::Kill);
    let refused = (503, "replay-owner-unreachable");
    let ask = async |client: &Client| {
        let (mut served, mut unreachable) = (0, 0);
        for _ in 0..NONCES {
            let answer = client.send(&Request::get("/ho-tich/bytes/1")).await;
            let answer = (answer.status, answer.code());
            served += usize::from(is(&answer, (200, "")));
            unreachable += usize::from(is(&answer, refused));
        }
        assert_eq!(served + unreachable, NONCES);
        (served, unreachable)
    };
    let (served, unreachable) = ask(&province.client(0)).await;
    assert!(served > 0 && unreachable > 0, "{served} served, {unreachable} refused: only what it owned");
    assert!(metric(&province.nodes[0], "lgsp_replay_questions_total{outcome=\"unreachable-refused\"}").await > 0);
    eventually(DEADLINE, "its end is noticed", async || metric(&province.nodes[0], "lgsp_cluster_nodes").await == 2)
        .await;
    eventually(DEADLINE, "whatever is signed now is served", async || ask(&province.client(0)).await.1 == 0).await;
    let (served, unreachable) = ask(&province.client(0).at(signed_before)).await;
    assert!(served > 0 && unreachable > 0, "what it may have seen is refused: {served} served, {unreachable} refused");
}

#[tokio::test]
async fn a_route_may_accept_on_the_local_window_and_that_is_counted() {
    let province = province(2, json!({"replay_owner_unreachable": "accept-local"})).await;
    province.nodes[1].child.signal(Signal::Kill);
    for _ in 0..NONCES {
        let bytes = province.client(0).rfc9421(&Request::get("/ho-tich/bytes/1"));
        assert!(is(&province.send(0, &bytes).await, (200, "")));
        assert!(is(&province.send(0, &bytes).await, REPLAYED), "its own window still holds");
    }
    assert!(metric(&province.nodes[0], "lgsp_replay_questions_total{outcome=\"unreachable-accepted\"}").await > 0);
}

#[tokio::test]
async fn a_node_that_was_restarted_takes_nothing_again_that_it_owned() {
    let mut province = province(2, json!({})).await;
    let client = province.client(0);
    let post = |text: &str| client.rfc9421(&Request::post("/ho-tich/sink", text));
    let taken: Vec<_> = (0..NONCES).map(|_| post("taken")).collect();
    for bytes in &taken {
        assert!(is(&province.send(0, bytes).await, (200, "")));
    }
    let never_sent: Vec<_> = (0..NONCES).map(|_| post("signed before")).collect();
    province.nodes[0].restart_by(Signal::Kill).await;
    province.know_each_other(2).await;
    for (node, bytes) in taken.iter().flat_map(|bytes| [(0, bytes), (1, bytes)]) {
        let answer = client.clone().to(province.nodes[node].address()).send_raw(bytes).await;
        let answer = (answer.status, answer.code());
        let refused = is(&answer, REPLAYED) || answer.0 == 503;
        assert!(refused, "node {node}: {answer:?}");
    }
    assert_eq!(province.target.ledger().complete(), NONCES as u64, "each was executed once");
    let client = client.clone().to(province.nodes[0].address());
    for bytes in &never_sent {
        let answer = client.send_raw(bytes).await;
        assert_eq!(answer.status, 503, "this process does not know what the one before it took: {answer:?}");
    }
    eventually(DEADLINE, "what is signed now is served", async || {
        client.send(&Request::get("/ho-tich/bytes/1")).await.status == 200
    })
    .await;
}

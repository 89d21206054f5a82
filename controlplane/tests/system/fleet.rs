//! A control plane, an etcd, several real nodes, a target behind them, and a source that sends through each.

use lgsp_testkit::client::{Client, Identity, Request, Response};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;

use crate::platform::{DEADLINE, Platform};

/// Everything a province runs, on loopback.
pub struct Fleet {
    /// Where revisions are published.
    pub etcd: Etcd,
    /// The authority.
    pub platform: Platform,
    /// What carries requests.
    pub nodes: Vec<Node>,
    resources: Resources,
    _target: Target,
}

impl Fleet {
    /// Starts `nodes` nodes on the revision of the usual resources, with this `database` setting.
    pub async fn start(database: &str, nodes: usize) -> Self {
        let (etcd, target) = (Etcd::start().await.unwrap(), Target::new().start().await);
        let resources = Resources::usual(&[target.address()]);
        let platform = Platform::start_for_nodes(database, &Self::publish(&etcd)).await;
        platform.apply(&yaml(&resources));
        let mut fleet = Self { etcd, platform, nodes: Vec::new(), resources, _target: target };
        eventually(DEADLINE, "the first revision is published", async || {
            fleet.platform.json(&["nodes"])["publish"]["published"] == 1
        })
        .await;
        for number in 0..nodes {
            let named = |settings: &mut serde_json::Value| settings["node"] = format!("node-{number}").into();
            fleet.nodes.push(Node::new(&fleet.resources).with(named).following(&fleet.etcd).start().await);
        }
        fleet
    }

    /// The `publish` setting for an etcd.
    pub fn publish(etcd: &Etcd) -> String {
        format!("publish: {{etcd: {}}}\n", etcd.settings())
    }

    /// One signed request through every node.
    pub async fn send(&self) -> Vec<Response> {
        self.send_as(&self.resources.identity("mot-cua")).await
    }

    /// The key of a system of the usual resources.
    pub fn identity(&self, system: &str) -> Identity {
        self.resources.identity(system)
    }

    /// The same, signed by whoever holds this key.
    pub async fn send_as(&self, identity: &Identity) -> Vec<Response> {
        let mut answers = Vec::new();
        for node in &self.nodes {
            let client = Client::new(node.address(), identity.clone());
            answers.push(client.send(&Request::get("/ho-tich/echo")).await);
        }
        answers
    }

    /// Whether a signed request through every node has this status.
    pub async fn all_answer(&self, status: u16) -> bool {
        self.send().await.iter().all(|answer| answer.status == status)
    }

    /// Whether a signed request through every node is refused for whoever sent it.
    pub async fn all_refuse(&self) -> bool {
        self.send().await.iter().all(|answer| matches!(answer.status, 401 | 403))
    }

    /// The states of all nodes, as `lgspctl nodes` tells them.
    pub fn states(&self) -> Vec<String> {
        let told = self.platform.json(&["nodes"]);
        told["nodes"].as_array().unwrap().iter().map(|node| node["state"].as_str().unwrap().to_owned()).collect()
    }
}

/// Resources as `lgspctl apply` reads them; JSON is YAML.
fn yaml(resources: &Resources) -> String {
    let documents = resources.documents();
    documents.iter().map(|document| serde_json::to_string(document).unwrap()).collect::<Vec<_>>().join("\n---\n")
}

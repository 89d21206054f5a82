//! A running node: the real program, in a directory of its own, on ports of its own, following a bundle file.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::child::{Child, Signal};
use crate::client::{Client, Response, exchange, exchange_on};
use crate::etcd::Etcd;
use crate::eventually::{eventually, eventually_some};
use crate::program::program;
use crate::resources::{KEY_TEXT, Resources};

/// How long a node may take to start, to apply a revision, or to end.
pub const NODE_DEADLINE: Duration = Duration::from_secs(20);

/// How the node will be.
#[derive(Debug)]
pub struct NodeBuilder {
    settings: Value,
    resources: Resources,
    directory: TempDir,
    descriptors: Option<u32>,
}

/// A running node; killed when dropped.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub child: Child,
    settings: PathBuf,
    descriptors: Option<u32>,
    directory: TempDir,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    admin_socket: PathBuf,
    revision: u64,
}

impl Node {
    /// A node that will follow a bundle with these resources.
    #[expect(clippy::new_ret_no_self, reason = "fakes are builders ending in `.start().await`")]
    pub fn new(resources: &Resources) -> NodeBuilder {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let settings = json!({
            "node": "node-1",
            "listeners": [{"address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "source": {"bundle": {"file": path("bundle.json")}},
            "key_file": path("kek"),
            "state_dir": path("state"),
            "records": {"to": {"file": path("records.jsonl")}, "on_full": "refuse"},
            "limits": {"connections_per_address_max": 10_000},
            "targets": {"allow": ["loopback"], "health_interval_min_ms": 100},
            "threads": {"workers": 2},
        });
        NodeBuilder { settings, resources: resources.clone(), directory, descriptors: None }
    }

    /// Where the first listener is.
    pub fn address(&self) -> SocketAddr {
        self.listener(0)
    }

    /// Where a listener is, in the order of the settings.
    pub fn listener(&self, index: usize) -> SocketAddr {
        *self.listeners.get(index).expect("the listener is in the settings")
    }

    /// The node's own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A client of this node for a system of `resources`.
    pub fn client(&self, resources: &Resources, system: &str) -> Client {
        Client::new(self.address(), resources.identity(system))
    }

    /// Asks the admin listener: through the network what is for anyone, and through its Unix socket what is not.
    pub async fn admin(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        if path.starts_with("/v1/") {
            let stream = UnixStream::connect(&self.admin_socket).await.expect("the node listens at its socket");
            return exchange_on(stream, request.as_bytes()).await;
        }
        exchange(self.admin, request.as_bytes()).await
    }

    /// Where the admin listener's Unix socket is.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The revision in use, if there is one.
    pub async fn revision(&self) -> Option<u64> {
        self.admin("/v1/config").await.json()["revision"].as_u64()
    }

    /// Publishes the next revision and returns its number, without waiting for the node.
    pub fn publish(&mut self, resources: &Resources) -> u64 {
        self.revision += 1;
        write_bundle(&self.directory.path().join("bundle.json"), resources, self.revision);
        self.revision
    }

    /// Publishes the next revision and waits until the node uses it.
    pub async fn apply(&mut self, resources: &Resources) {
        let revision = self.publish(resources);
        eventually(NODE_DEADLINE, "the node uses the new revision", async || self.revision().await == Some(revision))
            .await;
    }

    /// All records written so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("records.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
    }

    /// The first record that `wanted` picks, waiting for it.
    pub async fn record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually_some(NODE_DEADLINE, what, async || self.records().into_iter().find(|record| wanted(record))).await
    }

    /// Another process with the same settings that takes the sockets over; the first one ends when it has drained.
    pub fn successor(&self, name: &str) -> Child {
        let addresses = self.directory.path().join("successor-addresses.json");
        spawn(name, &self.settings, &addresses, &["--upgrade"], self.descriptors)
    }

    /// Ends the node and starts it again on the same files; it is ready when this returns, perhaps on other ports.
    pub async fn restart(&mut self) {
        self.restart_by(Signal::Terminate).await;
    }

    /// As [`Self::restart`], with the signal that ends it.
    pub async fn restart_by(&mut self, signal: Signal) {
        self.child.signal(signal);
        let ended = self.child.wait(NODE_DEADLINE).success();
        assert!(ended || signal == Signal::Kill, "the node ends well");
        let addresses = self.directory.path().join("addresses.json");
        std::fs::remove_file(&addresses).expect("the addresses of the process that ended");
        self.child = spawn("lgsp-dataplane", &self.settings, &addresses, &[], self.descriptors);
        (self.listeners, self.admin) = wait_for_addresses(&addresses).await;
        self.ready().await;
    }

    async fn ready(&self) {
        eventually(NODE_DEADLINE, "the node is ready", async || self.admin("/readyz").await.status == 200).await;
    }

    /// Asks the node to end and waits until it has; true when it ended well.
    pub fn terminate(&mut self) -> bool {
        self.child.signal(Signal::Terminate);
        self.child.wait(NODE_DEADLINE).success()
    }
}

impl NodeBuilder {
    /// Changes the settings.
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Everything through pingora-proxy, HTTP/1.1 too.
    pub fn on_proxy_face(self) -> Self {
        self.with(|settings| settings["faces"] = json!("proxy"))
    }

    /// Follows this etcd in place of a bundle file; something must have been published there.
    pub fn following(self, etcd: &Etcd) -> Self {
        self.with(|settings| settings["source"] = json!({"etcd": etcd.settings()}))
    }

    /// Allows it only so many open files and connections.
    pub fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// The node's own directory, for files its settings name.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it; it listens and has a revision when this returns.
    pub async fn start(self) -> Node {
        let node = self.start_unready().await;
        node.ready().await;
        node
    }

    /// Starts it; it listens when this returns, whether or not it will ever have a revision.
    pub async fn start_unready(self) -> Node {
        let Self { settings, resources, directory, descriptors } = self;
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("kek"), KEY_TEXT).expect("the key file");
        std::fs::set_permissions(path("kek"), std::fs::Permissions::from_mode(0o600)).expect("the key file's mode");
        write_bundle(&path("bundle.json"), &resources, 1);
        let state = settings["state_dir"].as_str().expect("the state directory is in the settings");
        let admin_socket = Path::new(state).join("admin.sock");
        // JSON is YAML.
        std::fs::write(path("settings.yaml"), settings.to_string()).expect("the settings");
        let (settings, addresses) = (path("settings.yaml"), path("addresses.json"));
        let child = spawn("lgsp-dataplane", &settings, &addresses, &[], descriptors);
        let (listeners, admin) = wait_for_addresses(&addresses).await;
        Node { child, settings, descriptors, directory, listeners, admin, admin_socket, revision: 1 }
    }
}

fn spawn(name: &str, settings: &Path, addresses: &Path, more: &[&str], descriptors: Option<u32>) -> Child {
    let program = program("lgsp-dataplane");
    let mut command = match descriptors {
        None => Command::new(program),
        Some(limit) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\"")).arg(program);
            command
        }
    };
    command.arg("--config").arg(settings).arg("--address-file").arg(addresses).args(more);
    Child::spawn(name, &mut command)
}

async fn wait_for_addresses(file: &Path) -> (Vec<SocketAddr>, SocketAddr) {
    let read = async || std::fs::read(file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let value = eventually_some(NODE_DEADLINE, "the node writes its addresses", read).await;
    let address = |value: &Value| -> SocketAddr {
        let mut address: SocketAddr = value.as_str().and_then(|text| text.parse().ok()).expect("an address");
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    };
    let listeners = value["listeners"].as_array().expect("listeners").iter().map(address).collect();
    (listeners, address(&value["admin"]))
}

/// Replaces the bundle as the control plane does: a reader sees the old one or the new one.
fn write_bundle(path: &Path, resources: &Resources, revision: u64) {
    let next = path.with_extension("next");
    std::fs::write(&next, resources.bundle(revision).to_json()).expect("the bundle");
    std::fs::rename(&next, path).expect("the bundle's place");
}

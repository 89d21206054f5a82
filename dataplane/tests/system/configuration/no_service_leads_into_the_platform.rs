//! The endpoints of a service are chosen by an agency, and the node connects from its own place: never to its own
//! listeners, never to its etcd, and to loopback only where its settings name it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use lgsp_shared::seal::SealKeys;
use lgsp_shared::seal::vouch::{VOUCH_HEADER, Vouched};
use lgsp_testkit::client::{Request, exchange};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::node::{Node as Program, NodeBuilder};
use lgsp_testkit::resources::{Resources, seal_key};
use lgsp_testkit::target::Target;

use super::*;

/// These resources, and a service with its route, its health checks and its permission for each address.
fn with_services(resources: &Resources, places: &[(&str, SocketAddr)]) -> Resources {
    places.iter().fold(resources.clone(), |resources, (name, address)| {
        let route = json!({"service": name, "path": {"prefix": format!("/{name}")}, "rewrite": {"prefix": "/"}});
        let health = json!({"path": "/livez", "interval_ms": 100});
        resources
            .service(name, "tu-phap", &[*address])
            .with("Service", name, |spec| spec["health"] = health)
            .route(name, route)
            .permission("mot-cua", name)
    })
}

async fn errors(node: &Program) -> Vec<String> {
    let told = node.admin("/v1/config").await.json()["errors"].clone();
    let text = |error: &Value| format!("{} {} {}", error["document"], error["path"], error["message"]);
    told.as_array().unwrap().iter().map(text).collect()
}

async fn assert_nothing_leads_there(builder: fn(&Resources) -> NodeBuilder) {
    let (target, etcd) = (Target::new().start().await, Etcd::start().await.unwrap());
    let usual = Resources::usual(&[target.address()]);
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &usual.documents()).await;
    let node = builder(&usual).following(&etcd).start().await;
    let etcd_address: SocketAddr = etcd.endpoint().trim_start_matches("http://").parse().unwrap();
    let forbidden = [("admin", node.admin_address()), ("itself", node.address()), ("etcd", etcd_address)];
    publisher.publish(2, &with_services(&usual, &forbidden).documents()).await;
    eventually(DEADLINE, "the revision serves", async || node.revision().await == Some(2)).await;
    let client = node.client(&usual, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200, "the others serve");
    let told = errors(&node).await;
    for (name, address) in forbidden {
        for target in ["livez", "v1/config", "v3/kv/range"] {
            let answer = client.send(&Request::get(&format!("/{name}/{target}"))).await;
            assert_eq!((answer.status, answer.code().as_str()), (503, "target-unhealthy"), "{name} {target}");
        }
        let named =
            told.iter().any(|error| error.contains(&format!("Service/{name}")) && error.contains(&address.to_string()));
        assert!(named, "{name} {address} in {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_node_s_listeners_nor_its_etcd_are_reached_through_it_on_the_exchange_loop() {
    assert_nothing_leads_there(Program::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_node_s_listeners_nor_its_etcd_are_reached_through_it_on_the_proxy_face() {
    assert_nothing_leads_there(|resources| Program::new(resources).on_proxy_face()).await;
}

#[tokio::test]
async fn loopback_that_the_settings_do_not_name_sees_neither_exchanges_nor_health_checks() {
    let (target, checked) = (Target::new().start().await, Target::new().start().await);
    let resources = with_services(&Resources::usual(&[target.address()]), &[("checked", checked.address())]);
    let unnamed = |settings: &mut Value| settings["targets"] = json!({"health_interval_min_ms": 100});
    let node = Program::new(&resources).with(unnamed).start().await;
    let client = node.client(&resources, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.code(), "target-unhealthy");
    let told = errors(&node).await;
    assert!(told.iter().any(|error| error.contains("Service/ho-tich") && error.contains("targets.allow")), "{told:?}");
    drop(node);
    assert_eq!((target.ledger().complete(), checked.ledger().complete()), (0, 0), "nobody was asked for anything");
}

#[tokio::test]
async fn the_admin_listener_believes_a_proof_and_its_socket_and_no_address() {
    let resources = Resources::usual(&["127.0.0.1:9".parse().unwrap()]);
    let node = Program::new(&resources).start().await;
    let ask = async |path: &str, proof: &str| {
        let header = if proof.is_empty() { String::new() } else { format!("{VOUCH_HEADER}: {proof}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\n{header}connection: close\r\n\r\n");
        exchange(node.admin_address(), request.as_bytes()).await.status
    };
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(open, "").await, 200, "{open}");
    }
    assert_eq!(ask("/v1/config", "").await, 403, "this test is on loopback");
    assert_eq!(ask("/v1/decisions/00000000000000000000000000000000", "").await, 403);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request = Vouched { node: &"node-1".parse().unwrap(), method: "GET", path: "/v1/config", body: b"" };
    let proof = SealKeys::from(seal_key()).vouch(&request, UnixSeconds(now.try_into().unwrap()));
    assert_eq!(ask("/v1/config", &proof).await, 200);
    assert_eq!(node.admin("/v1/config").await.status, 200, "through the socket");
    let mode = std::fs::metadata(node.admin_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

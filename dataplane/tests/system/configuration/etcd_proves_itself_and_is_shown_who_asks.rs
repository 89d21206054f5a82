//! Over TLS a node follows an etcd of the authority it was told, shows its own certificate, and follows no other.

use lgsp_testkit::certificate::Authority;
use lgsp_testkit::client::Request;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::node::Node as Program;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_right_certificate_serves_reports_and_comes_back() {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let mut etcd = Etcd::start_with_tls().await.unwrap();
    Publisher::new(&etcd).await.publish(1, &resources.documents()).await;
    let node = Program::new(&resources).following(&etcd).start().await;
    let client = node.client(&resources, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
    let status_key = lgsp_shared::keyspace::node_key(&"node-1".parse().unwrap());
    let reported =
        async || !etcd.client().await.unwrap().get(status_key.as_str(), None).await.unwrap().kvs().is_empty();
    eventually(DEADLINE, "the node's status is in etcd", reported).await;

    etcd.kill();
    let told = async || node.admin("/v1/config").await.json()["source"]["connected"].clone();
    eventually(DEADLINE, "the node says that etcd is away", async || told().await == json!(false)).await;
    etcd.restart().await.unwrap();
    let narrower = resources.with("Permission", "mot-cua-ho-tich", |spec| spec["methods"] = json!(["POST"]));
    Publisher::new(&etcd).await.publish(2, &narrower.documents()).await;
    eventually(DEADLINE, "the next revision", async || node.revision().await == Some(2)).await;
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.code(), "permission-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_authority_or_certificate_there_is_no_configuration_and_the_log_says_why() {
    let resources = Resources::usual(&["127.0.0.1:9".parse().unwrap()]);
    let etcd = Etcd::start_with_tls().await.unwrap();
    Publisher::new(&etcd).await.publish(1, &resources.documents()).await;
    let stranger = Authority::new("stranger");

    let builder = Program::new(&resources).following(&etcd);
    let ca = builder.directory().join("stranger.pem");
    std::fs::write(&ca, stranger.pem()).unwrap();
    let node = builder.with(|settings| settings["source"]["etcd"]["tls"]["ca"] = json!(ca)).start_unready().await;
    let line = node.child.wait_for_line("trying again after a pause", DEADLINE);
    assert!(line.contains("invalid peer certificate"), "{line}");
    assert_eq!(node.admin("/readyz").await.status, 503);

    let builder = Program::new(&resources).following(&etcd);
    let files = stranger.issue(&["client.test"]).write(builder.directory(), "stranger");
    let change = |settings: &mut Value| {
        settings["source"]["etcd"]["tls"]["certificate"] = json!(files.cert);
        settings["source"]["etcd"]["tls"]["key"] = json!(files.key);
    };
    let node = builder.with(change).start_unready().await;
    let line = node.child.wait_for_line("trying again after a pause", DEADLINE);
    assert!(line.contains("etcd"), "{line}");
    assert_eq!(node.admin("/readyz").await.status, 503);
}

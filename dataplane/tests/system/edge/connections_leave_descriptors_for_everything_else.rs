//! Connections never take the descriptors that configuration, records and the admin listener need: what fits the limit is
//! worked out at the start and said, and whatever takes more than that is refused.

use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::one_address_cannot_take_every_connection::metric;
use super::{DEADLINE, target};

/// 272 of them are reserved with two workers, so that 64 connections fit.
const DESCRIPTORS: u32 = 400;

/// Found with 1100 connections of one address: the node wrote no status, and a revocation did not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_arrives_while_one_address_holds_every_connection_it_can() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let mut node = Node::new(&resources).descriptors(DESCRIPTORS).start().await;
    let said = String::from_utf8(node.admin("/readyz?verbose").await.body).unwrap();
    assert!(said.contains("[+] descriptors: 400 may be open, enough for 64 connections, not for 10000"), "{said}");
    node.child.wait_for_line("`limits.connections_max` is lowered", DEADLINE);

    let mut held = Vec::new();
    for _ in 0..DESCRIPTORS + 50 {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        // One that was closed at once is as good.
        let _ = stream.write_all(b"GET /ho-tich/bytes/5 HTTP/1.1\r\n").await;
        held.push(stream);
    }
    eventually(DEADLINE, "all that fit are open", async || metric(&node, "lgsp_connections").await == 64).await;
    node.apply(&resources).await;
    drop(held);
    eventually(DEADLINE, "the places come back", async || metric(&node, "lgsp_connections").await == 0).await;
    let client = node.client(&resources, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
}

#[test]
fn a_limit_no_node_can_live_with_stops_the_start_and_says_what_to_allow() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("kek");
    std::fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = serde_json::json!({
        "node": "n", "listeners": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"},
        "source": {"bundle": {"file": directory.path().join("bundle")}}, "key_file": key,
        "state_dir": directory.path().join("state"), "records": {"to": "stdout"}, "threads": {"workers": 2},
    });
    std::fs::write(directory.path().join("settings.yaml"), settings.to_string()).unwrap();
    let program = lgsp_testkit::program::program("lgsp-dataplane");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 280 && exec \"$0\" --config \"$1\""]);
    let output = command.arg(program).arg(directory.path().join("settings.yaml")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("may open 280 files") && said.contains("LimitNOFILE=20272"), "{said}");
}

//! Places at a target are shared by all sources. Found with one source that held all 1024 places of a service with uploads
//! of one byte every half minute.

use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::eventually::{eventually, eventually_some};
use lgsp_testkit::node::NODE_DEADLINE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Places at the target; one source may hold eight ninths of them.
const PLACES: u32 = 18;

fn two_sources(target: &Target) -> Resources {
    Resources::usual(&[target.address()]).system("mot-cua-huyen").permission("mot-cua-huyen", "ho-tich").with(
        "Service",
        "ho-tich",
        |spec| spec["connections_max"] = json!(PLACES),
    )
}

/// An upload of which everything but the last byte is sent.
async fn unfinished_upload(node: &Node, client: &Client) -> TcpStream {
    let bytes = client.rfc9421(&Request::post("/ho-tich/sink", vec![b'x'; 100_000]));
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    stream
}

#[tokio::test]
async fn that_holds_its_share_of_places_and_no_more() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = two_sources(&target);
        let node = face.node(&resources).start().await;
        let slow = node.client(&resources, "mot-cua");
        let mut held = Vec::new();
        let refused = async || {
            let answer = slow.send(&Request::get("/ho-tich/bytes/1")).await;
            if answer.status == 429 {
                return Some(answer);
            }
            held.push(unfinished_upload(&node, &slow).await);
            None
        };
        let refused = eventually_some(NODE_DEADLINE, "the source holds its share", refused).await;
        assert_eq!(refused.code(), "source-busy", "{face:?}");
        assert!(refused.header("retry-after").is_some(), "{face:?}");
        let other = node.client(&resources, "mot-cua-huyen").send(&Request::get("/ho-tich/bytes/1")).await;
        assert_eq!(other.status, 200, "{face:?}");

        drop(held);
        let again = async || slow.send(&Request::get("/ho-tich/bytes/1")).await.status == 200;
        eventually(NODE_DEADLINE, "places given back can be taken", again).await;
    }
}

#[tokio::test]
async fn that_never_pauses_and_sends_next_to_nothing_is_cut() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = two_sources(&target)
            .with("Service", "ho-tich", |spec| spec["deadlines"] = json!({"idle_ms": 1_000}))
            .put("Defaults", "default", json!({"body_idle_ms": 500, "body_bytes_per_sec_min": 100_000}));
        let node = face.node(&resources).start().await;
        let mut stream = unfinished_upload(&node, &node.client(&resources, "mot-cua")).await;
        let head = node.client(&resources, "mot-cua").rfc9421(&Request::post("/ho-tich/sink", vec![b'x'; 2_000_000]));
        let mut dripping = TcpStream::connect(node.address()).await.unwrap();
        dripping.write_all(&head[..head.len() - 1_900_000]).await.unwrap();
        let mut answer = Vec::new();
        // A byte at a time, always sooner than the pause that is allowed.
        let (mut reader, mut writer) = dripping.split();
        let drip = async {
            loop {
                if writer.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            read = reader.read_buf(&mut answer) => assert!(read.unwrap() > 0, "{face:?}"),
            () = drip => {}
            () = tokio::time::sleep(NODE_DEADLINE) => panic!("{face:?}: it is never cut"),
        }
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{face:?}: {}", String::from_utf8_lossy(&answer));
        // The one that paused is cut as well.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.starts_with(b"HTTP/1.1 408 "), "{face:?}: {}", String::from_utf8_lossy(&rest));
    }
}
